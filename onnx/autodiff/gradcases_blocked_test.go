package autodiff

import (
	"math"

	"winnow/onnx"
)

// blockHere stands for the block of the machine that runs the test.
const blockHere = -1

// blockedCases check the gradients of the blocked layout: 16 and 32 channels
// are whole blocks on every machine, batches of 16 and 32 whole blocks of images.
func blockedCases(cases *[]gradCase) {
	add := func(op, name string, a attrs, args ...arg) *gradCase {
		*cases = append(*cases, gradCase{
			op: op, name: "blocked-" + name, attrs: a, args: args, dtype: onnx.Float32, lower: Lowering{Block: blockHere},
		})
		return &(*cases)[len(*cases)-1]
	}
	conv := func(name string, a attrs, x, f arg, more ...arg) {
		add("Conv", name, a, append([]arg{x, f}, more...)...)
	}
	conv("padded", attrs{"pads": is(1, 1, 1, 1)}, tensor(16, 16, 4, 5), tensor(16, 16, 3, 3), tensor(16))
	conv("blocks", attrs{"pads": is(1, 1, 1, 1)}, tensor(32, 32, 3, 3), tensor(48, 32, 3, 3))
	conv("some-images", attrs{"pads": is(1, 1, 1, 1)}, tensor(5, 16, 4, 4), tensor(32, 16, 3, 3))
	conv("valid", nil, tensor(16, 32, 5, 4), tensor(16, 32, 2, 3))
	conv("uneven", attrs{"pads": is(0, 2, 1, 0)}, tensor(16, 16, 4, 4), tensor(16, 16, 3, 3))
	conv("wide", attrs{"pads": is(3, 3, 3, 3)}, tensor(16, 16, 3, 3), tensor(16, 16, 3, 3))
	conv("stride", attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2)}, tensor(16, 16, 6, 6), tensor(32, 16, 3, 3))
	conv("stride-rest", attrs{"strides": is(3, 2)}, tensor(16, 16, 7, 8), tensor(16, 16, 2, 3))
	conv("stride-beyond", attrs{"pads": is(1, 1, 2, 2), "strides": is(3, 3)}, tensor(16, 16, 4, 5), tensor(16, 16, 3, 3))
	conv("dilated-rows", attrs{"pads": is(2, 1, 2, 1), "dilations": is(2, 1)}, tensor(16, 16, 5, 4), tensor(16, 16, 3, 3))
	conv("dilated", attrs{"pads": is(2, 2, 2, 2), "dilations": is(2, 2)}, tensor(16, 16, 5, 5), tensor(16, 16, 3, 3))
	conv("pointwise", nil, tensor(16, 16, 3, 3), tensor(32, 16, 1, 1), tensor(32))
	conv("pointwise-stride", attrs{"strides": is(2, 2)}, tensor(16, 32, 4, 5), tensor(16, 32, 1, 1))
	conv("few-channels", attrs{"pads": is(1, 1, 1, 1)}, tensor(16, 3, 4, 4), tensor(16, 3, 3, 3))
	conv("odd-channels", attrs{"pads": is(1, 1, 1, 1)}, tensor(16, 20, 3, 3), tensor(16, 20, 3, 3))
	conv("odd-outputs", attrs{"pads": is(1, 1, 1, 1)}, tensor(16, 16, 3, 3), tensor(12, 16, 3, 3))
	conv("grouped", attrs{"pads": is(1, 1, 1, 1), "group": ia(2)}, tensor(16, 32, 3, 3), tensor(32, 16, 3, 3))
	conv("by-channel", attrs{"pads": is(1, 1, 1, 1), "group": ia(32)}, tensor(3, 32, 4, 5), tensor(32, 1, 3, 3), tensor(32))
	conv("by-channel-stride", attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2), "group": ia(16)}, tensor(2, 16, 6, 5), tensor(16, 1, 3, 3))
	conv("by-channel-dilated", attrs{"pads": is(2, 2, 1, 2), "dilations": is(2, 2), "group": ia(16)}, tensor(2, 16, 5, 5), tensor(16, 1, 3, 2))
	conv("by-channel-beyond", attrs{"strides": is(3, 2), "group": ia(16)}, tensor(2, 16, 6, 4), tensor(16, 1, 1, 2))
	conv("by-channel-wide", attrs{"pads": is(2, 2, 2, 2), "group": ia(16)}, tensor(2, 16, 3, 3), tensor(16, 1, 5, 5))
	conv("by-channel-odd", attrs{"pads": is(1, 1, 1, 1), "group": ia(20)}, tensor(2, 20, 3, 3), tensor(20, 1, 3, 3))
	conv("same", attrs{"auto_pad": sa("SAME_UPPER"), "strides": is(2, 2)}, tensor(16, 16, 5, 4), tensor(16, 16, 3, 3))

	for _, size := range [][]int64{{4, 16, 3, 4}, {2, 32, 40, 30}} {
		c := add("BatchNormalization", "norm", attrs{"epsilon": fa(1e-3)}, tensor(size...), tensor(size[1]), tensor(size[1]),
			tensor(size[1]).constant(), tensor(size[1]).drawn(positive).constant())
		c.batchNorm, c.step, c.tol = true, 1e-2, 5e-3
	}
	for name, a := range map[string]attrs{
		"tiled": {"kernel_shape": is(2, 2), "strides": is(2, 2)}, "tall": {"kernel_shape": is(3, 2), "strides": is(3, 2)},
		"rest": {"kernel_shape": is(2, 3), "strides": is(2, 3)}, "overlapping": {"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 1, 1, 1)},
	} {
		c := add("MaxPool", "pool-"+name, a, tensor(2, 16, 6, 7).drawn(distinct(2*16*6*7)))
		c.step, c.tol = 0.02, 1e-3
	}
	add("AveragePool", "tiled", attrs{"kernel_shape": is(2, 3), "strides": is(2, 3)}, tensor(2, 16, 4, 6))
	add("AveragePool", "rest", attrs{"kernel_shape": is(2, 2), "strides": is(2, 2)}, tensor(2, 16, 5, 4))
	add("AveragePool", "overlapping", attrs{"kernel_shape": is(3, 3), "strides": is(2, 2), "pads": is(1, 1, 1, 1)}, tensor(2, 16, 5, 4))
	add("Concat", "channels", attrs{"axis": ia(1)}, tensor(2, 16, 3, 4), tensor(2, 32, 3, 4))
	add("Concat", "odd-channels", attrs{"axis": ia(1)}, tensor(2, 16, 3, 4), tensor(2, 20, 3, 4))
	add("Concat", "rows", attrs{"axis": ia(2)}, tensor(2, 16, 3, 4), tensor(2, 16, 2, 4))
	x := tensor(2, 16, 3, 3)
	add("Add", "same", nil, x, x)
	add("Sub", "scalar", nil, x, scalarArg(2))
	add("Mul", "same", nil, x, x)
	add("Mul", "by-channel", nil, x, tensor(16, 1, 1)) // has no blocked form
	add("Mul", "one-position", nil, tensor(2, 16, 3, 4), tensor(2, 16, 1, 1))
	add("Sub", "one-position-first", nil, tensor(2, 16, 1, 1), tensor(2, 16, 3, 4))
	add("Mul", "one-position-both", nil, tensor(2, 16, 1, 1), tensor(2, 16, 1, 1))
	add("Add", "one-image", nil, tensor(2, 16, 3, 4), tensor(1, 16, 1, 1)) // has no blocked form
	add("GlobalAveragePool", "mean", nil, tensor(2, 32, 3, 4))
	add("GlobalAveragePool", "large", nil, tensor(1, 16, 40, 30))
	for name, bounds := range map[string][]arg{
		"both": {scalarArg(-0.1), scalarArg(0.9)}, "low": {scalarArg(0)}, "no-bound": {scalarArg(0), scalarArg(float32(math.Inf(1)))},
	} {
		c := add("Clip", name, nil, append([]arg{x.drawn(apart)}, bounds...)...)
		c.step, c.tol = 1e-2, 5e-3
	}
	for _, op := range []string{"Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Exp", "Softplus"} {
		c := add(op, "curve", nil, x.drawn(apart))
		c.step, c.tol = 1e-2, 5e-3
	}
}
