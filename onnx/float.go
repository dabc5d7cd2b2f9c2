package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ToFloat32 converts a floating-point tensor, rounding to nearest.
func (t *Tensor) ToFloat32() (*Tensor, error) {
	if err := t.Check(); err != nil {
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

// Narrow converts a float32 tensor to float16 or bfloat16, rounding to nearest
// and ties to even, as IEEE 754 has it; what lies beyond the range becomes infinite.
func (t *Tensor) Narrow(to DType) (*Tensor, error) {
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("onnx: tensor: %w: %w", ErrInvalid, err)
	}
	round := float32toHalf
	if to == BFloat16 {
		round = float32toBFloat16
	}
	if t.DType != Float32 || to != Float16 && to != BFloat16 {
		return nil, fmt.Errorf("onnx: tensor: %s to %s: %w", t.DType, to, ErrUnsupported)
	}
	out := NewTensor(to, t.Dims...)
	le := binary.LittleEndian
	for i := range len(out.Data) / 2 {
		le.PutUint16(out.Data[2*i:], round(le.Uint32(t.Data[4*i:])))
	}
	return out, nil
}

// float32toHalf drops 13 bits of the mantissa, more where the result is subnormal.
func float32toHalf(bits uint32) uint16 {
	sign, abs := uint16(bits>>16)&0x8000, bits&0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN
		return sign | 0x7e00
	case abs >= 0x47800000: // 2^16 and above, infinity
		return sign | 0x7c00
	case abs < 0x38800000: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(abs))*0x1p24))
	}
	return sign | uint16(evenly(abs, 13)-112<<10) // a carry into the exponent is right, into infinity too
}

func float32toBFloat16(bits uint32) uint16 {
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40 // still a NaN where its low bits are lost
	}
	return uint16(evenly(bits, 16))
}

// evenly drops the low bits, rounding to nearest and ties to even.
func evenly(bits uint32, low int) uint32 {
	return (bits + 1<<(low-1) - 1 + bits>>low&1) >> low
}
