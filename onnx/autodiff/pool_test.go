package autodiff

import (
	"fmt"
	"testing"

	"winnow/onnx"
	"winnow/onnx/infer"
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
	const channels = 16 // a whole block of the blocked form; all alike
	repeat := func(v []float64) (all []float64) {
		for range channels {
			all = append(all, v...)
		}
		return all
	}
	for _, form := range []string{PoolScatter, PoolCompare, "blocked"} {
		t.Run(form, func(t *testing.T) {
			in := onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, channels, 4, 4)}
			g := &onnx.Graph{Name: "ties", Inputs: []onnx.Value{in}, Initializers: map[string]*onnx.Tensor{}}
			e := newEmitter(g, infer.New(g))
			n := &onnx.Node{Name: "pool", Op: "MaxPool", Inputs: []string{"x"}, Outputs: []string{"y"},
				Attrs: attrs{"kernel_shape": is(2, 2), "strides": is(2, 2)}}
			lower := Lowering{Pool: form}
			if form == "blocked" {
				lower = Lowering{Block: blockOf(t, d)}
				e.blockImages(lower.Block, "")
				e.blocks.of["x"] = e.blockIn("x")
			}
			e.forward(n)
			var g4 []float32
			for range channels {
				g4 = append(g4, 1, 2, 3, 4)
			}
			seeds := map[string]string{"y": e.floats(g4, 1, channels, 2, 2)}
			grads, err := backward(e, []*onnx.Node{n}, forwardFlow([]*onnx.Node{n}, e.inf, []string{"x"}), seeds, lower)
			if err != nil {
				t.Fatal(err)
			}
			e.output(grads["x"])
			model, err := encode(g)
			if err != nil {
				t.Fatal(err)
			}
			f, err := d.NewFunction(model, []ortrun.Slot{{Name: "x", DType: ortrun.Float32, Shape: []int64{1, channels, 4, 4}}},
				[]ortrun.Slot{{Name: grads["x"], DType: ortrun.Float32, Shape: []int64{1, channels, 4, 4}}})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			raw := make([]byte, 64*channels)
			putFloats(raw, onnx.Float32, repeat(x))
			out, err := f.Run(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := getFloats(out[0], onnx.Float32); fmt.Sprint(got) != fmt.Sprint(repeat(want)) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}
