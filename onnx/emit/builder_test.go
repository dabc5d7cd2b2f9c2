package emit_test

import (
	"runtime"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
)

// Equal constants are one initializer, and finding that out takes no memory of their size.
func TestConstantsAreSharedCheaply(t *testing.T) {
	g := &onnx.Graph{Initializers: map[string]*onnx.Tensor{}}
	e := emit.New(g, infer.New(g))
	a, b, other := onnx.NewTensor(onnx.Float32, 1<<22), onnx.NewTensor(onnx.Float32, 1<<22), onnx.NewTensor(onnx.Float32, 1<<21, 2)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	first, same, reshaped := e.Constant(a), e.Constant(b), e.Constant(other)
	runtime.ReadMemStats(&after)
	if first != same || first == reshaped {
		t.Errorf("constants %q, %q, %q", first, same, reshaped)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

// Single numbers have as many dimensions as a value beside them that ends in
// one of 1, constants and others, and no dimensions elsewhere.
func TestNumbersAreLevelled(t *testing.T) {
	g := &onnx.Graph{Initializers: map[string]*onnx.Tensor{}, Inputs: []onnx.Value{
		{Name: "filter", DType: onnx.Float32, Shape: onnx.ShapeOf(4, 3, 1, 1)}, {Name: "wide", DType: onnx.Float32, Shape: onnx.ShapeOf(4, 3, 1, 2)},
		{Name: "rate", DType: onnx.Float32, Shape: onnx.Shape{}},
	}}
	e := emit.New(g, infer.New(g))
	for _, v := range g.Inputs {
		e.Inf.Set(v)
	}
	for x, rank := range map[string]int{"filter": 4, "wide": 0} {
		for _, number := range []string{e.Scalar(0.5), "rate"} {
			y := e.Mul(x, number)
			n := g.Nodes[len(g.Nodes)-1]
			if n.Outputs[0] != y || len(e.Shape(n.Inputs[1])) != rank || !e.Shape(y).Equal(e.Shape(x)) {
				t.Errorf("%s times %s: %v beside %v gives %v", x, number, e.Shape(n.Inputs[1]), e.Shape(x), e.Shape(y))
			}
		}
	}
}

// What equal rank spares: the same product with a number of as many dimensions,
// and without. Each run also copies its 4 MB in and out.
func BenchmarkNumberBesideFilter(b *testing.B) {
	d := gradtest.Device(b)
	dims := []int64{2048, 512, 1, 1}
	for name, mul := range map[string]func(e *emit.Builder, x, number string) string{
		"equal rank": (*emit.Builder).Mul,
		"plain":      func(e *emit.Builder, x, number string) string { return e.Named("y", "Mul", nil, x, number) },
	} {
		b.Run(name, func(b *testing.B) {
			x := onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(dims...)}
			g := &onnx.Graph{Name: "number", Inputs: []onnx.Value{x}, Initializers: map[string]*onnx.Tensor{}}
			e := emit.New(g, infer.New(g))
			e.Inf.Set(x)
			y := mul(e, "x", e.Scalar(0.9))
			e.AddOutput(y)
			model, err := emit.Encode(g)
			if err != nil {
				b.Fatal(err)
			}
			f, err := d.NewFunction(model, []ortrun.Slot{{Name: "x", DType: ortrun.Float32, Shape: dims}}, []ortrun.Slot{{Name: y, DType: ortrun.Float32, Shape: dims}})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			raw := make([]byte, 4*2048*512)
			for b.Loop() {
				if _, err := f.Run(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
