package autodiff

import (
	"runtime"
	"testing"

	"winnow/onnx"
)

// Equal constants are one initializer, and finding that out takes no memory of their size.
func TestConstantsAreSharedCheaply(t *testing.T) {
	g := &onnx.Graph{Initializers: map[string]*onnx.Tensor{}}
	e := newEmitter(g, onnx.NewInference(g))
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
	e := newEmitter(g, onnx.NewInference(g))
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
