package infer

import (
	"slices"

	"winnow/internal/elements"
	"winnow/onnx"
)

// index counts a possibly negative index from the front.
func index(i, n int64) (int64, bool) {
	if i < 0 {
		i += n
	}
	return i, i >= 0 && i < n
}

func evalGather(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	t, err := e.need(1)
	if err != nil {
		return nil, err
	}
	idx := t.Int64s()
	axis, err := normAxis(e.n.Int("axis", 0), len(x.Dims))
	if err != nil || idx == nil {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(x.DType, slices.Concat([]int64{}, x.Dims[:axis], t.Dims, x.Dims[axis+1:]))
	if err != nil {
		return nil, err
	}
	before, after := around(x.Dims, axis)
	run := after * int64(x.DType.Size())
	at := int64(0)
	for b := range before {
		for _, i := range idx {
			i, ok := index(i, x.Dims[axis])
			if !ok {
				return nil, errNotEvaluated
			}
			from := (b*x.Dims[axis] + i) * run
			at += int64(copy(out.Data[at:at+run], x.Data[from:from+run]))
		}
	}
	return []*onnx.Tensor{out}, nil
}

func evalGatherElements(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	t, err := e.need(1)
	if err != nil {
		return nil, err
	}
	axis, err := normAxis(e.n.Int("axis", 0), len(x.Dims))
	idx := t.Int64s()
	if err != nil || idx == nil || !fits(t.Dims, x.Dims, axis) {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(x.DType, t.Dims)
	if err != nil {
		return nil, err
	}
	strides := stridesOf(x.Dims)
	step := strides[axis]
	strides[axis] = 0
	bad := false
	walk(t.Dims, strides, 0, func(i int, at int64) {
		k, ok := index(idx[i], x.Dims[axis])
		if !ok {
			bad = true
			return
		}
		copyElement(out, int64(i), x, at+k*step)
	})
	if bad {
		return nil, errNotEvaluated
	}
	return []*onnx.Tensor{out}, nil
}

// fits reports whether indices of shape a address a tensor of shape b along axis.
func fits(a, b []int64, axis int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if i != axis && a[i] > b[i] {
			return false
		}
	}
	return true
}

func evalScatterElements(e *evaluator) ([]*onnx.Tensor, error) {
	x, t, u := e.arg(0), e.arg(1), e.arg(2)
	if x == nil || t == nil || u == nil || e.n.Str("reduction", "none") != "none" {
		return nil, errNotEvaluated
	}
	axis, err := normAxis(e.n.Int("axis", 0), len(x.Dims))
	idx := t.Int64s()
	if err != nil || idx == nil || !fits(t.Dims, x.Dims, axis) || !slices.Equal(t.Dims, u.Dims) || u.DType != x.DType {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(x.DType, x.Dims)
	if err != nil {
		return nil, err
	}
	copy(out.Data, x.Data)
	strides := stridesOf(x.Dims)
	step := strides[axis]
	strides[axis] = 0
	bad := false
	walk(t.Dims, strides, 0, func(i int, at int64) {
		k, ok := index(idx[i], x.Dims[axis])
		if !ok {
			bad = true
			return
		}
		copyElement(out, at+k*step, u, int64(i))
	})
	if bad {
		return nil, errNotEvaluated
	}
	return []*onnx.Tensor{out}, nil
}

// tuples reads indices of shape [..., k] as offsets of runs in a tensor of shape dims.
func tuples(t *onnx.Tensor, dims []int64) (offsets []int64, run int64, k int, ok bool) {
	idx := t.Int64s()
	if len(t.Dims) == 0 || idx == nil {
		return nil, 0, 0, false
	}
	last := t.Dims[len(t.Dims)-1]
	if last < 1 || last > int64(len(dims)) {
		return nil, 0, 0, false
	}
	k = int(last)
	run, _ = elements.Count(dims[k:])
	strides := stridesOf(dims)
	offsets = make([]int64, len(idx)/k)
	for i := range offsets {
		for j := range k {
			v, ok := index(idx[i*k+j], dims[j])
			if !ok {
				return nil, 0, 0, false
			}
			offsets[i] += v * strides[j]
		}
	}
	return offsets, run, k, true
}

func evalGatherND(e *evaluator) ([]*onnx.Tensor, error) {
	x, t := e.arg(0), e.arg(1)
	if x == nil || t == nil || e.n.Int("batch_dims", 0) != 0 {
		return nil, errNotEvaluated
	}
	offsets, run, k, ok := tuples(t, x.Dims)
	if !ok {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(x.DType, slices.Concat([]int64{}, t.Dims[:len(t.Dims)-1], x.Dims[k:]))
	if err != nil {
		return nil, err
	}
	size := int64(x.DType.Size())
	for i, o := range offsets {
		copy(out.Data[int64(i)*run*size:], x.Data[o*size:(o+run)*size])
	}
	return []*onnx.Tensor{out}, nil
}

func evalScatterND(e *evaluator) ([]*onnx.Tensor, error) {
	x, t, u := e.arg(0), e.arg(1), e.arg(2)
	if x == nil || t == nil || u == nil || u.DType != x.DType || e.n.Str("reduction", "none") != "none" {
		return nil, errNotEvaluated
	}
	offsets, run, _, ok := tuples(t, x.Dims)
	size := int64(x.DType.Size())
	if !ok || int64(len(offsets))*run*size != int64(len(u.Data)) {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(x.DType, x.Dims)
	if err != nil {
		return nil, err
	}
	copy(out.Data, x.Data)
	for i, o := range offsets {
		copy(out.Data[o*size:], u.Data[int64(i)*run*size:int64(i+1)*run*size])
	}
	return []*onnx.Tensor{out}, nil
}
