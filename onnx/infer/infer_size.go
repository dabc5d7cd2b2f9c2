package infer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"winnow/onnx"
)

// maxConstant bounds a value that no input of the model changes, in bytes: ONNX
// Runtime computes such values when it loads the model and keeps them, so a
// shape of a few digits in the file could take all memory.
const maxConstant = 256 << 20

// checkConstants refuses nodes that make larger values than that of nothing but
// initializers and constants.
func (in *Inference) checkConstants(g *onnx.Graph) error {
	constant := map[string]bool{"": true}
	for name := range g.Initializers {
		constant[name] = true
	}
	var errs []error
	for _, n := range g.Nodes {
		if !slices.ContainsFunc(onnx.Uses(n), func(name string) bool { return !constant[name] }) {
			for _, o := range n.Outputs {
				constant[o] = true
				if v := in.types[o]; bytesOf(v) > maxConstant && len(errs) < maxErrors {
					errs = append(errs, fmt.Errorf("infer: %s: its result %s %s is over %d bytes, and no input changes it: %w", n.Describe(), v.DType, v.Shape, maxConstant, onnx.ErrTooLarge))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// bytesOf is the size of a value whose open dimensions are 1, or MaxInt64; 0 if it is not known.
func bytesOf(v onnx.Value) int64 {
	size := int64(v.DType.Size())
	for _, d := range v.Shape {
		var ok bool
		if size, ok = mul64(size, max(d.N, 0)); !ok {
			return math.MaxInt64
		}
	}
	return size
}
