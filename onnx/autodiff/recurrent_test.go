package autodiff_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// What a recurrent operator can say beyond what is differentiated is refused
// by name, not left out.
func TestRecurrentRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		op    string
		a     emit.Attrs
		input int // given besides x, W, R and B
		text  string
	}{
		"lengths":    {"GRU", nil, 4, "lengths"},
		"peepholes":  {"LSTM", nil, 7, "peepholes"},
		"coupled":    {"LSTM", emit.Attrs{"input_forget": onnx.IntAttr(1)}, 0, "coupled"},
		"activation": {"RNN", emit.Attrs{"activations": {Kind: onnx.AttrStrings, Strings: []string{"Affine"}}}, 0, `"Affine"`},
		"too few":    {"LSTM", emit.Attrs{"activations": {Kind: onnx.AttrStrings, Strings: []string{"Tanh"}}}, 0, "1 activations"},
	} {
		gates := map[string]int64{"LSTM": 4, "GRU": 3, "RNN": 1}[c.op]
		g := &onnx.Graph{Name: "r", Initializers: map[string]*onnx.Tensor{"given": onnx.NewTensor(onnx.Float32, 1, 3*gates)}}
		for input, dims := range map[string][]int64{"x": {4, 2, 5}, "w": {1, 3 * gates, 5}, "r": {1, 3 * gates, 3}, "b": {1, 6 * gates}} {
			g.Inputs = append(g.Inputs, onnx.Value{Name: input, DType: onnx.Float32, Shape: onnx.ShapeOf(dims...)})
		}
		n := &onnx.Node{Name: "cell", Op: c.op, Inputs: []string{"x", "w", "r", "b", "", "", "", ""}, Outputs: []string{"y"}, Attrs: emit.Attrs{"hidden_size": onnx.IntAttr(3)}}
		maps.Copy(n.Attrs, c.a)
		if c.input > 0 {
			n.Inputs[c.input] = "given"
		}
		e := emit.New(g, infer.New(g))
		e.Take("y")
		e.Append(n)
		_, err := autodiff.Backward(e, []*onnx.Node{n}, []string{"w"}, map[string]string{"y": "y"}, autodiff.Walk{})
		if err == nil || !strings.Contains(err.Error(), `"cell" (`+c.op+")") || !strings.Contains(err.Error(), c.text) ||
			!errors.Is(err, autodiff.ErrNoRule) && !errors.Is(err, emit.ErrModel) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An operator that is rewritten on reading can be trained.
func TestRewrittenOperatorsHaveGradients(t *testing.T) {
	for _, op := range []string{"Gelu", "Swish", "GroupNormalization", "RMSNormalization", "Attention", "RotaryEmbedding", "AffineGrid", "Upsample", "Scatter"} {
		if !autodiff.HasRule(op) {
			t.Errorf("%s is said to have no gradient", op)
		}
	}
	for _, op := range []string{"NonMaxSuppression", "TensorScatter", "Bernoulli", "QLinearConv"} {
		if autodiff.HasRule(op) {
			t.Errorf("%s is said to have a gradient", op)
		}
	}
}
