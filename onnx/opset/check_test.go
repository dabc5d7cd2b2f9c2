package opset

import (
	"strings"
	"testing"

	"winnow/onnx"
)

func addNode(name string, inputs []string, out string) *onnx.Node {
	return &onnx.Node{Name: name, Op: "Add", Inputs: inputs, Outputs: []string{out}}
}

// chain is x + w -> a -> b -> y.
func chain() *onnx.Model {
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: &onnx.Graph{
		Name:         "g",
		Inputs:       []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(3)}}},
		Outputs:      []onnx.Value{{Name: "y", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(3)}}},
		Initializers: map[string]*onnx.Tensor{"w": onnx.FromFloat32([]float32{1, 2, 3}, 3)},
		Nodes: []*onnx.Node{
			addNode("first", []string{"x", "w"}, "a"), addNode("second", []string{"a", "w"}, "b"), addNode("third", []string{"b", "a"}, "y"),
		},
	}}
}

func ifNode(then, other *onnx.Graph) *onnx.Node {
	return &onnx.Node{Name: "if", Op: "If", Inputs: []string{"c"}, Outputs: []string{"z"},
		Attrs: map[string]onnx.Attr{"then_branch": {Kind: onnx.AttrGraph, G: then}, "else_branch": {Kind: onnx.AttrGraph, G: other}}}
}

func branchOf(out string, nodes ...*onnx.Node) *onnx.Graph {
	return &onnx.Graph{Name: out, Nodes: nodes, Outputs: []onnx.Value{{Name: out, DType: onnx.Float32}}}
}

func TestCheck(t *testing.T) {
	withIf := func(then, other *onnx.Graph) func(*onnx.Model) {
		return func(m *onnx.Model) {
			m.Graph.Initializers["c"] = onnx.NewTensor(onnx.Bool)
			m.Graph.Nodes = append(m.Graph.Nodes, ifNode(then, other))
		}
	}
	add := func(in, out string) *onnx.Node { return addNode("inner", []string{in, "w"}, out) }
	tests := []struct {
		name   string
		change func(*onnx.Model)
		want   []string // nothing: the model is good
	}{
		{"good", func(*onnx.Model) {}, nil},
		{"good subgraphs", withIf(branchOf("p", add("a", "p")), branchOf("p", add("y", "p"))), nil},
		{"optional input left out", operator(18, &onnx.Node{Op: "Clip", Inputs: []string{"x", "", "w"}}), nil},
		{"no nodes", func(m *onnx.Model) { m.Graph.Nodes = nil }, []string{"no nodes", `output "y"`}},
		{"no outputs", func(m *onnx.Model) { m.Graph.Outputs = nil }, []string{"no outputs"}},
		{"opset 6", func(m *onnx.Model) { m.Opset = 6 }, []string{"opset 6"}},
		{"opset 99", func(m *onnx.Model) { m.Opset = 99 }, []string{"opset 99"}},
		{"no opset", func(m *onnx.Model) { m.Opset = 0 }, []string{"which opset"}},
		{"no such operator", func(m *onnx.Model) { m.Graph.Nodes[1].Op = "Plus" }, []string{`node "second" (Plus): no such operator`}},
		{"operator too new", func(m *onnx.Model) { m.Graph.Nodes[1].Op = "Gelu" }, []string{`node "second" (Gelu)`, "opset 18"}},
		{"operator withdrawn", func(m *onnx.Model) { m.Graph.Nodes[1].Op = "Upsample" }, []string{`node "second" (Upsample)`}},
		{"other domain", func(m *onnx.Model) { m.Graph.Nodes[1].Domain = "com.microsoft" }, []string{`node "second" (com.microsoft.Add)`}},
		{"allowed domain", func(m *onnx.Model) { m.Graph.Nodes[1].Domain = "com.example" }, nil},
		{"dangling input", func(m *onnx.Model) { m.Graph.Nodes[1].Inputs[0] = "gone" }, []string{`node "second" (Add): input "gone": nothing produces it`}},
		{"missing initializer", func(m *onnx.Model) { delete(m.Graph.Initializers, "w") }, []string{
			`node "first" (Add): input "w"`, `node "second" (Add): input "w"`}},
		{"dangling output", func(m *onnx.Model) { m.Graph.Outputs[0].Name = "gone" }, []string{`output "gone": nothing produces it`}},
		{"output twice", func(m *onnx.Model) { m.Graph.Outputs = append(m.Graph.Outputs, m.Graph.Outputs[0]) }, []string{"listed twice"}},
		{"value twice", func(m *onnx.Model) { m.Graph.Nodes[1].Outputs[0] = "a" }, []string{`node "second" (Add): output "a": another value has that name`}},
		{"value named as an input", func(m *onnx.Model) { m.Graph.Nodes[1].Outputs[0] = "x" }, []string{`output "x": another value has that name`}},
		{"input named as an initializer", func(m *onnx.Model) { m.Graph.Inputs[0].Name = "w" }, []string{`initializer "w": another value has that name`}},
		{"input twice", func(m *onnx.Model) { m.Graph.Inputs = append(m.Graph.Inputs, m.Graph.Inputs[0]) }, []string{`input "x": another value has that name`}},
		{"input without name", func(m *onnx.Model) { m.Graph.Inputs[0].Name = "" }, []string{"no name"}},
		{"input of no type", func(m *onnx.Model) { m.Graph.Inputs[0].DType = onnx.Undefined }, []string{`input "x": elements of type undefined`}},
		{"no order", func(m *onnx.Model) { n := m.Graph.Nodes; n[0], n[1] = n[1], n[0] }, []string{
			`node "second" (Add): input "a": used before node "first" (Add) produces it`}},
		{"cycle", func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[1] = "b" }, []string{`node "first" (Add): input "b": it depends on this node's own output`}},
		{"behind a cycle, no order", func(m *onnx.Model) {
			m.Graph.Nodes[0].Inputs[1] = "b"
			m.Graph.Nodes = append(m.Graph.Nodes, addNode("early", []string{"w", "l"}, "e"), addNode("late", []string{"a", "b"}, "l"))
		}, []string{`node "early" (Add): input "l": used before node "late" (Add) produces it`}},
		{"own output", func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[1] = "a" }, []string{`own output, through node "first"`}},
		{"no node outputs", func(m *onnx.Model) { m.Graph.Nodes[2].Outputs = []string{""} }, []string{`(Add): it has no outputs`}},
		{"short tensor", func(m *onnx.Model) { m.Graph.Initializers["w"].Dims[0] = 4 }, []string{`initializer "w": 12 bytes`}},
		{"negative tensor", func(m *onnx.Model) { m.Graph.Initializers["w"].Dims[0] = -3 }, []string{`initializer "w": shape [-3]`}},
		{"negative dimension", func(m *onnx.Model) { m.Graph.Inputs[0].Shape[1] = onnx.Const(-1) }, []string{`input "x": dimension -1`}},
		{"bad attribute", func(m *onnx.Model) { m.Graph.Nodes[0].Attrs = map[string]onnx.Attr{"a": {}} }, []string{`attribute "a": a value of kind 0`}},
		{"attribute of none", func(m *onnx.Model) { m.Graph.Nodes[0].Attrs = map[string]onnx.Attr{"axis": onnx.IntAttr(1)} }, []string{
			`node "first" (Add): attribute "axis": the operator has none of that name in opset 18`}},
		{"attribute of an older opset", operator(9, &onnx.Node{Op: "BatchNormalization", Inputs: []string{"x", "w", "w", "w", "w"}, Attrs: map[string]onnx.Attr{"spatial": onnx.IntAttr(1)}}),
			[]string{`attribute "spatial": the operator has none`}},
		{"the same where it was one", operator(7, &onnx.Node{Op: "BatchNormalization", Inputs: []string{"x", "w", "w", "w", "w"}, Attrs: map[string]onnx.Attr{"spatial": onnx.IntAttr(1)}}), nil},
		{"attribute of another kind", operator(18, &onnx.Node{Op: "Flatten", Inputs: []string{"x"}, Attrs: map[string]onnx.Attr{"axis": onnx.FloatAttr(1)}}),
			[]string{`node "third" (Flatten): attribute "axis": a float, want an integer`}},
		{"attribute that is no word", operator(18, &onnx.Node{Op: "Conv", Inputs: []string{"x", "w"}, Attrs: map[string]onnx.Attr{"auto_pad": onnx.StringAttr("HUH")}}),
			[]string{`attribute "auto_pad": "HUH", want one of NOTSET`}},
		{"attribute missing", operator(18, &onnx.Node{Op: "Concat", Inputs: []string{"x"}}), []string{`(Concat): attribute "axis" is missing`}},
		{"attribute of ONNX Runtime's own", operator(18, &onnx.Node{Op: "Relu", Inputs: []string{"x"}, Attrs: map[string]onnx.Attr{"__backwardpass": onnx.IntAttr(1)}}), nil},
		{"too many inputs", operator(18, &onnx.Node{Op: "Relu", Inputs: []string{"x", "w"}}), []string{`(Relu): it has 2 inputs, the operator takes 1`}},
		{"too few inputs", operator(18, &onnx.Node{Op: "Conv", Inputs: []string{"x"}}), []string{`(Conv): it has 1 inputs, the operator takes 2 to 3`}},
		{"stray reference", func(m *onnx.Model) {
			m.Graph.Nodes[0].Attrs = map[string]onnx.Attr{"a": {Kind: onnx.AttrInt, Ref: "r"}}
		}, []string{`stands for "r"`}},
		{"bad attribute tensor", func(m *onnx.Model) { m.Graph.Nodes[0].Attrs = map[string]onnx.Attr{"a": {Kind: onnx.AttrTensor}} }, []string{`attribute "a": no tensor`}},
		{"shadowed", withIf(branchOf("a", add("x", "a")), branchOf("p", add("x", "p"))), []string{`node "inner" (Add): output "a": another value has that name`}},
		{"inner name used outside", func(m *onnx.Model) {
			withIf(branchOf("p", add("a", "p")), branchOf("q", add("a", "q")))(m)
			m.Graph.Nodes = append(m.Graph.Nodes, addNode("late", []string{"p", "w"}, "l"))
		}, []string{`node "late" (Add): input "p"`}},
		{"sibling's name", withIf(branchOf("p", add("a", "p")), branchOf("q", add("p", "q"))), []string{`node "inner" (Add): input "p"`}},
		{"outer value used early", func(m *onnx.Model) {
			withIf(branchOf("p", add("a", "p")), branchOf("q", add("a", "q")))(m)
			n := m.Graph.Nodes
			n[0], n[3] = n[3], n[0]
		}, []string{`node "inner" (Add): input "a": used before node "first"`}},
		{"subgraph's output", withIf(branchOf("p"), branchOf("q", add("a", "q"))), []string{`output "p": nothing produces it`}},
		{"all at once", func(m *onnx.Model) {
			m.Graph.Nodes[0].Op, m.Graph.Nodes[1].Inputs[0], m.Graph.Initializers["w"].Dims[0] = "Plus", "gone", 9
		}, []string{"no such operator", `"gone"`, `initializer "w"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := chain()
			test.change(m)
			err := Check(m, "com.example")
			if (err == nil) != (len(test.want) == 0) {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%v\nwithout %q", err, want)
				}
			}
		})
	}
	if Check(nil) == nil || Check(&onnx.Model{}) == nil {
		t.Error("a model without a graph was accepted")
	}
}

func TestOpVersion(t *testing.T) {
	for _, test := range []struct {
		op          string
		opset, want int64
	}{
		{"Relu", 18, 14}, {"Relu", 13, 13}, {"Gelu", 19, 0}, {"Gelu", 20, 20}, {"Upsample", 9, 9}, {"Upsample", 10, 0},
		{"GroupNormalization", 20, 18}, {"GroupNormalization", 21, 21}, {"Nothing", 18, 0},
	} {
		if got := opVersion(test.op, test.opset); got != test.want {
			t.Errorf("%s at %d: got %d, want %d", test.op, test.opset, got, test.want)
		}
	}
}

// operator puts another node in the place of the third, in a model of the opset.
func operator(opset int64, n *onnx.Node) func(*onnx.Model) {
	return func(m *onnx.Model) {
		m.Opset = opset
		last := m.Graph.Nodes[2]
		n.Name, n.Outputs = "third", last.Outputs
		m.Graph.Nodes[2] = n
	}
}
