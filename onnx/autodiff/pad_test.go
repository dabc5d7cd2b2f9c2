package autodiff_test

import (
	"errors"
	"fmt"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// ONNX Runtime refuses to reflect more elements than there are beside the edge,
// and what it wraps beyond a whole turn is not defined: neither has a gradient.
func TestPadBeyondWhatThereIs(t *testing.T) {
	for _, c := range []struct {
		mode string
		pads []int64
	}{
		{"reflect", []int64{4, 0}}, {"reflect", []int64{0, 4}}, {"reflect", []int64{1, -3}},
		{"wrap", []int64{5, 0}}, {"wrap", []int64{0, 5}}, {"wrap", []int64{2, -3}},
		{"edge", []int64{5, -4}}, {"mirror", []int64{1, 1}},
	} {
		t.Run(fmt.Sprint(c.mode, c.pads), func(t *testing.T) {
			g := &onnx.Graph{
				Name: "pad", Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(4)}},
				Initializers: map[string]*onnx.Tensor{"pads": onnx.FromInt64(c.pads, 2)},
			}
			e := emit.New(g, infer.New(g))
			n := &onnx.Node{Name: "pad", Op: "Pad", Inputs: []string{"x", "pads"}, Outputs: []string{"y"}, Attrs: emit.Attrs{"mode": onnx.StringAttr(c.mode)}}
			e.Append(n)
			nodes := []*onnx.Node{n}
			_, err := autodiff.Backward(e, nodes, []string{"x"}, map[string]string{"y": "y"}, autodiff.Walk{})
			if !errors.Is(err, emit.ErrModel) && !errors.Is(err, autodiff.ErrNoRule) {
				t.Errorf("got %v", err)
			}
		})
	}
}
