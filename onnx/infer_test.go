package onnx

import "testing"

func TestSmoke(t *testing.T) {
	g := &Graph{Inputs: []Value{{"x", Float32, Shape{Symbol("N"), Const(3), Const(32), Const(32)}}},
		Initializers: map[string]*Tensor{"w": NewTensor(Float32, 8, 3, 3, 3), "one": FromInt64([]int64{-1}, 1), "zero": FromInt64([]int64{0}), "ax": FromInt64([]int64{0}, 1)}}
	in := NewInference(g)
	for _, n := range []*Node{
		{Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"}, Attrs: map[string]Attr{"pads": IntsAttr(1, 1, 1, 1), "strides": IntsAttr(2, 2)}},
		{Op: "Shape", Inputs: []string{"y"}, Outputs: []string{"s"}},
		{Op: "Gather", Inputs: []string{"s", "zero"}, Outputs: []string{"n"}},
		{Op: "Unsqueeze", Inputs: []string{"n", "ax"}, Outputs: []string{"n1"}},
		{Op: "Concat", Inputs: []string{"n1", "one"}, Outputs: []string{"t"}, Attrs: map[string]Attr{"axis": IntAttr(0)}},
		{Op: "Reshape", Inputs: []string{"y", "t"}, Outputs: []string{"z"}},
		{Op: "Mul", Inputs: []string{"n1", "one"}, Outputs: []string{"m"}},
		{Op: "Equal", Inputs: []string{"n1", "one"}, Outputs: []string{"e"}},
	} {
		if err := in.Node(n); err != nil {
			t.Fatal(err)
		}
		v, _ := in.Type(n.Outputs[0])
		c, ok := in.Content(n.Outputs[0])
		t.Log(n.Op, v, c, ok)
	}
}
