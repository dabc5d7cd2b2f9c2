package export_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
)

func sortedNames(m map[string][]int64) []string { return slices.Sorted(maps.Keys(m)) }

// Small networks whose nodes meet the batch in odd ways: every parameter's
// step is central differences of the loss, for one sample and for five.
func TestNetworksAgreeWithDifferences(t *testing.T) {
	d := openDevice(t)
	type attrs = map[string]onnx.Attr
	i, is := onnx.IntAttr, onnx.IntsAttr
	split := op("Split", attrs{"axis": i(-1), "num_outputs": i(3)}, "", "b")
	split.Outputs = []string{"p", "q", "r"}
	norm := func(out, in string) *onnx.Node {
		return op("BatchNormalization", nil, out, in, "scale", "bias", "mean", "var")
	}
	for name, c := range map[string]struct {
		weights map[string][]int64
		shapes  map[string][]int64 // integer constants
		nodes   []*onnx.Node
	}{
		"weights used twice": {map[string][]int64{"w": {16, 16}, "h": {16, 3}}, nil, []*onnx.Node{
			op("Gemm", attrs{"transB": i(1)}, "a", "x", "w"), op("Tanh", nil, "b", "a"), op("MatMul", nil, "c", "b", "w"),
			op("Add", nil, "e", "c", "b"), op("Mul", nil, "f", "e", "e"), op("MatMul", nil, "y", "f", "h")}},
		"transposed products": {map[string][]int64{"w": {16, 16}, "h": {3, 16}}, nil, []*onnx.Node{
			op("Transpose", nil, "xt", "x"), op("Gemm", attrs{"transA": i(1), "transB": i(1), "alpha": onnx.FloatAttr(0.5)}, "a", "xt", "w"),
			op("Tanh", nil, "b", "a"), op("Transpose", nil, "bt", "b"), op("Gemm", attrs{"transA": i(1), "transB": i(1)}, "y", "bt", "h")}},
		"rows of the batch": {map[string][]int64{"w": {4, 4}, "h": {16, 3}, "scale": {4}, "bias": {4}, "mean": {4}}, map[string][]int64{"rows": {-1, 4}, "flat": {-1, 16}}, []*onnx.Node{
			op("Reshape", nil, "r", "x", "rows"), op("MatMul", nil, "a", "r", "w"), norm("n", "a"), op("Tanh", nil, "b", "n"),
			op("Reshape", nil, "c", "b", "flat"), op("MatMul", nil, "y", "c", "h")}},
		"mean over the rows": {map[string][]int64{"w": {4, 4}, "h": {16, 3}}, map[string][]int64{"rows": {-1, 4}, "flat": {-1, 16}, "axes": {0}}, []*onnx.Node{
			op("Reshape", nil, "r", "x", "rows"), op("MatMul", nil, "a", "r", "w"), op("ReduceMean", nil, "m", "a", "axes"),
			op("Mul", nil, "s", "a", "m"), op("Tanh", nil, "b", "s"), op("Reshape", nil, "c", "b", "flat"), op("MatMul", nil, "y", "c", "h")}},
		"line": {map[string][]int64{"w": {3, 2, 3}, "h": {9, 3}, "scale": {3}, "bias": {3}, "mean": {3}}, map[string][]int64{"line": {-1, 2, 8}}, []*onnx.Node{
			op("Reshape", nil, "r", "x", "line"), op("Conv", attrs{"dilations": is(2), "pads": is(1, 1)}, "a", "r", "w"), norm("n", "a"),
			op("MaxPool", attrs{"kernel_shape": is(2), "strides": is(2), "dilations": is(2), "ceil_mode": i(1)}, "p", "n"),
			op("Flatten", nil, "f", "p"), op("Tanh", nil, "b", "f"), op("MatMul", nil, "y", "b", "h")}},
		"volume": {map[string][]int64{"w": {3, 2, 2, 2, 2}, "h": {24, 3}}, map[string][]int64{"volume": {-1, 2, 2, 2, 2}}, []*onnx.Node{
			op("Reshape", nil, "r", "x", "volume"), op("Conv", attrs{"pads": is(1, 1, 1, 1, 1, 1)}, "a", "r", "w"),
			op("MaxPool", attrs{"kernel_shape": is(2, 2, 2), "strides": is(1, 1, 1)}, "p", "a"),
			op("Flatten", nil, "f", "p"), op("Tanh", nil, "b", "f"), op("MatMul", nil, "y", "b", "h")}},
		"names of roles": {map[string][]int64{"labels": {16, 16}, "loss": {16, 16}, "loss.next": {16}, "loss.momentum": {16, 3}}, nil, []*onnx.Node{
			op("MatMul", nil, "images.cast_1", "x", "labels"), op("Tanh", nil, "per_sample_loss", "images.cast_1"), op("MatMul", nil, "loss.next.1", "per_sample_loss", "loss"),
			op("Add", nil, "learning_rate", "loss.next.1", "loss.next"), op("Tanh", nil, "sample_weights", "learning_rate"), op("MatMul", nil, "y", "sample_weights", "loss.momentum")}},
		"cut and joined": {map[string][]int64{"w": {16, 16}, "h": {16, 3}}, map[string][]int64{"from": {-2}, "to": {-18}, "axis": {-1}, "back": {-1}}, []*onnx.Node{
			op("MatMul", nil, "a", "x", "w"), op("Tanh", nil, "b", "a"), split, op("Concat", attrs{"axis": i(-1)}, "c", "r", "p", "p"),
			op("Concat", attrs{"axis": i(1)}, "e", "c", "p"), op("Slice", nil, "f", "e", "from", "to", "axis", "back"), op("MatMul", nil, "y", "f", "h")}},
	} {
		t.Run(name, func(t *testing.T) {
			m := tiny(c.weights, c.nodes...)
			for name, v := range c.shapes {
				m.Graph.Initializers[name] = onnx.FromInt64(v, int64(len(v)))
			}
			if s := c.weights["scale"]; s != nil {
				m.Graph.Initializers["var"] = filled(1, s[0])
			}
			b := build(t, m, export.Options{})
			for _, n := range []int{1, 5} {
				stepIsDifferences(t, d, b, n)
			}
		})
	}
}

// stepIsDifferences takes one step of rate 1 and compares how the first
// elements of every parameter moved with central differences of the loss.
func stepIsDifferences(t *testing.T, d *ortrun.Device, b *bundle.Bundle, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(9, 9))
	in := ortrun.StepInput{N: n, Images: make([]byte, n*16), Labels: make([]int64, n), LearningRate: 1}
	for i := range in.Images {
		in.Images[i] = byte(r.IntN(256))
	}
	for i := range in.Labels {
		in.Labels[i] = int64(r.IntN(3))
	}
	trainer, state, index := newTrainer(t, d, b, 5)
	var out ortrun.StepOutput
	loss := func() float64 {
		for i, s := range b.Manifest.State {
			if err := state.Write(i, b.Init[s.Name].Data); err != nil {
				t.Fatal(err)
			}
		}
		if err := trainer.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		return float64(out.Loss)
	}
	for _, s := range b.Manifest.State {
		if s.Kind != bundle.KindParameter {
			continue
		}
		loss()
		init := b.Init[s.Name]
		before, after := init.Float32s(), readState(t, state, index[s.Name], init)
		var diff, sum float64
		for k := range min(len(before), 12) {
			const step = 4e-3
			at := func(shift float32) float64 {
				v := slices.Clone(before)
				v[k] += shift
				b.Init[s.Name] = onnx.FromFloat32(v, init.Dims...)
				defer func() { b.Init[s.Name] = init }()
				return loss()
			}
			numeric, got := (at(step)-at(-step))/(2*step), float64(before[k]-after[k])
			diff += (numeric - got) * (numeric - got)
			sum += numeric*numeric + 1e-6
		}
		if relative := math.Sqrt(diff / sum); !(relative < 2e-2) {
			t.Errorf("%d samples, %s: relative error %.3g", n, s.Name, relative)
		}
	}
}
