package export_test

import (
	"math"
	"testing"

	"winnow/onnx"
	"winnow/onnx/export"
)

// Networks that copy, cut and join the batch: every parameter's step is
// central differences of the loss, for one sample and for five.
func TestBatchArithmeticAgreesWithDifferences(t *testing.T) {
	d := openDevice(t)
	type attrs = map[string]onnx.Attr
	i := onnx.IntAttr
	weights := map[string][]int64{"w": {16, 16}, "v": {1, 16}, "u": {1, 2, 8}, "h": {16, 3}}
	shapes := map[string][]int64{
		"zero": {0}, "one": {1}, "two": {2}, "end": {math.MaxInt64}, "last": {-1}, "width": {16}, "both": {1, 1}, "cells": {2, 8}, "flat": {-1, 16}, "rows": {-1, 8},
	}
	start := []*onnx.Node{
		op("MatMul", nil, "a", "x", "w"), op("Tanh", nil, "b", "a"), op("Shape", attrs{"end": i(1)}, "n", "x"),
	}
	over := attrs{"axis": i(0)}
	for name, nodes := range map[string][]*onnx.Node{
		"tiled to the batch": {op("Concat", over, "t", "n", "one"), op("Tile", nil, "c", "v", "t"), op("Mul", nil, "d", "b", "c")},
		"tiled to the batch, computed": {
			op("Tanh", nil, "s", "v"), op("Concat", over, "t", "n", "one"), op("Tile", nil, "c", "s", "t"), op("Mul", nil, "d", "b", "c")},
		"tiled to the batch and inside": {
			op("Concat", over, "t", "n", "two"), op("Reshape", nil, "q", "v", "rows"), op("Slice", nil, "p", "q", "zero", "one", "zero"), op("Tile", nil, "c", "p", "t"), op("Mul", nil, "d", "b", "c")},
		"tiled to twice the batch": {
			op("Concat", over, "bb", "b", "a"), op("Shape", attrs{"end": i(1)}, "m", "bb"), op("Concat", over, "t", "m", "one"), op("Tile", nil, "c", "v", "t"), op("Mul", nil, "e", "bb", "c"),
			op("Slice", nil, "f", "e", "n", "end", "zero"), op("Slice", nil, "g", "e", "zero", "n", "zero"), op("Mul", nil, "d", "f", "g")},
		"expanded on an inner axis": {
			op("Concat", over, "t", "one", "n", "cells"), op("Unsqueeze", nil, "s", "u", "zero"), op("Expand", nil, "c", "s", "t"), op("Reshape", nil, "e", "c", "flat"), op("Mul", nil, "d", "b", "e")},
		"rolled": {
			op("Slice", nil, "c", "b", "one", "end", "zero"), op("Slice", nil, "e", "b", "zero", "one", "zero"), op("Concat", over, "f", "c", "e"), op("Mul", nil, "d", "b", "f")},
		"rolled back": {
			op("Slice", nil, "c", "b", "last", "end", "zero"), op("Slice", nil, "e", "b", "zero", "last", "zero"), op("Concat", over, "f", "c", "e"), op("Mul", nil, "d", "b", "f")},
		"chunks of twice the batch": {
			op("Concat", over, "bb", "b", "x"), op("MatMul", nil, "c", "bb", "w"), op("Shape", attrs{"end": i(1)}, "m", "c"),
			op("Add", nil, "m1", "m", "one"), op("Div", nil, "k", "m1", "two"), op("Mul", nil, "k2", "k", "two"),
			op("Slice", nil, "e", "c", "zero", "k", "zero"), op("Slice", nil, "f", "c", "k", "k2", "zero"), op("Tanh", nil, "g", "e"), op("Mul", nil, "d", "f", "g")},
		"split in parts of the batch": {
			op("Concat", over, "bb", "b", "x"), op("MatMul", nil, "c", "bb", "w"), op("Concat", over, "t", "n", "n"), splitIn("c", "t", "e", "f"), op("Tanh", nil, "g", "e"), op("Mul", nil, "d", "f", "g")},
		"halves of a batch of pairs": {
			op("Concat", over, "bb", "b", "x"), op("Shape", attrs{"end": i(1)}, "m", "bb"), op("Div", nil, "k", "m", "two"), op("Concat", over, "t", "two", "k", "width"),
			op("Reshape", nil, "c", "bb", "t"), op("ReduceSum", attrs{"keepdims": i(0)}, "d", "c", "zero")},
	} {
		t.Run(name, func(t *testing.T) {
			m := tiny(weights, append(append(start[:len(start):len(start)], nodes...), op("MatMul", nil, "y", "d", "h"))...)
			for name, v := range shapes {
				m.Graph.Initializers[name] = onnx.FromInt64(v, int64(len(v)))
			}
			b := build(t, m, export.Options{})
			for _, n := range []int{1, 5} {
				stepIsDifferences(t, d, b, n)
			}
		})
	}
}

// splitIn is a Split along the first axis.
func splitIn(x, sizes string, parts ...string) *onnx.Node {
	n := op("Split", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, parts[0], x, sizes)
	n.Outputs = parts
	return n
}
