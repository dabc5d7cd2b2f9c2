package infer

import (
	"encoding/binary"
	"math"
	"slices"

	"winnow/internal/elements"
	"winnow/onnx"
)

func sign[T int64 | float64](x T) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func divInts(a, b int64) (int64, bool) {
	if b == 0 || b == -1 {
		return -a, b == -1
	}
	return a / b, true
}

func modInts(a, b int64) (int64, bool) {
	if b == 0 || b == -1 {
		return 0, b == -1
	}
	m := a % b
	if m != 0 && (m < 0) != (b < 0) {
		m += b
	}
	return m, true
}

func powInts(a, b int64) (int64, bool) {
	if b < 0 {
		return 0, false
	}
	out := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			out *= a
		}
		a *= a
	}
	return out, true
}

// asNumbers reads a tensor as float64 or as int64; both are nil for types not computed here.
func asNumbers(t *onnx.Tensor) (f []float64, i []int64) {
	switch t.DType {
	case onnx.Float32:
		f = make([]float64, len(t.Data)/4)
		for k := range f {
			f[k] = float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*k:])))
		}
		return f, nil
	case onnx.Float64:
		f = make([]float64, len(t.Data)/8)
		for k := range f {
			f[k] = math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*k:]))
		}
		return f, nil
	}
	return nil, t.Int64s()
}

// encode writes floats or integers as a tensor of type d.
func encode(d onnx.DType, dims []int64, f []float64, v []int64) (*onnx.Tensor, error) {
	size := d.Size()
	n := max(len(f), len(v))
	count, ok := elements.Count(dims)
	if !ok || count != int64(n) || size == 0 || d == onnx.Float16 || d == onnx.BFloat16 || f != nil && !d.IsFloat() && v == nil && !slices.Equal(f, truncated(f)) {
		return nil, errNotEvaluated
	}
	t := onnx.NewTensor(d, dims...)
	for k := range n {
		x, i := 0.0, int64(0)
		if f != nil {
			x = f[k]
			i = int64(x)
		} else {
			i = v[k]
			x = float64(i)
		}
		b := t.Data[k*size:]
		switch {
		case d == onnx.Float32 && f == nil:
			binary.LittleEndian.PutUint32(b, math.Float32bits(float32(i)))
		case d == onnx.Float32:
			binary.LittleEndian.PutUint32(b, math.Float32bits(float32(x)))
		case d == onnx.Float64:
			binary.LittleEndian.PutUint64(b, math.Float64bits(x))
		case size == 8:
			binary.LittleEndian.PutUint64(b, uint64(i))
		case size == 4:
			binary.LittleEndian.PutUint32(b, uint32(i))
		case size == 2:
			binary.LittleEndian.PutUint16(b, uint16(i))
		default:
			b[0] = byte(i)
		}
	}
	return t, nil
}

// truncated rounds toward zero; a value no int64 holds becomes NaN, which equals nothing.
func truncated(f []float64) []float64 {
	out := make([]float64, len(f))
	for i, x := range f {
		out[i] = math.Trunc(x)
		if math.Abs(x) >= 1<<62 {
			out[i] = math.NaN()
		}
	}
	return out
}

func widen(v []int64) []float64 {
	f := make([]float64, len(v))
	for i, x := range v {
		f[i] = float64(x)
	}
	return f
}
