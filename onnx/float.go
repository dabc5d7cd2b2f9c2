package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ToFloat32 converts a floating-point tensor, rounding to nearest.
func (t *Tensor) ToFloat32() (*Tensor, error) {
	if err := checkTensor(t); err != nil {
		return nil, fmt.Errorf("onnx: tensor: %w: %w", ErrInvalid, err)
	}
	if !t.DType.IsFloat() {
		return nil, fmt.Errorf("onnx: tensor: %s to float32: %w", t.DType, ErrUnsupported)
	}
	out := NewTensor(Float32, t.Dims...)
	le := binary.LittleEndian
	for i := range len(out.Data) / 4 {
		var bits uint32
		switch t.DType {
		case Float32:
			bits = le.Uint32(t.Data[4*i:])
		case Float64:
			bits = float64to32(le.Uint64(t.Data[8*i:]))
		case Float16:
			bits = halfTo32(le.Uint16(t.Data[2*i:]))
		default:
			bits = uint32(le.Uint16(t.Data[2*i:])) << 16 // bfloat16 is float32's upper half
		}
		le.PutUint32(out.Data[4*i:], bits)
	}
	return out, nil
}

func float64to32(bits uint64) uint32 {
	return math.Float32bits(float32(math.Float64frombits(bits)))
}

// halfTo32 widens an IEEE 754 half-precision number: 1 sign, 5 exponent and
// 10 mantissa bits; exact for every value, infinities and NaN included.
func halfTo32(h uint16) uint32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exp {
	case 31:
		return sign | 0xff<<23 | frac<<13
	case 0: // zero and the subnormal numbers: frac * 2^-24
		return sign | math.Float32bits(float32(frac)*0x1p-24)
	}
	return sign | (exp+127-15)<<23 | frac<<13
}
