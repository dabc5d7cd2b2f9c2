package fuse_test

import (
	"math"
	"testing"

	"winnow/onnx"
	"winnow/onnx/fuse"
)

// with appends a node with attributes.
func (b *graph) with(op string, a map[string]onnx.Attr, inputs ...string) string {
	out := b.Fresh("v")
	b.Append(&onnx.Node{Name: b.part + "." + out, Op: op, Inputs: inputs, Outputs: []string{out}, Attrs: a})
	return out
}

func perm(v ...int64) map[string]onnx.Attr { return map[string]onnx.Attr{"perm": onnx.IntsAttr(v...)} }

// A transpose becomes a permutation, unless a product of matrices reads it or gave
// it, or another one turns it back; the bits stay.
func TestPermutations(t *testing.T) {
	b := newGraph(map[string][]int64{"x": {2, 3, 4}, "m": {5, 4}, "w": {4, 6}})
	heads := b.with("Transpose", perm(1, 0, 2), "x")
	turned := b.with("Transpose", nil, "x") // the order turned around
	product := b.do("MatMul", b.with("Transpose", perm(1, 0), "w"), b.with("Transpose", perm(1, 0), "m"))
	gemm := b.with("Transpose", perm(1, 0), b.with("Gemm", nil, "m", "w"))
	shared := b.with("Transpose", perm(1, 0), "m") // read by another node too
	there := b.with("Transpose", perm(1, 0), "w")
	back := b.with("Transpose", perm(1, 0), there)
	b.result(b.do("MatMul", there, "w"), b.do("MatMul", "m", back), b.with("Transpose", perm(1, 0), "m"))
	b.result(heads, turned, product, gemm, b.do("MatMul", shared, "m"), b.do("Floor", shared))
	nodes := b.check(t)
	if p, left := count(nodes, "Permute"), count(nodes, "Transpose"); p != 4 || left != 5 {
		t.Errorf("%d permutations and %d transposes, want 4 and 5", p, left)
	}
}

// A sum over the first dimensions becomes one of columns, however its axes are
// given, and others stay.
func TestColumnSums(t *testing.T) {
	d := kernels(t)
	b := newGraph(map[string][]int64{"x": {40, 5, 30}})
	keep := func(v int64) map[string]onnx.Attr { return map[string]onnx.Attr{"keepdims": onnx.IntAttr(v)} }
	b.result(b.with("ReduceSum", keep(0), "x", b.Int64s(0)), b.with("ReduceSum", keep(1), "x", b.Int64s(-2, 0)), b.with("ReduceSum", nil, "x", b.Int64s(0)),
		b.with("ReduceSum", keep(0), "x", b.Int64s(1)), b.with("ReduceSum", keep(0), "x"), b.with("ReduceSum", keep(0), "x", b.Int64s(0, 1, 2)))
	want := b.outputs(t, d)
	fuse.Graph(b.Graph, b.Inf, 8)
	if n, left := count(b.Graph.Nodes, "ColumnSums"), count(b.Graph.Nodes, "ReduceSum"); n != 3 || left != 3 {
		t.Errorf("%d sums of columns and %d others, want 3 of each", n, left)
	}
	for i, got := range b.outputs(t, d) {
		if len(got) != len(want[i]) {
			t.Fatalf("sum %d has %d bytes, want %d", i, len(got), len(want[i]))
		}
		for at := 0; at < len(got); at += 4 {
			if g, w := float64(number(got[at:])), float64(number(want[i][at:])); !(math.Abs(g-w) < 1e-4) { // of up to 6,000 numbers about 1
				t.Errorf("sum %d, element %d is %v, want %v", i, at/4, g, w)
			}
		}
	}
}

// A single operator that repeats a row is done by the project's own; one that repeats
// a number, or nothing, stays.
func TestSpread(t *testing.T) {
	b := newGraph(map[string][]int64{"x": {3, 4}, "row": {4}, "one": {1}})
	b.result(b.do("Mul", b.do("Floor", "x"), "row"), b.do("Add", "x", "one"), b.do("Sub", "x", "x"))
	if nodes := b.check(t); count(nodes, fuse.Operator) != 1 || count(nodes, "Mul") != 0 {
		t.Errorf("%d operators of the project's own in %d nodes", count(nodes, fuse.Operator), len(nodes))
	}
}
