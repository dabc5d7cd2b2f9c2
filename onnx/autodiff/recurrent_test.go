package autodiff

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/infer"
)

// What a recurrent operator can say beyond what is differentiated is refused
// by name, not left out.
func TestRecurrentRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		op    string
		a     attrs
		input int // given besides x, W, R and B
		text  string
	}{
		"lengths":    {"GRU", nil, 4, "lengths"},
		"peepholes":  {"LSTM", nil, 7, "peepholes"},
		"coupled":    {"LSTM", attrs{"input_forget": ia(1)}, 0, "coupled"},
		"activation": {"RNN", attrs{"activations": {Kind: onnx.AttrStrings, Strings: []string{"Affine"}}}, 0, `"Affine"`},
		"too few":    {"LSTM", attrs{"activations": {Kind: onnx.AttrStrings, Strings: []string{"Tanh"}}}, 0, "1 activations"},
	} {
		gates := map[string]int64{"LSTM": 4, "GRU": 3, "RNN": 1}[c.op]
		g := &onnx.Graph{Name: "r", Initializers: map[string]*onnx.Tensor{"given": onnx.NewTensor(onnx.Float32, 1, 3*gates)}}
		for input, dims := range map[string][]int64{"x": {4, 2, 5}, "w": {1, 3 * gates, 5}, "r": {1, 3 * gates, 3}, "b": {1, 6 * gates}} {
			g.Inputs = append(g.Inputs, onnx.Value{Name: input, DType: onnx.Float32, Shape: onnx.ShapeOf(dims...)})
		}
		n := &onnx.Node{Name: "cell", Op: c.op, Inputs: []string{"x", "w", "r", "b", "", "", "", ""}, Outputs: []string{"y"}, Attrs: attrs{"hidden_size": ia(3)}}
		maps.Copy(n.Attrs, c.a)
		if c.input > 0 {
			n.Inputs[c.input] = "given"
		}
		e := newEmitter(g, infer.New(g))
		e.taken["y"] = true
		e.forward(n)
		f := forwardFlow([]*onnx.Node{n}, e.inf, []string{"w"})
		_, err := backward(e, []*onnx.Node{n}, f, map[string]string{"y": "y"}, Lowering{})
		if err == nil || !strings.Contains(err.Error(), `"cell" (`+c.op+")") || !strings.Contains(err.Error(), c.text) ||
			!errors.Is(err, ErrNoRule) && !errors.Is(err, ErrModel) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An operator that is rewritten on reading can be trained.
func TestRewrittenOperatorsHaveGradients(t *testing.T) {
	for _, op := range []string{"Gelu", "Swish", "GroupNormalization", "RMSNormalization", "Attention", "RotaryEmbedding", "AffineGrid", "Upsample", "Scatter"} {
		if !HasRule(op) {
			t.Errorf("%s is said to have no gradient", op)
		}
	}
	for _, op := range []string{"NonMaxSuppression", "TensorScatter", "Bernoulli", "QLinearConv"} {
		if HasRule(op) {
			t.Errorf("%s is said to have a gradient", op)
		}
	}
}
