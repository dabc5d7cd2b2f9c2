package autodiff

import (
	"fmt"
	"math/rand/v2"

	"winnow/onnx"
)

// boolean is a constant truth tensor, every third element false.
func boolean(dims ...int64) arg {
	t := onnx.NewTensor(onnx.Bool, dims...)
	for i := range t.Data {
		if i%3 != 0 {
			t.Data[i] = 1
		}
	}
	return arg{fixed: t}
}

// index is a constant int64 tensor.
func index(dims []int64, v ...int64) arg { return arg{fixed: onnx.FromInt64(v, dims...)} }

func unit(r *rand.Rand, _ int) float64 { return 1.6*r.Float64() - 0.8 }

// mathCases checks elementwise operators, sums of products and reductions.
func mathCases(add func(op, name string, a attrs, args ...arg) *gradCase) {
	for _, op := range []string{"Neg", "Exp", "Sin", "Cos", "Erf", "Softplus"} {
		c := add(op, "zeros", nil, tensor(2, 3, 4).drawn(withZeros))
		if op == "Erf" || op == "Softplus" {
			smooth32(c)
		}
	}
	for _, op := range []string{"Sqrt", "Log", "Reciprocal"} {
		add(op, "positive", nil, tensor(2, 3, 4).drawn(positive))
	}
	add("Abs", "apart", nil, tensor(2, 3, 4).drawn(apart))
	add("Pow", "square", nil, tensor(2, 3).drawn(withZeros), scalarArg(2))
	add("Pow", "both", nil, tensor(2, 3).drawn(positive), tensor(3))
	add("PRelu", "channel", nil, tensor(2, 3, 4).drawn(apart), tensor(3, 1)).toFloat32()
	for _, op := range []string{"LeakyRelu", "Elu", "Celu", "Selu", "HardSwish", "Mish", "Softsign"} {
		smooth32(add(op, "apart", nil, tensor(2, 3, 4).drawn(apart)))
	}
	smooth32(add("LeakyRelu", "alpha", attrs{"alpha": fa(0.3)}, tensor(2, 3, 4).drawn(apart)))
	smooth32(add("Elu", "alpha", attrs{"alpha": fa(0.5)}, tensor(2, 3, 4).drawn(apart)))
	smooth32(add("HardSigmoid", "inside", attrs{"alpha": fa(0.25)}, tensor(2, 3, 4).drawn(unit)))
	smooth32(add("HardSigmoid", "outside", attrs{"alpha": fa(2)}, tensor(2, 3, 4).drawn(func(r *rand.Rand, i int) float64 { return apart(r, i) * 2 })))
	for _, op := range []string{"Max", "Min"} {
		add(op, "three", nil, tensor(2, 3).drawn(distinct(6)), tensor(3), tensor(1, 1))
		add(op, "two", nil, tensor(2, 3), tensor(2, 3))
	}
	for _, op := range []string{"Sum", "Mean"} {
		add(op, "three", nil, tensor(2, 3), tensor(3), tensor(2, 1)).toFloat32()
		add(op, "one", nil, tensor(2, 3)).toFloat32()
	}
	add("Where", "spread", nil, boolean(2, 1, 4), tensor(2, 3, 4), tensor(4))
	add("Where", "scalars", nil, boolean(2, 3), tensor([]int64{}...), tensor(1, 3))

	for name, equation := range map[string]string{
		"product": "ij,jk->ik", "batch": "bij,bkj->bik", "outer": "i,j->ij", "sum": "ij,jk->k", "three": "ij,jk,kl->il", "permuted": "bhwc,hkc->bhwk",
	} {
		args := map[string][]arg{
			"product": {tensor(3, 4), tensor(4, 5)}, "batch": {tensor(2, 3, 4), tensor(2, 5, 4)}, "outer": {tensor(3), tensor(4)},
			"sum": {tensor(3, 4), tensor(4, 5)}, "three": {tensor(2, 3), tensor(3, 4), tensor(4, 2)},
			"permuted": {tensor(2, 3, 4, 5), tensor(3, 6, 5)},
		}[name]
		add("Einsum", name, attrs{"equation": sa(equation)}, args...)
	}
	einsumCases(add)
	for _, op := range []string{"ReduceMax", "ReduceMin"} {
		add(op, "all", nil, tensor(2, 3, 4).drawn(distinct(24)))
		add(op, "one", attrs{"keepdims": ia(0)}, tensor(2, 3, 4).drawn(distinct(24)), ints(1))
	}
	for _, op := range []string{"ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"} {
		add(op, "all", nil, tensor(2, 3, 4).drawn(apart))
		add(op, "one", attrs{"keepdims": ia(0)}, tensor(2, 3, 4).drawn(apart), ints(-1))
	}
	for name, a := range map[string]attrs{"plain": nil, "reverse": {"reverse": ia(1)}, "exclusive": {"exclusive": ia(1)}} {
		add("CumSum", name, a, tensor(2, 3, 4), arg{fixed: onnx.FromInt64([]int64{1})})
	}
	for name, a := range map[string]attrs{"last": nil, "two": {"axis": ia(1)}} {
		dims := []int64{4}
		if name == "two" {
			dims = []int64{3, 4}
		}
		add("LayerNormalization", name, a, tensor(2, 3, 4), tensor(dims...), tensor(dims...)).tol = 1e-4
		c := add("LayerNormalization", name+"-float32", a, tensor(2, 3, 4), tensor(dims...), tensor(dims...))
		smooth32(c)
		c.tol = 2e-2
	}
	smooth32(add("InstanceNormalization", "image", attrs{"epsilon": fa(0.01)}, tensor(2, 3, 4, 5), tensor(3), tensor(3)))
	smooth32(add("InstanceNormalization", "line", attrs{"epsilon": fa(0.01)}, tensor(2, 3, 8), tensor(3), tensor(3)))
	for name, c := range map[string]struct {
		a attrs
		w []int64
	}{
		"plain":   {nil, []int64{3, 4, 3, 3}},
		"stride":  {attrs{"strides": is(2, 2), "pads": is(1, 1, 1, 1), "output_padding": is(1, 1)}, []int64{3, 4, 3, 3}},
		"grouped": {attrs{"group": ia(3), "strides": is(2, 2)}, []int64{3, 2, 2, 2}},
		"dilated": {attrs{"dilations": is(2, 1), "pads": is(0, 1, 1, 0)}, []int64{3, 2, 2, 3}},
	} {
		out := c.w[1]
		if g, ok := c.a["group"]; ok {
			out *= g.I
		}
		linear := add("ConvTranspose", name, c.a, tensor(2, 3, 4, 5), tensor(c.w...), tensor(out))
		linear.dtype = onnx.Float32
	}
	resize := func(name string, a attrs, dims []int64, scales ...float32) {
		c := add("Resize", name, a, tensor(dims...), arg{}, arg{fixed: onnx.FromFloat32(scales, int64(len(scales))), keep32: true})
		c.dtype = onnx.Float32
	}
	nearest := func(more attrs) attrs {
		a := attrs{"mode": sa("nearest")}
		for k, v := range more {
			a[k] = v
		}
		return a
	}
	resize("nearest", nearest(attrs{"coordinate_transformation_mode": sa("asymmetric"), "nearest_mode": sa("floor")}), []int64{2, 3, 3, 4}, 1, 1, 2, 2)
	resize("nearest-half", nearest(nil), []int64{1, 2, 4, 6}, 1, 1, 0.5, 1.5)
	resize("linear", attrs{"mode": sa("linear")}, []int64{1, 2, 4, 5}, 1, 1, 2, 2)
	resize("linear-corners", attrs{"mode": sa("linear"), "coordinate_transformation_mode": sa("align_corners")}, []int64{1, 2, 4, 5}, 1, 1, 2, 1.6)
	resize("linear-pytorch", attrs{"mode": sa("linear"), "coordinate_transformation_mode": sa("pytorch_half_pixel")}, []int64{1, 2, 4, 4}, 1, 1, 0.5, 0.75)
	sized := add("Resize", "linear-sizes", attrs{"mode": sa("linear"), "coordinate_transformation_mode": sa("half_pixel")}, tensor(1, 2, 4, 5), arg{}, arg{}, ints(1, 2, 7, 9))
	sized.dtype = onnx.Float32

	for _, transform := range []string{"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"} {
		for _, outside := range []int64{0, 1} {
			a := attrs{"mode": sa("cubic"), "coordinate_transformation_mode": sa(transform), "exclude_outside": ia(outside)}
			resize(fmt.Sprintf("cubic-%s-%d", transform, outside), a, []int64{1, 2, 4, 5}, 1, 1, 2, 1.6)
			a = attrs{"mode": sa("cubic"), "coordinate_transformation_mode": sa(transform), "exclude_outside": ia(outside), "cubic_coeff_a": fa(-0.5)}
			resize(fmt.Sprintf("cubic-down-%s-%d", transform, outside), a, []int64{1, 2, 7, 6}, 1, 1, 0.5, 0.75)
		}
	}
	add("Resize", "cubic-sizes", attrs{"mode": sa("cubic")}, tensor(2, 1, 3, 5), arg{}, arg{}, ints(2, 1, 8, 4)).dtype = onnx.Float32
	add("Resize", "cubic-one", attrs{"mode": sa("cubic")}, tensor(1, 2, 1, 4), arg{}, arg{}, ints(1, 2, 3, 1)).dtype = onnx.Float32
	resize("linear-axes", attrs{"mode": sa("linear"), "axes": is(-1, 2)}, []int64{1, 2, 4, 5}, 2, 1.5)
	add("Resize", "cubic-axes", attrs{"mode": sa("cubic"), "axes": is(2, 3)}, tensor(1, 2, 4, 5), arg{}, arg{}, ints(7, 3)).dtype = onnx.Float32

	add("GlobalMaxPool", "image", nil, tensor(2, 3, 4, 2).drawn(distinct(48))).toFloat32().step = 0.02
}

// toFloat32 is for operators without a float64 kernel that are linear in each input between kinks.
func (c *gradCase) toFloat32() *gradCase {
	c.dtype, c.step, c.tol = onnx.Float32, 0.05, 1e-3
	return c
}

// smooth32 is for curved operators without a float64 kernel.
func smooth32(c *gradCase) { c.dtype, c.step, c.tol = onnx.Float32, 1e-2, 3e-3 }

// indexCases checks operators that move elements.
func indexCases(add func(op, name string, a attrs, args ...arg) *gradCase) {
	add("Slice", "middle", nil, tensor(2, 6, 5), ints(1, 0), ints(4, 3), ints(1, 2))
	add("Slice", "steps", nil, tensor(2, 7, 5), ints(1, 0), ints(7, 5), ints(1, 2), ints(2, 3))
	add("Slice", "backward", nil, tensor(2, 7), ints(-1), ints(-100), ints(1), ints(-1))
	add("Slice", "backward-steps", nil, tensor(2, 8), ints(6), ints(0), ints(-1), ints(-2))
	add("Slice", "beyond", nil, tensor(4, 3), ints(-100), ints(1<<40), ints(0))
	add("Pad", "around", nil, tensor(2, 3, 4), ints(0, 1, 2, 1, 0, 1))
	add("Pad", "cut", nil, tensor(4, 5), ints(-1, 1, 0, -2))
	add("Pad", "axes", nil, tensor(2, 3, 4), ints(1, 2), arg{}, ints(-1))
	for _, mode := range []string{"reflect", "edge", "wrap"} {
		m := attrs{"mode": sa(mode)}
		add("Pad", mode, m, tensor(2, 3, 4, 5), ints(0, 0, 2, 1, 0, 0, 1, 3))
		add("Pad", mode+"-most", m, tensor(2, 4), ints(0, 3, 0, 3)) // each side takes all there is
		add("Pad", mode+"-cut", m, tensor(2, 6, 7), ints(0, -1, 2, 0, 3, -2))
		add("Pad", mode+"-axes", m, tensor(3, 5, 4), ints(2, 1, -1, 2), arg{}, ints(-2, 0))
		add("Pad", mode+"-32", m, tensor(2, 2, 3, 4), ints(0, 0, 1, 2, 0, 0, 1, 2)).dtype = onnx.Float32
	}
	add("Pad", "edge-beyond", attrs{"mode": sa("edge")}, tensor(1, 3), ints(1, 5, 2, 4))
	add("Pad", "wrap-whole", attrs{"mode": sa("wrap")}, tensor(2, 3), ints(0, 3, 2, 3))
	// Split and TopK have outputs beyond the first that the check leaves unused.
	add("Tile", "some", nil, tensor(2, 1, 3), ints(2, 3, 1))
	add("Trilu", "upper", nil, tensor(3, 4))
	add("Trilu", "lower", attrs{"upper": ia(0)}, tensor(2, 3, 3), arg{fixed: onnx.FromInt64([]int64{-1})})
	for _, mode := range []string{"DCR", "CRD"} {
		add("DepthToSpace", mode, attrs{"blocksize": ia(2), "mode": sa(mode)}, tensor(2, 8, 3, 2)).toFloat32()
	}
	add("SpaceToDepth", "plain", attrs{"blocksize": ia(2)}, tensor(2, 3, 4, 6)).toFloat32()

	add("Gather", "rows", nil, tensor(4, 3), index([]int64{5}, 0, 3, 3, -1, 1))
	add("Gather", "middle", attrs{"axis": ia(1)}, tensor(2, 4, 3), index([]int64{2, 2}, 0, 3, 3, 1))
	add("Gather", "single", attrs{"axis": ia(1)}, tensor(2, 4, 3), index([]int64{}, -2))
	add("Gather", "last", attrs{"axis": ia(-1)}, tensor(2, 4, 3), index([]int64{2}, 2, 2))
	add("GatherElements", "twice", attrs{"axis": ia(1)}, tensor(2, 3), index([]int64{2, 3}, 0, 0, 2, 1, 1, 1))
	add("GatherND", "tuples", nil, tensor(3, 4, 2), index([]int64{3, 2}, 0, 1, 2, 3, 0, 1))
	for b, at := range map[int64]arg{1: index([]int64{2, 3, 1}, 0, 2, 0, -1, 1, 1), 2: index([]int64{2, 3, 1}, 0, 2, 0, -1, 1, 1)} {
		add("GatherND", fmt.Sprintf("batch-%d", b), attrs{"batch_dims": ia(b)}, tensor(2, 3, 4, 2), at)
	}
	add("GatherND", "batch-pairs", attrs{"batch_dims": ia(1)}, tensor(2, 3, 4), index([]int64{2, 2, 2}, 0, 3, 2, -1, 1, 1, 1, 1))
	add("GatherND", "batch-row", attrs{"batch_dims": ia(1)}, tensor(2, 3, 4), index([]int64{2, 1}, 2, 0))
	for axis := range int64(3) { // every axis, from either end
		for _, a := range []int64{axis, axis - 3} {
			name, at := fmt.Sprintf("axis%d", a), index([]int64{2, 2, 2}, 0, 1, 1, 0, -1, 0, 0, -1)
			add("GatherElements", name, attrs{"axis": ia(a)}, tensor(2, 3, 4), at)
			for _, reduction := range []string{"none", "add"} {
				to := attrs{"axis": ia(a), "reduction": sa(reduction)}
				distinct := index([]int64{2, 2, 2}, 0, 0, 0, 0, 0, 0, 0, 0)
				v := distinct.fixed.Int64s()
				for i := range v { // a place of its own for each update
					v[i] = int64(i) >> (2 - axis) & 1
				}
				add("ScatterElements", name+reduction, to, tensor(2, 3, 4), index([]int64{2, 2, 2}, v...), tensor(2, 2, 2))
			}
		}
	}
	for _, reduction := range []string{"none", "add"} {
		r := attrs{"reduction": sa(reduction)}
		add("ScatterND", reduction, r, tensor(4, 3), index([]int64{2, 1}, 2, 0), tensor(2, 3))
		add("ScatterElements", reduction, attrs{"reduction": sa(reduction), "axis": ia(1)}, tensor(2, 4), index([]int64{2, 2}, 1, 3, 0, 2), tensor(2, 2))
	}
	c := add("TopK", "two", nil, tensor(3, 5).drawn(distinct(15)), ints(2))
	c.outputs, c.step, c.tol = 2, 1e-3, 1e-6
	add("Split", "sizes", attrs{"axis": ia(1)}, tensor(2, 5), ints(2, 3)).outputs = 2
	add("Split", "equal", attrs{"axis": ia(-1), "num_outputs": ia(2)}, tensor(2, 4)).outputs = 2
}
