package onnx

import (
	"errors"
	"strings"
	"testing"
)

// calls is a model of one call of each function given.
func calls(functions ...*Function) *Model {
	m := &Model{Opset: 18, Functions: functions, Graph: &Graph{
		Inputs: []Value{{Name: "x", DType: Float32, Shape: ShapeOf(2)}}, Initializers: map[string]*Tensor{},
	}}
	for _, f := range functions {
		m.Graph.Nodes = append(m.Graph.Nodes, &Node{Name: "call" + f.Name, Op: f.Name, Domain: f.Domain, Inputs: []string{"x"}, Outputs: []string{"y" + f.Name}})
		m.Graph.Outputs = append(m.Graph.Outputs, Value{Name: "y" + f.Name, DType: Float32, Shape: ShapeOf(2)})
	}
	return m
}

func function(name string, nodes ...*Node) *Function {
	return &Function{Name: name, Domain: "d", Inputs: []string{"a"}, Outputs: []string{"z"}, Nodes: nodes, Opset: 18, Domains: map[string]int64{"d": 1}}
}

func inner(op, domain, in, out string) *Node {
	return &Node{Op: op, Domain: domain, Inputs: []string{in}, Outputs: []string{out}}
}

func TestInlineRefuses(t *testing.T) {
	old := function("F", &Node{Op: "ReduceSum", Inputs: []string{"a"}, Outputs: []string{"z"}, Attrs: map[string]Attr{"axes": IntsAttr(0)}})
	old.Opset = 12
	bomb := []*Function{function("F0", inner("Relu", "", "a", "z"))}
	for i := 1; i <= 40; i++ {
		f := "F" + string(rune('0'+i-1))
		bomb = append(bomb, function("F"+string(rune('0'+i)), inner(f, "d", "a", "t"), inner(f, "d", "t", "z")))
	}
	many := calls(function("F", inner("Relu", "", "a", "z")))
	many.Graph.Nodes[0].Inputs = []string{"x", "x"}
	kind := calls(function("F", &Node{Op: "Elu", Inputs: []string{"a"}, Outputs: []string{"z"},
		Attrs: map[string]Attr{"alpha": {Kind: AttrFloat, Ref: "k"}}}))
	kind.Graph.Nodes[0].Attrs = map[string]Attr{"k": IntAttr(1)}
	for name, test := range map[string]struct {
		m    *Model
		kind error
		text string
	}{
		"calls itself":     {calls(function("F", inner("F", "d", "a", "z"))), ErrInvalid, "calls itself"},
		"in a circle":      {calls(function("F", inner("G", "d", "a", "z")), function("G", inner("F", "d", "a", "z"))), ErrInvalid, "calls itself"},
		"expands forever":  {calls(bomb...), ErrTooLarge, "expand to more"},
		"another opset":    {calls(old), ErrUnsupported, "ReduceSum"},
		"too many inputs":  {many, ErrInvalid, `node "callF" (d.F): 2 inputs`},
		"attribute's kind": {kind, ErrInvalid, `attribute "k"`},
		"no graph":         {&Model{}, ErrInvalid, "no graph"},
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
		&Node{Op: "F", Domain: "d", Inputs: []string{"yF"}, Outputs: []string{"callF/t"}},
		&Node{Name: "callF", Op: "F", Domain: "d", Inputs: []string{"yF"}, Outputs: []string{"last"}})
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
