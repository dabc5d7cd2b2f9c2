package runtime

import (
	"errors"
	"fmt"
	"slices"

	"winnow/internal/elements"
)

// DType is an element type, numbered as ONNX numbers TensorProto.DataType.
type DType int32

// The element types that a slot may have.
const (
	Float32  DType = 1
	Uint8    DType = 2
	Int8     DType = 3
	Uint16   DType = 4
	Int16    DType = 5
	Int32    DType = 6
	Int64    DType = 7
	Bool     DType = 9
	Float16  DType = 10
	Float64  DType = 11
	Uint32   DType = 12
	Uint64   DType = 13
	BFloat16 DType = 16
)

// Size is the number of bytes of one element, 0 for a type that has no fixed
// size or is not supported.
func (d DType) Size() int {
	switch d {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float32, Int32, Uint32:
		return 4
	case Int64, Uint64, Float64:
		return 8
	}
	return 0
}

// Bounds on what shapes from a file may ask for, far above any real model.
const (
	maxTensorBytes = 1 << 33
	maxStateBytes  = 1 << 40
)

// Slot names one graph input or output. Shape is that of the whole value, -1
// where the batch size N stands.
type Slot struct {
	Name  string
	DType DType
	Shape []int64
}

// sized is the shape for a batch of n.
func (s Slot) sized(n int) []int64 {
	shape := make([]int64, len(s.Shape))
	for i, d := range s.Shape {
		if d == -1 {
			d = int64(n)
		}
		shape[i] = d
	}
	return shape
}

// batched says whether the slot has a batch dimension.
func (s Slot) batched() bool {
	for _, d := range s.Shape {
		if d == -1 {
			return true
		}
	}
	return false
}

// check refuses what no buffer can be made for.
func (s Slot) check(maxBatch int) error {
	if s.Name == "" {
		return errors.New("a slot has no name")
	}
	for _, d := range s.Shape {
		if d == 0 || d < -1 {
			return fmt.Errorf("%q: shape %v: a dimension must be positive, or -1 for the batch size", s.Name, s.Shape)
		}
	}
	_, err := byteSize(s.Name, s.DType, s.sized(maxBatch))
	return err
}

// byteSize is the size of a tensor; every dimension is positive.
func byteSize(name string, dtype DType, shape []int64) (int, error) {
	size := dtype.Size()
	if size == 0 {
		return 0, fmt.Errorf("%q: element type %d is not supported", name, dtype)
	}
	if slices.ContainsFunc(shape, func(d int64) bool { return d < 1 }) {
		return 0, fmt.Errorf("%q: shape %v: dimensions must be positive", name, shape)
	}
	n, ok := elements.Count(shape)
	if !ok || n > maxTensorBytes/int64(size) {
		return 0, fmt.Errorf("%q: shape %v is too large", name, shape)
	}
	return int(n) * size, nil
}
