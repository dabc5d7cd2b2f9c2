package gradtest

import (
	"fmt"
	"strings"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// Composed check the operators that are composed of others.
func Composed() []Case {
	var cases []Case
	add := func(op, name string, a emit.Attrs, args ...Arg) *Case {
		cases = append(cases, Case{Op: op, Name: name, Attrs: a, Args: args, DType: onnx.Float32, Step: 1e-2, Tol: 3e-3})
		return &cases[len(cases)-1]
	}
	for p := int64(1); p <= 3; p++ {
		for name, a := range map[string]emit.Attrs{
			"plain": {"kernel_shape": is(2, 3), "p": ia(p)}, "stride": {"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 0, 1, 1), "p": ia(p)},
			"ceil":    {"kernel_shape": is(2, 2), "strides": is(2, 2), "ceil_mode": ia(1), "p": ia(p)},
			"dilated": {"kernel_shape": is(2, 2), "dilations": is(2, 1), "p": ia(p)},
			"upper":   {"kernel_shape": is(3, 2), "strides": is(2, 3), "auto_pad": sa("SAME_UPPER"), "p": ia(p)},
			"lower":   {"kernel_shape": is(3, 2), "strides": is(2, 3), "auto_pad": sa("SAME_LOWER"), "p": ia(p)},
		} {
			add("LpPool", fmt.Sprintf("%s-%d", name, p), a, Tensor(2, 2, 5, 7).Drawn(apart))
		}
		add("GlobalLpPool", fmt.Sprint("image-", p), emit.Attrs{"p": ia(p)}, Tensor(2, 3, 3, 4).Drawn(apart))
	}
	add("LpPool", "line", emit.Attrs{"kernel_shape": is(3)}, Tensor(2, 2, 8).Drawn(apart))
	add("LpPool", "volume", emit.Attrs{"kernel_shape": is(2, 1, 2)}, Tensor(1, 2, 3, 3, 4).Drawn(apart))
	for p := int64(1); p <= 2; p++ {
		for _, axis := range []int64{-1, 1} {
			add("LpNormalization", fmt.Sprintf("axis%d-%d", axis, p), emit.Attrs{"p": ia(p), "axis": ia(axis)}, Tensor(2, 3, 4).Drawn(apart))
		}
	}
	add("MeanVarianceNormalization", "default", nil, Tensor(2, 3, 4, 5))
	add("MeanVarianceNormalization", "batch", emit.Attrs{"axes": is(0, 1, 2, 3)}, Tensor(2, 3, 4, 5))
	for _, size := range []int64{1, 2, 3, 4, 5} {
		add("LRN", fmt.Sprint("size", size), emit.Attrs{"size": ia(size), "alpha": fa(0.3), "beta": fa(0.6), "bias": fa(1.5)}, Tensor(2, 4, 3, 2)).Alone = size%2 == 0
	}
	add("LRN", "default", emit.Attrs{"size": ia(3)}, Tensor(2, 4, 3, 2))
	add("CastLike", "float", nil, Tensor(2, 3), Arg{Fixed: onnx.FromFloat32([]float32{0}), keep32: true})

	fold := func(name string, image, block []int64, a emit.Attrs, args ...int64) {
		c := add("Col2Im", name, a, Tensor(args...), ints(image...), ints(block...))
		c.Step, c.Tol = 0.5, 1e-4
	}
	fold("plain", []int64{5, 6}, []int64{2, 3}, nil, 2, 12, 16)
	fold("apart", []int64{4, 6}, []int64{2, 2}, emit.Attrs{"strides": is(2, 2)}, 2, 12, 6)
	fold("padded", []int64{4, 5}, []int64{3, 3}, emit.Attrs{"pads": is(1, 1, 1, 1)}, 2, 18, 20)
	fold("uneven", []int64{5, 5}, []int64{2, 2}, emit.Attrs{"pads": is(1, 0, 0, 2), "strides": is(2, 3)}, 1, 8, 6)
	fold("dilated", []int64{6, 6}, []int64{2, 2}, emit.Attrs{"dilations": is(3, 2), "pads": is(1, 1, 1, 1)}, 1, 8, 30)
	fold("rest", []int64{6, 7}, []int64{3, 3}, emit.Attrs{"strides": is(2, 2)}, 1, 9, 6)

	transposed := func(name string, a emit.Attrs, x, w Arg, bias ...Arg) *Case {
		c := add("ConvTranspose", name, a, append([]Arg{x, w}, bias...)...)
		c.Step, c.Tol = 0.5, 1e-4
		return c
	}
	for _, auto := range []string{"SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"} {
		for k := int64(2); k <= 4; k++ {
			name := fmt.Sprintf("%s-%d", strings.ToLower(auto), k)
			a := emit.Attrs{"auto_pad": sa(auto), "strides": is(2, 2)}
			if auto != "NOTSET" {
				transposed(name, a, Tensor(1, 2, 3, 4), Tensor(2, 3, k, 3), Tensor(3))
			}
			b := emit.Attrs{"auto_pad": sa(auto), "strides": is(2, 2), "output_shape": is(2*3-1+k%2, 2*4+1)}
			transposed(name+"-sized", b, Tensor(1, 2, 3, 4), Tensor(2, 3, k, 3))
		}
	}
	transposed("same-extra", emit.Attrs{"auto_pad": sa("SAME_UPPER"), "strides": is(2, 2), "output_padding": is(1, 1)}, Tensor(1, 2, 3, 4), Tensor(2, 3, 3, 3)).Alone = true
	transposed("sized-extra", emit.Attrs{"strides": is(2, 2), "output_padding": is(1, 1), "output_shape": is(6, 8)}, Tensor(1, 2, 3, 4), Tensor(2, 3, 3, 3))
	transposed("sized-grouped", emit.Attrs{"strides": is(2, 1), "group": ia(2), "dilations": is(1, 2), "output_shape": is(6, 7)}, Tensor(1, 4, 3, 4), Tensor(4, 3, 3, 3))
	transposed("same-line", emit.Attrs{"auto_pad": sa("SAME_LOWER"), "strides": is(3)}, Tensor(1, 2, 5), Tensor(2, 2, 4))
	transposed("plain-volume", nil, Tensor(1, 2, 2, 3, 2), Tensor(2, 2, 2, 2, 2))
	c := add("Conv", "same-upper", emit.Attrs{"auto_pad": sa("SAME_UPPER"), "strides": is(2, 3)}, Tensor(1, 2, 5, 7), Tensor(3, 2, 3, 4))
	c.Step, c.Tol = 0.5, 1e-4

	for _, a := range DilatedPools() {
		c := add("AveragePool", fmt.Sprint(a.Text), a.Attrs, Tensor(2, 3, 7, 8))
		c.Domain, c.Step, c.Tol = onnx.LaterDomain, 0.5, 1e-4
	}
	return cases
}

type dilatedPool struct {
	Text  string
	Attrs emit.Attrs
}

// DilatedPools are average poolings of dilated windows, which opset 19 has.
func DilatedPools() []dilatedPool {
	var all []dilatedPool
	for _, count := range []int64{0, 1} {
		for _, ceil := range []int64{0, 1} {
			for name, a := range map[string]emit.Attrs{
				"plain": {}, "padded": {"pads": is(1, 0, 1, 2)}, "stride": {"strides": is(2, 3), "pads": is(1, 1, 1, 1)},
				"same-upper": {"auto_pad": sa("SAME_UPPER"), "strides": is(2, 1)},
			} {
				a["kernel_shape"], a["dilations"] = is(3, 2), is(2, 3)
				a["count_include_pad"], a["ceil_mode"] = ia(count), ia(ceil)
				all = append(all, dilatedPool{fmt.Sprintf("%s-%d%d", name, count, ceil), a})
			}
		}
	}
	return all
}
