package nchwc_test

import (
	"fmt"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	"winnow/onnx/nchwc"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

// Among equal maxima the first, in row-major order, gets the whole gradient,
// as torch.nn.functional.max_pool2d has it; negative ones and zeros too.
func TestMaxPoolTies(t *testing.T) {
	d := gradtest.Device(t)
	image := []float64{
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
	for _, form := range []string{autodiff.PoolScatter, autodiff.PoolCompare, autodiff.PoolBlocked, autodiff.Kernel} {
		t.Run(form, func(t *testing.T) {
			in := onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, channels, 4, 4)}
			g := &onnx.Graph{Name: "ties", Inputs: []onnx.Value{in}, Initializers: map[string]*onnx.Tensor{}}
			e := emit.New(g, infer.New(g))
			n := &onnx.Node{Name: "pool", Op: "MaxPool", Inputs: []string{"x"}, Outputs: []string{"y"},
				Attrs: emit.Attrs{"kernel_shape": onnx.IntsAttr(2, 2), "strides": onnx.IntsAttr(2, 2)}}
			walk := autodiff.Walk{Lowering: autodiff.Lowering{Pool: form}}
			if form == autodiff.PoolBlocked || form == autodiff.Kernel {
				layout := nchwc.New(e, ortest.Block(t, d), "")
				if layout.Kernels = form == autodiff.Kernel; layout.Kernels {
					ortest.Kernels(t, d)
				}
				walk.Layout = layout
				n.Inputs[0] = layout.ToPlain(layout.ToBlocks("x"))
				if !layout.Forward(n, "") {
					t.Fatal("the pooling is not in blocks")
				}
			} else {
				e.Append(n)
			}
			x := n.Inputs[0]
			var g4 []float32
			for range channels {
				g4 = append(g4, 1, 2, 3, 4)
			}
			seeds := map[string]string{"y": e.Float32s(g4, 1, channels, 2, 2)}
			grads, err := autodiff.Backward(e, []*onnx.Node{n}, []string{x}, seeds, walk)
			if err != nil {
				t.Fatal(err)
			}
			e.AddOutput(grads[x])
			model, err := emit.Encode(g, nchwc.Domain, onnx.KernelDomain)
			if err != nil {
				t.Fatal(err)
			}
			f, err := d.NewFunction(model, []ortrun.Slot{{Name: "x", DType: ortrun.Float32, Shape: []int64{1, channels, 4, 4}}},
				[]ortrun.Slot{{Name: grads[x], DType: ortrun.Float32, Shape: []int64{1, channels, 4, 4}}})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			raw := make([]byte, 64*channels)
			gradtest.PutFloats(raw, onnx.Float32, repeat(image))
			out, err := f.Run(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := gradtest.GetFloats(out[0], onnx.Float32); fmt.Sprint(got) != fmt.Sprint(repeat(want)) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}
