package onnx

import "testing"

func TestNames(t *testing.T) {
	inner := &Graph{Nodes: []*Node{{Op: "Relu", Inputs: []string{"outside"}, Outputs: []string{"inside"}}}}
	g := &Graph{
		Inputs: []Value{{Name: "x"}}, Outputs: []Value{{Name: "y"}}, Initializers: map[string]*Tensor{"w": nil, "x_1": nil},
		Nodes: []*Node{{Op: "If", Inputs: []string{"c"}, Outputs: []string{"y"}, Attrs: map[string]Attr{"then_branch": {G: inner}}}},
	}
	names := NewNames(g)
	for _, c := range []struct{ base, want string }{
		{"free", "free"}, {"free", "free_1"}, {"free", "free_2"}, {"x", "x_2"}, {"y", "y_1"}, {"w", "w_1"}, {"c", "c_1"},
		{"outside", "outside_1"}, {"inside", "inside_1"}, {"", "_1"}, {"", "_2"},
	} {
		if got := names.Fresh(c.base); got != c.want {
			t.Errorf("%q: got %q, want %q", c.base, got, c.want)
		}
	}
	if got := names.Numbered("x", ".", 2); got != "x.2" {
		t.Errorf("got %q", got)
	}
	names.Take("x.3")
	if got := names.Numbered("x", ".", 2); got != "x.4" {
		t.Errorf("after x.3 was taken: %q", got)
	}
	var none Names
	if a, b := none.Fresh("a"), none.Fresh("a"); a != "a" || b != "a_1" {
		t.Errorf("of no graph: %q, %q", a, b)
	}
	if got := new(Names).Fresh(""); got != "_1" {
		t.Errorf("of no graph, without a base: %q", got)
	}
}
