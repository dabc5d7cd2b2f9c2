package infer

import (
	"winnow/internal/elements"
	"winnow/onnx"
)

// reduceRule folds elements into one, starting at zero (for integers, at the first element).
type reduceRule struct {
	zero float64
	f    func(a, b float64) float64
	i    func(a, b int64) int64
	mean bool
}

func (r reduceRule) eval(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	axes, given := e.axesOf(1)
	if (!given || len(axes) == 0) && e.n.Int("noop_with_empty_axes", 0) != 0 {
		return []*onnx.Tensor{x}, nil
	}
	kept, err := reduced(onnx.ShapeOf(x.Dims...), axes, true)
	if err != nil {
		return nil, err
	}
	final, err := reduced(onnx.ShapeOf(x.Dims...), axes, e.n.Int("keepdims", 1) != 0)
	if err != nil {
		return nil, err
	}
	n, ok := elements.Count(kept.Ints())
	if !ok || len(x.Data) == 0 || int64(len(x.Data)) > 8*e.limit || n > e.limit/8+1 {
		return nil, errNotEvaluated
	}
	f, v := asNumbers(x)
	strides := broadcastStrides(kept.Ints(), x.Dims)
	var fs []float64
	var is []int64
	switch {
	case f != nil:
		fs = make([]float64, n)
		for k := range fs {
			fs[k] = r.zero
		}
		walk(x.Dims, strides, 0, func(i int, at int64) { fs[at] = r.f(fs[at], f[i]) })
		if r.mean {
			for k := range fs {
				fs[k] /= float64(int64(len(f)) / n)
			}
		}
	case v != nil && r.i != nil && x.DType != onnx.Bool && x.DType != onnx.Uint64:
		is = make([]int64, n)
		seen := make([]bool, n)
		walk(x.Dims, strides, 0, func(i int, at int64) {
			if !seen[at] {
				seen[at], is[at] = true, v[i]
				return
			}
			is[at] = r.i(is[at], v[i])
		})
	default:
		return nil, errNotEvaluated
	}
	out, err := encode(x.DType, final.Ints(), fs, is)
	return []*onnx.Tensor{out}, err
}

func evalCumSum(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	at := e.ints(1)
	if len(at) != 1 || e.n.Int("exclusive", 0) != 0 || e.n.Int("reverse", 0) != 0 || int64(len(x.Data)) > e.limit {
		return nil, errNotEvaluated
	}
	axis, err := normAxis(at[0], len(x.Dims))
	if err != nil {
		return nil, err
	}
	f, v := asNumbers(x)
	step := stridesOf(x.Dims)[axis]
	for i := range int64(max(len(f), len(v))) {
		switch {
		case i/step%x.Dims[axis] == 0:
		case f != nil:
			f[i] += f[i-step]
		default:
			v[i] += v[i-step]
		}
	}
	out, err := encode(x.DType, x.Dims, f, v)
	return []*onnx.Tensor{out}, err
}
