package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"winnow/internal/elements"
)

// DType is an element type; the numbers are those of TensorProto.DataType.
type DType int32

// Element types.
const (
	Undefined DType = 0
	Float32   DType = 1
	Uint8     DType = 2
	Int8      DType = 3
	Uint16    DType = 4
	Int16     DType = 5
	Int32     DType = 6
	Int64     DType = 7
	String    DType = 8
	Bool      DType = 9
	Float16   DType = 10
	Float64   DType = 11
	Uint32    DType = 12
	Uint64    DType = 13
	BFloat16  DType = 16
)

var dtypeNames = map[DType]string{
	Float32: "float32", Uint8: "uint8", Int8: "int8", Uint16: "uint16", Int16: "int16",
	Int32: "int32", Int64: "int64", String: "string", Bool: "bool", Float16: "float16",
	Float64: "float64", Uint32: "uint32", Uint64: "uint64", BFloat16: "bfloat16",
	// Those of the format that no tensor here can have.
	Undefined: "undefined", 14: "complex64", 15: "complex128", 17: "float8e4m3fn", 18: "float8e4m3fnuz",
	19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0",
	25: "uint2", 26: "int2",
}

var dtypeSizes = map[DType]int{
	Float32: 4, Uint8: 1, Int8: 1, Uint16: 2, Int16: 2, Int32: 4, Int64: 8, Bool: 1,
	Float16: 2, Float64: 8, Uint32: 4, Uint64: 8, BFloat16: 2,
}

// String returns the type's name in the style of NumPy.
func (d DType) String() string {
	if s, ok := dtypeNames[d]; ok {
		return s
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}

// ParseDType is the inverse of String.
func ParseDType(name string) (DType, error) {
	for d, s := range dtypeNames {
		if s == name && (d == String || d.Size() > 0) {
			return d, nil
		}
	}
	return Undefined, fmt.Errorf("onnx: element type %q: it is not known: %w", name, ErrUnsupported)
}

// Size returns the bytes of one element, 0 for types without a fixed size.
func (d DType) Size() int { return dtypeSizes[d] }

// IsFloat reports whether gradients can flow through values of the type.
func (d DType) IsFloat() bool {
	return d == Float32 || d == Float64 || d == Float16 || d == BFloat16
}

// Tensor is a constant: row-major elements, little-endian, len(Data) = elements * DType.Size().
// String tensors keep their elements in Strings instead.
type Tensor struct {
	DType   DType
	Dims    []int64
	Data    []byte
	Strings []string
}

// Len returns the number of elements, 0 where they cannot be counted.
func (t *Tensor) Len() int {
	n, _ := elements.Count(t.Dims)
	return int(n)
}

// NewTensor returns a zeroed tensor.
func NewTensor(d DType, dims ...int64) *Tensor {
	t := &Tensor{DType: d, Dims: append([]int64{}, dims...)}
	t.Data = make([]byte, t.Len()*d.Size())
	return t
}

// FromFloat32 copies v into a float32 tensor of the given shape; no dims make a scalar.
func FromFloat32(v []float32, dims ...int64) *Tensor {
	t := NewTensor(Float32, dims...)
	for i, x := range v {
		binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(x))
	}
	return t
}

// FromInt64 copies v into an int64 tensor of the given shape; no dims make a scalar.
func FromInt64(v []int64, dims ...int64) *Tensor {
	t := NewTensor(Int64, dims...)
	for i, x := range v {
		binary.LittleEndian.PutUint64(t.Data[8*i:], uint64(x))
	}
	return t
}

// Float32s decodes a float32 tensor; nil if it holds another type.
func (t *Tensor) Float32s() []float32 {
	if t.DType != Float32 {
		return nil
	}
	v := make([]float32, len(t.Data)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return v
}

// Int64s decodes an integer or boolean tensor, widening; nil for other types.
func (t *Tensor) Int64s() []int64 {
	size := t.DType.Size()
	if size == 0 || t.DType.IsFloat() {
		return nil
	}
	v := make([]int64, len(t.Data)/size)
	for i := range v {
		b := t.Data[i*size:]
		switch t.DType {
		case Int64, Uint64:
			v[i] = int64(binary.LittleEndian.Uint64(b))
		case Int32:
			v[i] = int64(int32(binary.LittleEndian.Uint32(b)))
		case Uint32:
			v[i] = int64(binary.LittleEndian.Uint32(b))
		case Int16:
			v[i] = int64(int16(binary.LittleEndian.Uint16(b)))
		case Uint16:
			v[i] = int64(binary.LittleEndian.Uint16(b))
		case Int8:
			v[i] = int64(int8(b[0]))
		default:
			v[i] = int64(b[0])
		}
	}
	return v
}

// Check compares a tensor's elements with its shape.
func (t *Tensor) Check() error {
	if t == nil {
		return errors.New("no tensor")
	}
	n, ok := elements.Count(t.Dims)
	switch {
	case !ok:
		return fmt.Errorf("shape %v", t.Dims)
	case t.DType == String:
		if int64(len(t.Strings)) != n {
			return fmt.Errorf("%d strings for shape %v", len(t.Strings), t.Dims)
		}
	case t.DType.Size() == 0:
		return fmt.Errorf("elements of type %s", t.DType)
	case int64(len(t.Data)) != n*int64(t.DType.Size()):
		return fmt.Errorf("%d bytes for %s of shape %v", len(t.Data), t.DType, t.Dims)
	}
	return nil
}

// NotFinite is the index of the first element that is NaN or infinite, and
// whether it is NaN; -1 where there is none, or the type has none.
func (t *Tensor) NotFinite() (index int, nan bool) {
	size := t.DType.Size()
	mantissa, exponent := map[DType]int{Float16: 10, BFloat16: 7, Float32: 23, Float64: 52}[t.DType], 0
	if mantissa == 0 {
		return -1, false
	}
	exponent = 8*size - 1 - mantissa
	ones := (uint64(1)<<exponent - 1) << mantissa
	for i := 0; i+size <= len(t.Data); i += size {
		var bits uint64
		switch size {
		case 2:
			bits = uint64(binary.LittleEndian.Uint16(t.Data[i:]))
		case 4:
			bits = uint64(binary.LittleEndian.Uint32(t.Data[i:]))
		default:
			bits = binary.LittleEndian.Uint64(t.Data[i:])
		}
		if bits&ones == ones {
			return i / size, bits&(1<<mantissa-1) != 0
		}
	}
	return -1, false
}
