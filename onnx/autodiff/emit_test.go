package autodiff

import (
	"runtime"
	"testing"

	"winnow/onnx"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
)

// Equal constants are one initializer, and finding that out takes no memory of their size.
func TestConstantsAreSharedCheaply(t *testing.T) {
	g := &onnx.Graph{Initializers: map[string]*onnx.Tensor{}}
	e := newEmitter(g, infer.New(g))
	a, b, other := onnx.NewTensor(onnx.Float32, 1<<22), onnx.NewTensor(onnx.Float32, 1<<22), onnx.NewTensor(onnx.Float32, 1<<21, 2)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	first, same, reshaped := e.constant(a), e.constant(b), e.constant(other)
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
	e := newEmitter(g, infer.New(g))
	for _, v := range g.Inputs {
		e.inf.Set(v)
	}
	for x, rank := range map[string]int{"filter": 4, "wide": 0} {
		for _, number := range []string{e.scalar(0.5), "rate"} {
			y := e.mul(x, number)
			n := g.Nodes[len(g.Nodes)-1]
			if n.Outputs[0] != y || len(e.shape(n.Inputs[1])) != rank || !e.shape(y).Equal(e.shape(x)) {
				t.Errorf("%s times %s: %v beside %v gives %v", x, number, e.shape(n.Inputs[1]), e.shape(x), e.shape(y))
			}
		}
	}
}

// What levelled spares: the same product with a number of as many dimensions,
// and without. Each run also copies its 4 MB in and out.
func BenchmarkNumberBesideFilter(b *testing.B) {
	d := device(b)
	dims := []int64{2048, 512, 1, 1}
	for name, mul := range map[string]func(e *emitter, x, number string) string{
		"levelled": (*emitter).mul,
		"plain":    func(e *emitter, x, number string) string { return e.opsIn("", "Mul", 1, nil, x, number)[0] },
	} {
		b.Run(name, func(b *testing.B) {
			x := onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(dims...)}
			g := &onnx.Graph{Name: "number", Inputs: []onnx.Value{x}, Initializers: map[string]*onnx.Tensor{}}
			e := newEmitter(g, infer.New(g))
			e.inf.Set(x)
			y := mul(e, "x", e.scalar(0.9))
			e.output(y)
			model, err := encode(g)
			if err != nil {
				b.Fatal(err)
			}
			f, err := d.NewFunction(model, []ortrun.Slot{{Name: "x", DType: ortrun.Float32, Shape: dims}}, []ortrun.Slot{{Name: y, DType: ortrun.Float32, Shape: dims}})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			raw := make([]byte, 4*product(dims))
			for b.Loop() {
				if _, err := f.Run(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
