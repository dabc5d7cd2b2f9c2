package export_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
)

// tiny is a graph from vectors of 16 to class scores, with the given weights drawn from a seed.
func tiny(weights map[string][]int64, nodes ...*onnx.Node) *onnx.Model {
	r := rand.New(rand.NewPCG(3, 4))
	g := &onnx.Graph{Name: "tiny", Inputs: []onnx.Value{batchOf("x", 16)}, Outputs: []onnx.Value{{Name: "y", DType: onnx.Float32}}, Initializers: map[string]*onnx.Tensor{}, Nodes: nodes}
	for _, name := range sortedNames(weights) {
		drawn(g, r, name, 0.5, weights[name]...)
	}
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: g}
}

func op(op string, a map[string]onnx.Attr, out string, in ...string) *onnx.Node {
	return &onnx.Node{Name: "make_" + out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: a}
}

func filled(v float32, n int64) *onnx.Tensor {
	t := make([]float32, n)
	for i := range t {
		t[i] = v
	}
	return onnx.FromFloat32(t, n)
}

// PyTorch's exporters write equal tensors once, so in a fresh model all scales
// and variances are one initializer and all biases and means another. Every
// layer still trains its own, and statistics are no weights.
func TestEqualTensorsWrittenOnce(t *testing.T) {
	var said string
	m := tiny(map[string][]int64{"w": {16, 8}, "v": {8, 8}, "h": {8, 3}},
		op("MatMul", nil, "a", "x", "w"), op("BatchNormalization", nil, "b", "a", "one", "zero", "zero", "one"),
		op("MatMul", nil, "c", "b", "v"), op("BatchNormalization", nil, "d", "c", "one", "zero", "zero", "one"),
		op("LayerNormalization", nil, "e", "d", "one", "zero"), op("MatMul", nil, "y", "e", "h"))
	m.Graph.Initializers["one"], m.Graph.Initializers["zero"] = filled(1, 8), filled(0, 8)
	b := build(t, m, export.Options{Warn: func(s string) { said += s }})
	kinds := map[string]int{}
	for _, s := range b.Manifest.State {
		kinds[s.Kind]++
	}
	if kinds[bundle.KindParameter] != 3+3*2 || kinds[bundle.KindBuffer] != 2*2 {
		t.Errorf("state %v", kinds)
	}
	if !strings.Contains(said, "8 uses") {
		t.Errorf("said %q", said)
	}
}

// A layer used twice has one set of weights, and its statistics move twice in a step.
func TestNormUsedTwice(t *testing.T) {
	d := openDevice(t)
	m := tiny(map[string][]int64{"w": {16, 8}, "v": {8, 8}, "h": {8, 3}, "scale": {8}, "bias": {8}, "mean": {8}},
		op("MatMul", nil, "a", "x", "w"), op("BatchNormalization", nil, "b", "a", "scale", "bias", "mean", "var"),
		op("MatMul", nil, "c", "b", "v"), op("BatchNormalization", nil, "d", "c", "scale", "bias", "mean", "var"), op("MatMul", nil, "y", "d", "h"))
	m.Graph.Initializers["var"] = filled(1, 8)
	b := build(t, m, export.Options{})
	if len(b.Manifest.State) != 7 {
		t.Errorf("%d state tensors", len(b.Manifest.State))
	}
	trainer, state, index := newTrainer(t, d, b, 2)
	var out ortrun.StepOutput
	if err := trainer.Step(&ortrun.StepInput{N: 2, Images: make([]byte, 32), Labels: []int64{1, 2}}, &out); err != nil {
		t.Fatal(err)
	}
	got, mean := readState(t, state, index["mean"], b.Init["mean"]), b.Init["mean"].Float32s()
	bias, v := b.Init["bias"].Float32s(), b.Init["v"].Float32s()
	for k := range got { // black images: the first mean is 0, the second that of bias*v
		second := 0.0
		for j := range bias {
			second += float64(bias[j]) * float64(v[8*j+k])
		}
		if want := 0.9*0.9*float64(mean[k]) + 0.1*second; math.Abs(float64(got[k])-want) > 1e-5 {
			t.Errorf("mean %d is %v, want %v", k, got[k], want)
		}
	}
}

// Outputs that a rule has no gradient for, or that training does not make, are refused by name.
func TestSecondOutputs(t *testing.T) {
	weights := map[string][]int64{"w": {16, 8}, "h": {8, 3}, "scale": {8}}
	with := func(n *onnx.Node, outputs ...string) *onnx.Node { n.Outputs = outputs; return n }
	norm := func() *onnx.Node { return op("LayerNormalization", nil, "b", "a", "scale") }
	for _, c := range []struct {
		says  []string
		nodes []*onnx.Node
	}{
		{[]string{"make_b", "mean"}, []*onnx.Node{with(norm(), "b", "m"), op("Add", nil, "c", "b", "m")}},
		{[]string{"make_b", "mean"}, []*onnx.Node{with(norm(), "b", "m"), op("Add", nil, "c", "a", "m")}},
		{nil, []*onnx.Node{with(norm(), "b", "", "i"), op("Identity", nil, "c", "b")}},
		{[]string{"make_b", "make_k", "mask"}, []*onnx.Node{with(op("Dropout", nil, "b", "a", "half", "yes"), "b", "m"),
			op("Cast", map[string]onnx.Attr{"to": onnx.IntAttr(1)}, "k", "m"), op("Mul", nil, "c", "b", "k")}},
	} {
		nodes := append([]*onnx.Node{op("MatMul", nil, "a", "x", "w")}, c.nodes...)
		m := tiny(weights, append(nodes, op("MatMul", nil, "y", "c", "h"))...)
		yes := onnx.NewTensor(onnx.Bool)
		yes.Data[0] = 1
		m.Graph.Initializers["half"], m.Graph.Initializers["yes"] = onnx.FromFloat32([]float32{0.5}), yes
		_, err := export.Build(m, export.Options{})
		if (err == nil) != (c.says == nil) {
			t.Errorf("%q: %v", c.says, err)
		}
		for _, word := range c.says {
			if err != nil && !strings.Contains(err.Error(), word) {
				t.Errorf("%v does not name %q", err, word)
			}
		}
	}
}

// A new last layer leaves alone what others read, and keeps a bias's place among the axes.
func TestClassesOfSharedLayers(t *testing.T) {
	image := onnx.FromInt64([]int64{-1, 1, 4, 4}, 4)
	for name, m := range map[string]*onnx.Model{
		"weights": tiny(map[string][]int64{"w": {16, 16}, "b": {16}},
			op("Gemm", nil, "a", "x", "w", "b"), op("Tanh", nil, "c", "a"), op("Gemm", nil, "y", "c", "w", "b")),
		"bias": tiny(map[string][]int64{"w": {16, 16}, "h": {16, 16}, "b": {16}},
			op("Gemm", nil, "a", "x", "w", "b"), op("Tanh", nil, "c", "a"), op("Gemm", nil, "y", "c", "h", "b")),
		"convolution": tiny(map[string][]int64{"w": {5, 1, 4, 4}, "b": {5, 1, 1}},
			op("Reshape", nil, "r", "x", "image"), op("Conv", nil, "a", "r", "w"), op("Add", nil, "c", "a", "b"), op("Flatten", nil, "y", "c")),
		"identity": tiny(map[string][]int64{"w": {16, 16}, "h": {16, 16}, "b": {16}},
			op("Identity", nil, "b2", "b"), op("Gemm", nil, "a", "x", "w", "b"), op("Gemm", nil, "y", "a", "h", "b2")),
	} {
		m.Graph.Initializers["image"] = image
		if b, err := export.Build(m, export.Options{Weights: export.NewWeights{Classes: 3}}); err != nil || b.Manifest.Classes != 3 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An input too many is no panic.
func TestInputTooMany(t *testing.T) {
	m := tiny(map[string][]int64{"w": {16, 8}, "h": {8, 3}, "s": {8}},
		op("MatMul", nil, "a", "x", "w"), op("LayerNormalization", nil, "b", "a", "s", "s", "s"), op("MatMul", nil, "y", "b", "h"))
	if _, err := export.Build(m, export.Options{}); err != nil && !strings.Contains(err.Error(), "make_b") {
		t.Error(err)
	}
}

// What lies behind an operator that nothing is known of, and random numbers
// of two axes of the batch, are refused by name.
func TestUnknownShapes(t *testing.T) {
	weights := map[string][]int64{"h": {16, 3}, "s": {16}}
	integer := map[string]onnx.Attr{"to": onnx.IntAttr(int64(onnx.Int64))}
	for _, c := range []struct {
		says  []string
		nodes []*onnx.Node
	}{
		{[]string{"make_b", "BatchNormalization", "unknown"}, []*onnx.Node{op("Det", nil, "a", "x"), op("BatchNormalization", nil, "b", "a", "s", "s", "s", "s"), op("MatMul", nil, "c", "x", "h"),
			op("Cast", integer, "i", "c"), op("ScatterElements", nil, "y", "c", "i", "b")}},
		{[]string{"make_b", "Dropout", "[N, N]"}, []*onnx.Node{op("Transpose", nil, "t", "x"), op("MatMul", nil, "a", "x", "t"), op("Dropout", nil, "b", "a", "half", "yes"),
			op("MatMul", nil, "c", "b", "x"), op("MatMul", nil, "y", "c", "h")}},
	} {
		m := tiny(weights, c.nodes...)
		yes := onnx.NewTensor(onnx.Bool)
		yes.Data[0] = 1
		m.Graph.Initializers["half"], m.Graph.Initializers["yes"] = onnx.FromFloat32([]float32{0.5}), yes
		_, err := export.Build(m, export.Options{})
		for _, word := range c.says {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%v does not name %q", err, word)
			}
		}
	}
}
