package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrNotFinite is wrapped by the error that names a tensor of NaN or infinite elements.
var ErrNotFinite = errors.New("is not finite")

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

// masking lists operators to which an infinity is a bound or a mask, no weight.
var masking = map[string]bool{
	"Add": true, "Sub": true, "Where": true, "Max": true, "Min": true, "Clip": true, "Equal": true, "Greater": true, "Less": true,
	"GreaterOrEqual": true, "LessOrEqual": true, "Expand": true, "Pad": true, "ConstantOfShape": true, "Concat": true,
	"ScatterND": true, "ScatterElements": true, "Trilu": true, "Attention": true, "IsInf": true, "Range": true, "Slice": true,
	"Reshape": true, "Unsqueeze": true, "Gather": true, "Cast": true,
}

// CheckFinite refuses a model of whose initializers one in use has elements
// that are NaN, or infinite where that is no mask and no bound. The first by
// use is named.
func CheckFinite(g *Graph) error {
	return checkFinite(g, g.Initializers, map[string]bool{})
}

func checkFinite(g *Graph, tensors map[string]*Tensor, seen map[string]bool) error {
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			t := tensors[in]
			if t == nil || seen[in] && masking[n.Op] {
				continue
			}
			seen[in] = true
			if i, nan := t.NotFinite(); i >= 0 && (nan || !masking[n.Op]) {
				what := "infinite"
				if nan {
					what = "NaN"
				}
				return fmt.Errorf("onnx: tensor %q %w: element %d of %v, used by node %q (%s), is %s: %w", in, ErrNotFinite, i, t.Dims, n.Name, n.Op, what, ErrInvalid)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
			if sub := n.Attrs[name].G; sub != nil {
				if err := checkFinite(sub, tensors, seen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
