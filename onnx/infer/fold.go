package infer

import (
	"errors"
	"fmt"
	"slices"

	"winnow/onnx"
)

// Bounds of what folding computes: shape arithmetic and masks are far below,
// and what is above is better computed once per run than stored.
const (
	maxFoldedValue = 2 << 20  // bytes of one node's outputs
	maxFoldedTotal = 64 << 20 // bytes computed over the whole graph
)

// FoldOptions says what Fold must leave alone.
type FoldOptions struct {
	// Keep reports an initializer (or the output of a Constant node) that may
	// be trained: nothing computed from its elements is folded. nil keeps none.
	Keep func(initializer string) bool
	// KeepDropout leaves Dropout in evaluation mode in place. Dropout whose
	// training_mode input is true always stays.
	KeepDropout bool
}

// Fold computes what does not depend on the model's inputs.
//
//   - Constant nodes and nodes with known inputs become initializers, named as
//     the values they replace.
//   - Shapes that follow from the input's shape up to the batch size become
//     Reshape targets of 0 and -1.
//   - Nodes that change nothing are bypassed.
//   - An If whose condition is known gives way to its branch, a Loop or Scan
//     whose count is known to its iterations.
//   - What nothing uses is removed.
//
// The names of the graph's inputs and outputs stay. The batch dimension is
// named as by Model. Shapes that contradict each other are errors, all reported
// at once, and wrap ErrShape; the model is then partly folded, not to be used.
func Fold(m *onnx.Model, o FoldOptions) error {
	if m == nil || m.Graph == nil {
		return fmt.Errorf("infer: model: it has no graph: %w", onnx.ErrInvalid)
	}
	g := m.Graph
	nameBatch(g)
	if g.Initializers == nil {
		g.Initializers = map[string]*onnx.Tensor{}
	}
	f := &folder{
		g: g, o: o, in: newInference(g, o.Keep, nil), names: onnx.NewNames(g),
		replaced: map[string]string{}, inputs: map[string]bool{}, outputs: map[string]bool{}, uses: map[string]int{},
		made: map[string]bool{}, trainable: map[string]bool{}, shared: map[string]string{}, built: map[string]bool{},
		sources: map[string]dimSource{}, sequences: map[string]*sequence{}, budget: maxFoldedTotal,
	}
	for _, v := range g.Outputs {
		f.outputs[v.Name] = true
	}
	for _, n := range g.Nodes {
		countUses(n, f.uses)
	}
	for name := range g.Initializers {
		f.trainable[name] = o.Keep != nil && o.Keep(name)
	}
	for _, v := range g.Inputs {
		f.inputs[v.Name] = true
		for axis, d := range v.Shape {
			if _, ok := f.sources[d.Sym]; !ok && d.Sym != "" && d.N == 1 {
				f.sources[d.Sym] = dimSource{v.Name, int64(axis)}
			}
		}
	}
	nodes := g.Nodes
	f.nodes = make([]*onnx.Node, 0, len(nodes))
	for _, n := range nodes {
		f.node(n, 0)
	}
	if len(f.errs) > 0 {
		return errors.Join(f.errs...)
	}
	g.Nodes = f.nodes
	removeDead(g)
	return nil
}

type folder struct {
	g         *onnx.Graph
	o         FoldOptions
	in        *Inference
	names     *onnx.Names
	nodes     []*onnx.Node         // what stays, in order
	replaced  map[string]string    // bypassed values and what stands for them
	inputs    map[string]bool      // of the graph
	outputs   map[string]bool      // of the graph
	uses      map[string]int       // by nodes of the unfolded graph
	made      map[string]bool      // initializers that folding computed
	trainable map[string]bool      // initializers Keep asked for
	shared    map[string]string    // targets already built, by content
	built     map[string]bool      // values computed as rebuild would
	sources   map[string]dimSource // of symbols
	sequences map[string]*sequence // by the value that SplitToSequence makes
	budget    int64
	unrolled  int // nodes that loops have come to
	errs      []error
}

// maxErrors keeps the report on a hostile model readable.
const maxErrors = 1000

func (f *folder) node(n *onnx.Node, depth int) {
	n = f.castNode((&renaming{to: f.replaced}).node(n))
	if g := f.branch(n); g != nil && depth < maxDepth {
		f.inlineBranch(n, g, depth)
		return
	}
	if f.unroll(n, depth) {
		return
	}
	if err := f.in.Node(n); err != nil {
		f.fail(err)
		return
	}
	f.splitSequence(n)
	switch {
	case f.bypass(n), f.constant(n), f.evaluate(n), f.sequenceAt(n):
		return
	}
	f.simplify(n)
	if f.shortest(n) {
		f.built[n.Output(0)] = true
	}
	f.nodes = append(f.nodes, n)
}

// shortest reports a node of the form that rebuild makes.
func (f *folder) shortest(n *onnx.Node) bool {
	switch n.Operator() {
	case "Shape":
		return f.inputs[n.Input(0)]
	case "Mul", "Concat":
		return !slices.ContainsFunc(n.Inputs, func(name string) bool { return !f.built[name] && f.g.Initializers[name] == nil })
	}
	return false
}

func (f *folder) fail(err error) {
	if len(f.errs) < maxErrors {
		f.errs = append(f.errs, err)
	}
}

// castNode turns a CastLike, of whose second input only the type counts, into a Cast.
func (f *folder) castNode(n *onnx.Node) *onnx.Node {
	if n.Operator() != "CastLike" {
		return n
	}
	if to := (call{in: f.in, n: n}).dtype(1); to != onnx.Undefined && len(n.Inputs) == 2 {
		return &onnx.Node{Name: n.Name, Op: "Cast", Inputs: n.Inputs[:1], Outputs: n.Outputs, Attrs: map[string]onnx.Attr{"to": onnx.IntAttr(int64(to))}}
	}
	return n
}

// constant replaces a node whose outputs are small and known, whether or not its inputs are.
func (f *folder) constant(n *onnx.Node) bool {
	if slices.ContainsFunc(n.Outputs, func(o string) bool { return f.outputs[o] }) {
		return false
	}
	if n.Operator() == "Constant" {
		o := n.Output(0)
		t, err := constantTensor(n)
		if err != nil || t == nil || o == "" {
			return false
		}
		f.g.Initializers[o] = t
		f.trainable[o] = f.o.Keep != nil && f.o.Keep(o)
		return true
	}
	values := make([]*onnx.Tensor, len(n.Outputs))
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		t, ok := f.in.constant(o)
		if !ok {
			return false
		}
		values[i] = t
	}
	return f.replace(n, values)
}

// evaluate computes a node whose inputs are all known.
func (f *folder) evaluate(n *onnx.Node) bool {
	if slices.ContainsFunc(n.Outputs, func(o string) bool { return f.outputs[o] }) || evalRules[n.Operator()] == nil {
		return false
	}
	args := make([]*onnx.Tensor, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		t := f.g.Initializers[name]
		if t == nil || f.trainable[name] {
			return false
		}
		args[i] = t
	}
	if len(args) == 0 {
		return false
	}
	out, err := evalNode(n, args, min(maxFoldedValue, f.budget))
	if err != nil {
		return false
	}
	for _, t := range out {
		f.budget -= int64(len(t.Data))
	}
	return f.replace(n, out[:len(n.Outputs)])
}

// replace makes a node's outputs initializers.
func (f *folder) replace(n *onnx.Node, values []*onnx.Tensor) bool {
	any := false
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		any = true
		f.define(o, values[i])
	}
	return any
}

// define adds an initializer that folding computed.
func (f *folder) define(name string, t *onnx.Tensor) {
	f.g.Initializers[name] = t
	f.made[name] = true
	f.in.setTensor(name, t, true)
}

// bypass lets the users of a node that changes nothing read its input.
func (f *folder) bypass(n *onnx.Node) bool {
	from, to := n.Output(0), n.Input(0)
	if from == "" || to == "" || f.outputs[from] || !f.changesNothing(n) {
		return false
	}
	for _, o := range n.Outputs[1:] {
		if o != "" && (f.uses[o] > 0 || f.outputs[o]) {
			return false
		}
	}
	f.replaced[from] = to
	return true
}

// changesNothing reports a node whose first output always equals its first input.
func (f *folder) changesNothing(n *onnx.Node) bool {
	c := call{in: f.in, n: n}
	x, y := c.value(0), f.in.types[n.Output(0)]
	sameShape := x.Shape.Equal(y.Shape)
	switch n.Operator() {
	case "Identity":
		return true
	case "Dropout":
		mode, known := []int64{0}, true
		if c.has(2) {
			mode, known = c.ints(2)
		}
		return !f.o.KeepDropout && known && len(mode) == 1 && mode[0] == 0
	case "Cast":
		return x.DType != onnx.Undefined && x.DType == y.DType
	case "Reshape", "Expand", "Tile", "Flatten":
		return sameShape
	case "Slice":
		steps, ok := []int64{1}, true
		if c.has(4) {
			steps, ok = c.ints(4)
		}
		return sameShape && ok && (len(steps) == 0 || slices.Min(steps) > 0)
	case "Pad":
		pads, ok := c.ints(1)
		return sameShape && ok && !slices.ContainsFunc(pads, func(p int64) bool { return p != 0 })
	case "Concat", "Sum", "Max", "Min", "Mean":
		return len(n.Inputs) == 1
	case "Transpose":
		perm, err := Permutation(n, len(x.Shape))
		return err == nil && x.Shape != nil && slices.IsSorted(perm)
	}
	return false
}
