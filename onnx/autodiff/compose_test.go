package autodiff

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
)

// Every composed operator gives what ONNX Runtime's own kernel gives, and its
// gradient is that of central differences.
func TestCompositions(t *testing.T) {
	d := device(t)
	for _, c := range composedCases() {
		t.Run(c.String(), func(t *testing.T) { checkGradient(t, d, c) })
	}
}

func composedCases() []gradCase {
	var cases []gradCase
	add := func(op, name string, a attrs, args ...arg) *gradCase {
		cases = append(cases, gradCase{op: op, name: name, attrs: a, args: args, dtype: onnx.Float32, step: 1e-2, tol: 3e-3})
		return &cases[len(cases)-1]
	}
	for p := int64(1); p <= 3; p++ {
		for name, a := range map[string]attrs{
			"plain": {"kernel_shape": is(2, 3), "p": ia(p)}, "stride": {"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 0, 1, 1), "p": ia(p)},
			"ceil":    {"kernel_shape": is(2, 2), "strides": is(2, 2), "ceil_mode": ia(1), "p": ia(p)},
			"dilated": {"kernel_shape": is(2, 2), "dilations": is(2, 1), "p": ia(p)},
			"upper":   {"kernel_shape": is(3, 2), "strides": is(2, 3), "auto_pad": sa("SAME_UPPER"), "p": ia(p)},
			"lower":   {"kernel_shape": is(3, 2), "strides": is(2, 3), "auto_pad": sa("SAME_LOWER"), "p": ia(p)},
		} {
			add("LpPool", fmt.Sprintf("%s-%d", name, p), a, tensor(2, 2, 5, 7).drawn(apart))
		}
		add("GlobalLpPool", fmt.Sprint("image-", p), attrs{"p": ia(p)}, tensor(2, 3, 3, 4).drawn(apart))
	}
	add("LpPool", "line", attrs{"kernel_shape": is(3)}, tensor(2, 2, 8).drawn(apart))
	add("LpPool", "volume", attrs{"kernel_shape": is(2, 1, 2)}, tensor(1, 2, 3, 3, 4).drawn(apart))
	for p := int64(1); p <= 2; p++ {
		for _, axis := range []int64{-1, 1} {
			add("LpNormalization", fmt.Sprintf("axis%d-%d", axis, p), attrs{"p": ia(p), "axis": ia(axis)}, tensor(2, 3, 4).drawn(apart))
		}
	}
	add("MeanVarianceNormalization", "default", nil, tensor(2, 3, 4, 5))
	add("MeanVarianceNormalization", "batch", attrs{"axes": is(0, 1, 2, 3)}, tensor(2, 3, 4, 5))
	for _, size := range []int64{1, 2, 3, 4, 5} {
		add("LRN", fmt.Sprint("size", size), attrs{"size": ia(size), "alpha": fa(0.3), "beta": fa(0.6), "bias": fa(1.5)}, tensor(2, 4, 3, 2)).alone = size%2 == 0
	}
	add("LRN", "default", attrs{"size": ia(3)}, tensor(2, 4, 3, 2))
	add("CastLike", "float", nil, tensor(2, 3), arg{fixed: onnx.FromFloat32([]float32{0}), keep32: true})

	fold := func(name string, image, block []int64, a attrs, args ...int64) {
		c := add("Col2Im", name, a, tensor(args...), ints(image...), ints(block...))
		c.step, c.tol = 0.5, 1e-4
	}
	fold("plain", []int64{5, 6}, []int64{2, 3}, nil, 2, 12, 16)
	fold("apart", []int64{4, 6}, []int64{2, 2}, attrs{"strides": is(2, 2)}, 2, 12, 6)
	fold("padded", []int64{4, 5}, []int64{3, 3}, attrs{"pads": is(1, 1, 1, 1)}, 2, 18, 20)
	fold("uneven", []int64{5, 5}, []int64{2, 2}, attrs{"pads": is(1, 0, 0, 2), "strides": is(2, 3)}, 1, 8, 6)
	fold("dilated", []int64{6, 6}, []int64{2, 2}, attrs{"dilations": is(3, 2), "pads": is(1, 1, 1, 1)}, 1, 8, 30)
	fold("rest", []int64{6, 7}, []int64{3, 3}, attrs{"strides": is(2, 2)}, 1, 9, 6)

	transposed := func(name string, a attrs, x, w arg, bias ...arg) *gradCase {
		c := add("ConvTranspose", name, a, append([]arg{x, w}, bias...)...)
		c.step, c.tol = 0.5, 1e-4
		return c
	}
	for _, auto := range []string{"SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"} {
		for k := int64(2); k <= 4; k++ {
			name := fmt.Sprintf("%s-%d", strings.ToLower(auto), k)
			a := attrs{"auto_pad": sa(auto), "strides": is(2, 2)}
			if auto != "NOTSET" {
				transposed(name, a, tensor(1, 2, 3, 4), tensor(2, 3, k, 3), tensor(3))
			}
			b := attrs{"auto_pad": sa(auto), "strides": is(2, 2), "output_shape": is(2*3-1+k%2, 2*4+1)}
			transposed(name+"-sized", b, tensor(1, 2, 3, 4), tensor(2, 3, k, 3))
		}
	}
	transposed("same-extra", attrs{"auto_pad": sa("SAME_UPPER"), "strides": is(2, 2), "output_padding": is(1, 1)}, tensor(1, 2, 3, 4), tensor(2, 3, 3, 3)).alone = true
	transposed("sized-extra", attrs{"strides": is(2, 2), "output_padding": is(1, 1), "output_shape": is(6, 8)}, tensor(1, 2, 3, 4), tensor(2, 3, 3, 3))
	transposed("sized-grouped", attrs{"strides": is(2, 1), "group": ia(2), "dilations": is(1, 2), "output_shape": is(6, 7)}, tensor(1, 4, 3, 4), tensor(4, 3, 3, 3))
	transposed("same-line", attrs{"auto_pad": sa("SAME_LOWER"), "strides": is(3)}, tensor(1, 2, 5), tensor(2, 2, 4))
	transposed("plain-volume", nil, tensor(1, 2, 2, 3, 2), tensor(2, 2, 2, 2, 2))
	c := add("Conv", "same-upper", attrs{"auto_pad": sa("SAME_UPPER"), "strides": is(2, 3)}, tensor(1, 2, 5, 7), tensor(3, 2, 3, 4))
	c.step, c.tol = 0.5, 1e-4

	for _, a := range dilatedPools() {
		c := add("AveragePool", fmt.Sprint(a.text), a.attrs, tensor(2, 3, 7, 8))
		c.domain, c.step, c.tol = onnx.LaterDomain, 0.5, 1e-4
	}
	return cases
}

type dilatedPool struct {
	text  string
	attrs attrs
}

func dilatedPools() []dilatedPool {
	var all []dilatedPool
	for _, count := range []int64{0, 1} {
		for _, ceil := range []int64{0, 1} {
			for name, a := range map[string]attrs{
				"plain": {}, "padded": {"pads": is(1, 0, 1, 2)}, "stride": {"strides": is(2, 3), "pads": is(1, 1, 1, 1)},
				"same-upper": {"auto_pad": sa("SAME_UPPER"), "strides": is(2, 1)},
			} {
				a["kernel_shape"], a["dilations"] = is(3, 2), is(2, 3)
				a["count_include_pad"], a["ceil_mode"] = ia(count), ia(ceil)
				all = append(all, dilatedPool{fmt.Sprintf("%s-%d%d", name, count, ceil), a})
			}
		}
	}
	return all
}

// A convolution that needs no other padding keeps its place; one whose padding
// follows its dilated size gets it in numbers: (5-1)+5-5 = 4 rows, and for every
// second of 6 columns (3-1)*2+5-6 = 3 columns.
func TestComposedPaddingOfConvolutions(t *testing.T) {
	g := &onnx.Graph{
		Inputs:       []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, 2, 5, 5)}},
		Initializers: map[string]*onnx.Tensor{"w": onnx.NewTensor(onnx.Float32, 3, 2, 3, 3)},
		Nodes:        []*onnx.Node{{Name: "c", Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"}, Attrs: attrs{}}},
	}
	was := g.Nodes[0]
	if err := compose(g); err != nil || len(g.Nodes) != 1 || len(g.Nodes[0].Attrs) != 0 || len(g.Initializers) != 1 {
		t.Fatalf("%v, %v", g.Nodes, err)
	}
	for auto, want := range map[string][]int64{"SAME_UPPER": {2, 1, 2, 2}, "SAME_LOWER": {2, 2, 2, 1}} {
		was.Attrs = attrs{"auto_pad": sa(auto), "dilations": is(2, 2), "strides": is(1, 2)}
		g.Inputs[0].Shape = onnx.ShapeOf(1, 2, 5, 6)
		g.Nodes = []*onnx.Node{was}
		if err := compose(g); err != nil {
			t.Fatal(err)
		}
		if got := g.Nodes[0].Ints("pads", nil); !slices.Equal(got, want) || g.Nodes[0].Str("auto_pad", "") != "" {
			t.Errorf("%s: pads %v, want %v", auto, got, want)
		}
	}
}

// An LpPool over zeros alone has no gradient there, and no NaN.
func TestNormsOfZeros(t *testing.T) {
	d := device(t)
	zeros := func(*rand.Rand, int) float64 { return 0 }
	for _, c := range []gradCase{
		{op: "LpPool", attrs: attrs{"kernel_shape": is(2, 2)}, args: []arg{tensor(1, 1, 3, 3).drawn(zeros)}},
		{op: "GlobalLpPool", args: []arg{tensor(1, 1, 3, 3).drawn(zeros)}},
		{op: "MeanVarianceNormalization", args: []arg{tensor(1, 1, 3, 3).drawn(zeros)}},
	} {
		c.name, c.dtype, c.step, c.tol, c.alone = "zeros", onnx.Float32, 1e-30, math.Inf(1), true
		checkGradient(t, d, c)
	}
}

// Values of windows with dilations, which opset 18 lacks, by the definition of opset 19.
func TestDilatedMeans(t *testing.T) {
	d := device(t)
	for _, p := range dilatedPools() {
		t.Run(p.text, func(t *testing.T) {
			in := onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, 1, 7, 8)}
			n := &onnx.Node{Name: "pool", Op: "AveragePool", Domain: onnx.LaterDomain, Inputs: []string{"x"}, Outputs: []string{"y"}, Attrs: p.attrs}
			g := &onnx.Graph{Inputs: []onnx.Value{in}, Initializers: map[string]*onnx.Tensor{}, Nodes: []*onnx.Node{n}}
			if err := compose(g); err != nil {
				t.Fatal(err)
			}
			inf, err := infer.Model(&onnx.Model{Opset: 18, Graph: g})
			if err != nil {
				t.Fatal(err)
			}
			y, _ := inf.Type("y")
			g.Outputs = []onnx.Value{y}
			model, err := encode(g)
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
			putFloats(raw, onnx.Float32, x)
			out, err := f.Run(raw)
			if err != nil {
				t.Fatal(err)
			}
			a := (&onnx.Node{Attrs: p.attrs})
			stride, pads := a.Ints("strides", []int64{1, 1}), a.Ints("pads", make([]int64, 4))
			if p.attrs["auto_pad"].S != "" { // ONNX Runtime pads for 3x2 elements, 3 and 1 in all
				pads = []int64{1, 0, 1, 1}
			}
			size := []int64{7, 8}
			kernel, dilation := []int64{3, 2}, []int64{2, 3}
			for i, got := range getFloats(out[0], onnx.Float32) {
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
	e := newEmitter(g, infer.New(g))
	nodes := []*onnx.Node{
		{Name: "q", Op: "QuantizeLinear", Inputs: []string{"x", "s", "z"}, Outputs: []string{"i"}},
		{Name: "d", Op: "DequantizeLinear", Inputs: []string{"i", "s", "z"}, Outputs: []string{"y"}},
	}
	for _, n := range nodes {
		e.forward(n)
	}
	seed := e.floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	grads, err := backward(e, nodes, forwardFlow(nodes, e.inf, []string{"x"}), map[string]string{"y": seed}, Lowering{})
	if err != nil {
		t.Fatal(err)
	}
	e.named("dx", "Identity", nil, grads["x"])
	g.Outputs = []onnx.Value{{Name: "dx", DType: onnx.Float32, Shape: onnx.ShapeOf(2, 3)}}
	model, err := encode(g)
	if err != nil {
		t.Fatal(err)
	}
	slot := func(name string) []ortrun.Slot {
		return []ortrun.Slot{{Name: name, DType: ortrun.Float32, Shape: []int64{2, 3}}}
	}
	f, err := device(t).NewFunction(model, slot("x"), slot("dx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw := make([]byte, 24)
	// Levels -131+3 = -128 and 124+3 = 127 are the ends.
	putFloats(raw, onnx.Float32, []float64{0.04, -13.12, -13.18, 12.41, 12.47, -200})
	out, err := f.Run(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1, 2, 0, 4, 0, 0} {
		if got := getFloats(out[0], onnx.Float32)[i]; math.Abs(got-want) > 1e-6 {
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
		err := checkQuantised(&onnx.Graph{Nodes: nodes})
		if !errors.Is(err, ErrModel) || !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(fmt.Sprint(err), "export the float model") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := checkQuantised(&onnx.Graph{Nodes: []*onnx.Node{node("QuantizeLinear", "x", "s"), node("DequantizeLinear", "QuantizeLinear", "s")}}); err != nil {
		t.Error(err)
	}
}
