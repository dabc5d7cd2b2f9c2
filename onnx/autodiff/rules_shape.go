package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// y = x in another shape: dx = g in the shape of x.
func gradReshape(n *Node) ([]string, error) {
	x := n.Shape(n.Inputs[0])
	if x == nil {
		return nil, fmt.Errorf("the rank of %q is unknown: %w", n.Inputs[0], emit.ErrModel)
	}
	return []string{n.Reshape(n.Dy[0], x)}, nil
}

// y = x with its axes permuted: dx = g with them put back.
func gradTranspose(n *Node) ([]string, error) {
	rank := len(n.Shape(n.Inputs[0]))
	perm := n.Ints("perm", nil)
	if perm == nil {
		for i := range rank {
			perm = append(perm, int64(rank-1-i))
		}
	}
	back := make([]int64, rank)
	for i, p := range perm {
		back[p] = int64(i)
	}
	return []string{n.Transpose(n.Dy[0], back...)}, nil
}

// y = x1, x2, ... one behind the other along an axis: each dx is its stretch of g.
func gradConcat(n *Node) ([]string, error) {
	rank := len(n.Shape(n.Outputs[0]))
	axis, err := emit.Axis(n.Int("axis", 0), rank)
	if err != nil {
		return nil, err
	}
	dx := make([]string, len(n.Inputs))
	if slices.ContainsFunc(n.Inputs, func(in string) bool { return !n.Shape(in)[axis].IsConst() }) {
		return n.splitBack(axis), nil
	}
	at := int64(0)
	for i, in := range n.Inputs {
		d := n.Shape(in)[axis]
		if n.Want[i] {
			dx[i] = n.Slice(n.Dy[0], []int64{at}, []int64{at + d.N}, []int64{int64(axis)}, []int64{1})
		}
		at += d.N
	}
	return dx, nil
}

// splitBack cuts the adjoint of a concatenation whose parts have sizes that
// depend on the batch.
func (n *Node) splitBack(axis int) []string {
	sizes := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		sizes[i] = n.Size(in, axis)
	}
	parts := n.EmitN("Split", len(n.Inputs), emit.Attrs{"axis": onnx.IntAttr(int64(axis))}, n.Dy[0], n.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(0)}, sizes...))
	for i, in := range n.Inputs {
		n.Inf.Set(onnx.Value{Name: parts[i], DType: n.DType(in), Shape: n.Shape(in)})
	}
	return parts
}

// y = x, spread: dx = g, which the walk sums down.
func gradExpand(n *Node) ([]string, error) { return []string{n.Dy[0]}, nil }

// reducedAxes resolves the axes that a reduction at opset 18 runs over.
func reducedAxes(n *Node) ([]int64, error) {
	rank := len(n.Shape(n.Inputs[0]))
	var axes []int64
	if name := n.Input(1); name != "" {
		content, ok := n.Inf.Content(name)
		if !ok {
			return nil, fmt.Errorf("axes %q are computed at run time: %w", name, emit.ErrModel)
		}
		for _, d := range content {
			a, err := emit.Axis(d.N, rank)
			if err != nil {
				return nil, err
			}
			axes = append(axes, int64(a))
		}
	}
	if len(axes) == 0 && n.Int("noop_with_empty_axes", 0) == 0 {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	return axes, nil
}

// kept puts back, with size 1, the axes that a reduction removed from v.
func (n *Node) kept(v string, axes []int64) string {
	shape := append(onnx.Shape{}, n.Shape(n.Inputs[0])...)
	for _, a := range axes {
		shape[a] = onnx.Const(1)
	}
	return n.Reshape(v, shape)
}

// y = sum of x over axes: dx = g, spread.
func gradReduceSum(n *Node) ([]string, error) {
	axes, err := reducedAxes(n)
	if err != nil {
		return nil, err
	}
	return []string{n.Broadcast(n.kept(n.Dy[0], axes), n.Inputs[0])}, nil
}

// y = mean of x over axes: dx = g/count, spread.
func gradReduceMean(n *Node) ([]string, error) {
	axes, err := reducedAxes(n)
	if err != nil {
		return nil, err
	}
	count, err := n.CountOf(n.Inputs[0], axes)
	if err != nil {
		return nil, err
	}
	return []string{n.Broadcast(n.kept(n.Div(n.Dy[0], count), axes), n.Inputs[0])}, nil
}

// y = softmax(x): dx = y*(g - sum(g*y)).
func gradSoftmax(n *Node) ([]string, error) {
	axis, err := emit.Axis(n.Int("axis", -1), len(n.Shape(n.Outputs[0])))
	if err != nil {
		return nil, err
	}
	gy := n.Mul(n.Dy[0], n.Outputs[0])
	return []string{n.Sub(gy, n.Mul(n.Outputs[0], n.Sum(gy, true, int64(axis))))}, nil
}

// y = x - log(sum(exp(x))): dx = g - exp(y)*sum(g).
func gradLogSoftmax(n *Node) ([]string, error) {
	axis, err := emit.Axis(n.Int("axis", -1), len(n.Shape(n.Outputs[0])))
	if err != nil {
		return nil, err
	}
	p := n.Emit("Exp", nil, n.Outputs[0])
	return []string{n.Sub(n.Dy[0], n.Mul(p, n.Sum(n.Dy[0], true, int64(axis))))}, nil
}
