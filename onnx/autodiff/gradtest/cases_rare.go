package gradtest

import (
	"fmt"
	"math/rand/v2"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// trigCases checks the mathematics that few networks use.
func trigCases(add func(op, name string, a emit.Attrs, args ...Arg) *Case) {
	for _, op := range []string{"Tan", "Asin", "Acos", "Atanh"} {
		smooth32(add(op, "inside", nil, Tensor(2, 3, 4).Drawn(unit)))
	}
	for _, op := range []string{"Atan", "Sinh", "Cosh", "Asinh"} {
		smooth32(add(op, "zeros", nil, Tensor(2, 3, 4).Drawn(withZeros)))
	}
	smooth32(add("Acosh", "beyond", nil, Tensor(2, 3, 4).Drawn(func(r *rand.Rand, _ int) float64 { return 1.5 + r.Float64() })))
	add("ThresholdedRelu", "default", nil, Tensor(3, 5).Drawn(distinct(15))).toFloat32().Step = 0.02
	add("ThresholdedRelu", "low", emit.Attrs{"alpha": fa(-0.27)}, Tensor(3, 5).Drawn(distinct(15))).toFloat32().Step = 0.02
	for _, bias := range []float32{0, 0.27} { // hard and soft
		a := emit.Attrs{"lambd": fa(0.27), "bias": fa(bias)}
		add("Shrink", map[bool]string{true: "hard", false: "soft"}[bias == 0], a, Tensor(3, 5).Drawn(distinct(15))).toFloat32().Step = 0.02
	}
	add("Shrink", "default", nil, Tensor(7, 9).Drawn(func(r *rand.Rand, i int) float64 { return apart(r, i) + 0.27 })).toFloat32().Step = 1e-3

	// Quotients 7.3 steps of 0.1 apart from a whole number.
	quotient := func(r *rand.Rand, i int) float64 { return 1.3*float64(i%5-2) + 0.35 }
	add("Mod", "floats", emit.Attrs{"fmod": ia(1)}, Tensor(3, 5).Drawn(quotient), Tensor(3, 1).Drawn(func(_ *rand.Rand, i int) float64 { return []float64{1, -1, 0.7}[i] })).toFloat32().Step = 5e-3

	holes := func(at ...int) func(r *rand.Rand, i int) float64 {
		return func(r *rand.Rand, i int) float64 {
			for _, k := range at {
				if i == k {
					return 0
				}
			}
			return apart(r, i)
		}
	}
	add("ReduceProd", "all", nil, Tensor(2, 3)).toFloat32()
	add("ReduceProd", "none", emit.Attrs{"noop_with_empty_axes": ia(1)}, Tensor(2, 3)).toFloat32()
	add("ReduceProd", "one", emit.Attrs{"keepdims": ia(0)}, Tensor(2, 3, 4), ints(1)).toFloat32()
	add("ReduceProd", "a-zero", nil, Tensor(3, 4).Drawn(holes(1, 6)), ints(-1)).toFloat32()
	add("ReduceProd", "zeros", nil, Tensor(3, 4).Drawn(holes(1, 2, 6)), ints(-1)).toFloat32()
	add("ReduceLogSum", "all", nil, Tensor(2, 3, 4).Drawn(positive)).smooth()
	add("ReduceLogSum", "one", emit.Attrs{"keepdims": ia(0)}, Tensor(2, 3, 4).Drawn(positive), ints(1)).smooth()

	add("ReverseSequence", "rows", nil, Tensor(4, 3, 2), index([]int64{3}, 1, 4, 2)).toFloat32()
	add("ReverseSequence", "columns", emit.Attrs{"time_axis": ia(1), "batch_axis": ia(0)}, Tensor(3, 4, 2), index([]int64{3}, 1, 4, 2)).toFloat32()
	unpool := emit.Attrs{"kernel_shape": is(2, 2), "strides": is(2, 2)}
	places := index([]int64{1, 2, 2, 2}, 0, 3, 8, 15, 17, 18, 24, 31)
	add("MaxUnpool", "halves", unpool, Tensor(1, 2, 2, 2), places).toFloat32()
	add("MaxUnpool", "sized", unpool, Tensor(1, 2, 2, 2), places, ints(1, 2, 5, 5)).toFloat32()

	for name, a := range map[string]emit.Attrs{
		"dilated": {"kernel_shape": is(2, 3), "dilations": is(2, 1)}, "columns": {"kernel_shape": is(2, 2), "strides": is(2, 2), "storage_order": ia(1)},
		"dilated-ceil": {"kernel_shape": is(2, 2), "dilations": is(2, 2), "strides": is(2, 2), "ceil_mode": ia(1), "pads": is(1, 0, 0, 1)},
		"same":         {"kernel_shape": is(3, 3), "strides": is(2, 2), "auto_pad": sa("SAME_UPPER")},
	} {
		c := add("MaxPool", name, a, Tensor(1, 2, 6, 5).Drawn(distinct(60)))
		c.DType, c.Step, c.Tol = onnx.Float32, 0.02, 1e-3
		if name == "columns" {
			c.Outputs = 2
		}
	}
	for name, c := range map[string]struct{ dims, kernel []int64 }{"line": {[]int64{2, 2, 9}, []int64{3}}, "volume": {[]int64{1, 2, 4, 5, 4}, []int64{2, 3, 2}}} {
		a := emit.Attrs{"kernel_shape": is(c.kernel...)}
		add("AveragePool", name, a, Tensor(c.dims...)).toFloat32()
		n := 1
		for _, d := range c.dims {
			n *= int(d)
		}
		add("MaxPool", name, a, Tensor(c.dims...).Drawn(distinct(n))).toFloat32().Step = 0.02
	}
}

// smooth is smooth32 of a case just added.
func (c *Case) smooth() { smooth32(c) }

// resizeCases checks the modes of Resize beyond those of mathCases. All are
// linear, so a difference of any step shows each weight.
func resizeCases(add func(op, name string, a emit.Attrs, args ...Arg) *Case) {
	resize := func(name string, a emit.Attrs, x Arg, roi, scales []float32, sizes ...int64) {
		args := []Arg{x, {}, {}}
		if roi != nil {
			args[1] = Arg{Fixed: onnx.FromFloat32(roi, int64(len(roi))), keep32: true}
		}
		if scales != nil {
			args[2] = Arg{Fixed: onnx.FromFloat32(scales, int64(len(scales))), keep32: true}
		} else {
			args = append(args, ints(sizes...))
		}
		add("Resize", name, a, args...).DType = onnx.Float32
	}
	for _, mode := range []string{"linear", "cubic"} {
		for _, transform := range []string{"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"} {
			for _, outside := range []int64{0, 1} {
				a := emit.Attrs{"mode": sa(mode), "antialias": ia(1), "coordinate_transformation_mode": sa(transform), "exclude_outside": ia(outside)}
				name := fmt.Sprintf("smooth-%s-%s-%d", mode, transform, outside)
				resize(name, a, Tensor(1, 2, 9, 7), nil, []float32{1, 1, 0.45, 0.7})
				resize(name+"-mixed", a, Tensor(1, 2, 8, 4), nil, nil, 1, 2, 3, 6)
			}
		}
		a := emit.Attrs{"mode": sa(mode), "coordinate_transformation_mode": sa("half_pixel_symmetric")}
		resize("symmetric-"+mode, a, Tensor(1, 2, 8, 5), nil, []float32{1, 1, 0.7, 1.5})
		a = emit.Attrs{"mode": sa(mode), "antialias": ia(1), "axes": is(2, 3), "cubic_coeff_a": fa(-0.5)}
		resize("smooth-axes-"+mode, a, Tensor(1, 2, 8, 10), nil, nil, 3, 4)
	}
	resize("symmetric-nearest", emit.Attrs{"mode": sa("nearest"), "coordinate_transformation_mode": sa("half_pixel_symmetric")}, Tensor(1, 2, 8, 5), nil, []float32{1, 1, 0.7, 1.5})
	for _, mode := range []string{"nearest", "linear", "cubic"} {
		for name, roi := range map[string][]float32{"inside": {0, 0, 0.2, 0.1, 1, 1, 0.7, 0.8}, "beyond": {0, 0, -0.3, 0, 1, 1, 0.9, 1.4}} {
			a := emit.Attrs{"mode": sa(mode), "coordinate_transformation_mode": sa("tf_crop_and_resize"), "extrapolation_value": fa(3)}
			resize("crop-"+mode+"-"+name, a, Tensor(1, 2, 6, 7), roi, nil, 1, 2, 5, 4)
		}
	}
	for _, policy := range []string{"not_larger", "not_smaller"} {
		for _, mode := range []string{"nearest", "linear", "cubic"} {
			a := emit.Attrs{"mode": sa(mode), "keep_aspect_ratio_policy": sa(policy), "axes": is(2, 3)}
			resize(policy+"-"+mode, a, Tensor(1, 2, 5, 8), nil, nil, 3, 7)
			resize(policy+"-"+mode+"-up", a, Tensor(1, 2, 4, 3), nil, nil, 7, 9)
		}
	}
	for _, round := range []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"} {
		for _, transform := range []string{"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "tf_half_pixel_for_nn"} {
			a := emit.Attrs{"mode": sa("nearest"), "nearest_mode": sa(round), "coordinate_transformation_mode": sa(transform)}
			resize("nearest-"+round+"-"+transform, a, Tensor(1, 1, 5, 6), nil, []float32{1, 1, 0.6, 2.5})
		}
	}
}
