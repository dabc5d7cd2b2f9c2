package onnx

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"sort"
	"testing"
)

// Narrowing finds the nearest of all values there are, the even one of two as
// near. The values of both formats are spelt out from the definition.
func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		to             DType
		exponent, frac int // bits
	}{{Float16, 5, 10}, {BFloat16, 8, 7}} {
		bias := 1<<(c.exponent-1) - 1
		infinite := 1<<c.exponent - 1
		value := func(bits int) float64 { // of a non-negative number; infinity counts as the next power of two
			e, f := bits>>c.frac, float64(bits&(1<<c.frac-1))
			if e == 0 {
				return math.Ldexp(f, 1-bias-c.frac)
			}
			return math.Ldexp(1+math.Ldexp(f, -c.frac), e-bias)
		}
		top := infinite << c.frac
		values := make([]float64, top+1)
		for i := range values {
			values[i] = value(i)
		}
		nearest := func(x float64) int {
			i := sort.SearchFloat64s(values, x)
			if i == len(values) {
				return top
			}
			if i == 0 || values[i] == x {
				return i
			}
			below, above := x-values[i-1], values[i]-x
			if below < above || below == above && i%2 == 1 {
				return i - 1
			}
			return i
		}
		in := []float32{0, 1, 65504, 65519.996, 65520, 65536, 0x1p-24, 0x1p-25, 0x1.8p-25, 0x1p-14, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(1))}
		r := rand.New(rand.NewPCG(1, 2))
		for range 20000 {
			in = append(in, math.Float32frombits(r.Uint32()&0x7fffffff%0x7f800000))
			i := r.IntN(top)
			in = append(in, float32(values[i]), float32((values[i]+values[i+1])/2)) // exact and ties
		}
		for _, x := range in {
			for _, sign := range []float32{1, -1} {
				out, err := FromFloat32([]float32{sign * x}).Narrow(c.to)
				if err != nil {
					t.Fatal(err)
				}
				want := nearest(float64(x))
				if math.Signbit(float64(sign * x)) {
					want |= 0x8000
				}
				if got := int(binary.LittleEndian.Uint16(out.Data)); got != want {
					t.Fatalf("%v to %v: %#04x, want %#04x", sign*x, c.to, got, want)
				}
			}
		}
		nan, err := FromFloat32([]float32{math.Float32frombits(0x7f800001)}).Narrow(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if wide, _ := nan.ToFloat32(); !math.IsNaN(float64(wide.Float32s()[0])) {
			t.Errorf("a NaN became %v", wide.Float32s())
		}
	}
	if _, err := NewTensor(Float32, 1).Narrow(Float64); !errors.Is(err, ErrUnsupported) {
		t.Errorf("to float64: %v", err)
	}
	if _, err := NewTensor(Int64, 1).Narrow(Float16); !errors.Is(err, ErrUnsupported) {
		t.Errorf("int64: %v", err)
	}
	if _, err := (&Tensor{DType: Float32, Dims: []int64{2}}).Narrow(Float16); !errors.Is(err, ErrInvalid) {
		t.Errorf("too little data: %v", err)
	}
}
