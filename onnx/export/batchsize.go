package export

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// expandOverBatch removes what computes with the number of images at run time, such as
// a class token expanded to the batch: a Shape sits on the CPU, and the graph
// around it then neither stays on the device nor is captured there. What it
// fed is made from the images by broadcasting, whatever they hold.
func (f *forward) expandOverBatch(inf *infer.Inference) error {
	e := &spreader{emit.New(f.graph, inf), f.image}
	e.Within("batchsize", nil)
	nodes := f.graph.Nodes
	f.graph.Nodes = nil
	for _, n := range nodes {
		out := e.Shape(n.Outputs[0])
		if len(out) > 0 && out[0] == onnx.Symbol(onnx.BatchSymbol) && out[1:].IsConst() {
			switch n.Op {
			case "Expand":
				n = e.expand(n, out)
			case "Tile":
				n = e.tile(n, out)
			case "Range":
				n = e.count(n)
			}
		}
		e.Append(n)
	}
	return e.Err
}

// spreader makes values for each image from the images.
type spreader struct {
	*emit.Builder
	image onnx.Value
}

// each repeats one value for every image: float32 of shape [N, 1, ...].
func (e *spreader) each(value float64, rank int) string {
	var starts, ends, axes, steps []int64
	for i := range e.image.Shape[1:] {
		starts, ends, axes, steps = append(starts, 0), append(ends, 1), append(axes, int64(i+1)), append(steps, 1)
	}
	x := e.Slice(e.image.Name, starts, ends, axes, steps)
	shape := onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}
	for len(shape) < rank {
		shape = append(shape, onnx.Const(1))
	}
	return e.Emit("Where", nil, e.True(), e.Scalar(value), e.Reshape(x, shape))
}

// expand makes of x expanded to [N, ...] x expanded to [1, ...], plus a zero for each image.
func (e *spreader) expand(n *onnx.Node, out onnx.Shape) *onnx.Node {
	x := n.Inputs[0]
	if e.Graph.Initializers[n.Inputs[1]] != nil || e.DType(x) != onnx.Float32 {
		return n
	}
	from, to := e.Shape(x), append(onnx.ShapeOf(1), out[1:]...)
	switch {
	case from == nil:
		return n
	case len(from) == len(out) && !from[0].IsConst(): // spread over the batch already
		return &onnx.Node{Name: n.Name, Op: "Expand", Inputs: []string{x, e.Int64s(to.Ints()...)}, Outputs: n.Outputs}
	case !from.Equal(to):
		x = e.Emit("Expand", nil, x, e.Int64s(to.Ints()...))
	}
	return &onnx.Node{Name: n.Name, Op: "Add", Inputs: []string{x, e.each(0, len(out))}, Outputs: n.Outputs}
}

// tile makes of x tiled to [N, ...] x tiled to [1, ...], plus a zero for each image.
func (e *spreader) tile(n *onnx.Node, out onnx.Shape) *onnx.Node {
	x := n.Inputs[0]
	repeats, ok := e.Inf.Content(n.Inputs[1])
	if s := e.Shape(x); !ok || len(s) != len(out) || s[0] != onnx.Const(1) || !onnx.Shape(repeats[1:]).IsConst() || e.DType(x) != onnx.Float32 {
		return n
	}
	inner := append([]int64{1}, onnx.Shape(repeats[1:]).Ints()...)
	if slices.Max(inner) > 1 {
		x = e.Emit("Tile", nil, x, e.Int64s(inner...))
	}
	return &onnx.Node{Name: n.Name, Op: "Add", Inputs: []string{x, e.each(0, len(out))}, Outputs: n.Outputs}
}

// count counts the images by a running sum of ones.
func (e *spreader) count(n *onnx.Node) *onnx.Node {
	for i, want := range map[int]int64{0: 0, 2: 1} {
		t := e.Graph.Initializers[n.Inputs[i]]
		if t == nil || t.DType != onnx.Int64 || t.Len() != 1 || t.Int64s()[0] != want {
			return n
		}
	}
	ones := e.Cast(e.each(1, 1), onnx.Int64)
	return &onnx.Node{
		Name: n.Name, Op: "CumSum", Inputs: []string{ones, e.Constant(onnx.FromInt64([]int64{0}))},
		Outputs: n.Outputs, Attrs: emit.Attrs{"exclusive": onnx.IntAttr(1)},
	}
}
