package autodiff_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
)

// Every composed operator gives what ONNX Runtime's own kernel gives, and its
// gradient is that of central differences.
func TestCompositions(t *testing.T) {
	d := gradtest.Device(t)
	for _, c := range gradtest.Composed() {
		t.Run(c.String(), func(t *testing.T) { gradtest.Check(t, d, c) })
	}
}

// A convolution that needs no other padding keeps its place; one whose padding
// follows its dilated size gets it in numbers: (5-1)+5-5 = 4 rows, and for every
// second of 6 columns (3-1)*2+5-6 = 3 columns.
func TestComposedPaddingOfConvolutions(t *testing.T) {
	g := &onnx.Graph{
		Inputs:       []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, 2, 5, 5)}},
		Initializers: map[string]*onnx.Tensor{"w": onnx.NewTensor(onnx.Float32, 3, 2, 3, 3)},
		Nodes:        []*onnx.Node{{Name: "c", Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"}, Attrs: emit.Attrs{}}},
	}
	was := g.Nodes[0]
	if err := autodiff.Compose(g); err != nil || len(g.Nodes) != 1 || len(g.Nodes[0].Attrs) != 0 || len(g.Initializers) != 1 {
		t.Fatalf("%v, %v", g.Nodes, err)
	}
	for auto, want := range map[string][]int64{"SAME_UPPER": {2, 1, 2, 2}, "SAME_LOWER": {2, 2, 2, 1}} {
		was.Attrs = emit.Attrs{"auto_pad": onnx.StringAttr(auto), "dilations": onnx.IntsAttr(2, 2), "strides": onnx.IntsAttr(1, 2)}
		g.Inputs[0].Shape = onnx.ShapeOf(1, 2, 5, 6)
		g.Nodes = []*onnx.Node{was}
		if err := autodiff.Compose(g); err != nil {
			t.Fatal(err)
		}
		if got := g.Nodes[0].Ints("pads", nil); !slices.Equal(got, want) || g.Nodes[0].Str("auto_pad", "") != "" {
			t.Errorf("%s: pads %v, want %v", auto, got, want)
		}
	}
}

// An LpPool over zeros alone has no gradient there, and no NaN.
func TestNormsOfZeros(t *testing.T) {
	d := gradtest.Device(t)
	zeros := func(*rand.Rand, int) float64 { return 0 }
	for _, c := range []gradtest.Case{
		{Op: "LpPool", Attrs: emit.Attrs{"kernel_shape": onnx.IntsAttr(2, 2)}, Args: []gradtest.Arg{gradtest.Tensor(1, 1, 3, 3).Drawn(zeros)}},
		{Op: "GlobalLpPool", Args: []gradtest.Arg{gradtest.Tensor(1, 1, 3, 3).Drawn(zeros)}},
		{Op: "MeanVarianceNormalization", Args: []gradtest.Arg{gradtest.Tensor(1, 1, 3, 3).Drawn(zeros)}},
	} {
		c.Name, c.DType, c.Step, c.Tol, c.Alone = "zeros", onnx.Float32, 1e-30, math.Inf(1), true
		gradtest.Check(t, d, c)
	}
}

// Values of windows with dilations, which opset 18 lacks, by the definition of opset 19.
func TestDilatedMeans(t *testing.T) {
	d := gradtest.Device(t)
	for _, p := range gradtest.DilatedPools() {
		t.Run(p.Text, func(t *testing.T) {
			in := onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, 1, 7, 8)}
			n := &onnx.Node{Name: "pool", Op: "AveragePool", Domain: onnx.LaterDomain, Inputs: []string{"x"}, Outputs: []string{"y"}, Attrs: p.Attrs}
			g := &onnx.Graph{Inputs: []onnx.Value{in}, Initializers: map[string]*onnx.Tensor{}, Nodes: []*onnx.Node{n}}
			if err := autodiff.Compose(g); err != nil {
				t.Fatal(err)
			}
			inf, err := infer.Model(&onnx.Model{Opset: 18, Graph: g})
			if err != nil {
				t.Fatal(err)
			}
			y, _ := inf.Type("y")
			g.Outputs = []onnx.Value{y}
			model, err := emit.Encode(g)
			if err != nil {
				t.Fatal(err)
			}
			dims := y.Shape.Ints()
			f, err := d.NewFunction(model, []ortrun.Slot{{Name: "x", DType: ortrun.Float32, Shape: []int64{1, 1, 7, 8}}},
				[]ortrun.Slot{{Name: "y", DType: ortrun.Float32, Shape: dims}})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			x := make([]float64, 56)
			for i := range x {
				x[i] = float64(i*i%23) - 7
			}
			raw := make([]byte, 4*len(x))
			gradtest.PutFloats(raw, onnx.Float32, x)
			out, err := f.Run(raw)
			if err != nil {
				t.Fatal(err)
			}
			a := (&onnx.Node{Attrs: p.Attrs})
			stride, pads := a.Ints("strides", []int64{1, 1}), a.Ints("pads", make([]int64, 4))
			if p.Attrs["auto_pad"].S != "" { // ONNX Runtime pads for 3x2 elements, 3 and 1 in all
				pads = []int64{1, 0, 1, 1}
			}
			size := []int64{7, 8}
			kernel, dilation := []int64{3, 2}, []int64{2, 3}
			for i, got := range gradtest.GetFloats(out[0], onnx.Float32) {
				at := []int64{int64(i) / dims[3] * stride[0], int64(i) % dims[3] * stride[1]}
				sum, count := 0.0, 0.0
				for r := range kernel[0] {
					for c := range kernel[1] {
						row, column := at[0]+r*dilation[0]-pads[0], at[1]+c*dilation[1]-pads[1]
						inside := row >= 0 && row < size[0] && column >= 0 && column < size[1]
						if inside {
							sum += x[row*8+column]
						}
						if inside || a.Int("count_include_pad", 0) != 0 && row < size[0]+pads[2] && column < size[1]+pads[3] {
							count++
						}
					}
				}
				if want := sum / count; !(math.Abs(got-want) <= 1e-5) {
					t.Errorf("element %d is %v, want %v", i, got, want)
				}
			}
		})
	}
}

// The gradient of fake quantisation is that of the identity between its ends
// and 0 beyond, by the formulas of torch.fake_quantize_per_tensor_affine.
func TestStraightThrough(t *testing.T) {
	zero := onnx.NewTensor(onnx.Int8)
	zero.Data[0] = 3
	g := &onnx.Graph{
		Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(2, 3)}},
		Initializers: map[string]*onnx.Tensor{
			"s": onnx.FromFloat32([]float32{0.1}), "z": zero,
		},
	}
	e := emit.New(g, infer.New(g))
	nodes := []*onnx.Node{
		{Name: "q", Op: "QuantizeLinear", Inputs: []string{"x", "s", "z"}, Outputs: []string{"i"}},
		{Name: "d", Op: "DequantizeLinear", Inputs: []string{"i", "s", "z"}, Outputs: []string{"y"}},
	}
	for _, n := range nodes {
		e.Append(n)
	}
	seed := e.Float32s([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	grads, err := autodiff.Backward(e, nodes, []string{"x"}, map[string]string{"y": seed}, autodiff.Walk{})
	if err != nil {
		t.Fatal(err)
	}
	e.Named("dx", "Identity", nil, grads["x"])
	g.Outputs = []onnx.Value{{Name: "dx", DType: onnx.Float32, Shape: onnx.ShapeOf(2, 3)}}
	model, err := emit.Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	slot := func(name string) []ortrun.Slot {
		return []ortrun.Slot{{Name: name, DType: ortrun.Float32, Shape: []int64{2, 3}}}
	}
	f, err := gradtest.Device(t).NewFunction(model, slot("x"), slot("dx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw := make([]byte, 24)
	// Levels -131+3 = -128 and 124+3 = 127 are the ends.
	gradtest.PutFloats(raw, onnx.Float32, []float64{0.04, -13.12, -13.18, 12.41, 12.47, -200})
	out, err := f.Run(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1, 2, 0, 4, 0, 0} {
		if got := gradtest.GetFloats(out[0], onnx.Float32)[i]; math.Abs(got-want) > 1e-6 {
			t.Errorf("element %d has gradient %v, want %v", i, got, want)
		}
	}
}

// What would silently not be trained in a quantised model is refused.
func TestQuantisedModelsAreRefused(t *testing.T) {
	node := func(op string, in ...string) *onnx.Node {
		return &onnx.Node{Name: "n" + op, Op: op, Inputs: in, Outputs: []string{op}}
	}
	for want, nodes := range map[string][]*onnx.Node{
		`"w" is stored quantised`:                              {node("DequantizeLinear", "w", "s")},
		`node "nQLinearConv" (QLinearConv)`:                    {node("QLinearConv", "x")},
		`node "nMatMulInteger" (MatMulInteger)`:                {node("MatMulInteger", "x")},
		`node "nReshape" (Reshape) computes with the integers`: {node("QuantizeLinear", "x", "s"), node("Reshape", "QuantizeLinear", "t")},
	} {
		err := autodiff.CheckQuantised(&onnx.Graph{Nodes: nodes})
		if !errors.Is(err, emit.ErrModel) || !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(fmt.Sprint(err), "export the float model") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := autodiff.CheckQuantised(&onnx.Graph{Nodes: []*onnx.Node{node("QuantizeLinear", "x", "s"), node("DequantizeLinear", "QuantizeLinear", "s")}}); err != nil {
		t.Error(err)
	}
}
