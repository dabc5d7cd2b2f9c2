package export

import (
	"errors"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
)

// convNet is a convolution, an operator and a dense layer.
func convNet(op string) *onnx.Model {
	node := func(op, out string, in ...string) *onnx.Node {
		return &onnx.Node{Name: "make_" + out, Op: op, Inputs: in, Outputs: []string{out}}
	}
	batch := onnx.Shape{onnx.Symbol("N"), onnx.Const(3), onnx.Const(4), onnx.Const(4)}
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: &onnx.Graph{
		Name: "net", Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: batch}}, Outputs: []onnx.Value{{Name: "y", DType: onnx.Float32}},
		Nodes: []*onnx.Node{node("Conv", "a", "x", "filter"), node(op, "b", "a"), node("GlobalAveragePool", "c", "b"), node("Flatten", "d", "c"), node("MatMul", "y", "d", "head")},
		Initializers: map[string]*onnx.Tensor{
			"filter": onnx.FromFloat32(make([]float32, 32*3*9), 32, 3, 3, 3), "head": onnx.FromFloat32(make([]float32, 32*4), 32, 4),
		},
	}}
}

// A graph in blocks that cannot be made, whatever the cause, leaves the
// portable one, tuned or not; insisted on, it is an error.
func TestBlockedGraphThatCannotBeMade(t *testing.T) {
	was := autodiff.Rules["Tanh"]
	defer func() { autodiff.Rules["Tanh"] = was }()
	for name, rule := range map[string]autodiff.Rule{
		"an error": func(n *autodiff.Node) ([]string, error) {
			if n.Walk.Layout != nil {
				return nil, errors.New("no blocks here")
			}
			return was(n)
		},
		"an error in the graph": func(n *autodiff.Node) ([]string, error) {
			if n.Walk.Layout != nil {
				n.Fail("no blocks here")
			}
			return was(n)
		},
		"a panic": func(n *autodiff.Node) ([]string, error) {
			if n.Walk.Layout != nil {
				panic("no blocks here")
			}
			return was(n)
		},
	} {
		autodiff.Rules["Tanh"] = rule
		for _, tuned := range []bool{false, true} {
			var said []string
			o := Options{Blocks: Blocks{Size: 8}, Warn: func(s string) { said = append(said, s) }}
			if tuned {
				o.Forms.Tune = func(cases []autodiff.Case) (*bundle.Tuned, error) {
					for _, c := range cases {
						if c.Block != 0 {
							t.Errorf("%s: asked for the form of %s, which is in no graph", name, c.Key)
						}
					}
					return &bundle.Tuned{Provider: "p", Hardware: "h", Threads: 1, BatchSize: 1, ONNXRuntime: "1", Layout: "portable"}, nil
				}
			}
			b, err := Build(convNet("Tanh"), o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if b.Blocked != nil || b.Manifest.Blocked != nil || len(b.Train) == 0 {
				t.Errorf("%s: not the portable graph alone", name)
			}
			if all := strings.Join(said, "\n"); strings.Count(all, "no blocks here") != 1 || !strings.Contains(all, "portable") {
				t.Errorf("%s: said %q", name, all)
			}
			said = nil
			if b, err = Rebuild(b, Options{Blocks: Blocks{Size: 8}, Warn: o.Warn}); err != nil || b.Blocked != nil || len(said) != 1 {
				t.Errorf("%s: rebuilt: %v, said %q", name, err, said)
			}
			o.Blocks.Insist = true
			if _, err := Build(convNet("Tanh"), o); err == nil || !strings.Contains(err.Error(), "no blocks here") {
				t.Errorf("%s: insisted on: %v", name, err)
			}
		}
	}
}

// What a rule takes for granted and a model lacks is the model's error, not a panic.
func TestRuleThatPanics(t *testing.T) {
	was := autodiff.Rules["Tanh"]
	defer func() { autodiff.Rules["Tanh"] = was }()
	autodiff.Rules["Tanh"] = func(*autodiff.Node) ([]string, error) { panic("index out of range") }
	if _, err := Build(convNet("Tanh"), Options{}); !errors.Is(err, emit.ErrModel) || !strings.Contains(err.Error(), "make_b") {
		t.Errorf("%v", err)
	}
}
