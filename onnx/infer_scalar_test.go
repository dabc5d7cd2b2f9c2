package onnx

import "testing"

// A Gather by a single number from a vector gives a single number, of a known
// shape, as numpy.take does.
func TestGatherOfASingleNumber(t *testing.T) {
	for _, n := range []*Node{
		{Name: "g", Op: "Gather", Inputs: []string{"x", "i"}, Outputs: []string{"y"}},
		{Name: "g", Op: "GatherND", Inputs: []string{"x", "at"}, Outputs: []string{"y"}},
	} {
		g := &Graph{Inputs: []Value{{Name: "x", DType: Float32, Shape: ShapeOf(4)}}, Outputs: []Value{{Name: "y", DType: Float32}}, Nodes: []*Node{n},
			Initializers: map[string]*Tensor{"i": FromInt64([]int64{1}), "at": FromInt64([]int64{1}, 1)}}
		inf, err := Infer(&Model{IRVersion: 8, Opset: 18, Graph: g})
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := inf.Type("y"); v.Shape == nil || len(v.Shape) != 0 {
			t.Errorf("%s gives %v, want a single number", n.Op, v.Shape)
		}
	}
}
