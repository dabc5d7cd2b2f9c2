package autodiff_test

import (
	"fmt"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
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
		b := build(t, m, autodiff.Options{})
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
