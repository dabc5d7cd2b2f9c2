package gradtest

import (
	"math"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// Blocked check the gradients of the blocked layout: 16 and 32 channels
// are whole blocks on every machine, batches of 16 and 32 whole blocks of images.
func Blocked() []Case {
	var cases []Case
	add := func(op, name string, a emit.Attrs, args ...Arg) *Case {
		cases = append(cases, Case{
			Op: op, Name: "blocked-" + name, Attrs: a, Args: args, DType: onnx.Float32, blocked: true,
		})
		return &cases[len(cases)-1]
	}
	both := func(c *Case, step, tol float64) { // without and with operators of runtime/kernels
		c.Step, c.Tol = step, tol
		own := *c
		own.Name, own.kernels = own.Name+"-kernel", true
		cases = append(cases, own)
	}
	conv := func(name string, a emit.Attrs, x, f Arg, more ...Arg) {
		add("Conv", name, a, append([]Arg{x, f}, more...)...)
	}
	conv("padded", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(16, 16, 4, 5), Tensor(16, 16, 3, 3), Tensor(16))
	conv("blocks", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(32, 32, 3, 3), Tensor(48, 32, 3, 3))
	conv("some-images", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(5, 16, 4, 4), Tensor(32, 16, 3, 3))
	conv("valid", nil, Tensor(16, 32, 5, 4), Tensor(16, 32, 2, 3))
	conv("uneven", emit.Attrs{"pads": is(0, 2, 1, 0)}, Tensor(16, 16, 4, 4), Tensor(16, 16, 3, 3))
	conv("wide", emit.Attrs{"pads": is(3, 3, 3, 3)}, Tensor(16, 16, 3, 3), Tensor(16, 16, 3, 3))
	conv("stride", emit.Attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2)}, Tensor(16, 16, 6, 6), Tensor(32, 16, 3, 3))
	conv("stride-rest", emit.Attrs{"strides": is(3, 2)}, Tensor(16, 16, 7, 8), Tensor(16, 16, 2, 3))
	conv("stride-beyond", emit.Attrs{"pads": is(1, 1, 2, 2), "strides": is(3, 3)}, Tensor(16, 16, 4, 5), Tensor(16, 16, 3, 3))
	conv("dilated-rows", emit.Attrs{"pads": is(2, 1, 2, 1), "dilations": is(2, 1)}, Tensor(16, 16, 5, 4), Tensor(16, 16, 3, 3))
	conv("dilated", emit.Attrs{"pads": is(2, 2, 2, 2), "dilations": is(2, 2)}, Tensor(16, 16, 5, 5), Tensor(16, 16, 3, 3))
	conv("pointwise", nil, Tensor(16, 16, 3, 3), Tensor(32, 16, 1, 1), Tensor(32))
	conv("pointwise-stride", emit.Attrs{"strides": is(2, 2)}, Tensor(16, 32, 4, 5), Tensor(16, 32, 1, 1))
	conv("few-channels", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(16, 3, 4, 4), Tensor(16, 3, 3, 3))
	conv("odd-channels", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(16, 20, 3, 3), Tensor(16, 20, 3, 3))
	conv("odd-outputs", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(16, 16, 3, 3), Tensor(12, 16, 3, 3))
	conv("grouped", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(2)}, Tensor(16, 32, 3, 3), Tensor(32, 16, 3, 3))
	conv("grouped-blocks", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(2)}, Tensor(16, 64, 3, 3), Tensor(32, 32, 3, 3), Tensor(32))
	conv("grouped-narrow", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(8)}, Tensor(16, 32, 4, 3), Tensor(32, 4, 3, 3), Tensor(32))
	conv("grouped-stride", emit.Attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2), "group": ia(4)}, Tensor(16, 32, 5, 6), Tensor(32, 8, 3, 3))
	conv("grouped-wider", emit.Attrs{"group": ia(4), "pads": is(0, 1, 1, 0)}, Tensor(16, 16, 4, 4), Tensor(32, 4, 2, 2))
	conv("grouped-some-images", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(8)}, Tensor(5, 32, 3, 3), Tensor(32, 4, 3, 3))
	conv("grouped-pointwise", emit.Attrs{"group": ia(4)}, Tensor(16, 32, 3, 3), Tensor(64, 8, 1, 1))
	conv("by-channel", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(32)}, Tensor(3, 32, 4, 5), Tensor(32, 1, 3, 3), Tensor(32))
	conv("by-channel-stride", emit.Attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2), "group": ia(16)}, Tensor(2, 16, 6, 5), Tensor(16, 1, 3, 3))
	conv("by-channel-dilated", emit.Attrs{"pads": is(2, 2, 1, 2), "dilations": is(2, 2), "group": ia(16)}, Tensor(2, 16, 5, 5), Tensor(16, 1, 3, 2))
	conv("by-channel-beyond", emit.Attrs{"strides": is(3, 2), "group": ia(16)}, Tensor(2, 16, 6, 4), Tensor(16, 1, 1, 2))
	conv("by-channel-wide", emit.Attrs{"pads": is(2, 2, 2, 2), "group": ia(16)}, Tensor(2, 16, 3, 3), Tensor(16, 1, 5, 5))
	conv("by-channel-odd", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(20)}, Tensor(2, 20, 3, 3), Tensor(20, 1, 3, 3))
	conv("same", emit.Attrs{"auto_pad": sa("SAME_UPPER"), "strides": is(2, 2)}, Tensor(16, 16, 5, 4), Tensor(16, 16, 3, 3))

	winograd := func(name string, a emit.Attrs, args ...Arg) {
		add("Conv", "winograd-"+name, a, args...).Lower = autodiff.Lowering{Data: autodiff.DataWinograd, Weight: autodiff.WeightWinograd}
	}
	winograd("tile", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(16, 32, 4, 5), Tensor(32, 32, 3, 3), Tensor(32))
	winograd("rest", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(32, 32, 7, 3), Tensor(48, 32, 3, 3), Tensor(48))
	winograd("valid", nil, Tensor(16, 48, 6, 4), Tensor(32, 48, 3, 3))
	winograd("uneven", emit.Attrs{"pads": is(2, 0, 1, 2)}, Tensor(16, 32, 7, 4), Tensor(32, 32, 3, 3))
	winograd("some-images", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(5, 32, 8, 3), Tensor(32, 32, 3, 3))

	kernel := func(name string, a emit.Attrs, args ...Arg) { add("Conv", "kernel-"+name, a, args...).kernels = true }
	kernel("tile", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(3, 16, 4, 5), Tensor(16, 16, 3, 3), Tensor(16))
	kernel("rest", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(2, 32, 7, 3), Tensor(48, 32, 3, 3), Tensor(48))
	kernel("valid", nil, Tensor(2, 48, 6, 4), Tensor(32, 48, 3, 3))
	kernel("uneven", emit.Attrs{"pads": is(2, 0, 1, 2)}, Tensor(2, 16, 7, 4), Tensor(32, 16, 3, 3))
	kernel("pointwise", nil, Tensor(16, 16, 3, 3), Tensor(32, 16, 1, 1), Tensor(32))
	kernel("wide-filter", emit.Attrs{"pads": is(2, 2, 2, 1)}, Tensor(5, 32, 5, 4), Tensor(16, 32, 5, 4))
	kernel("two-groups", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(2)}, Tensor(3, 32, 4, 3), Tensor(64, 16, 3, 3))
	kernel("narrow-groups", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(8)}, Tensor(16, 32, 4, 3), Tensor(32, 4, 3, 3), Tensor(32))
	kernel("by-channel", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(32)}, Tensor(3, 32, 4, 5), Tensor(32, 1, 3, 3), Tensor(32))
	kernel("by-channel-stride", emit.Attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2), "group": ia(16)}, Tensor(2, 16, 6, 5), Tensor(16, 1, 3, 3))
	kernel("by-channel-dilated", emit.Attrs{"pads": is(2, 2, 1, 2), "dilations": is(2, 2), "group": ia(16)}, Tensor(2, 16, 5, 5), Tensor(16, 1, 3, 2))
	kernel("by-channel-wide", emit.Attrs{"pads": is(2, 2, 2, 2), "group": ia(16)}, Tensor(2, 16, 3, 3), Tensor(16, 1, 5, 5))
	kernel("strided", emit.Attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2)}, Tensor(16, 16, 6, 6), Tensor(16, 16, 3, 3))

	for _, size := range [][]int64{{4, 16, 3, 4}, {2, 32, 40, 30}} {
		c := add("BatchNormalization", "norm", emit.Attrs{"epsilon": fa(1e-3)}, Tensor(size...), Tensor(size[1]), Tensor(size[1]),
			Tensor(size[1]).constant(), Tensor(size[1]).Drawn(positive).constant())
		c.BatchNorm, c.Step, c.Tol = true, 1e-2, 5e-3
		own := *c
		own.Name, own.kernels = "blocked-kernel-norm", true
		cases = append(cases, own)
	}
	for name, a := range map[string]emit.Attrs{
		"tiled": {"kernel_shape": is(2, 2), "strides": is(2, 2)}, "tall": {"kernel_shape": is(3, 2), "strides": is(3, 2)},
		"rest": {"kernel_shape": is(2, 3), "strides": is(2, 3)}, "overlapping": {"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 1, 1, 1)},
		"uneven": {"kernel_shape": is(3, 2), "strides": is(1, 2), "pads": is(2, 0, 1, 1)}, "dilated": {"kernel_shape": is(2, 2), "dilations": is(2, 3)},
		"overhanging": {"kernel_shape": is(3, 3), "strides": is(2, 2), "ceil_mode": ia(1)}, "same": {"kernel_shape": is(3, 3), "strides": is(2, 2), "auto_pad": sa("SAME_LOWER")},
	} {
		both(add("MaxPool", "pool-"+name, a, Tensor(2, 16, 6, 7).Drawn(distinct(2*16*6*7))), 0.02, 1e-3)
	}
	add("AveragePool", "tiled", emit.Attrs{"kernel_shape": is(2, 3), "strides": is(2, 3)}, Tensor(2, 16, 4, 6))
	add("AveragePool", "rest", emit.Attrs{"kernel_shape": is(2, 2), "strides": is(2, 2)}, Tensor(2, 16, 5, 4))
	add("AveragePool", "overlapping", emit.Attrs{"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 1, 1, 1)}, Tensor(2, 16, 5, 4))
	add("Concat", "channels", emit.Attrs{"axis": ia(1)}, Tensor(2, 16, 3, 4), Tensor(2, 32, 3, 4))
	add("Concat", "odd-channels", emit.Attrs{"axis": ia(1)}, Tensor(2, 16, 3, 4), Tensor(2, 20, 3, 4))
	add("Concat", "rows", emit.Attrs{"axis": ia(2)}, Tensor(2, 16, 3, 4), Tensor(2, 16, 2, 4))
	for name, a := range map[string]emit.Attrs{"last": {"epsilon": fa(1e-3)}, "two": {"axis": ia(1)}} {
		dims := map[string][]int64{"last": {6}, "two": {3, 6}}[name]
		both(add("LayerNormalization", name, a, Tensor(4, 3, 6), Tensor(dims...), Tensor(dims...)), 1e-2, 5e-3)
	}
	both(add("LayerNormalization", "no-bias", nil, Tensor(4, 5), Tensor(5)), 1e-2, 5e-3)
	both(add("LayerNormalization", "wide", nil, Tensor(40, 20), Tensor(20), Tensor(20)), 1e-2, 5e-3) // more rows than parts, two vectors and a rest
	x := Tensor(2, 16, 3, 3)
	add("Add", "same", nil, x, x)
	add("Sub", "scalar", nil, x, scalarArg(2))
	add("Mul", "same", nil, x, x)
	add("Mul", "by-channel", nil, x, Tensor(16, 1, 1)) // has no blocked form
	add("Mul", "one-position", nil, Tensor(2, 16, 3, 4), Tensor(2, 16, 1, 1))
	add("Sub", "one-position-first", nil, Tensor(2, 16, 1, 1), Tensor(2, 16, 3, 4))
	add("Mul", "one-position-both", nil, Tensor(2, 16, 1, 1), Tensor(2, 16, 1, 1))
	add("Add", "one-image", nil, Tensor(2, 16, 3, 4), Tensor(1, 16, 1, 1)) // has no blocked form
	add("GlobalAveragePool", "mean", nil, Tensor(2, 32, 3, 4))
	add("GlobalAveragePool", "large", nil, Tensor(1, 16, 40, 30))
	for name, bounds := range map[string][]Arg{
		"both": {scalarArg(-0.1), scalarArg(0.9)}, "low": {scalarArg(0)}, "no-bound": {scalarArg(0), scalarArg(float32(math.Inf(1)))},
	} {
		c := add("Clip", name, nil, append([]Arg{x.Drawn(apart)}, bounds...)...)
		c.Step, c.Tol = 1e-2, 5e-3
	}
	for _, op := range []string{"Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Exp", "Softplus"} {
		both(add(op, "curve", nil, x.Drawn(apart)), 1e-2, 5e-3)
	}
	both(add("Erf", "odd", nil, Tensor(3, 37)), 1e-2, 5e-3)
	return cases
}
