package infer

import (
	"math"
	"slices"

	"winnow/internal/elements"
	"winnow/onnx"
)

// moveRules evaluate operators that only move elements, of whatever type.
var moveRules = map[string]evalRule{
	"Identity": evalCopy, "Reshape": evalCopy, "Flatten": evalCopy, "Squeeze": evalCopy, "Unsqueeze": evalCopy,
	"Transpose": evalTranspose, "Concat": evalConcat, "Split": evalSplit, "Slice": evalSlice,
	"Gather": evalGather, "GatherElements": evalGatherElements, "GatherND": evalGatherND,
	"ScatterElements": evalScatterElements, "ScatterND": evalScatterND,
	"Expand": evalExpand, "Tile": evalTile, "Where": evalWhere, "Pad": evalPad,
	"ConstantOfShape": evalConstantOfShape, "Shape": evalShape, "Size": evalSize,
	"EyeLike": evalEyeLike, "Trilu": evalTrilu, "OneHot": evalOneHot,
}

// copyElement copies one element between tensors of one type.
func copyElement(dst *onnx.Tensor, i int64, src *onnx.Tensor, j int64) {
	size := int64(src.DType.Size())
	copy(dst.Data[i*size:(i+1)*size], src.Data[j*size:(j+1)*size])
}

// evalCopy serves the operators that keep the elements in their order.
func evalCopy(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	types, err := e.infer()
	if err != nil {
		return nil, err
	}
	out := &onnx.Tensor{DType: x.DType, Dims: types[0].Shape.Ints(), Data: x.Data}
	if _, ok := elementsOf(out); !ok {
		return nil, errNotEvaluated
	}
	return []*onnx.Tensor{out}, nil
}

func evalTranspose(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	perm, err := Permutation(e.n, len(x.Dims))
	if err != nil {
		return nil, err
	}
	own := stridesOf(x.Dims)
	dims, strides := make([]int64, len(perm)), make([]int64, len(perm))
	for i, p := range perm {
		dims[i], strides[i] = x.Dims[p], own[p]
	}
	return e.gather(x, dims, strides, 0)
}

// gather makes a tensor of shape dims that reads x along strides.
func (e *evaluator) gather(x *onnx.Tensor, dims, strides []int64, offset int64) ([]*onnx.Tensor, error) {
	out, err := e.alloc(x.DType, dims)
	if err != nil {
		return nil, err
	}
	walk(dims, strides, offset, func(i int, at int64) { copyElement(out, int64(i), x, at) })
	return []*onnx.Tensor{out}, nil
}

// around splits a shape at an axis: elements before it and after it.
func around(dims []int64, axis int) (before, after int64) {
	before, _ = elements.Count(dims[:axis])
	after, _ = elements.Count(dims[axis+1:])
	return before, after
}

func evalConcat(e *evaluator) ([]*onnx.Tensor, error) {
	types, err := e.infer()
	if err != nil {
		return nil, err
	}
	out, err := e.alloc(types[0].DType, types[0].Shape.Ints())
	if err != nil {
		return nil, err
	}
	axis, err := normAxis(e.n.Int("axis", 0), len(out.Dims))
	if err != nil {
		return nil, err
	}
	size := int64(out.DType.Size())
	before, after := around(out.Dims, axis)
	at := int64(0)
	for _, x := range e.in {
		if x == nil || x.DType != out.DType {
			return nil, errNotEvaluated
		}
		run := x.Dims[axis] * after * size
		for b := range before {
			copy(out.Data[(b*out.Dims[axis]+at)*after*size:], x.Data[b*run:(b+1)*run])
		}
		at += x.Dims[axis]
	}
	return []*onnx.Tensor{out}, nil
}

func evalSplit(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	types, err := e.infer()
	if err != nil {
		return nil, err
	}
	axis, err := normAxis(e.n.Int("axis", 0), len(x.Dims))
	if err != nil {
		return nil, err
	}
	strides := stridesOf(x.Dims)
	var outs []*onnx.Tensor
	at := int64(0)
	for _, v := range types {
		dims := v.Shape.Ints()
		if at+dims[axis] > x.Dims[axis] {
			return nil, errNotEvaluated
		}
		out, err := e.gather(x, dims, strides, at*strides[axis])
		if err != nil {
			return nil, err
		}
		outs = append(outs, out...)
		at += dims[axis]
	}
	return outs, nil
}

func evalSlice(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	starts, ends, axes, steps := e.ints(1), e.ints(2), e.ints(3), e.ints(4)
	if axes == nil {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, errNotEvaluated
	}
	dims, strides, offset := slices.Clone(x.Dims), stridesOf(x.Dims), int64(0)
	seen := make([]bool, len(dims))
	for i, a := range axes {
		k, err := normAxis(a, len(dims))
		if err != nil {
			return nil, err
		}
		step := int64(1)
		if steps != nil {
			step = steps[i]
		}
		if step == 0 || seen[k] {
			return nil, errNotEvaluated
		}
		seen[k] = true
		first, n := sliceRange(x.Dims[k], starts[i], ends[i], step)
		offset += first * strides[k]
		dims[k] = n
		if n <= 1 {
			step = 1
		}
		strides[k] *= step
	}
	return e.gather(x, dims, strides, offset)
}

func evalExpand(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	types, err := e.infer()
	if err != nil {
		return nil, err
	}
	dims := types[0].Shape.Ints()
	return e.gather(x, dims, broadcastStrides(x.Dims, dims), 0)
}

func evalTile(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	types, err := e.infer()
	if err != nil {
		return nil, err
	}
	out, err := e.alloc(x.DType, types[0].Shape.Ints())
	if err != nil || len(out.Data) == 0 {
		return []*onnx.Tensor{out}, err
	}
	own, pos := stridesOf(x.Dims), stridesOf(out.Dims)
	for i := range int64(out.Len()) {
		at := int64(0)
		for k, d := range x.Dims {
			at += i / pos[k] % out.Dims[k] % d * own[k]
		}
		copyElement(out, i, x, at)
	}
	return []*onnx.Tensor{out}, nil
}

func evalWhere(e *evaluator) ([]*onnx.Tensor, error) {
	cond, a, b := e.arg(0), e.arg(1), e.arg(2)
	if cond == nil || a == nil || b == nil || cond.DType != onnx.Bool || a.DType != b.DType {
		return nil, errNotEvaluated
	}
	types, err := e.infer()
	if err != nil {
		return nil, err
	}
	dims := types[0].Shape.Ints()
	out, err := e.alloc(a.DType, dims)
	if err != nil {
		return nil, err
	}
	chosen := make([]bool, out.Len())
	walk(dims, broadcastStrides(cond.Dims, dims), 0, func(i int, at int64) { chosen[i] = cond.Data[at] != 0 })
	walk(dims, broadcastStrides(a.Dims, dims), 0, func(i int, at int64) {
		if chosen[i] {
			copyElement(out, int64(i), a, at)
		}
	})
	walk(dims, broadcastStrides(b.Dims, dims), 0, func(i int, at int64) {
		if !chosen[i] {
			copyElement(out, int64(i), b, at)
		}
	})
	return []*onnx.Tensor{out}, nil
}

func evalPad(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	pads, axes := e.ints(1), e.ints(3)
	if axes == nil {
		for i := range x.Dims {
			axes = append(axes, int64(i))
		}
	}
	if e.n.Str("mode", "constant") != "constant" || len(pads) != 2*len(axes) {
		return nil, errNotEvaluated
	}
	dims, low := slices.Clone(x.Dims), make([]int64, len(x.Dims))
	for i, a := range axes {
		k, err := normAxis(a, len(dims))
		if err != nil {
			return nil, err
		}
		low[k] = pads[i]
		for _, p := range []int64{pads[i], pads[len(axes)+i]} {
			var ok bool
			if dims[k], ok = add64(dims[k], p); !ok || p < 0 {
				return nil, errNotEvaluated
			}
		}
	}
	out, err := e.alloc(x.DType, dims)
	if err != nil {
		return nil, err
	}
	if v := e.arg(2); v != nil {
		if v.DType != x.DType || v.Len() != 1 {
			return nil, errNotEvaluated
		}
		for i := range int64(out.Len()) {
			copyElement(out, i, v, 0)
		}
	}
	strides, offset := stridesOf(dims), int64(0)
	for i, l := range low {
		offset += l * strides[i]
	}
	walk(x.Dims, strides, offset, func(i int, at int64) { copyElement(out, at, x, int64(i)) })
	return []*onnx.Tensor{out}, nil
}

func evalConstantOfShape(e *evaluator) ([]*onnx.Tensor, error) {
	if e.arg(0) == nil {
		return nil, errNotEvaluated
	}
	v := onnx.NewTensor(onnx.Float32, 1)
	if a, ok := e.n.Attrs["value"]; ok {
		v = a.T
		if v == nil {
			return nil, errNotEvaluated
		}
		if n, ok := elementsOf(v); !ok || n != 1 {
			return nil, errNotEvaluated
		}
	}
	out, err := e.alloc(v.DType, e.ints(0))
	if err != nil {
		return nil, err
	}
	for i := range int64(out.Len()) {
		copyElement(out, i, v, 0)
	}
	return []*onnx.Tensor{out}, nil
}

func evalShape(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	lo, hi := shapeRange(e.n, len(x.Dims))
	return []*onnx.Tensor{onnx.FromInt64(x.Dims[lo:hi], int64(hi-lo))}, nil
}

func evalSize(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	return []*onnx.Tensor{onnx.FromInt64([]int64{int64(x.Len())})}, nil
}

func evalEyeLike(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	dt := onnx.DType(e.n.Int("dtype", int64(x.DType)))
	shift := e.n.Int("k", 0)
	if len(x.Dims) != 2 || shift > math.MaxInt32 || shift < -math.MaxInt32 {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(onnx.Float64, x.Dims)
	if err != nil {
		return nil, err
	}
	v := make([]float64, out.Len())
	for r := range x.Dims[0] {
		if c := r + shift; c >= 0 && c < x.Dims[1] {
			v[r*x.Dims[1]+c] = 1
		}
	}
	res, err := encode(dt, x.Dims, v, nil)
	return []*onnx.Tensor{res}, err
}

func evalTrilu(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	shift := int64(0)
	if k := e.ints(1); len(k) > 0 {
		shift = k[0]
	}
	r := len(x.Dims)
	if r < 2 || shift > math.MaxInt32 || shift < -math.MaxInt32 {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(x.DType, x.Dims)
	if err != nil {
		return nil, err
	}
	upper := e.n.Int("upper", 1) != 0
	for i := range int64(out.Len()) {
		row, col := i/x.Dims[r-1]%x.Dims[r-2], i%x.Dims[r-1]
		if upper && col-row >= shift || !upper && col-row <= shift {
			copyElement(out, i, x, i)
		}
	}
	return []*onnx.Tensor{out}, nil
}

func evalOneHot(e *evaluator) ([]*onnx.Tensor, error) {
	idx, values := e.arg(0), e.arg(2)
	if idx == nil || values == nil || values.Len() != 2 {
		return nil, errNotEvaluated
	}
	types, err := e.infer()
	if err != nil {
		return nil, err
	}
	at := idx.Int64s()
	axis, err := normAxis(e.n.Int("axis", -1), len(idx.Dims)+1)
	if err != nil || at == nil {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(values.DType, types[0].Shape.Ints())
	if err != nil {
		return nil, err
	}
	depth := out.Dims[axis]
	_, after := around(out.Dims, axis)
	for i := range int64(out.Len()) {
		hit := int64(0)
		want, ok := index(at[i/(after*depth)*after+i%after], depth)
		if ok && want == i/after%depth {
			hit = 1
		}
		copyElement(out, i, values, hit)
	}
	return []*onnx.Tensor{out}, nil
}
