package autodiff

import (
	"errors"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// A gradient that does not fit its value is a refusal that says what to do.
func TestGradientOfAnUnknownSize(t *testing.T) {
	g := &onnx.Graph{Initializers: map[string]*onnx.Tensor{}}
	for name, first := range map[string]string{"dy": "N", "v": "M"} {
		g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol(first), onnx.Const(3)}})
	}
	_, err := unbroadcast(emit.New(g, infer.New(g)), "dy", "v")
	if !errors.Is(err, emit.ErrModel) || !strings.Contains(err.Error(), "export the model with") {
		t.Errorf("%v", err)
	}
}
