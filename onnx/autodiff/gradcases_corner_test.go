package autodiff

import (
	"testing"

	"winnow/onnx"
)

// Negative axes and indices, starts beyond the ends, other ranks, uneven
// padding: the same checks as the table of rules.
func TestGradientsAtCorners(t *testing.T) {
	d := device(t)
	f32 := onnx.Float32
	cases := []gradCase{
		{op: "Gather", name: "neg", attrs: attrs{"axis": ia(-2)}, args: []arg{tensor(2, 5, 3), index([]int64{2, 2}, 0, -1, 4, 0)}},
		{op: "Gather", name: "negsingle", attrs: attrs{"axis": ia(-1)}, args: []arg{tensor(2, 5, 3), ints(-2)}},
		{op: "GatherElements", name: "neg", attrs: attrs{"axis": ia(-1)}, args: []arg{tensor(2, 5), index([]int64{2, 2}, 0, -1, 0, 0)}},
		{op: "Slice", name: "neg", args: []arg{tensor(3, 7), ints(-1, 2), ints(-100, 100), ints(-1, 0), ints(-3, 1)}},
		{op: "Slice", name: "clamped", args: []arg{tensor(3, 7), ints(-100), ints(100), ints(-1), ints(2)}},
		{op: "Slice", name: "backpast", args: []arg{tensor(3, 7), ints(100), ints(1), ints(1), ints(-2)}},
		{op: "Pad", name: "axes", args: []arg{tensor(3, 7), ints(1, -2), scalarArg(2), ints(-1)}},
		{op: "CumSum", name: "neg", args: []arg{tensor(3, 4), {fixed: onnx.FromInt64([]int64{-1})}}},
		{op: "LayerNormalization", name: "mid", attrs: attrs{"axis": ia(-2)}, args: []arg{tensor(2, 3, 4), tensor(3, 4), tensor(3, 4)}},
		{op: "LayerNormalization", name: "bcast", attrs: attrs{"axis": ia(1)}, args: []arg{tensor(2, 3, 4), tensor(4), tensor(4)}},
		{op: "LayerNormalization", name: "first", attrs: attrs{"axis": ia(0)}, args: []arg{tensor(2, 3), tensor(2, 3)}},
		{op: "Softmax", name: "a0", attrs: attrs{"axis": ia(0)}, args: []arg{tensor(3, 4)}},
		{op: "Softmax", name: "m2", attrs: attrs{"axis": ia(-2)}, args: []arg{tensor(2, 3, 4)}},
		{op: "ReduceMean", name: "all", args: []arg{tensor(2, 3)}},
		{op: "ReduceMean", name: "noop", attrs: attrs{"noop_with_empty_axes": ia(1)}, args: []arg{tensor(2, 3)}},
		{op: "ReduceMean", name: "neg", attrs: attrs{"keepdims": ia(0)}, args: []arg{tensor(2, 3, 4), ints(-1, 0)}},
		{op: "ReduceL2", name: "neg", attrs: attrs{"keepdims": ia(0)}, args: []arg{tensor(2, 3, 4), ints(-2)}},
		{op: "Gemm", name: "scalarC", args: []arg{tensor(3, 4), tensor(4, 2), tensor(1)}},
		{op: "Gemm", name: "colC", attrs: attrs{"beta": fa(0.3)}, args: []arg{tensor(3, 4), tensor(4, 2), tensor(3, 1)}},
		{op: "Gemm", name: "noCta", attrs: attrs{"transA": ia(1)}, args: []arg{tensor(4, 3), tensor(4, 2)}},
		{op: "MatMul", name: "bc", args: []arg{tensor(2, 1, 3, 4), tensor(5, 4, 2)}},
		{op: "MatMul", name: "2x3d", args: []arg{tensor(3, 4), tensor(5, 4, 2)}},
		{op: "MatMul", name: "vec3d", args: []arg{tensor(4), tensor(5, 4, 2)}},
		{op: "MatMul", name: "3dvec", args: []arg{tensor(5, 2, 4), tensor(4)}},
		{op: "MatMul", name: "vecvec", args: []arg{tensor(4), tensor(4)}},
		{op: "Mul", name: "bc", args: []arg{tensor(4, 1), tensor(2, 1, 3)}},
		{op: "Where", name: "bc", args: []arg{{fixed: boolTensor(3)}, tensor(2, 3), tensor(1)}},
		{op: "Max", name: "bc", args: []arg{tensor(2, 3), tensor(3), tensor(1)}},
		{op: "Tile", name: "t", args: []arg{tensor(2, 3), ints(3, 2)}},
		{op: "Expand", name: "t", args: []arg{tensor(3, 1), ints(2, 1, 4)}},
		{op: "Einsum", name: "bc", attrs: attrs{"equation": sa("bij, bjk -> bik")}, args: []arg{tensor(2, 3, 4), tensor(2, 4, 2)}},
		{op: "Einsum", name: "lost", attrs: attrs{"equation": sa("bij,jk->k")}, args: []arg{tensor(2, 3, 4), tensor(4, 2)}},
		{op: "Trilu", name: "k", attrs: attrs{"upper": ia(0)}, args: []arg{tensor(2, 3, 4), {fixed: onnx.FromInt64([]int64{-1})}}},
		{op: "DepthToSpace", name: "crd", attrs: attrs{"blocksize": ia(2), "mode": sa("CRD")}, args: []arg{tensor(2, 8, 2, 3)}, dtype: f32},
		{op: "SpaceToDepth", name: "x", attrs: attrs{"blocksize": ia(2)}, args: []arg{tensor(2, 3, 4, 6)}, dtype: f32},
		{op: "ConvTranspose", name: "1d", attrs: attrs{"strides": is(2), "pads": is(1, 0), "output_padding": is(1)}, args: []arg{tensor(2, 3, 5), tensor(3, 2, 3), tensor(2)}, dtype: f32},
		{op: "ConvTranspose", name: "g-dil", attrs: attrs{"group": ia(2), "dilations": is(2, 1), "pads": is(1, 0, 0, 1)}, args: []arg{tensor(2, 4, 4, 3), tensor(4, 3, 2, 3), tensor(6)}, dtype: f32},
		{op: "ConvTranspose", name: "big-outpad", attrs: attrs{"strides": is(3, 3), "output_padding": is(2, 2)}, args: []arg{tensor(1, 2, 3, 3), tensor(2, 2, 2, 2)}, dtype: f32},
		{op: "Conv", name: "rest", attrs: attrs{"strides": is(3, 2), "pads": is(0, 1, 2, 0), "dilations": is(1, 2)}, args: []arg{tensor(2, 2, 8, 9), tensor(3, 2, 2, 3)}, dtype: f32},
		{op: "Conv", name: "3d-group", attrs: attrs{"group": ia(2), "strides": is(2, 1, 2), "pads": is(1, 0, 1, 0, 1, 1)}, args: []arg{tensor(1, 4, 4, 3, 4), tensor(4, 2, 2, 2, 3), tensor(4)}, dtype: f32},
		{op: "Conv", name: "1x1s2", attrs: attrs{"strides": is(2, 2)}, args: []arg{tensor(2, 3, 5, 6), tensor(4, 3, 1, 1)}, dtype: f32},
		{op: "Conv", name: "flip-dil", attrs: attrs{"pads": is(2, 4, 2, 4), "dilations": is(2, 3)}, lower: Lowering{Data: DataFlip}, args: []arg{tensor(2, 2, 6, 7), tensor(3, 2, 3, 3)}, dtype: f32},
		{op: "Conv", name: "dw-s2-dil", attrs: attrs{"group": ia(3), "pads": is(2, 2, 2, 2), "dilations": is(2, 2), "strides": is(2, 2)}, args: []arg{tensor(2, 3, 7, 7), tensor(3, 1, 3, 3)}, dtype: f32},
		{op: "AveragePool", name: "1d-ceil", attrs: attrs{"kernel_shape": is(3), "strides": is(2), "pads": is(1, 0), "ceil_mode": ia(1), "count_include_pad": ia(1)}, args: []arg{tensor(2, 2, 6)}, dtype: f32},
		{op: "AveragePool", name: "ceil-pad", attrs: attrs{"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 1, 1, 1), "ceil_mode": ia(1), "count_include_pad": ia(1)}, args: []arg{tensor(1, 2, 6, 6)}, dtype: f32},
		{op: "AveragePool", name: "ceil-nopad", attrs: attrs{"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 1, 1, 1), "ceil_mode": ia(1)}, args: []arg{tensor(1, 2, 6, 6)}, dtype: f32},
		{op: "AveragePool", name: "3d", attrs: attrs{"kernel_shape": is(2, 2, 2), "strides": is(1, 2, 2)}, args: []arg{tensor(1, 2, 3, 4, 4)}, dtype: f32},
		{op: "AveragePool", name: "same", attrs: attrs{"kernel_shape": is(3, 2), "strides": is(2, 2), "auto_pad": sa("SAME_LOWER")}, args: []arg{tensor(1, 2, 5, 5)}, dtype: f32},
		{op: "MaxPool", name: "1d", attrs: attrs{"kernel_shape": is(3), "strides": is(3)}, args: []arg{tensor(2, 2, 10).drawn(distinct(40))}, dtype: f32, step: 0.02, tol: 1e-3},
		{op: "MaxPool", name: "3d", attrs: attrs{"kernel_shape": is(2, 2, 2), "strides": is(2, 2, 2)}, args: []arg{tensor(1, 2, 4, 5, 4).drawn(distinct(160))}, dtype: f32, step: 0.02, tol: 1e-3},
		{op: "MaxPool", name: "dil", attrs: attrs{"kernel_shape": is(2, 2), "strides": is(1, 2), "dilations": is(2, 3), "pads": is(1, 1, 0, 1)}, args: []arg{tensor(1, 2, 6, 7).drawn(distinct(84))}, dtype: f32, step: 0.02, tol: 1e-3},
		{op: "MaxPool", name: "same", attrs: attrs{"kernel_shape": is(2, 2), "strides": is(2, 2), "auto_pad": sa("SAME_UPPER")}, args: []arg{tensor(1, 2, 5, 7).drawn(distinct(70))}, dtype: f32, step: 0.02, tol: 1e-3},
		{op: "Resize", name: "1d-linear", attrs: attrs{"mode": sa("linear")}, args: []arg{tensor(1, 2, 5), {}, {}, ints(1, 2, 8)}, dtype: f32},
		{op: "Resize", name: "down", attrs: attrs{"mode": sa("linear"), "coordinate_transformation_mode": sa("align_corners")}, args: []arg{tensor(1, 2, 7, 5), {}, {}, ints(1, 2, 3, 9)}, dtype: f32},
		{op: "Resize", name: "frac", attrs: attrs{"mode": sa("nearest"), "coordinate_transformation_mode": sa("asymmetric"), "nearest_mode": sa("floor")}, args: []arg{tensor(1, 2, 7, 6), {}, {}, ints(1, 2, 10, 13)}, dtype: f32},
		{op: "InstanceNormalization", name: "1d", args: []arg{tensor(2, 3, 6), tensor(3), tensor(3)}, dtype: f32, step: 1e-2, tol: 5e-3},
		{op: "BatchNormalization", name: "2d", batchNorm: true, args: []arg{tensor(6, 3), tensor(3), tensor(3), tensor(3).constant(), tensor(3).drawn(positive).constant()}, dtype: f32, step: 1e-2, tol: 5e-3},
		{op: "BatchNormalization", name: "5d", batchNorm: true, args: []arg{tensor(2, 3, 2, 2, 2), tensor(3), tensor(3), tensor(3).constant(), tensor(3).drawn(positive).constant()}, dtype: f32, step: 1e-2, tol: 5e-3},
		{op: "TopK", name: "neg", attrs: attrs{"axis": ia(0), "largest": ia(0)}, outputs: 2, args: []arg{tensor(5, 3).drawn(distinct(15)), ints(2)}},
		{op: "ScatterND", name: "add", attrs: attrs{"reduction": sa("add")}, args: []arg{tensor(4, 3), index([]int64{3, 1}, 0, 2, 0), tensor(3, 3)}},
		{op: "ScatterElements", name: "neg", attrs: attrs{"axis": ia(-1)}, args: []arg{tensor(2, 4), index([]int64{2, 2}, 0, -1, 2, 1), tensor(2, 2)}},
		{op: "GatherND", name: "x", args: []arg{tensor(3, 4), index([]int64{2, 1}, -1, 0)}},
		{op: "Concat", name: "dup", attrs: attrs{"axis": ia(-2)}, args: []arg{tensor(2, 1, 3), tensor(2, 2, 3)}},
		{op: "Clip", name: "lo", args: []arg{tensor(3, 4), scalarArg(-0.3)}},
		{op: "Clip", name: "hi", args: []arg{tensor(3, 4), {}, scalarArg(0.3)}},
		{op: "PRelu", name: "bc", args: []arg{tensor(2, 3, 4).drawn(apart), tensor(3, 1)}},
		{op: "Unsqueeze", name: "neg", args: []arg{tensor(2, 3), ints(-1, 0)}},
		{op: "Squeeze", name: "none", args: []arg{tensor(2, 1, 3, 1)}},
		{op: "Flatten", name: "a0", attrs: attrs{"axis": ia(0)}, args: []arg{tensor(2, 3, 2)}},
		{op: "Flatten", name: "neg", attrs: attrs{"axis": ia(-1)}, args: []arg{tensor(2, 3, 2)}},
		{op: "Transpose", name: "def", args: []arg{tensor(2, 3, 2)}},
	}
	for _, c := range cases {
		t.Run(c.String(), func(t *testing.T) { checkGradient(t, d, c) })
	}
}

func boolTensor(n int64) *onnx.Tensor {
	t := onnx.NewTensor(onnx.Bool, n)
	t.Data[1] = 1
	return t
}
