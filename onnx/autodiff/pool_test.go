package autodiff

import (
	"fmt"
	"testing"

	"winnow/onnx"
	ortrun "winnow/runtime"
)

// Among equal maxima the first, in row-major order, gets the whole gradient,
// as torch.nn.functional.max_pool2d has it; negative ones and zeros too.
func TestMaxPoolTies(t *testing.T) {
	d := device(t)
	x := []float64{
		1, 1, 0, 0,
		1, 1, 0, 0,
		-2, -3, 5, 4,
		-2, -2, 4, 5,
	}
	want := []float64{
		1, 0, 2, 0,
		0, 0, 0, 0,
		3, 0, 4, 0,
		0, 0, 0, 0,
	}
	for _, form := range []string{PoolScatter, PoolCompare} {
		t.Run(form, func(t *testing.T) {
			in := onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, 1, 4, 4)}
			g := &onnx.Graph{Name: "ties", Inputs: []onnx.Value{in}, Initializers: map[string]*onnx.Tensor{}}
			e := newEmitter(g, onnx.NewInference(g))
			n := &onnx.Node{Name: "pool", Op: "MaxPool", Inputs: []string{"x"}, Outputs: []string{"y"},
				Attrs: attrs{"kernel_shape": is(2, 2), "strides": is(2, 2)}}
			e.add(n)
			seeds := map[string]string{"y": e.floats([]float32{1, 2, 3, 4}, 1, 1, 2, 2)}
			grads, err := backward(e, []*onnx.Node{n}, forwardFlow([]*onnx.Node{n}, e.inf, []string{"x"}), seeds, Lowering{Pool: form})
			if err != nil {
				t.Fatal(err)
			}
			e.output(grads["x"])
			model, err := encode(g)
			if err != nil {
				t.Fatal(err)
			}
			f, err := d.NewFunction(model, []ortrun.Slot{{Name: "x", DType: ortrun.Float32, Shape: []int64{1, 1, 4, 4}}},
				[]ortrun.Slot{{Name: grads["x"], DType: ortrun.Float32, Shape: []int64{1, 1, 4, 4}}})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			raw := make([]byte, 64)
			putFloats(raw, onnx.Float32, x)
			out, err := f.Run(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := getFloats(out[0], onnx.Float32); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}
