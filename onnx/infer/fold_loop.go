package infer

import (
	"maps"
	"slices"
	"strconv"

	"winnow/onnx"
)

// Bounds of what a Loop or Scan is unrolled to: ONNX Runtime takes seconds to
// prepare chains of a thousand nodes.
const (
	maxIterations = 1 << 10
	maxUnrolled   = 1 << 14 // nodes of all iterations of all of them
)

// unrolling is one Loop or Scan being replaced by copies of its body.
type unrolling struct {
	*folder
	n      *onnx.Node
	body   *onnx.Graph
	base   string
	depth  int
	weight map[string]string // initializers of the body, one for all iterations
	stacks [][]string        // values of each iteration, by scan output
}

// unroll replaces a Loop whose count or condition is known, or a Scan of known
// length, by its iterations. False, and nothing is changed, if data decides.
func (f *folder) unroll(n *onnx.Node, depth int) bool {
	body := n.Attrs["body"].G
	if op := n.Operator(); body == nil || depth >= maxDepth || op != "Loop" && op != "Scan" {
		return false
	}
	base := n.Name
	if base == "" {
		base = n.Output(0)
	}
	u := &unrolling{folder: f, n: n, body: body, base: base, depth: depth, weight: map[string]string{}}
	nodes, shared, built, errs := len(f.nodes), maps.Clone(f.shared), maps.Clone(f.built), len(f.errs)
	for _, name := range slices.Sorted(maps.Keys(body.Initializers)) {
		own := f.names.Fresh(base + "/" + name)
		u.weight[name] = own
		f.trainable[own] = f.o.Keep != nil && (f.o.Keep(name) || f.o.Keep(own))
		f.g.Initializers[own] = body.Initializers[name]
		f.in.setTensor(own, body.Initializers[name], !f.trainable[own])
	}
	iterate := u.loop
	if n.Operator() == "Scan" {
		iterate = u.scan
	}
	states, ok := iterate()
	if ok = ok && len(f.errs) == errs; !ok {
		f.nodes, f.shared, f.built, f.errs = f.nodes[:nodes], shared, built, f.errs[:errs]
		for _, own := range u.weight {
			delete(f.g.Initializers, own)
		}
		return false
	}
	for i, o := range n.Outputs {
		switch {
		case o == "":
		case i < len(states):
			f.node(&onnx.Node{Name: base + "/" + o, Op: "Identity", Inputs: []string{states[i]}, Outputs: []string{o}}, depth+1)
		default:
			u.stack(o, i-len(states))
		}
	}
	return true
}

// known returns the element of a value of one element; false if it is not known.
func (u *unrolling) known(name string) (int64, bool) {
	c, ok := u.in.elements(name)
	if !ok || len(c) != 1 || !c[0].IsConst() {
		return 0, false
	}
	return c[0].N, true
}

// loop runs a Loop: inputs are the count, the condition and the states; those of
// the body the number of the iteration in place of the count; it gives the next
// condition, the next states, and values to stack.
func (u *unrolling) loop() (states []string, ok bool) {
	n, body := u.n, u.body
	if len(n.Inputs) < 2 || len(body.Inputs) != len(n.Inputs) || len(body.Outputs) != len(n.Outputs)+1 || len(n.Outputs) < len(n.Inputs)-2 {
		return nil, false
	}
	count, again := int64(1)<<62, int64(1)
	if n.Input(0) != "" {
		if count, ok = u.known(n.Input(0)); !ok {
			return nil, false
		}
	}
	if n.Input(1) != "" {
		if again, ok = u.known(n.Input(1)); !ok {
			return nil, false
		}
	}
	states = append([]string{}, n.Inputs[2:]...)
	u.stacks = make([][]string, len(n.Outputs)-len(states))
	cond := n.Input(1)
	for i := int64(0); i < count && again != 0; i++ {
		at := u.constant(onnx.FromInt64([]int64{i}), i)
		if cond == "" {
			yes := onnx.NewTensor(onnx.Bool)
			yes.Data[0] = 1
			cond = u.constant(yes, i)
		}
		out, ok := u.iteration(i, append([]string{at, cond}, states...))
		if !ok {
			return nil, false
		}
		copy(states, out[1:])
		u.collect(out[1+len(states):])
		if n.Input(1) != "" {
			cond = out[0]
			if again, ok = u.known(cond); !ok {
				return nil, false
			}
		}
	}
	return states, u.stacked()
}

// scan runs a Scan, whose body gets a slice of each of its last inputs.
func (u *unrolling) scan() (states []string, ok bool) {
	n, body := u.n, u.body
	scanned := int(n.Int("num_scan_inputs", 0))
	if scanned < 1 || scanned > len(n.Inputs) || len(body.Inputs) != len(n.Inputs) || len(body.Outputs) != len(n.Outputs) || len(n.Outputs) < len(n.Inputs)-scanned {
		return nil, false
	}
	states = append([]string{}, n.Inputs[:len(n.Inputs)-scanned]...)
	first := len(states)
	u.stacks = make([][]string, len(n.Outputs)-first)
	axes, length := make([]int64, scanned), int64(-1)
	for k := range scanned {
		v, _ := u.in.Type(n.Inputs[first+k])
		axis, err := normAxis(pick(n.Ints("scan_input_axes", nil), k), len(v.Shape))
		if err != nil || v.Shape == nil || !v.Shape[axis].IsConst() || length >= 0 && length != v.Shape[axis].N {
			return nil, false
		}
		axes[k], length = int64(axis), v.Shape[axis].N
	}
	for i := range length {
		args := append([]string{}, states...)
		for k, axis := range axes {
			at := i
			if pick(n.Ints("scan_input_directions", nil), k) != 0 {
				at = length - 1 - i
			}
			args = append(args, u.emitted("Gather", i, map[string]onnx.Attr{"axis": onnx.IntAttr(axis)}, n.Inputs[first+k], u.constant(onnx.FromInt64([]int64{at}), i)))
		}
		out, ok := u.iteration(i, args)
		if !ok {
			return nil, false
		}
		copy(states, out)
		u.collect(out[first:])
	}
	return states, u.stacked()
}

// pick is the k-th of a list that may be left out.
func pick(list []int64, k int) int64 {
	if k < len(list) {
		return list[k]
	}
	return 0
}

// iteration adds a copy of the body, and gives what its outputs are called.
func (u *unrolling) iteration(i int64, args []string) ([]string, bool) {
	if u.unrolled += len(u.body.Nodes); i >= maxIterations || u.unrolled > maxUnrolled {
		return nil, false
	}
	rename := maps.Clone(u.weight)
	for k, v := range u.body.Inputs {
		rename[v.Name] = args[k]
	}
	prefix := u.base + "/" + strconv.FormatInt(i, 10) + "/"
	for _, inner := range u.body.Nodes {
		inner = (&renaming{to: rename}).node(inner)
		if inner.Name != "" {
			inner.Name = prefix + inner.Name
		}
		for k, o := range inner.Outputs {
			if o != "" {
				own := u.names.Fresh(prefix + o)
				rename[o] = own
				u.uses[own] = 1
				inner.Outputs[k] = own
			}
		}
		u.node(inner, u.depth+1)
	}
	out := make([]string, len(u.body.Outputs))
	for k, v := range u.body.Outputs {
		out[k] = v.Name
		if own, ok := rename[v.Name]; ok {
			out[k] = own
		}
		if to, ok := u.replaced[out[k]]; ok {
			out[k] = to
		}
	}
	return out, true
}

func (u *unrolling) collect(values []string) {
	for k, v := range values {
		u.stacks[k] = append(u.stacks[k], v)
	}
}

// stacked is whether there is something to stack for each output that wants it:
// the shape of nothing is not known.
func (u *unrolling) stacked() bool {
	for k, s := range u.stacks {
		if len(s) == 0 && u.n.Output(len(u.n.Outputs)-len(u.stacks)+k) != "" {
			return false
		}
	}
	return true
}

// stack puts the values of all iterations behind one another along a new axis,
// the last one first where a Scan says so.
func (u *unrolling) stack(name string, k int) {
	axis := int64(0)
	parts := append([]string{}, u.stacks[k]...)
	if u.n.Operator() == "Scan" {
		axis = pick(u.n.Ints("scan_output_axes", nil), k)
		if pick(u.n.Ints("scan_output_directions", nil), k) != 0 {
			for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
				parts[i], parts[j] = parts[j], parts[i]
			}
		}
	}
	for i, p := range parts {
		parts[i] = u.emitted("Unsqueeze", int64(i), nil, p, u.target(u.base, []int64{axis}))
	}
	u.node(&onnx.Node{Name: u.base + "/" + name, Op: "Concat", Inputs: parts, Outputs: []string{name}, Attrs: map[string]onnx.Attr{"axis": onnx.IntAttr(axis)}}, u.depth+1)
}

func (u *unrolling) constant(t *onnx.Tensor, i int64) string {
	name := u.names.Fresh(u.base + "/" + strconv.FormatInt(i, 10))
	u.define(name, t)
	return name
}

// emitted adds a node of one output, which folding may replace.
func (u *unrolling) emitted(op string, i int64, attrs map[string]onnx.Attr, inputs ...string) string {
	name := u.names.Fresh(u.base + "/" + strconv.FormatInt(i, 10) + "/" + op)
	u.uses[name] = 1
	u.node(&onnx.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{name}, Attrs: attrs}, u.depth+1)
	return name
}
