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
