package gradtest

import (
	"fmt"
	"math/rand/v2"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// boolean is a constant truth tensor, every third element false.
func boolean(dims ...int64) Arg {
	t := onnx.NewTensor(onnx.Bool, dims...)
	for i := range t.Data {
		if i%3 != 0 {
			t.Data[i] = 1
		}
	}
	return Arg{Fixed: t}
}

// index is a constant int64 tensor.
func index(dims []int64, v ...int64) Arg { return Arg{Fixed: onnx.FromInt64(v, dims...)} }

func unit(r *rand.Rand, _ int) float64 { return 1.6*r.Float64() - 0.8 }

// mathCases checks elementwise operators, sums of products and reductions.
func mathCases(add func(op, name string, a emit.Attrs, args ...Arg) *Case) {
	for _, op := range []string{"Neg", "Exp", "Sin", "Cos", "Erf", "Softplus"} {
		c := add(op, "zeros", nil, Tensor(2, 3, 4).Drawn(withZeros))
		if op == "Erf" || op == "Softplus" {
			smooth32(c)
		}
	}
	for _, op := range []string{"Sqrt", "Log", "Reciprocal"} {
		add(op, "positive", nil, Tensor(2, 3, 4).Drawn(positive))
	}
	add("Abs", "apart", nil, Tensor(2, 3, 4).Drawn(apart))
	add("Pow", "square", nil, Tensor(2, 3).Drawn(withZeros), scalarArg(2))
	add("Pow", "both", nil, Tensor(2, 3).Drawn(positive), Tensor(3))
	add("PRelu", "channel", nil, Tensor(2, 3, 4).Drawn(apart), Tensor(3, 1)).toFloat32()
	for _, op := range []string{"LeakyRelu", "Elu", "Celu", "Selu", "HardSwish", "Mish", "Softsign"} {
		smooth32(add(op, "apart", nil, Tensor(2, 3, 4).Drawn(apart)))
	}
	smooth32(add("LeakyRelu", "alpha", emit.Attrs{"alpha": fa(0.3)}, Tensor(2, 3, 4).Drawn(apart)))
	smooth32(add("Elu", "alpha", emit.Attrs{"alpha": fa(0.5)}, Tensor(2, 3, 4).Drawn(apart)))
	smooth32(add("HardSigmoid", "inside", emit.Attrs{"alpha": fa(0.25)}, Tensor(2, 3, 4).Drawn(unit)))
	smooth32(add("HardSigmoid", "outside", emit.Attrs{"alpha": fa(2)}, Tensor(2, 3, 4).Drawn(func(r *rand.Rand, i int) float64 { return apart(r, i) * 2 })))
	for _, op := range []string{"Max", "Min"} {
		add(op, "three", nil, Tensor(2, 3).Drawn(distinct(6)), Tensor(3), Tensor(1, 1))
		add(op, "two", nil, Tensor(2, 3), Tensor(2, 3))
	}
	for _, op := range []string{"Sum", "Mean"} {
		add(op, "three", nil, Tensor(2, 3), Tensor(3), Tensor(2, 1)).toFloat32()
		add(op, "one", nil, Tensor(2, 3)).toFloat32()
	}
	add("Where", "spread", nil, boolean(2, 1, 4), Tensor(2, 3, 4), Tensor(4))
	add("Where", "scalars", nil, boolean(2, 3), Tensor([]int64{}...), Tensor(1, 3))

	for name, equation := range map[string]string{
		"product": "ij,jk->ik", "batch": "bij,bkj->bik", "outer": "i,j->ij", "sum": "ij,jk->k", "three": "ij,jk,kl->il", "permuted": "bhwc,hkc->bhwk",
	} {
		args := map[string][]Arg{
			"product": {Tensor(3, 4), Tensor(4, 5)}, "batch": {Tensor(2, 3, 4), Tensor(2, 5, 4)}, "outer": {Tensor(3), Tensor(4)},
			"sum": {Tensor(3, 4), Tensor(4, 5)}, "three": {Tensor(2, 3), Tensor(3, 4), Tensor(4, 2)},
			"permuted": {Tensor(2, 3, 4, 5), Tensor(3, 6, 5)},
		}[name]
		add("Einsum", name, emit.Attrs{"equation": sa(equation)}, args...)
	}
	einsumCases(add)
	for _, op := range []string{"ReduceMax", "ReduceMin"} {
		add(op, "all", nil, Tensor(2, 3, 4).Drawn(distinct(24)))
		add(op, "one", emit.Attrs{"keepdims": ia(0)}, Tensor(2, 3, 4).Drawn(distinct(24)), ints(1))
	}
	for _, op := range []string{"ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"} {
		add(op, "all", nil, Tensor(2, 3, 4).Drawn(apart))
		add(op, "one", emit.Attrs{"keepdims": ia(0)}, Tensor(2, 3, 4).Drawn(apart), ints(-1))
	}
	for name, a := range map[string]emit.Attrs{"plain": nil, "reverse": {"reverse": ia(1)}, "exclusive": {"exclusive": ia(1)}} {
		add("CumSum", name, a, Tensor(2, 3, 4), Arg{Fixed: onnx.FromInt64([]int64{1})})
	}
	for name, a := range map[string]emit.Attrs{"last": nil, "two": {"axis": ia(1)}} {
		dims := []int64{4}
		if name == "two" {
			dims = []int64{3, 4}
		}
		add("LayerNormalization", name, a, Tensor(2, 3, 4), Tensor(dims...), Tensor(dims...)).Tol = 1e-4
		c := add("LayerNormalization", name+"-float32", a, Tensor(2, 3, 4), Tensor(dims...), Tensor(dims...))
		smooth32(c)
		c.Tol = 2e-2
	}
	smooth32(add("InstanceNormalization", "image", emit.Attrs{"epsilon": fa(0.01)}, Tensor(2, 3, 4, 5), Tensor(3), Tensor(3)))
	smooth32(add("InstanceNormalization", "line", emit.Attrs{"epsilon": fa(0.01)}, Tensor(2, 3, 8), Tensor(3), Tensor(3)))
	for name, c := range map[string]struct {
		a emit.Attrs
		w []int64
	}{
		"plain":   {nil, []int64{3, 4, 3, 3}},
		"stride":  {emit.Attrs{"strides": is(2, 2), "pads": is(1, 1, 1, 1), "output_padding": is(1, 1)}, []int64{3, 4, 3, 3}},
		"grouped": {emit.Attrs{"group": ia(3), "strides": is(2, 2)}, []int64{3, 2, 2, 2}},
		"dilated": {emit.Attrs{"dilations": is(2, 1), "pads": is(0, 1, 1, 0)}, []int64{3, 2, 2, 3}},
	} {
		out := c.w[1]
		if g, ok := c.a["group"]; ok {
			out *= g.I
		}
		linear := add("ConvTranspose", name, c.a, Tensor(2, 3, 4, 5), Tensor(c.w...), Tensor(out))
		linear.DType = onnx.Float32
	}
	resize := func(name string, a emit.Attrs, dims []int64, scales ...float32) {
		c := add("Resize", name, a, Tensor(dims...), Arg{}, Arg{Fixed: onnx.FromFloat32(scales, int64(len(scales))), keep32: true})
		c.DType = onnx.Float32
	}
	nearest := func(more emit.Attrs) emit.Attrs {
		a := emit.Attrs{"mode": sa("nearest")}
		for k, v := range more {
			a[k] = v
		}
		return a
	}
	resize("nearest", nearest(emit.Attrs{"coordinate_transformation_mode": sa("asymmetric"), "nearest_mode": sa("floor")}), []int64{2, 3, 3, 4}, 1, 1, 2, 2)
	resize("nearest-half", nearest(nil), []int64{1, 2, 4, 6}, 1, 1, 0.5, 1.5)
	resize("linear", emit.Attrs{"mode": sa("linear")}, []int64{1, 2, 4, 5}, 1, 1, 2, 2)
	resize("linear-corners", emit.Attrs{"mode": sa("linear"), "coordinate_transformation_mode": sa("align_corners")}, []int64{1, 2, 4, 5}, 1, 1, 2, 1.6)
	resize("linear-pytorch", emit.Attrs{"mode": sa("linear"), "coordinate_transformation_mode": sa("pytorch_half_pixel")}, []int64{1, 2, 4, 4}, 1, 1, 0.5, 0.75)
	sized := add("Resize", "linear-sizes", emit.Attrs{"mode": sa("linear"), "coordinate_transformation_mode": sa("half_pixel")}, Tensor(1, 2, 4, 5), Arg{}, Arg{}, ints(1, 2, 7, 9))
	sized.DType = onnx.Float32

	for _, transform := range []string{"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"} {
		for _, outside := range []int64{0, 1} {
			a := emit.Attrs{"mode": sa("cubic"), "coordinate_transformation_mode": sa(transform), "exclude_outside": ia(outside)}
			resize(fmt.Sprintf("cubic-%s-%d", transform, outside), a, []int64{1, 2, 4, 5}, 1, 1, 2, 1.6)
			a = emit.Attrs{"mode": sa("cubic"), "coordinate_transformation_mode": sa(transform), "exclude_outside": ia(outside), "cubic_coeff_a": fa(-0.5)}
			resize(fmt.Sprintf("cubic-down-%s-%d", transform, outside), a, []int64{1, 2, 7, 6}, 1, 1, 0.5, 0.75)
		}
	}
	add("Resize", "cubic-sizes", emit.Attrs{"mode": sa("cubic")}, Tensor(2, 1, 3, 5), Arg{}, Arg{}, ints(2, 1, 8, 4)).DType = onnx.Float32
	add("Resize", "cubic-one", emit.Attrs{"mode": sa("cubic")}, Tensor(1, 2, 1, 4), Arg{}, Arg{}, ints(1, 2, 3, 1)).DType = onnx.Float32
	resize("linear-axes", emit.Attrs{"mode": sa("linear"), "axes": is(-1, 2)}, []int64{1, 2, 4, 5}, 2, 1.5)
	add("Resize", "cubic-axes", emit.Attrs{"mode": sa("cubic"), "axes": is(2, 3)}, Tensor(1, 2, 4, 5), Arg{}, Arg{}, ints(7, 3)).DType = onnx.Float32

	add("GlobalMaxPool", "image", nil, Tensor(2, 3, 4, 2).Drawn(distinct(48))).toFloat32().Step = 0.02
}

// toFloat32 is for operators without a float64 kernel that are linear in each input between kinks.
func (c *Case) toFloat32() *Case {
	c.DType, c.Step, c.Tol = onnx.Float32, 0.05, 1e-3
	return c
}

// smooth32 is for curved operators without a float64 kernel.
func smooth32(c *Case) { c.DType, c.Step, c.Tol = onnx.Float32, 1e-2, 3e-3 }

// indexCases checks operators that move elements.
func indexCases(add func(op, name string, a emit.Attrs, args ...Arg) *Case) {
	add("Slice", "middle", nil, Tensor(2, 6, 5), ints(1, 0), ints(4, 3), ints(1, 2))
	add("Slice", "steps", nil, Tensor(2, 7, 5), ints(1, 0), ints(7, 5), ints(1, 2), ints(2, 3))
	add("Slice", "backward", nil, Tensor(2, 7), ints(-1), ints(-100), ints(1), ints(-1))
	add("Slice", "backward-steps", nil, Tensor(2, 8), ints(6), ints(0), ints(-1), ints(-2))
	add("Slice", "beyond", nil, Tensor(4, 3), ints(-100), ints(1<<40), ints(0))
	add("Pad", "around", nil, Tensor(2, 3, 4), ints(0, 1, 2, 1, 0, 1))
	add("Pad", "cut", nil, Tensor(4, 5), ints(-1, 1, 0, -2))
	add("Pad", "axes", nil, Tensor(2, 3, 4), ints(1, 2), Arg{}, ints(-1))
	for _, mode := range []string{"reflect", "edge", "wrap"} {
		m := emit.Attrs{"mode": sa(mode)}
		add("Pad", mode, m, Tensor(2, 3, 4, 5), ints(0, 0, 2, 1, 0, 0, 1, 3))
		add("Pad", mode+"-most", m, Tensor(2, 4), ints(0, 3, 0, 3)) // each side takes all there is
		add("Pad", mode+"-cut", m, Tensor(2, 6, 7), ints(0, -1, 2, 0, 3, -2))
		add("Pad", mode+"-axes", m, Tensor(3, 5, 4), ints(2, 1, -1, 2), Arg{}, ints(-2, 0))
		add("Pad", mode+"-32", m, Tensor(2, 2, 3, 4), ints(0, 0, 1, 2, 0, 0, 1, 2)).DType = onnx.Float32
	}
	add("Pad", "edge-beyond", emit.Attrs{"mode": sa("edge")}, Tensor(1, 3), ints(1, 5, 2, 4))
	add("Pad", "wrap-whole", emit.Attrs{"mode": sa("wrap")}, Tensor(2, 3), ints(0, 3, 2, 3))
	// Split and TopK have outputs beyond the first that the check leaves unused.
	add("Tile", "some", nil, Tensor(2, 1, 3), ints(2, 3, 1))
	add("Trilu", "upper", nil, Tensor(3, 4))
	add("Trilu", "lower", emit.Attrs{"upper": ia(0)}, Tensor(2, 3, 3), Arg{Fixed: onnx.FromInt64([]int64{-1})})
	for _, mode := range []string{"DCR", "CRD"} {
		add("DepthToSpace", mode, emit.Attrs{"blocksize": ia(2), "mode": sa(mode)}, Tensor(2, 8, 3, 2)).toFloat32()
	}
	add("SpaceToDepth", "plain", emit.Attrs{"blocksize": ia(2)}, Tensor(2, 3, 4, 6)).toFloat32()

	add("Gather", "rows", nil, Tensor(4, 3), index([]int64{5}, 0, 3, 3, -1, 1))
	add("Gather", "middle", emit.Attrs{"axis": ia(1)}, Tensor(2, 4, 3), index([]int64{2, 2}, 0, 3, 3, 1))
	add("Gather", "single", emit.Attrs{"axis": ia(1)}, Tensor(2, 4, 3), index([]int64{}, -2))
	add("Gather", "last", emit.Attrs{"axis": ia(-1)}, Tensor(2, 4, 3), index([]int64{2}, 2, 2))
	add("GatherElements", "twice", emit.Attrs{"axis": ia(1)}, Tensor(2, 3), index([]int64{2, 3}, 0, 0, 2, 1, 1, 1))
	add("GatherND", "tuples", nil, Tensor(3, 4, 2), index([]int64{3, 2}, 0, 1, 2, 3, 0, 1))
	for b, at := range map[int64]Arg{1: index([]int64{2, 3, 1}, 0, 2, 0, -1, 1, 1), 2: index([]int64{2, 3, 1}, 0, 2, 0, -1, 1, 1)} {
		add("GatherND", fmt.Sprintf("batch-%d", b), emit.Attrs{"batch_dims": ia(b)}, Tensor(2, 3, 4, 2), at)
	}
	add("GatherND", "batch-pairs", emit.Attrs{"batch_dims": ia(1)}, Tensor(2, 3, 4), index([]int64{2, 2, 2}, 0, 3, 2, -1, 1, 1, 1, 1))
	add("GatherND", "batch-row", emit.Attrs{"batch_dims": ia(1)}, Tensor(2, 3, 4), index([]int64{2, 1}, 2, 0))
	for axis := range int64(3) { // every axis, from either end
		for _, a := range []int64{axis, axis - 3} {
			name, at := fmt.Sprintf("axis%d", a), index([]int64{2, 2, 2}, 0, 1, 1, 0, -1, 0, 0, -1)
			add("GatherElements", name, emit.Attrs{"axis": ia(a)}, Tensor(2, 3, 4), at)
			for _, reduction := range []string{"none", "add"} {
				to := emit.Attrs{"axis": ia(a), "reduction": sa(reduction)}
				distinct := index([]int64{2, 2, 2}, 0, 0, 0, 0, 0, 0, 0, 0)
				v := distinct.Fixed.Int64s()
				for i := range v { // a place of its own for each update
					v[i] = int64(i) >> (2 - axis) & 1
				}
				add("ScatterElements", name+reduction, to, Tensor(2, 3, 4), index([]int64{2, 2, 2}, v...), Tensor(2, 2, 2))
			}
		}
	}
	for _, reduction := range []string{"none", "add"} {
		r := emit.Attrs{"reduction": sa(reduction)}
		add("ScatterND", reduction, r, Tensor(4, 3), index([]int64{2, 1}, 2, 0), Tensor(2, 3))
		add("ScatterElements", reduction, emit.Attrs{"reduction": sa(reduction), "axis": ia(1)}, Tensor(2, 4), index([]int64{2, 2}, 1, 3, 0, 2), Tensor(2, 2))
	}
	c := add("TopK", "two", nil, Tensor(3, 5).Drawn(distinct(15)), ints(2))
	c.Outputs, c.Step, c.Tol = 2, 1e-3, 1e-6
	add("Split", "sizes", emit.Attrs{"axis": ia(1)}, Tensor(2, 5), ints(2, 3)).Outputs = 2
	add("Split", "equal", emit.Attrs{"axis": ia(-1), "num_outputs": ia(2)}, Tensor(2, 4)).Outputs = 2
}
