package export

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
)

// halfTolerance is how far a node and its gradient may be from float32's, by
// norm: a few roundings of 2^-11, and what sums of few terms lose by cancelling.
const halfTolerance = 16 * 0x1p-11

// Every operator's node and gradient give in half precision what they give in
// float32, for operands that float16 holds: so ONNX Runtime accepts the types
// of all that is written, and nothing rounds that must not. Each operand comes
// from a product, so that what may follow in half precision does.
func TestGradientsInHalfPrecision(t *testing.T) {
	d := gradtest.Device(t)
	for _, c := range append(gradtest.Cases(), gradtest.Blocked()...) {
		if c.Op == "Cast" { // to float64
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			h := fnv.New64a()
			fmt.Fprint(h, c)
			r := rand.New(rand.NewPCG(h.Sum64(), 1))
			operands := make([]*onnx.Tensor, len(c.Args))
			for i, a := range c.Args {
				if operands[i] = a.Fixed; a.Fixed == nil && a.Dims != nil {
					operands[i] = drawHalf(t, r, a)
				}
			}
			want := runHalfCase(t, d, c, operands, onnx.Float32)
			got := runHalfCase(t, d, c, operands, onnx.Float16)
			for k := range want {
				var diff, size float64
				for i, w := range want[k] {
					diff += (got[k][i] - w) * (got[k][i] - w)
					size += w * w
				}
				if off := math.Sqrt(diff / max(size, 1e-6)); !(off <= halfTolerance) {
					t.Errorf("output %d: %.3g off", k, off)
				}
			}
		})
	}
}

// runHalfCase runs a case's node and gradients, in float32 or with its products in half.
func runHalfCase(t *testing.T, d *ortrun.Device, c gradtest.Case, operands []*onnx.Tensor, precision onnx.DType) [][]float64 {
	t.Helper()
	g := &onnx.Graph{Name: "check", Initializers: map[string]*onnx.Tensor{}}
	node := &onnx.Node{Name: "checked", Op: c.Op, Attrs: c.Attrs, Outputs: []string{"y"}}
	var slots []ortrun.Slot
	var raw [][]byte
	var products []*onnx.Node
	var sources []string
	for i, a := range c.Args {
		name := fmt.Sprintf("x%d", i)
		switch {
		case operands[i] == nil:
			node.Inputs = append(node.Inputs, "")
			continue
		case a.Fixed != nil:
			node.Inputs = append(node.Inputs, name)
			g.Initializers[name] = a.Fixed
			continue
		}
		g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.ShapeOf(a.Dims...)})
		slots = append(slots, ortrun.Slot{Name: name, DType: ortrun.Float32, Shape: a.Dims})
		raw = append(raw, operands[i].Data)
		// A product with one operand hands it on.
		letters := "abcdefgh"[:len(a.Dims)]
		products = append(products, &onnx.Node{
			Name: name + ".product", Op: "Einsum", Inputs: []string{name}, Outputs: []string{name + ".product"},
			Attrs: emit.Attrs{"equation": onnx.StringAttr(letters + "->" + letters)},
		})
		node.Inputs = append(node.Inputs, name+".product")
		if !a.Skip {
			sources = append(sources, name)
		}
	}
	for i := 1; i < c.Outputs; i++ {
		node.Outputs = append(node.Outputs, fmt.Sprintf("y%d", i))
	}
	e := emit.New(g, infer.New(g))
	e.Take("y")
	for _, p := range products {
		e.Append(p)
	}
	walk := autodiff.Walk{Lowering: c.Lower}
	if c.BatchNorm {
		e.Batch = e.Scalar(float64(c.Args[0].Dims[0]))
		training, stats, _, _, err := autodiff.TrainingNorm(e, node, autodiff.NormForms{})
		if err != nil {
			t.Fatal(err)
		}
		node, walk.Stats = training, map[*onnx.Node]autodiff.BatchStats{training: stats}
	}
	e.Append(node)
	y, _ := e.Inf.Type("y")
	seedAt := len(g.Nodes)
	weight := drawHalf(t, rand.New(rand.NewPCG(1, 2)), gradtest.Arg{Dims: y.Shape.Ints()})
	nodes := append(products, node)
	grads, err := autodiff.Backward(e, nodes, sources, map[string]string{"y": e.Constant(weight)}, walk)
	if err != nil {
		t.Fatal(err)
	}
	outputs := []ortrun.Slot{{Name: "y", DType: ortrun.Float32, Shape: y.Shape.Ints()}}
	g.Outputs = []onnx.Value{y}
	keep := []string{}
	for _, s := range sources {
		keep = append(keep, grads[s])
	}
	if precision != onnx.Float32 {
		halve(e, precision, seedAt, seedAt, "", keep)
	}
	for i, s := range sources {
		out := e.Named("grad_of_"+s, "Identity", nil, keep[i])
		v, _ := e.Inf.Type(out)
		v.Name = out
		g.Outputs = append(g.Outputs, v)
		outputs = append(outputs, ortrun.Slot{Name: out, DType: ortrun.Float32, Shape: v.Shape.Ints()})
	}
	if e.Err != nil {
		t.Fatal(e.Err)
	}
	model, err := emit.Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.NewFunction(model, slots, outputs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, err := f.Run(raw...)
	if err != nil {
		t.Fatal(err)
	}
	values := make([][]float64, len(out))
	for i := range out {
		values[i] = gradtest.GetFloats(out[i], onnx.Float32)
	}
	return values
}

// drawHalf draws a tensor of numbers that float16 holds.
func drawHalf(t *testing.T, r *rand.Rand, a gradtest.Arg) *onnx.Tensor {
	t.Helper()
	draw := a.Draw
	if draw == nil {
		draw = func(r *rand.Rand, _ int) float64 { return r.NormFloat64() }
	}
	v := onnx.NewTensor(onnx.Float32, a.Dims...)
	x := make([]float64, v.Len())
	for i := range x {
		x[i] = draw(r, i)
	}
	gradtest.PutFloats(v.Data, onnx.Float32, x)
	half, err := v.Narrow(onnx.Float16)
	if err != nil {
		t.Fatal(err)
	}
	if v, err = half.ToFloat32(); err != nil {
		t.Fatal(err)
	}
	return v
}
