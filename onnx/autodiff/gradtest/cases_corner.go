package gradtest

import (
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// Corners are negative axes and indices, starts beyond the ends, other ranks and
// uneven padding.
func Corners() []Case {
	f32 := onnx.Float32
	return []Case{
		{Op: "Gather", Name: "neg", Attrs: emit.Attrs{"axis": ia(-2)}, Args: []Arg{Tensor(2, 5, 3), index([]int64{2, 2}, 0, -1, 4, 0)}},
		{Op: "Gather", Name: "negsingle", Attrs: emit.Attrs{"axis": ia(-1)}, Args: []Arg{Tensor(2, 5, 3), ints(-2)}},
		{Op: "GatherElements", Name: "neg", Attrs: emit.Attrs{"axis": ia(-1)}, Args: []Arg{Tensor(2, 5), index([]int64{2, 2}, 0, -1, 0, 0)}},
		{Op: "Slice", Name: "neg", Args: []Arg{Tensor(3, 7), ints(-1, 2), ints(-100, 100), ints(-1, 0), ints(-3, 1)}},
		{Op: "Slice", Name: "clamped", Args: []Arg{Tensor(3, 7), ints(-100), ints(100), ints(-1), ints(2)}},
		{Op: "Slice", Name: "backpast", Args: []Arg{Tensor(3, 7), ints(100), ints(1), ints(1), ints(-2)}},
		{Op: "Pad", Name: "axes", Args: []Arg{Tensor(3, 7), ints(1, -2), scalarArg(2), ints(-1)}},
		{Op: "CumSum", Name: "neg", Args: []Arg{Tensor(3, 4), {Fixed: onnx.FromInt64([]int64{-1})}}},
		{Op: "LayerNormalization", Name: "mid", Attrs: emit.Attrs{"axis": ia(-2)}, Args: []Arg{Tensor(2, 3, 4), Tensor(3, 4), Tensor(3, 4)}},
		{Op: "LayerNormalization", Name: "bcast", Attrs: emit.Attrs{"axis": ia(1)}, Args: []Arg{Tensor(2, 3, 4), Tensor(4), Tensor(4)}},
		{Op: "LayerNormalization", Name: "first", Attrs: emit.Attrs{"axis": ia(0)}, Args: []Arg{Tensor(2, 3), Tensor(2, 3)}},
		{Op: "Softmax", Name: "a0", Attrs: emit.Attrs{"axis": ia(0)}, Args: []Arg{Tensor(3, 4)}},
		{Op: "Softmax", Name: "m2", Attrs: emit.Attrs{"axis": ia(-2)}, Args: []Arg{Tensor(2, 3, 4)}},
		{Op: "ReduceMean", Name: "all", Args: []Arg{Tensor(2, 3)}},
		{Op: "ReduceMean", Name: "noop", Attrs: emit.Attrs{"noop_with_empty_axes": ia(1)}, Args: []Arg{Tensor(2, 3)}},
		{Op: "ReduceMean", Name: "neg", Attrs: emit.Attrs{"keepdims": ia(0)}, Args: []Arg{Tensor(2, 3, 4), ints(-1, 0)}},
		{Op: "ReduceL2", Name: "neg", Attrs: emit.Attrs{"keepdims": ia(0)}, Args: []Arg{Tensor(2, 3, 4), ints(-2)}},
		{Op: "Gemm", Name: "scalarC", Args: []Arg{Tensor(3, 4), Tensor(4, 2), Tensor(1)}},
		{Op: "Gemm", Name: "colC", Attrs: emit.Attrs{"beta": fa(0.3)}, Args: []Arg{Tensor(3, 4), Tensor(4, 2), Tensor(3, 1)}},
		{Op: "Gemm", Name: "noCta", Attrs: emit.Attrs{"transA": ia(1)}, Args: []Arg{Tensor(4, 3), Tensor(4, 2)}},
		{Op: "MatMul", Name: "bc", Args: []Arg{Tensor(2, 1, 3, 4), Tensor(5, 4, 2)}},
		{Op: "MatMul", Name: "2x3d", Args: []Arg{Tensor(3, 4), Tensor(5, 4, 2)}},
		{Op: "MatMul", Name: "vec3d", Args: []Arg{Tensor(4), Tensor(5, 4, 2)}},
		{Op: "MatMul", Name: "3dvec", Args: []Arg{Tensor(5, 2, 4), Tensor(4)}},
		{Op: "MatMul", Name: "vecvec", Args: []Arg{Tensor(4), Tensor(4)}},
		{Op: "Mul", Name: "bc", Args: []Arg{Tensor(4, 1), Tensor(2, 1, 3)}},
		{Op: "Where", Name: "bc", Args: []Arg{{Fixed: boolTensor(3)}, Tensor(2, 3), Tensor(1)}},
		{Op: "Max", Name: "bc", Args: []Arg{Tensor(2, 3), Tensor(3), Tensor(1)}},
		{Op: "Tile", Name: "t", Args: []Arg{Tensor(2, 3), ints(3, 2)}},
		{Op: "Expand", Name: "t", Args: []Arg{Tensor(3, 1), ints(2, 1, 4)}},
		{Op: "Einsum", Name: "bc", Attrs: emit.Attrs{"equation": sa("bij, bjk -> bik")}, Args: []Arg{Tensor(2, 3, 4), Tensor(2, 4, 2)}},
		{Op: "Einsum", Name: "lost", Attrs: emit.Attrs{"equation": sa("bij,jk->k")}, Args: []Arg{Tensor(2, 3, 4), Tensor(4, 2)}},
		{Op: "Trilu", Name: "k", Attrs: emit.Attrs{"upper": ia(0)}, Args: []Arg{Tensor(2, 3, 4), {Fixed: onnx.FromInt64([]int64{-1})}}},
		{Op: "DepthToSpace", Name: "crd", Attrs: emit.Attrs{"blocksize": ia(2), "mode": sa("CRD")}, Args: []Arg{Tensor(2, 8, 2, 3)}, DType: f32},
		{Op: "SpaceToDepth", Name: "x", Attrs: emit.Attrs{"blocksize": ia(2)}, Args: []Arg{Tensor(2, 3, 4, 6)}, DType: f32},
		{Op: "ConvTranspose", Name: "1d", Attrs: emit.Attrs{"strides": is(2), "pads": is(1, 0), "output_padding": is(1)}, Args: []Arg{Tensor(2, 3, 5), Tensor(3, 2, 3), Tensor(2)}, DType: f32},
		{Op: "ConvTranspose", Name: "g-dil", Attrs: emit.Attrs{"group": ia(2), "dilations": is(2, 1), "pads": is(1, 0, 0, 1)}, Args: []Arg{Tensor(2, 4, 4, 3), Tensor(4, 3, 2, 3), Tensor(6)}, DType: f32},
		{Op: "ConvTranspose", Name: "big-outpad", Attrs: emit.Attrs{"strides": is(3, 3), "output_padding": is(2, 2)}, Args: []Arg{Tensor(1, 2, 3, 3), Tensor(2, 2, 2, 2)}, DType: f32},
		{Op: "Conv", Name: "rest", Attrs: emit.Attrs{"strides": is(3, 2), "pads": is(0, 1, 2, 0), "dilations": is(1, 2)}, Args: []Arg{Tensor(2, 2, 8, 9), Tensor(3, 2, 2, 3)}, DType: f32},
		{Op: "Conv", Name: "3d-group", Attrs: emit.Attrs{"group": ia(2), "strides": is(2, 1, 2), "pads": is(1, 0, 1, 0, 1, 1)}, Args: []Arg{Tensor(1, 4, 4, 3, 4), Tensor(4, 2, 2, 2, 3), Tensor(4)}, DType: f32},
		{Op: "Conv", Name: "1x1s2", Attrs: emit.Attrs{"strides": is(2, 2)}, Args: []Arg{Tensor(2, 3, 5, 6), Tensor(4, 3, 1, 1)}, DType: f32},
		{Op: "Conv", Name: "flip-dil", Attrs: emit.Attrs{"pads": is(2, 4, 2, 4), "dilations": is(2, 3)}, Lower: autodiff.Lowering{Data: autodiff.DataFlip}, Args: []Arg{Tensor(2, 2, 6, 7), Tensor(3, 2, 3, 3)}, DType: f32},
		{Op: "Conv", Name: "dw-s2-dil", Attrs: emit.Attrs{"group": ia(3), "pads": is(2, 2, 2, 2), "dilations": is(2, 2), "strides": is(2, 2)}, Args: []Arg{Tensor(2, 3, 7, 7), Tensor(3, 1, 3, 3)}, DType: f32},
		{Op: "AveragePool", Name: "1d-ceil", Attrs: emit.Attrs{"kernel_shape": is(3), "strides": is(2), "pads": is(1, 0), "ceil_mode": ia(1), "count_include_pad": ia(1)}, Args: []Arg{Tensor(2, 2, 6)}, DType: f32},
		{Op: "AveragePool", Name: "ceil-pad", Attrs: emit.Attrs{"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 1, 1, 1), "ceil_mode": ia(1), "count_include_pad": ia(1)}, Args: []Arg{Tensor(1, 2, 6, 6)}, DType: f32},
		{Op: "AveragePool", Name: "ceil-nopad", Attrs: emit.Attrs{"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 1, 1, 1), "ceil_mode": ia(1)}, Args: []Arg{Tensor(1, 2, 6, 6)}, DType: f32},
		{Op: "AveragePool", Name: "3d", Attrs: emit.Attrs{"kernel_shape": is(2, 2, 2), "strides": is(1, 2, 2)}, Args: []Arg{Tensor(1, 2, 3, 4, 4)}, DType: f32},
		{Op: "AveragePool", Name: "same", Attrs: emit.Attrs{"kernel_shape": is(3, 2), "strides": is(2, 2), "auto_pad": sa("SAME_LOWER")}, Args: []Arg{Tensor(1, 2, 5, 5)}, DType: f32},
		{Op: "MaxPool", Name: "1d", Attrs: emit.Attrs{"kernel_shape": is(3), "strides": is(3)}, Args: []Arg{Tensor(2, 2, 10).Drawn(distinct(40))}, DType: f32, Step: 0.02, Tol: 1e-3},
		{Op: "MaxPool", Name: "3d", Attrs: emit.Attrs{"kernel_shape": is(2, 2, 2), "strides": is(2, 2, 2)}, Args: []Arg{Tensor(1, 2, 4, 5, 4).Drawn(distinct(160))}, DType: f32, Step: 0.02, Tol: 1e-3},
		{Op: "MaxPool", Name: "dil", Attrs: emit.Attrs{"kernel_shape": is(2, 2), "strides": is(1, 2), "dilations": is(2, 3), "pads": is(1, 1, 0, 1)}, Args: []Arg{Tensor(1, 2, 6, 7).Drawn(distinct(84))}, DType: f32, Step: 0.02, Tol: 1e-3},
		{Op: "MaxPool", Name: "same", Attrs: emit.Attrs{"kernel_shape": is(2, 2), "strides": is(2, 2), "auto_pad": sa("SAME_UPPER")}, Args: []Arg{Tensor(1, 2, 5, 7).Drawn(distinct(70))}, DType: f32, Step: 0.02, Tol: 1e-3},
		{Op: "Resize", Name: "1d-linear", Attrs: emit.Attrs{"mode": sa("linear")}, Args: []Arg{Tensor(1, 2, 5), {}, {}, ints(1, 2, 8)}, DType: f32},
		{Op: "Resize", Name: "down", Attrs: emit.Attrs{"mode": sa("linear"), "coordinate_transformation_mode": sa("align_corners")}, Args: []Arg{Tensor(1, 2, 7, 5), {}, {}, ints(1, 2, 3, 9)}, DType: f32},
		{Op: "Resize", Name: "frac", Attrs: emit.Attrs{"mode": sa("nearest"), "coordinate_transformation_mode": sa("asymmetric"), "nearest_mode": sa("floor")}, Args: []Arg{Tensor(1, 2, 7, 6), {}, {}, ints(1, 2, 10, 13)}, DType: f32},
		{Op: "InstanceNormalization", Name: "1d", Args: []Arg{Tensor(2, 3, 6), Tensor(3), Tensor(3)}, DType: f32, Step: 1e-2, Tol: 5e-3},
		{Op: "BatchNormalization", Name: "2d", BatchNorm: true, Args: []Arg{Tensor(6, 3), Tensor(3), Tensor(3), Tensor(3).constant(), Tensor(3).Drawn(positive).constant()}, DType: f32, Step: 1e-2, Tol: 5e-3},
		{Op: "BatchNormalization", Name: "5d", BatchNorm: true, Args: []Arg{Tensor(2, 3, 2, 2, 2), Tensor(3), Tensor(3), Tensor(3).constant(), Tensor(3).Drawn(positive).constant()}, DType: f32, Step: 1e-2, Tol: 5e-3},
		{Op: "TopK", Name: "neg", Attrs: emit.Attrs{"axis": ia(0), "largest": ia(0)}, Outputs: 2, Args: []Arg{Tensor(5, 3).Drawn(distinct(15)), ints(2)}},
		{Op: "ScatterND", Name: "add", Attrs: emit.Attrs{"reduction": sa("add")}, Args: []Arg{Tensor(4, 3), index([]int64{3, 1}, 0, 2, 0), Tensor(3, 3)}},
		{Op: "ScatterElements", Name: "neg", Attrs: emit.Attrs{"axis": ia(-1)}, Args: []Arg{Tensor(2, 4), index([]int64{2, 2}, 0, -1, 2, 1), Tensor(2, 2)}},
		{Op: "GatherND", Name: "x", Args: []Arg{Tensor(3, 4), index([]int64{2, 1}, -1, 0)}},
		{Op: "Concat", Name: "dup", Attrs: emit.Attrs{"axis": ia(-2)}, Args: []Arg{Tensor(2, 1, 3), Tensor(2, 2, 3)}},
		{Op: "Clip", Name: "lo", Args: []Arg{Tensor(3, 4), scalarArg(-0.3)}},
		{Op: "Clip", Name: "hi", Args: []Arg{Tensor(3, 4), {}, scalarArg(0.3)}},
		{Op: "PRelu", Name: "bc", Args: []Arg{Tensor(2, 3, 4).Drawn(apart), Tensor(3, 1)}},
		{Op: "Unsqueeze", Name: "neg", Args: []Arg{Tensor(2, 3), ints(-1, 0)}},
		{Op: "Squeeze", Name: "none", Args: []Arg{Tensor(2, 1, 3, 1)}},
		{Op: "Flatten", Name: "a0", Attrs: emit.Attrs{"axis": ia(0)}, Args: []Arg{Tensor(2, 3, 2)}},
		{Op: "Flatten", Name: "neg", Attrs: emit.Attrs{"axis": ia(-1)}, Args: []Arg{Tensor(2, 3, 2)}},
		{Op: "Transpose", Name: "def", Args: []Arg{Tensor(2, 3, 2)}},
	}
}

func boolTensor(n int64) *onnx.Tensor {
	t := onnx.NewTensor(onnx.Bool, n)
	t.Data[1] = 1
	return t
}
