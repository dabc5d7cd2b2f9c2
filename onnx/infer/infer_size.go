package infer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"winnow/onnx"
)

// Bounds of what no input of the model changes, in bytes. ONNX Runtime computes
// such values when it loads the model and keeps them, so a shape of a few digits
// in the file could take all memory. What is computed of the weights may take a
// multiple of their size besides: a normalised weight comes of four or five
// values as large as itself.
const (
	maxConstant        = 256 << 20 // one value
	maxConstants       = 1 << 30   // all of them, and
	constantsPerWeight = 8         // so many bytes for each of the initializers'
)

// checkConstants refuses nodes that make more than that of nothing but
// initializers and constants.
func (in *Inference) checkConstants(g *onnx.Graph) error {
	constant, total := map[string]bool{"": true}, int64(maxConstants)
	for name, t := range g.Initializers {
		constant[name] = true
		if t != nil {
			total += constantsPerWeight * int64(len(t.Data))
		}
	}
	held := int64(0)
	var errs []error
	for _, n := range g.Nodes {
		if slices.ContainsFunc(onnx.Uses(n), func(name string) bool { return !constant[name] }) {
			continue
		}
		if n.Operator() == "Constant" {
			if t, _ := constantTensor(n); t != nil { // the file holds it, as it does an initializer
				total += constantsPerWeight * int64(len(t.Data))
			}
			constant[n.Output(0)] = true
			continue
		}
		for _, o := range n.Outputs {
			constant[o] = true
			v := in.types[o]
			size := bytesOf(v)
			before := held
			held += min(size, total-held)
			switch {
			case len(errs) == maxErrors:
			case size > maxConstant:
				errs = append(errs, fmt.Errorf("infer: %s: its result %s %s is over %d bytes, and no input changes it: %w", n.Describe(), v.DType, v.Shape, maxConstant, onnx.ErrTooLarge))
			case size > total-before:
				errs = append(errs, fmt.Errorf("infer: %s: with its result %s %s, what no input changes is over %d bytes: %w", n.Describe(), v.DType, v.Shape, total, onnx.ErrTooLarge))
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
