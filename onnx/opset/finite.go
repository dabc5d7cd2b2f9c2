package opset

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
)

// masking lists operators to which an infinity is a bound or a mask, no weight.
var masking = map[string]bool{
	"Add": true, "Sub": true, "Where": true, "Max": true, "Min": true, "Clip": true, "Equal": true, "Greater": true, "Less": true,
	"GreaterOrEqual": true, "LessOrEqual": true, "Expand": true, "Pad": true, "ConstantOfShape": true, "Concat": true,
	"ScatterND": true, "ScatterElements": true, "Trilu": true, "Attention": true, "IsInf": true, "Range": true, "Slice": true,
	"Reshape": true, "Unsqueeze": true, "Gather": true, "Cast": true, "CastLike": true, "Squeeze": true,
}

// CheckFinite refuses a model of whose initializers one in use has elements
// that are NaN, or infinite where that is no mask and no bound. The first by
// use is named.
func CheckFinite(g *onnx.Graph) error {
	return checkFinite(g, g.Initializers, map[string]bool{})
}

func checkFinite(g *onnx.Graph, tensors map[string]*onnx.Tensor, seen map[string]bool) error {
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
				return fmt.Errorf("opset: tensor %q: element %d of %v, read by %s, is %s: %w: %w", in, i, t.Dims, n.Describe(), what, onnx.ErrNotFinite, onnx.ErrInvalid)
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
