package opset

import (
	"errors"
	"strings"
	"testing"

	"winnow/onnx"
)

// calls is a model of one call of each function given.
func calls(functions ...*onnx.Function) *onnx.Model {
	m := &onnx.Model{Opset: 18, Functions: functions, Graph: &onnx.Graph{
		Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(2)}}, Initializers: map[string]*onnx.Tensor{},
	}}
	for _, f := range functions {
		m.Graph.Nodes = append(m.Graph.Nodes, &onnx.Node{Name: "call" + f.Name, Op: f.Name, Domain: f.Domain, Inputs: []string{"x"}, Outputs: []string{"y" + f.Name}})
		m.Graph.Outputs = append(m.Graph.Outputs, onnx.Value{Name: "y" + f.Name, DType: onnx.Float32, Shape: onnx.ShapeOf(2)})
	}
	return m
}

func function(name string, nodes ...*onnx.Node) *onnx.Function {
	return &onnx.Function{Name: name, Domain: "d", Inputs: []string{"a"}, Outputs: []string{"z"}, Nodes: nodes, Opset: 18, Domains: map[string]int64{"d": 1}}
}

func inner(op, domain, in, out string) *onnx.Node {
	return &onnx.Node{Op: op, Domain: domain, Inputs: []string{in}, Outputs: []string{out}}
}

func TestInlineRefuses(t *testing.T) {
	old := function("F", &onnx.Node{Op: "ReduceSum", Inputs: []string{"a"}, Outputs: []string{"z"}, Attrs: map[string]onnx.Attr{"axes": onnx.IntsAttr(0)}})
	old.Opset = 12
	doubled := func(first *onnx.Function) *onnx.Model {
		bomb := []*onnx.Function{first}
		for i := 1; i <= 40; i++ {
			f := "F" + string(rune('0'+i-1))
			bomb = append(bomb, function("F"+string(rune('0'+i)), inner(f, "d", "a", "t"), inner(f, "d", "t", "z")))
		}
		return calls(bomb...)
	}
	nothing, last := function("F0"), "F"+string(rune('0'+40))
	nothing.Outputs = nil
	many := calls(function("F", inner("Relu", "", "a", "z")))
	many.Graph.Nodes[0].Inputs = []string{"x", "x"}
	kind := calls(function("F", &onnx.Node{Op: "Elu", Inputs: []string{"a"}, Outputs: []string{"z"},
		Attrs: map[string]onnx.Attr{"alpha": {Kind: onnx.AttrFloat, Ref: "k"}}}))
	kind.Graph.Nodes[0].Attrs = map[string]onnx.Attr{"k": onnx.IntAttr(1)}
	for name, test := range map[string]struct {
		m    *onnx.Model
		kind error
		text string
	}{
		"calls itself":     {calls(function("F", inner("F", "d", "a", "z"))), onnx.ErrInvalid, "calls itself"},
		"in a circle":      {calls(function("F", inner("G", "d", "a", "z")), function("G", inner("F", "d", "a", "z"))), onnx.ErrInvalid, "calls itself"},
		"expands forever":  {doubled(function("F0", inner("Relu", "", "a", "z"))), onnx.ErrTooLarge, "expand to more"},
		"doubles nothing":  {doubled(nothing), onnx.ErrTooLarge, "expand to more"},
		"circles double":   {doubled(function("F0", inner(last, "d", "a", "z"))), onnx.ErrInvalid, "calls itself"},
		"another opset":    {calls(old), onnx.ErrUnsupported, "ReduceSum"},
		"too many inputs":  {many, onnx.ErrInvalid, `node "callF" (d.F): 2 inputs`},
		"attribute's kind": {kind, onnx.ErrInvalid, `attribute "k"`},
		"no graph":         {&onnx.Model{}, onnx.ErrInvalid, "no graph"},
	} {
		if err := Inline(test.m); !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %q", name, err, test.text)
		}
	}
}

// The operators of a body mean the same at another opset if they did not
// change between; and the domains left are those in use.
func TestInlineOpsetsAndDomains(t *testing.T) {
	f := function("F", inner("Relu", "", "a", "t"), inner("Op", "other", "t", "z"))
	f.Opset, f.Domains = 15, map[string]int64{"d": 1, "other": 3}
	m := calls(f)
	m.Domains = map[string]int64{"d": 1, "unused": 1}
	if err := Inline(m); err != nil {
		t.Fatal(err)
	}
	if m.Opset != 18 || len(m.Domains) != 1 || m.Domains["other"] != 3 || m.Functions != nil {
		t.Errorf("opset %d, domains %v", m.Opset, m.Domains)
	}
	if err := Check(m, "other"); err != nil {
		t.Error(err)
	}
}

// Names of the body may be in use outside.
func TestInlineNamesStayApart(t *testing.T) {
	m := calls(function("F", inner("Relu", "", "a", "t"), inner("Relu", "", "t", "z")))
	m.Graph.Nodes = append(m.Graph.Nodes,
		&onnx.Node{Op: "F", Domain: "d", Inputs: []string{"yF"}, Outputs: []string{"callF/t"}},
		&onnx.Node{Name: "callF", Op: "F", Domain: "d", Inputs: []string{"yF"}, Outputs: []string{"last"}})
	if err := Inline(m); err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	if len(m.Graph.Nodes) != 6 {
		t.Errorf("%d nodes", len(m.Graph.Nodes))
	}
}
