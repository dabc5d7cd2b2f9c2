package autodiff_test

import (
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
)

// Indices that repeat add up exactly, however many threads the provider has:
// every row of x is read reads times, so with an adjoint of ones its gradient
// is reads.
func TestRepeatedIndicesAddUp(t *testing.T) {
	const rows, width, reads, runs = 3, 64, 8000, 20
	d := gradtest.Device(t)
	index := make([]int64, rows*reads)
	for i := range index {
		index[i] = int64(i % rows)
	}
	ones := onnx.NewTensor(onnx.Float32, rows*reads, width)
	all := make([]float64, rows*reads*width)
	for i := range all {
		all[i] = 1
	}
	gradtest.PutFloats(ones.Data, onnx.Float32, all)
	for op, dims := range map[string][]int64{"Gather": {rows * reads}, "GatherND": {rows * reads, 1}} {
		t.Run(op, func(t *testing.T) {
			g := &onnx.Graph{Name: "repeated", Initializers: map[string]*onnx.Tensor{"index": onnx.FromInt64(index, dims...)},
				Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(rows, width)}}}
			e := emit.New(g, infer.New(g))
			n := &onnx.Node{Name: "read", Op: op, Inputs: []string{"x", "index"}, Outputs: []string{"y"}}
			e.Append(n)
			grads, err := autodiff.Backward(e, []*onnx.Node{n}, []string{"x"}, map[string]string{"y": e.Constant(ones)}, autodiff.Walk{})
			if err != nil {
				t.Fatal(err)
			}
			e.AddOutput(grads["x"])
			model, err := emit.Encode(g)
			if err != nil {
				t.Fatal(err)
			}
			slot := ortrun.Slot{Name: "x", DType: ortrun.Float32, Shape: []int64{rows, width}}
			f, err := d.NewFunction(model, []ortrun.Slot{slot}, []ortrun.Slot{{Name: grads["x"], DType: slot.DType, Shape: slot.Shape}})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for range runs {
				out, err := f.Run(make([]byte, 4*rows*width))
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range gradtest.GetFloats(out[0], onnx.Float32) {
					if v != reads {
						t.Fatalf("element %d is %v, want %d", i, v, reads)
					}
				}
			}
		})
	}
}
