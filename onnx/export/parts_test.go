package export_test

import (
	"fmt"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

// inParts is a layer whose fresh biases, zeros, are one vector read in three
// parts, as PyTorch's MultiheadAttention has them.
func inParts(out, in string, weights ...string) []*onnx.Node {
	var nodes []*onnx.Node
	var sums []string
	for i, w := range weights {
		at := func(role string) string { return fmt.Sprintf("%s.%s%d", out, role, i) }
		nodes = append(nodes,
			op("Slice", nil, at("part"), "zero", fmt.Sprint("at", i), fmt.Sprint("at", i+1), "at0"),
			op("MatMul", nil, at("product"), in, w), op("Add", nil, at("sum"), at("product"), at("part")))
		sums = append(sums, at("sum"))
	}
	return append(nodes, op("Sum", nil, out, sums...))
}

// Parts of one vector of zeros are one parameter; in a second layer, whose
// vector the exporter merged with the first's, they are those of another.
func TestPartsOfAParameterStayTogether(t *testing.T) {
	for layers, want := range map[int][]string{1: {"zero"}, 2: {"zero", "zero.2"}} {
		weights := map[string][]int64{"a0": {16, 4}, "a1": {16, 4}, "a2": {16, 4}, "b0": {4, 4}, "b1": {4, 4}, "b2": {4, 4}, "h": {4, 3}}
		nodes := inParts("one", "x", "a0", "a1", "a2")
		last := "one"
		if layers == 2 {
			nodes = append(nodes, inParts("two", "one", "b0", "b1", "b2")...)
			last = "two"
		}
		m := tiny(weights, append(nodes, op("MatMul", nil, "y", last, "h"))...)
		m.Graph.Initializers["zero"] = filled(0, 12)
		for i := range int64(4) {
			m.Graph.Initializers[fmt.Sprint("at", i)] = onnx.FromInt64([]int64{4 * i}, 1)
		}
		b := build(t, m, export.Options{})
		var got []string
		for _, s := range b.Manifest.State {
			if s.Kind == bundle.KindParameter && len(s.Shape) == 1 {
				got = append(got, s.Name)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d layers: biases %v, want %v", layers, got, want)
		}
	}
}

// A normalisation over groups, written out as PyTorch's older exporter does,
// behind a layer that is used twice: its fresh scale and shift are one each.
func TestWrittenOutNormOfASharedLayer(t *testing.T) {
	nodes := []*onnx.Node{op("MatMul", nil, "s0", "x", "w")}
	for k := range 2 {
		at := func(role string) string { return fmt.Sprint(role, k) }
		nodes = append(nodes,
			op("MatMul", nil, at("a"), at("s"), "v"), op("Reshape", nil, at("g"), at("a"), "groups"),
			op("InstanceNormalization", nil, at("i"), at("g"), "val_1", "val_2"), op("Reshape", nil, at("r"), at("i"), "flat"),
			op("Unsqueeze", nil, at("u"), "n.weight", "axis"), op("Mul", nil, at("m"), at("r"), at("u")),
			op("Unsqueeze", nil, at("b"), "n.bias", "axis"), op("Add", nil, fmt.Sprint("s", k+1), at("m"), at("b")))
	}
	m := tiny(map[string][]int64{"w": {16, 8}, "v": {8, 8}, "h": {8, 3}}, append(nodes, op("MatMul", nil, "y", "s2", "h"))...)
	for name, t := range map[string]*onnx.Tensor{
		"n.weight": filled(1, 8), "n.bias": filled(0, 8), "val_1": filled(1, 2), "val_2": filled(0, 2),
		"groups": onnx.FromInt64([]int64{0, 2, 4}, 3), "flat": onnx.FromInt64([]int64{0, 8}, 2), "axis": onnx.FromInt64([]int64{0}, 1),
	} {
		m.Graph.Initializers[name] = t
	}
	b := build(t, m, export.Options{})
	got := map[string]bool{}
	for _, s := range b.Manifest.State {
		if s.Kind == bundle.KindParameter {
			got[s.Name] = true
		}
	}
	if len(got) != 5 || !got["n.weight"] || !got["n.bias"] {
		t.Errorf("parameters %v, want w, v, h and one n.weight and n.bias", got)
	}
}
