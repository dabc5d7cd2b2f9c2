package opset

import (
	"slices"
	"testing"

	"winnow/onnx"
)

// In the order of the nodes, a use of a name means the last value of it; what
// a graph inside a node defines itself is its own.
func TestRename(t *testing.T) {
	node := func(op, out string, in ...string) *onnx.Node {
		return &onnx.Node{Name: op + out, Op: op, Inputs: in, Outputs: []string{out}}
	}
	branch := &onnx.Graph{Name: "branch", Nodes: []*onnx.Node{node("Abs", "b", "a"), node("Neg", "c", "b")}, Outputs: []onnx.Value{{Name: "c"}}}
	choose := &onnx.Node{Name: "if", Op: "If", Inputs: []string{"a"}, Outputs: []string{"d"}, Attrs: map[string]onnx.Attr{"then_branch": {Kind: onnx.AttrGraph, G: branch}}}
	m := &onnx.Model{Opset: 18, Graph: &onnx.Graph{
		Name: "g", Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32}}, Outputs: []onnx.Value{{Name: "a"}, {Name: "y"}},
		Initializers: map[string]*onnx.Tensor{"a": onnx.FromFloat32([]float32{1}), "a_1": onnx.FromFloat32([]float32{1})},
		Nodes: []*onnx.Node{
			node("Add", "x", "x", "a"), node("Mul", "a", "x", "a"), node("Abs", "b", "a"), node("Neg", "a", "a"), choose, node("Sum", "y", "a", "b", "d", "x"),
		},
	}}
	if got := Rename(m); !slices.Equal(got, []string{"x", "a"}) {
		t.Errorf("renamed %q", got)
	}
	g := m.Graph
	for i, want := range [][]string{{"x_1", "x", "a"}, {"a_2", "x_1", "a"}, {"b", "a_2"}, {"a_3", "a_2"}, {"d", "a_3"}, {"y", "a_3", "b", "d", "x_1"}} {
		if got := append(slices.Clone(g.Nodes[i].Outputs), g.Nodes[i].Inputs...); !slices.Equal(got, want) {
			t.Errorf("node %d: %q, want %q", i, got, want)
		}
	}
	if b := branch.Nodes; b[0].Inputs[0] != "a_3" || b[1].Inputs[0] != "b" || g.Outputs[0].Name != "a_3" || g.Outputs[1].Name != "y" {
		t.Errorf("in the branch %q, %q; outputs %v", b[0].Inputs, b[1].Inputs, g.Outputs)
	}
	if got := Rename(m); got != nil {
		t.Errorf("renamed again: %q", got)
	}
}
