package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
)

// y = x in another shape: dx = g in the shape of x.
func gradReshape(n *node) ([]string, error) {
	x := n.shape(n.Inputs[0])
	if x == nil {
		return nil, fmt.Errorf("the rank of %q is unknown: %w", n.Inputs[0], ErrModel)
	}
	return []string{n.reshape(n.dy[0], x)}, nil
}

// y = x with its axes permuted: dx = g with them put back.
func gradTranspose(n *node) ([]string, error) {
	rank := len(n.shape(n.Inputs[0]))
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
	return []string{n.transpose(n.dy[0], back...)}, nil
}

// y = x1, x2, ... one behind the other along an axis: each dx is its stretch of g.
func gradConcat(n *node) ([]string, error) {
	rank := len(n.shape(n.Outputs[0]))
	axis, err := axisOf(n.Int("axis", 0), rank)
	if err != nil {
		return nil, err
	}
	dx := make([]string, len(n.Inputs))
	if slices.ContainsFunc(n.Inputs, func(in string) bool { return !n.shape(in)[axis].IsConst() }) {
		return n.splitBack(axis), nil
	}
	blocked := n.blocks.of[n.Outputs[0]] != "" && n.joinable(int64(axis), n.Inputs...)
	at := int64(0)
	for i, in := range n.Inputs {
		d := n.shape(in)[axis]
		switch {
		case n.want[i] && blocked:
			b := n.blocks.size
			part := n.slice(n.rows(n.blockIn(n.dy[0])), []int64{at / b}, []int64{(at + d.N) / b}, []int64{1}, []int64{1})
			dx[i] = n.blockOut(n.flat(part, 0, d.N, n.shape(in)[2].N, n.shape(in)[3].N))
		case n.want[i]:
			dx[i] = n.slice(n.dy[0], []int64{at}, []int64{at + d.N}, []int64{int64(axis)}, []int64{1})
		}
		at += d.N
	}
	return dx, nil
}

// splitBack cuts the adjoint of a concatenation whose parts have sizes that
// depend on the batch.
func (n *node) splitBack(axis int) []string {
	sizes := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		sizes[i] = n.size(in, axis)
	}
	parts := n.ops("Split", len(n.Inputs), attrs{"axis": onnx.IntAttr(int64(axis))}, n.dy[0], n.op("Concat", attrs{"axis": onnx.IntAttr(0)}, sizes...))
	for i, in := range n.Inputs {
		n.inf.Set(onnx.Value{Name: parts[i], DType: n.dtype(in), Shape: n.shape(in)})
	}
	return parts
}

// y = x, spread: dx = g, which the walk sums down.
func gradExpand(n *node) ([]string, error) { return []string{n.dy[0]}, nil }

// axisOf resolves a possibly negative axis.
func axisOf(axis int64, rank int) (int, error) {
	if axis < 0 {
		axis += int64(rank)
	}
	if axis < 0 || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d of a value of rank %d: %w", axis, rank, ErrModel)
	}
	return int(axis), nil
}

// reducedAxes resolves the axes that a reduction at opset 18 runs over.
func reducedAxes(n *node) ([]int64, error) {
	rank := len(n.shape(n.Inputs[0]))
	var axes []int64
	if name := n.Input(1); name != "" {
		content, ok := n.inf.Content(name)
		if !ok {
			return nil, fmt.Errorf("axes %q are computed at run time: %w", name, ErrModel)
		}
		for _, d := range content {
			a, err := axisOf(d.N, rank)
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
func (n *node) kept(v string, axes []int64) string {
	shape := append(onnx.Shape{}, n.shape(n.Inputs[0])...)
	for _, a := range axes {
		shape[a] = onnx.Const(1)
	}
	return n.reshape(v, shape)
}

// y = sum of x over axes: dx = g, spread.
func gradReduceSum(n *node) ([]string, error) {
	axes, err := reducedAxes(n)
	if err != nil {
		return nil, err
	}
	return []string{n.broadcast(n.kept(n.dy[0], axes), n.Inputs[0])}, nil
}

// y = mean of x over axes: dx = g/count, spread.
func gradReduceMean(n *node) ([]string, error) {
	axes, err := reducedAxes(n)
	if err != nil {
		return nil, err
	}
	count, err := n.countOf(n.Inputs[0], axes)
	if err != nil {
		return nil, err
	}
	return []string{n.broadcast(n.kept(n.div(n.dy[0], count), axes), n.Inputs[0])}, nil
}

// countOf is a scalar: how many elements of x a reduction over axes takes together.
func (e *emitter) countOf(x string, axes []int64) (string, error) {
	fixed, batches := int64(1), 0
	for _, a := range axes {
		d := e.shape(x)[a]
		fixed *= d.N
		switch {
		case d.IsConst():
		case d.Sym == onnx.BatchSymbol && e.batch != "":
			batches++
		default:
			return "", fmt.Errorf("a mean over axis %d of %q, whose size %v is not known: %w", a, x, d, ErrModel)
		}
	}
	if batches == 0 {
		return e.number(float64(fixed), x), nil
	}
	count := e.batch
	for range batches - 1 {
		count = e.mul(count, e.batch)
	}
	return e.mul(count, e.number(float64(fixed), count)), nil
}

// y = softmax(x): dx = y*(g - sum(g*y)).
func gradSoftmax(n *node) ([]string, error) {
	axis, err := axisOf(n.Int("axis", -1), len(n.shape(n.Outputs[0])))
	if err != nil {
		return nil, err
	}
	gy := n.mul(n.dy[0], n.Outputs[0])
	return []string{n.sub(gy, n.mul(n.Outputs[0], n.sum(gy, true, int64(axis))))}, nil
}

// y = x - log(sum(exp(x))): dx = g - exp(y)*sum(g).
func gradLogSoftmax(n *node) ([]string, error) {
	axis, err := axisOf(n.Int("axis", -1), len(n.shape(n.Outputs[0])))
	if err != nil {
		return nil, err
	}
	p := n.op("Exp", nil, n.Outputs[0])
	return []string{n.sub(n.dy[0], n.mul(p, n.sum(n.dy[0], true, int64(axis))))}, nil
}
