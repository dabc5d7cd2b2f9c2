package fuse

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// Operator is the operator that a chain becomes: attribute program has three
// numbers for each step, its function and the two values it takes, where values
// are the inputs and then what each step gives; attribute outputs says which
// values are outputs, and block how many floats a vector has.
const Operator = "Elementwise"

// Bounds of a chain, those of runtime/kernels.
const (
	maxInputs = 16
	maxSteps  = 32
	maxRank   = 8
)

// functions are what a step does, by the operator of ONNX that does the same, as
// runtime/kernels numbers them.
var functions = map[string]int64{
	"Add": 0, "Sub": 1, "Mul": 2, "Div": 3, "Max": 4, "Min": 5,
	"Neg": 6, "Sqrt": 7, "Reciprocal": 8, "Relu": 9, "Exp": 10, "Erf": 11, "Sigmoid": 12, "Tanh": 13,
}

// chain is nodes that become one.
type chain struct {
	nodes []*onnx.Node // in the graph's order
	shape onnx.Shape
	part  string
}

// fuser looks for the chains of a graph.
type fuser struct {
	*reader
	vector int64
	in     map[*onnx.Node]*chain
}

// chains replaces the chains of a graph, of which no node may lead to nothing.
func chains(r *reader, vector int64) {
	f := &fuser{reader: r, vector: vector, in: map[*onnx.Node]*chain{}}
	for _, n := range r.g.Nodes {
		f.take(n)
	}
	f.replace()
}

// take puts a node into a chain: with those that made its inputs where it can be,
// else into one of its own.
func (f *fuser) take(n *onnx.Node) {
	shape, ok := f.fits(n)
	if !ok {
		return
	}
	all := &chain{shape: shape, part: partOf(n), nodes: []*onnx.Node{n}}
	f.in[n] = all
	for _, in := range n.Inputs {
		c := f.in[f.maker[in]]
		if c == nil || c == all || !c.shape.Equal(shape) {
			continue
		}
		if len(all.nodes) == 1 && f.result[n.Outputs[0]] { // what replaces state is named by it, not by its part
			all.part = c.part
		}
		if c.part != all.part {
			continue
		}
		joined := &chain{shape: shape, part: all.part, nodes: slices.Concat(c.nodes, all.nodes)}
		if f.can(joined, n) {
			slices.SortFunc(joined.nodes, func(a, b *onnx.Node) int { return f.at[a] - f.at[b] })
			for _, m := range joined.nodes {
				f.in[m] = joined
			}
			all = joined
		}
	}
}

// can is whether nodes that end with last may stand where it stands, and are not
// too many.
func (f *fuser) can(c *chain, last *onnx.Node) bool {
	within := map[*onnx.Node]bool{}
	for _, n := range c.nodes {
		within[n] = true
	}
	for _, n := range c.nodes {
		for _, u := range f.users[n.Outputs[0]] {
			if !within[u] && f.at[u] < f.at[last] {
				return false
			}
		}
	}
	steps := 0
	for _, n := range c.nodes {
		steps += max(1, len(n.Inputs)-1)
	}
	return steps <= maxSteps && len(f.inputs(c)) <= maxInputs
}

// inputs are what a chain reads that it does not make.
func (f *fuser) inputs(c *chain) []string {
	var names []string
	for _, n := range c.nodes {
		for _, in := range n.Inputs {
			if !slices.Contains(c.nodes, f.maker[in]) && !slices.Contains(names, in) {
				names = append(names, in)
			}
		}
	}
	return names
}

// partOf is the part of a step that a node is of; the model's own nodes and what
// stands for them are one.
func partOf(n *onnx.Node) string {
	part, _ := bundle.ParseNodeName(n.Name)
	if part == bundle.PartForward || part == bundle.PartImages {
		return ""
	}
	return part
}

// fits is whether a node can be a step, and the shape of what it gives.
func (f *fuser) fits(n *onnx.Node) (onnx.Shape, bool) {
	function, ok := functions[n.Op]
	if n.Op == "Sum" {
		ok = len(n.Inputs) >= 2
	} else if ok {
		ok = len(n.Inputs) == arity(function)
	}
	if !ok || n.Domain != "" || len(n.Outputs) != 1 {
		return nil, false
	}
	whole, ok := f.floats(n.Outputs[0])
	if !ok {
		return nil, false
	}
	for _, in := range n.Inputs {
		if s, ok := f.floats(in); !ok || !sideBySide(s, whole) {
			return nil, false
		}
	}
	return whole, true
}

func arity(function int64) int {
	if function <= functions["Min"] {
		return 2
	}
	return 1
}

// sideBySide is whether an operand has dimensions of the whole that lie side by
// side, and 1 for the others.
func sideBySide(s, whole onnx.Shape) bool {
	if len(s) > len(whole) {
		return false
	}
	const before, within, behind = 0, 1, 2
	state := before
	for i := len(whole) - 1; i >= 0; i-- {
		d := onnx.Const(1)
		if j := i - len(whole) + len(s); j >= 0 {
			d = s[j]
		}
		switch one := d == onnx.Const(1); {
		case one && whole[i] == onnx.Const(1):
		case d == whole[i] && state != behind:
			state = within
		case one && state != before:
			state = behind
		case !one:
			return false
		}
	}
	return true
}

// replace puts a node in the place of each chain of several.
func (f *fuser) replace() {
	nodes := make([]*onnx.Node, 0, len(f.g.Nodes))
	for _, n := range f.g.Nodes {
		c := f.in[n]
		switch {
		case c == nil || len(c.nodes) == 1 && !f.spreads(n):
			nodes = append(nodes, n)
		case n == c.nodes[len(c.nodes)-1]:
			nodes = append(nodes, f.node(c))
		}
	}
	f.g.Nodes = nodes
}

// spreads is whether a node repeats an operand over others, but for single numbers.
func (f *fuser) spreads(n *onnx.Node) bool {
	whole := f.in[n].shape
	return slices.ContainsFunc(n.Inputs, func(in string) bool {
		v, _ := f.inf.Type(in)
		return !v.Shape.Equal(whole) && slices.ContainsFunc(v.Shape, func(d onnx.Dim) bool { return d != onnx.Const(1) })
	})
}

// node is the one node of a chain.
func (f *fuser) node(c *chain) *onnx.Node {
	inputs := f.inputs(c)
	n := &onnx.Node{Name: c.nodes[0].Name, Op: Operator, Domain: onnx.KernelDomain, Inputs: inputs}
	value := map[string]int64{}
	for i, in := range inputs {
		value[in] = int64(i)
	}
	next := int64(len(inputs))
	var program, outputs []int64
	step := func(function, a, b int64) int64 {
		program = append(program, function, a, b)
		next++
		return next - 1
	}
	for _, m := range c.nodes {
		at := value[m.Inputs[0]]
		switch {
		case m.Op == "Sum":
			for _, in := range m.Inputs[1:] {
				at = step(functions["Add"], at, value[in])
			}
		case len(m.Inputs) == 1:
			at = step(functions[m.Op], at, at)
		default:
			at = step(functions[m.Op], at, value[m.Inputs[1]])
		}
		out := m.Outputs[0]
		value[out] = at
		if f.result[out] || slices.ContainsFunc(f.users[out], func(u *onnx.Node) bool { return f.in[u] != c }) {
			n.Outputs = append(n.Outputs, out)
			outputs = append(outputs, at)
			f.tell(out)
		}
	}
	n.Attrs = map[string]onnx.Attr{"block": onnx.IntAttr(f.vector), "program": onnx.IntsAttr(program...), "outputs": onnx.IntsAttr(outputs...)}
	return n
}
