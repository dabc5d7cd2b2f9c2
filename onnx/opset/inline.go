package opset

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
)

// maxInlinedNodes bounds what functions that call each other may expand to.
const maxInlinedNodes = 1 << 18

// Inline replaces every call of a model-local function by the function's
// nodes. Inner names get the call's name in front; a reference to an attribute
// becomes the call's value, or the function's default, or nothing. The model
// is left as it was if an error is returned.
func Inline(m *onnx.Model) error {
	if m == nil || m.Graph == nil {
		return fmt.Errorf("opset: model: it has no graph: %w", onnx.ErrInvalid)
	}
	if len(m.Functions) == 0 {
		return nil
	}
	in := inliner{model: m, functions: map[string]*onnx.Function{}, names: onnx.NewNames(m.Graph), active: map[*onnx.Function]bool{}, sizes: map[*onnx.Function]int{}}
	opset := m.Opset
	for _, f := range m.Functions {
		in.functions[f.Domain+"."+f.Name] = f
		if m.Opset == 0 {
			opset = max(opset, f.Opset)
		}
	}
	in.opset = opset
	if in.measure(m.Graph.Nodes); len(in.errs) > 0 {
		return errors.Join(in.errs...)
	}
	nodes := in.expand(nil, m.Graph.Nodes)
	if len(in.errs) > 0 {
		return errors.Join(in.errs...)
	}
	domains := map[string]int64{}
	usedDomains(nodes, domains)
	for d := range domains {
		domains[d] = m.Domains[d]
		for _, f := range m.Functions {
			domains[d] = max(domains[d], f.Domains[d])
		}
	}
	m.Graph.Nodes, m.Functions, m.Opset, m.Domains = nodes, nil, opset, domains
	return nil
}

// usedDomains adds the domains of nodes and of their subgraphs.
func usedDomains(nodes []*onnx.Node, into map[string]int64) {
	for _, n := range nodes {
		if n.Domain != "" {
			into[n.Domain] = 0
		}
		for _, a := range n.Attrs {
			if a.G != nil {
				usedDomains(a.G.Nodes, into)
			}
		}
	}
}

type inliner struct {
	model     *onnx.Model
	opset     int64
	functions map[string]*onnx.Function
	names     *onnx.Names
	active    map[*onnx.Function]bool // being expanded: one that calls itself never ends
	sizes     map[*onnx.Function]int  // see measure
	count     int
	errs      []error
}

func (in *inliner) fail(n *onnx.Node, kind error, format string, args ...any) {
	if len(in.errs) < maxProblems {
		in.errs = append(in.errs, nodeErr(n, kind, format, args...))
	}
}

// measuring is the size of a function that is being measured.
const measuring = -1

// measure is how many nodes a list expands to, calls among them, before any is
// made: a few functions that call each other twice are as many as one likes. What
// is too large, or has no end, is an error. Graphs that calls hand over count
// where they stand, and again as they are expanded.
func (in *inliner) measure(list []*onnx.Node) int {
	total := 0
	for _, n := range list {
		total++
		if f := in.functions[n.Domain+"."+n.Op]; f != nil {
			total += in.measureCall(n, f)
		}
		total += in.measureGraphs(n.Attrs)
		if total > maxInlinedNodes {
			if len(in.errs) == 0 {
				in.fail(n, onnx.ErrTooLarge, "functions expand to more than %d nodes", maxInlinedNodes)
			}
			break
		}
	}
	return total
}

func (in *inliner) measureGraphs(attrs map[string]onnx.Attr) int {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(attrs)) { // so that the error is always the same
		if g := attrs[name].G; g != nil {
			total += in.measure(g.Nodes)
		}
	}
	return total
}

func (in *inliner) measureCall(n *onnx.Node, f *onnx.Function) int {
	size, known := in.sizes[f]
	if size == measuring {
		in.fail(n, onnx.ErrInvalid, "function %q calls itself", f.Name)
		return 0
	}
	if !known {
		in.sizes[f] = measuring
		size = in.measure(f.Nodes) + in.measureGraphs(f.Defaults) + len(f.Outputs) // each of these a copy at worst
		in.sizes[f] = size
	}
	return size
}

// expand appends the nodes of a list, with calls replaced, to out.
func (in *inliner) expand(out, list []*onnx.Node) []*onnx.Node {
	for _, n := range list {
		if in.count > maxInlinedNodes {
			return out
		}
		f := in.functions[n.Domain+"."+n.Op]
		if f == nil {
			if in.count++; in.count > maxInlinedNodes {
				in.fail(n, onnx.ErrTooLarge, "functions expand to more than %d nodes", maxInlinedNodes)
			}
			out = append(out, in.expandSubgraphs(n))
			continue
		}
		if in.active[f] {
			in.fail(n, onnx.ErrInvalid, "function %q calls itself", f.Name)
			continue
		}
		in.active[f] = true
		out = in.expand(out, in.call(n, f))
		delete(in.active, f)
	}
	return out
}

func (in *inliner) expandSubgraphs(n *onnx.Node) *onnx.Node {
	clone := *n
	clone.Attrs = maps.Clone(n.Attrs)
	for name, a := range clone.Attrs {
		if a.G != nil {
			g := *a.G
			g.Nodes = in.expand(nil, g.Nodes)
			a.G = &g
			clone.Attrs[name] = a
		}
	}
	return &clone
}

// call returns the body of f with the names and attributes of a call.
func (in *inliner) call(n *onnx.Node, f *onnx.Function) []*onnx.Node {
	if len(n.Inputs) > len(f.Inputs) || len(n.Outputs) > len(f.Outputs) {
		in.fail(n, onnx.ErrInvalid, "%d inputs and %d outputs for a function of %d and %d",
			len(n.Inputs), len(n.Outputs), len(f.Inputs), len(f.Outputs))
		return nil
	}
	prefix := n.Name
	if prefix == "" && len(n.Outputs) > 0 {
		prefix = n.Outputs[0]
	}
	b := &binding{in: in, call: n, f: f, prefix: prefix + "/", names: map[string]string{}}
	for i, formal := range f.Inputs {
		b.names[formal] = n.Input(i)
	}
	var copies []*onnx.Node
	for i, formal := range f.Outputs {
		actual := n.Output(i)
		source, taken := b.names[formal] // an input passed through, or an output named twice
		switch {
		case taken && actual != "":
			copies = append(copies, &onnx.Node{Name: b.prefix + actual, Op: "Identity", Inputs: []string{source}, Outputs: []string{actual}})
		case !taken && actual != "":
			b.names[formal] = actual
		}
	}
	body := make([]*onnx.Node, 0, len(f.Nodes)+len(copies))
	for _, inner := range f.Nodes {
		in.checkVersion(inner, f)
		body = append(body, b.node(inner))
	}
	return append(body, copies...)
}

// checkVersion refuses a body written for an opset in which the operator means
// something else than in the model's; the format forbids that too.
func (in *inliner) checkVersion(n *onnx.Node, f *onnx.Function) {
	if n.Domain != "" || f.Opset == 0 || f.Opset == in.opset || in.functions["."+n.Op] != nil {
		return
	}
	if opVersion(n.Op, f.Opset) != opVersion(n.Op, in.opset) {
		in.fail(n, onnx.ErrUnsupported, "function %q is of opset %d and the model of %d, between which the operator changed", f.Name, f.Opset, in.opset)
	}
}

// binding renames the values of one call's body; a subgraph's falls back on
// that of the graph around it.
type binding struct {
	in     *inliner
	call   *onnx.Node
	f      *onnx.Function
	prefix string
	names  map[string]string
	outer  *binding
}

// name maps a value's name, making one up for an inner value first met.
func (b *binding) name(inner string) string {
	if inner == "" {
		return ""
	}
	for s := b; s != nil; s = s.outer {
		if name, ok := s.names[inner]; ok {
			return name
		}
	}
	return b.define(inner)
}

func (b *binding) define(inner string) string {
	name := b.in.names.Fresh(b.prefix + inner)
	b.names[inner] = name
	return name
}

func (b *binding) node(inner *onnx.Node) *onnx.Node {
	n := &onnx.Node{Op: inner.Op, Domain: inner.Domain, Name: b.prefix + inner.Name}
	if inner.Name == "" && len(inner.Outputs) > 0 {
		n.Name = b.prefix + inner.Outputs[0]
	}
	for _, name := range inner.Inputs {
		n.Inputs = append(n.Inputs, b.name(name))
	}
	for _, name := range inner.Outputs {
		n.Outputs = append(n.Outputs, b.name(name))
	}
	if len(inner.Attrs) > 0 {
		n.Attrs = make(map[string]onnx.Attr, len(inner.Attrs))
	}
	for key, a := range inner.Attrs {
		if a.Ref != "" {
			value, ok := b.call.Attrs[a.Ref]
			if !ok {
				if value, ok = b.f.Defaults[a.Ref]; !ok {
					continue
				}
			}
			if a.Kind != 0 && value.Kind != a.Kind {
				b.in.fail(b.call, onnx.ErrInvalid, "attribute %q has another type than function %q wants", a.Ref, b.f.Name)
			}
			a = value
		} else if a.G != nil {
			a.G = b.graph(a.G)
		}
		n.Attrs[key] = a
	}
	return n
}

func (b *binding) graph(g *onnx.Graph) *onnx.Graph {
	inner := &binding{in: b.in, call: b.call, f: b.f, prefix: b.prefix, names: map[string]string{}, outer: b}
	out := &onnx.Graph{Name: g.Name, Initializers: make(map[string]*onnx.Tensor, len(g.Initializers)), Values: map[string]onnx.Value{}}
	for _, v := range g.Inputs {
		v.Name = inner.define(v.Name)
		out.Inputs = append(out.Inputs, v)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Initializers)) {
		out.Initializers[inner.define(name)] = g.Initializers[name]
	}
	for _, n := range g.Nodes {
		for _, name := range n.Outputs {
			if name != "" {
				inner.define(name)
			}
		}
	}
	for _, n := range g.Nodes {
		out.Nodes = append(out.Nodes, inner.node(n))
	}
	for _, v := range g.Outputs {
		v.Name = inner.name(v.Name)
		out.Outputs = append(out.Outputs, v)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Values)) {
		v := g.Values[name]
		if renamed, ok := inner.names[name]; ok {
			v.Name = renamed
			out.Values[renamed] = v
		}
	}
	return out
}
