package fuse

import "winnow/onnx"

// columnSums puts the operator ColumnSums in the place of sums over the first
// dimensions.
func columnSums(r *reader) {
	for i, n := range r.g.Nodes {
		if n.Op != "ReduceSum" || n.Domain != "" {
			continue
		}
		shape, ok := r.floats(n.Inputs[0])
		axes, known := r.axesOf(n)
		if !ok || !known || len(axes) == 0 || len(axes) >= len(shape) || !areFirst(axes, len(shape)) {
			continue
		}
		r.g.Nodes[i] = &onnx.Node{Name: n.Name, Op: "ColumnSums", Domain: onnx.KernelDomain, Inputs: n.Inputs[:1], Outputs: n.Outputs,
			Attrs: map[string]onnx.Attr{"axis": onnx.IntAttr(int64(len(axes))), "keepdims": onnx.IntAttr(n.Int("keepdims", 1))}}
		r.tell(n.Outputs[0])
	}
}

// axesOf are the dimensions that a sum is over, an attribute or an input that is known.
func (r *reader) axesOf(n *onnx.Node) ([]int64, bool) {
	if n.Input(1) == "" {
		return n.Ints("axes", nil), true
	}
	content, ok := r.inf.Content(n.Inputs[1])
	var axes []int64
	for _, d := range content {
		if !d.IsConst() {
			return nil, false
		}
		axes = append(axes, d.N)
	}
	return axes, ok
}

// areFirst is whether axes are the first dimensions of so many, in any order.
func areFirst(axes []int64, rank int) bool {
	seen := make([]bool, len(axes))
	for _, a := range axes {
		if a < 0 {
			a += int64(rank)
		}
		if a < 0 || a >= int64(len(axes)) || seen[a] {
			return false
		}
		seen[a] = true
	}
	return true
}
