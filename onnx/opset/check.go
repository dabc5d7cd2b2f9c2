package opset

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
)

// Check verifies what conversion and inference take for granted: known opset,
// operators and domains, unique names, nodes in topological order, no value
// used that nothing produces, tensors as large as their shapes, inputs, outputs
// and attributes as the operators have them at the model's opset. It returns
// every problem at once, each naming its node and operator. Operators of
// other domains are refused unless the domain is allowed.
func Check(m *onnx.Model, allowDomains ...string) error {
	if m == nil || m.Graph == nil {
		return fmt.Errorf("opset: model: it has no graph: %w", onnx.ErrInvalid)
	}
	c := checker{allowed: map[string]bool{}, functions: map[string]bool{}, opset: m.Opset}
	for _, d := range allowDomains {
		c.allowed[d] = true
	}
	if m.Opset != 0 && (m.Opset < minOpset || m.Opset > maxOpset) {
		c.fail(onnx.ErrUnsupported, "model: opset %d, read are %d to %d", m.Opset, minOpset, maxOpset)
	}
	for _, f := range m.Functions {
		c.functions[f.Domain+"."+f.Name] = true
	}
	for _, f := range m.Functions {
		c.function(f)
	}
	if c.opset = m.Opset; len(m.Graph.Nodes) == 0 {
		c.fail(onnx.ErrInvalid, "graph %q: it has no nodes", m.Graph.Name)
	}
	if len(m.Graph.Outputs) == 0 {
		c.fail(onnx.ErrInvalid, "graph %q: it has no outputs", m.Graph.Name)
	}
	for _, v := range m.Graph.Inputs {
		if v.DType != onnx.String && v.DType.Size() == 0 {
			c.fail(onnx.ErrUnsupported, "input %q: elements of type %s", v.Name, v.DType)
		}
	}
	c.graph(m.Graph, nil)
	return errors.Join(c.errs...)
}

type checker struct {
	allowed, functions map[string]bool
	opset              int64
	attrs              map[string]bool // attributes of the function being checked; nil in the model's graph
	errs               []error
}

// maxProblems keeps the report on a hostile file readable.
const maxProblems = 1000

func (c *checker) fail(kind error, format string, args ...any) {
	if len(c.errs) < maxProblems {
		c.errs = append(c.errs, fmt.Errorf("opset: %s: %w", fmt.Sprintf(format, args...), kind))
	}
}

func (c *checker) node(n *onnx.Node, kind error, format string, args ...any) {
	if len(c.errs) < maxProblems {
		c.errs = append(c.errs, nodeErr(n, kind, format, args...))
	}
}

// scope is what a graph's nodes can see; producer holds the nodes still to come too.
type scope struct {
	defined  map[string]bool
	producer map[string]*onnx.Node
	outer    *scope
}

func (s *scope) sees(name string) bool {
	for ; s != nil; s = s.outer {
		if s.defined[name] {
			return true
		}
	}
	return false
}

// later finds the node that produces name further down, here or outside.
func (s *scope) later(name string) *onnx.Node {
	for ; s != nil; s = s.outer {
		if n := s.producer[name]; n != nil {
			return n
		}
	}
	return nil
}

func (c *checker) function(f *onnx.Function) {
	c.attrs = map[string]bool{}
	for _, name := range f.Attrs {
		c.attrs[name] = true
	}
	for name := range f.Defaults {
		c.attrs[name] = true
	}
	c.opset = f.Opset
	s := &scope{defined: map[string]bool{}}
	for _, name := range f.Inputs {
		c.define(s, name, fmt.Sprintf("input %q of function %q", name, f.Name))
	}
	c.nodes(f.Nodes, s)
	for _, name := range f.Outputs {
		if !s.sees(name) {
			c.fail(onnx.ErrInvalid, "output %q of function %q: nothing produces it", name, f.Name)
		}
	}
	c.attrs = nil
}

func (c *checker) define(s *scope, name, what string) {
	switch {
	case name == "":
		c.fail(onnx.ErrInvalid, "%s: it has no name", what)
	case s.sees(name):
		c.fail(onnx.ErrInvalid, "%s: another value has that name", what)
	}
	s.defined[name] = true
}

func (c *checker) graph(g *onnx.Graph, outer *scope) {
	s := &scope{defined: map[string]bool{}, outer: outer}
	for _, v := range g.Inputs {
		what := fmt.Sprintf("input %q", v.Name)
		c.define(s, v.Name, what)
		c.shape(what, v.Shape)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Initializers)) {
		what := fmt.Sprintf("initializer %q", name)
		c.define(s, name, what)
		if err := g.Initializers[name].Check(); err != nil {
			c.fail(onnx.ErrInvalid, "%s: %v", what, err)
		}
	}
	c.nodes(g.Nodes, s)
	seen := map[string]bool{}
	for _, v := range g.Outputs {
		what := fmt.Sprintf("output %q", v.Name)
		c.shape(what, v.Shape)
		if seen[v.Name] {
			c.fail(onnx.ErrInvalid, "%s: listed twice", what)
		}
		if !s.sees(v.Name) {
			c.fail(onnx.ErrInvalid, "%s: nothing produces it", what)
		}
		seen[v.Name] = true
	}
}

func (c *checker) shape(what string, s onnx.Shape) {
	for _, d := range s {
		if d.N < 0 || (d.N == 0 && !d.IsConst()) {
			c.fail(onnx.ErrInvalid, "%s: dimension %s in shape %s", what, d, s)
		}
	}
}

func (c *checker) nodes(list []*onnx.Node, s *scope) {
	s.producer = map[string]*onnx.Node{}
	for _, n := range list {
		for _, out := range n.Outputs {
			if out != "" && s.producer[out] == nil {
				s.producer[out] = n
			}
		}
	}
	cyclic := cycles(list, s.producer)
	for _, n := range list {
		c.operator(n)
		for _, in := range n.Inputs {
			c.use(n, in, s, cyclic)
		}
		for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
			c.attr(n, name, n.Attrs[name], s)
		}
		produces := false
		for _, out := range n.Outputs {
			if out == "" {
				continue
			}
			produces = true
			if s.sees(out) {
				c.node(n, onnx.ErrInvalid, "output %q: another value has that name", out)
			}
			s.defined[out] = true
		}
		if !produces {
			c.node(n, onnx.ErrInvalid, "it has no outputs")
		}
	}
}

func (c *checker) use(n *onnx.Node, name string, s *scope, cyclic map[*onnx.Node]bool) {
	if name == "" || s.sees(name) {
		return
	}
	switch later := s.later(name); {
	case later == nil:
		c.node(n, onnx.ErrInvalid, "input %q: nothing produces it, and it is no input or initializer of the graph", name)
	case cyclic[n] && cyclic[later]:
		c.node(n, onnx.ErrInvalid, "input %q: it depends on this node's own output, through %s", name, later.Describe())
	default:
		c.node(n, onnx.ErrInvalid, "input %q: used before %s produces it; the nodes are not in order", name, later.Describe())
	}
}

// operator checks that the node's operator exists.
func (c *checker) operator(n *onnx.Node) {
	switch {
	case n.Op == "":
		c.node(n, onnx.ErrInvalid, "it has no operator")
	case c.functions[n.Domain+"."+n.Op] || c.allowed[n.Domain]:
	case n.Domain != "":
		c.node(n, onnx.ErrUnsupported, "operators of domain %q are not known", n.Domain)
	case c.opset == 0:
		c.node(n, onnx.ErrInvalid, "the model does not say which opset it is of")
	case len(opVersions[n.Op]) == 0:
		c.node(n, onnx.ErrUnsupported, "no such operator")
	case opVersion(n.Op, c.opset) == 0:
		c.node(n, onnx.ErrInvalid, "not an operator of opset %d", c.opset)
	default:
		c.schema(n)
	}
}

func (c *checker) attr(n *onnx.Node, name string, a onnx.Attr, s *scope) {
	switch {
	case a.Ref != "":
		if !c.attrs[a.Ref] {
			c.node(n, onnx.ErrInvalid, "attribute %q: it stands for %q, which no function around it has", name, a.Ref)
		}
	case a.Kind < onnx.AttrFloat || a.Kind > onnx.AttrStrings:
		c.node(n, onnx.ErrUnsupported, "attribute %q: a value of kind %d", name, a.Kind)
	case a.Kind == onnx.AttrTensor:
		if err := a.T.Check(); err != nil {
			c.node(n, onnx.ErrInvalid, "attribute %q: %v", name, err)
		}
	case a.Kind == onnx.AttrGraph:
		if a.G == nil {
			c.node(n, onnx.ErrInvalid, "attribute %q: no graph", name)
		} else {
			c.graph(a.G, s)
		}
	}
}

// cycles returns the nodes that lie on a cycle, or between two. It first takes
// away, until none is left, nodes that read no other node's output, and then
// nodes whose output no other node reads; what remains is the answer.
func cycles(list []*onnx.Node, producer map[string]*onnx.Node) map[*onnx.Node]bool {
	before, after := map[*onnx.Node][]*onnx.Node{}, map[*onnx.Node][]*onnx.Node{}
	for _, n := range list {
		for _, name := range onnx.Uses(n) {
			if p := producer[name]; p != nil {
				before[n] = append(before[n], p)
				after[p] = append(after[p], n)
			}
		}
	}
	left := make(map[*onnx.Node]bool, len(list))
	for _, n := range list {
		left[n] = true
	}
	peel(list, left, before, after)
	peel(list, left, after, before)
	return left
}

// peel removes from left, until none is there, each node that has no neighbour
// in from that is left; to holds the same edges the other way round.
func peel(list []*onnx.Node, left map[*onnx.Node]bool, from, to map[*onnx.Node][]*onnx.Node) {
	count := map[*onnx.Node]int{}
	var ready []*onnx.Node
	for _, n := range list {
		if !left[n] {
			continue
		}
		for _, m := range from[n] {
			if left[m] {
				count[n]++
			}
		}
		if count[n] == 0 {
			ready = append(ready, n)
		}
	}
	for len(ready) > 0 {
		n := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		delete(left, n)
		for _, m := range to[n] {
			if count[m]--; count[m] == 0 && left[m] {
				ready = append(ready, m)
			}
		}
	}
}
