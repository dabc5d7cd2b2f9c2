package emit

import (
	"fmt"
	"math"

	"winnow/onnx"
)

// Add is a + b.
func (e *Builder) Add(a, b string) string { return e.Emit("Add", nil, a, b) }

// Sub is a - b.
func (e *Builder) Sub(a, b string) string { return e.Emit("Sub", nil, a, b) }

// Mul is a * b, by element.
func (e *Builder) Mul(a, b string) string { return e.Emit("Mul", nil, a, b) }

// Div is a / b, by element.
func (e *Builder) Div(a, b string) string { return e.Emit("Div", nil, a, b) }

// Neg is -a.
func (e *Builder) Neg(a string) string { return e.Emit("Neg", nil, a) }

// Cast is a in another element type.
func (e *Builder) Cast(a string, to onnx.DType) string {
	return e.Emit("Cast", Attrs{"to": onnx.IntAttr(int64(to))}, a)
}

// Where emits a where the condition holds, b elsewhere.
func (e *Builder) Where(cond, a, b string) string { return e.Emit("Where", nil, cond, a, b) }

// Greater is whether a > b.
func (e *Builder) Greater(a, b string) string { return e.Emit("Greater", nil, a, b) }

// Mean reduces over axes, which stay with size 1.
func (e *Builder) Mean(v string, axes []int64) string {
	return e.Emit("ReduceMean", Attrs{"keepdims": onnx.IntAttr(1)}, v, e.Int64s(axes...))
}

// PerChannel is the shape in which a vector by channel meets an image of the given rank.
func (e *Builder) PerChannel(v string, rank int) onnx.Shape {
	shape := onnx.Shape{e.Shape(v)[0]}
	for len(shape) < rank-1 {
		shape = append(shape, onnx.Const(1))
	}
	return shape
}

// ChannelSum reduces every axis but that of the channels: positions first,
// then images. One reduction over both adds tens of thousands of elements one
// by one, which was measured 5 to 50 times less exact, and slower.
func (e *Builder) ChannelSum(x string) string {
	if e.Layout != nil {
		if sum := e.Layout.ChannelSum(x); sum != "" {
			return sum
		}
	}
	if spatial := SpatialAxes(len(e.Shape(x)), false); len(spatial) > 0 {
		x = e.Sum(x, false, spatial...)
	}
	return e.Sum(x, false, 0)
}

// CountOf is a scalar: how many elements of x a reduction over axes takes together.
func (e *Builder) CountOf(x string, axes []int64) (string, error) {
	fixed, batches := int64(1), 0
	for _, a := range axes {
		d := e.Shape(x)[a]
		fixed *= d.N
		switch {
		case d.IsConst():
		case d.Sym == onnx.BatchSymbol && e.Batch != "":
			batches++
		default:
			return "", fmt.Errorf("a mean over axis %d of %q, whose size %v is not known: %w", a, x, d, ErrModel)
		}
	}
	if batches == 0 {
		return e.Number(float64(fixed), x), nil
	}
	count := e.Batch
	for range batches - 1 {
		count = e.Mul(count, e.Batch)
	}
	return e.Mul(count, e.Number(float64(fixed), count)), nil
}

// Gemm emits alpha*op(a)*op(b).
func (e *Builder) Gemm(a, b string, transA, transB bool, alpha float32) string {
	at := Attrs{}
	if transA {
		at["transA"] = onnx.IntAttr(1)
	}
	if transB {
		at["transB"] = onnx.IntAttr(1)
	}
	if alpha != 1 {
		at["alpha"] = onnx.FloatAttr(alpha)
	}
	return e.Emit("Gemm", at, a, b)
}

// MatMul is a*b over the last two axes.
func (e *Builder) MatMul(a, b string) string { return e.Emit("MatMul", nil, a, b) }

// SwapLast transposes the last two axes.
func (e *Builder) SwapLast(x string) string {
	rank := len(e.Shape(x))
	perm := make([]int64, rank)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
	return e.Transpose(x, perm...)
}

// Join puts values one behind the other along the last axis.
func (e *Builder) Join(parts ...string) string {
	return e.Emit("Concat", Attrs{"axis": onnx.IntAttr(-1)}, parts...)
}

// SumSquare is the sum of a value's squared elements.
func (e *Builder) SumSquare(v string) string {
	return e.Emit("ReduceSumSquare", Attrs{"keepdims": onnx.IntAttr(0)}, v)
}

// Pad puts zeros around the spatial axes of x, the last len(begin) ones.
func (e *Builder) Pad(x string, begin, end []int64) string {
	rank := len(e.Shape(x))
	lead := rank - len(begin)
	pads := make([]int64, 2*rank)
	some := false
	for i := range begin {
		pads[lead+i], pads[rank+lead+i] = begin[i], end[i]
		some = some || begin[i] != 0 || end[i] != 0
	}
	if !some {
		return x
	}
	return e.Emit("Pad", nil, x, e.Int64s(pads...), e.Number(0, x))
}

// Crop takes size elements from start on along the spatial axes.
func (e *Builder) Crop(x string, start, size []int64) string {
	lead := len(e.Shape(x)) - len(start)
	ends, axes, steps := make([]int64, len(start)), make([]int64, len(start)), make([]int64, len(start))
	whole := true
	for i := range start {
		ends[i], axes[i], steps[i] = start[i]+size[i], int64(lead+i), 1
		whole = whole && start[i] == 0 && e.Shape(x)[lead+i] == onnx.Const(size[i])
	}
	if whole {
		return x
	}
	return e.Slice(x, start, ends, axes, steps)
}

// Reversed flips the last r axes of x.
func (e *Builder) Reversed(x string, kernel []int64) string {
	rank := len(e.Shape(x))
	var starts, ends, axes, steps []int64
	for i, k := range kernel {
		if k > 1 {
			starts, ends = append(starts, -1), append(ends, math.MinInt32)
			axes, steps = append(axes, int64(rank-len(kernel)+i)), append(steps, -1)
		}
	}
	if len(axes) == 0 {
		return x
	}
	return e.Slice(x, starts, ends, axes, steps)
}

// SpatialAxes are the axes from 2 on, with the batch axis in front if asked.
func SpatialAxes(rank int, batch bool) []int64 {
	var axes []int64
	if batch {
		axes = append(axes, 0)
	}
	for i := 2; i < rank; i++ {
		axes = append(axes, int64(i))
	}
	return axes
}

// Axis resolves a possibly negative axis.
func Axis(axis int64, rank int) (int, error) {
	if axis < 0 {
		axis += int64(rank)
	}
	if axis < 0 || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d of a value of rank %d: %w", axis, rank, ErrModel)
	}
	return int(axis), nil
}

// SumOf adds the contributions to one adjoint.
func SumOf(e *Builder, parts []string) string {
	switch len(parts) {
	case 1:
		return parts[0]
	case 2:
		return e.Add(parts[0], parts[1])
	}
	return e.Emit("Sum", nil, parts...)
}

// OnePosition is whether images of shape s have one: their blocks lie in
// memory as they do without.
func OnePosition(s onnx.Shape) bool {
	return len(s) == 4 && s[2] == onnx.Const(1) && s[3] == onnx.Const(1)
}
