package infer

import (
	"testing"

	"winnow/onnx"
)

// A Gather by a single number from a vector gives a single number, of a known
// shape, as numpy.take does.
func TestGatherOfASingleNumber(t *testing.T) {
	for _, n := range []*onnx.Node{
		{Name: "g", Op: "Gather", Inputs: []string{"x", "i"}, Outputs: []string{"y"}},
		{Name: "g", Op: "GatherND", Inputs: []string{"x", "at"}, Outputs: []string{"y"}},
	} {
		g := &onnx.Graph{Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(4)}}, Outputs: []onnx.Value{{Name: "y", DType: onnx.Float32}}, Nodes: []*onnx.Node{n},
			Initializers: map[string]*onnx.Tensor{"i": onnx.FromInt64([]int64{1}), "at": onnx.FromInt64([]int64{1}, 1)}}
		inf, err := Model(&onnx.Model{IRVersion: 8, Opset: 18, Graph: g})
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := inf.Type("y"); v.Shape == nil || len(v.Shape) != 0 {
			t.Errorf("%s gives %v, want a single number", n.Op, v.Shape)
		}
	}
}
