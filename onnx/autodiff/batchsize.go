package autodiff

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/infer"
)

// spread removes what computes with the number of images at run time, such as
// a class token expanded to the batch: a Shape sits on the CPU, and the graph
// around it then neither stays on the device nor is captured there. What it
// fed is made from the images by broadcasting, whatever they hold.
func (f *forward) spread(inf *infer.Inference) error {
	e := newEmitter(f.graph, inf)
	e.within("batchsize", nil)
	nodes := f.graph.Nodes
	f.graph.Nodes = nil
	for _, n := range nodes {
		out := e.shape(n.Outputs[0])
		if len(out) > 0 && out[0] == onnx.Symbol(onnx.BatchSymbol) && out[1:].IsConst() {
			switch n.Op {
			case "Expand":
				n = e.spreadExpand(n, f.image, out)
			case "Tile":
				n = e.spreadTile(n, f.image, out)
			case "Range":
				n = e.spreadRange(n, f.image)
			}
		}
		e.add(n)
	}
	return e.err
}

// each is a value for each image: float32 of shape [N, 1, ...].
func (e *emitter) each(image onnx.Value, value float64, rank int) string {
	var starts, ends, axes, steps []int64
	for i := range image.Shape[1:] {
		starts, ends, axes, steps = append(starts, 0), append(ends, 1), append(axes, int64(i+1)), append(steps, 1)
	}
	x := e.slice(image.Name, starts, ends, axes, steps)
	shape := onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}
	for len(shape) < rank {
		shape = append(shape, onnx.Const(1))
	}
	return e.op("Where", nil, e.always(), e.scalar(value), e.reshape(x, shape))
}

// spreadExpand makes of x expanded to [N, ...] x expanded to [1, ...], plus a zero for each image.
func (e *emitter) spreadExpand(n *onnx.Node, image onnx.Value, out onnx.Shape) *onnx.Node {
	x := n.Inputs[0]
	if e.graph.Initializers[n.Inputs[1]] != nil || e.dtype(x) != onnx.Float32 {
		return n
	}
	from, to := e.shape(x), append(onnx.ShapeOf(1), out[1:]...)
	switch {
	case from == nil:
		return n
	case len(from) == len(out) && !from[0].IsConst(): // spread over the batch already
		return &onnx.Node{Name: n.Name, Op: "Expand", Inputs: []string{x, e.ints(to.Ints()...)}, Outputs: n.Outputs}
	case !from.Equal(to):
		x = e.op("Expand", nil, x, e.ints(to.Ints()...))
	}
	return &onnx.Node{Name: n.Name, Op: "Add", Inputs: []string{x, e.each(image, 0, len(out))}, Outputs: n.Outputs}
}

// spreadTile makes of x tiled to [N, ...] x tiled to [1, ...], plus a zero for each image.
func (e *emitter) spreadTile(n *onnx.Node, image onnx.Value, out onnx.Shape) *onnx.Node {
	x := n.Inputs[0]
	repeats, ok := e.inf.Content(n.Inputs[1])
	if s := e.shape(x); !ok || len(s) != len(out) || s[0] != onnx.Const(1) || !onnx.Shape(repeats[1:]).IsConst() || e.dtype(x) != onnx.Float32 {
		return n
	}
	inner := append([]int64{1}, onnx.Shape(repeats[1:]).Ints()...)
	if slices.Max(inner) > 1 {
		x = e.op("Tile", nil, x, e.ints(inner...))
	}
	return &onnx.Node{Name: n.Name, Op: "Add", Inputs: []string{x, e.each(image, 0, len(out))}, Outputs: n.Outputs}
}

// spreadRange counts the images by a running sum of ones.
func (e *emitter) spreadRange(n *onnx.Node, image onnx.Value) *onnx.Node {
	for i, want := range map[int]int64{0: 0, 2: 1} {
		t := e.graph.Initializers[n.Inputs[i]]
		if t == nil || t.DType != onnx.Int64 || t.Len() != 1 || t.Int64s()[0] != want {
			return n
		}
	}
	ones := e.cast(e.each(image, 1, 1), onnx.Int64)
	return &onnx.Node{
		Name: n.Name, Op: "CumSum", Inputs: []string{ones, e.constant(onnx.FromInt64([]int64{0}))},
		Outputs: n.Outputs, Attrs: attrs{"exclusive": onnx.IntAttr(1)},
	}
}
