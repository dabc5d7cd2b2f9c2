package autodiff

import (
	"fmt"

	"winnow/onnx"
)

func ia(v int64) onnx.Attr    { return onnx.IntAttr(v) }
func is(v ...int64) onnx.Attr { return onnx.IntsAttr(v...) }
func fa(v float32) onnx.Attr  { return onnx.FloatAttr(v) }
func sa(v string) onnx.Attr   { return onnx.StringAttr(v) }

// gradCases is the table of gradient checks.
func gradCases() []gradCase {
	var cases []gradCase
	add := func(op, name string, a attrs, args ...arg) *gradCase {
		cases = append(cases, gradCase{op: op, name: name, attrs: a, args: args})
		return &cases[len(cases)-1]
	}
	// Two operands: equal shapes, broadcasts either way, size-1 axes, scalars, zeros.
	for _, op := range []string{"Add", "Sub", "Mul", "Div"} {
		second := func(dims ...int64) arg {
			if op == "Div" {
				return tensor(dims...).drawn(apart)
			}
			return tensor(dims...).drawn(withZeros)
		}
		add(op, "same", nil, tensor(2, 3, 4), second(2, 3, 4))
		add(op, "row", nil, tensor(2, 3, 4), second(4))
		add(op, "channel", nil, tensor(2, 3, 4, 2), second(3, 1, 1))
		add(op, "left", nil, tensor(3, 1), second(2, 3, 4))
		add(op, "both", nil, tensor(2, 1, 4), second(1, 3, 1))
		add(op, "scalar", nil, tensor(2, 3), second([]int64{}...))
		add(op, "one", nil, tensor(1), second(1, 1))
	}
	add("Relu", "apart", nil, tensor(2, 3, 4).drawn(apart))
	add("Sigmoid", "zeros", nil, tensor(2, 3, 4).drawn(withZeros))
	add("Tanh", "zeros", nil, tensor(2, 3, 4).drawn(withZeros))
	add("Identity", "plain", nil, tensor(2, 3))
	add("Cast", "same", attrs{"to": ia(int64(onnx.Float64))}, tensor(2, 3))
	add("Clip", "both", nil, tensor(5, 7).drawn(apart), scalarArg(-0.1), scalarArg(0.9))
	add("Clip", "low", nil, tensor(5, 7).drawn(apart), scalarArg(0))
	add("Clip", "high", nil, tensor(5, 7).drawn(apart), arg{}, scalarArg(0.1))

	for _, op := range []string{"Softmax", "LogSoftmax"} {
		add(op, "last", nil, tensor(3, 5))
		add(op, "middle", attrs{"axis": ia(1)}, tensor(2, 4, 3))
		add(op, "single", attrs{"axis": ia(-1)}, tensor(4, 1, 1)).tol = 1
	}
	for _, op := range []string{"ReduceMean", "ReduceSum"} {
		add(op, "all", nil, tensor(2, 3, 4))
		add(op, "spatial", attrs{"keepdims": ia(0)}, tensor(2, 3, 4, 5), ints(2, 3))
		add(op, "kept", attrs{"keepdims": ia(1)}, tensor(2, 3, 4), ints(-2))
		add(op, "noop", attrs{"noop_with_empty_axes": ia(1)}, tensor(2, 3))
		add(op, "one", attrs{"keepdims": ia(0)}, tensor(2, 1, 3), ints(1))
	}
	for ta := range int64(2) {
		for tb := range int64(2) {
			a, b := tensor(3, 4), tensor(4, 5)
			if ta == 1 {
				a = tensor(4, 3)
			}
			if tb == 1 {
				b = tensor(5, 4)
			}
			at := attrs{"transA": ia(ta), "transB": ia(tb), "alpha": fa(0.5), "beta": fa(2)}
			for name, c := range map[string]arg{"row": tensor(5), "column": tensor(3, 1), "full": tensor(3, 5)} {
				add("Gemm", fmt.Sprintf("%d%d%s", ta, tb, name), at, a, b, c)
			}
			add("Gemm", fmt.Sprintf("%d%dbare", ta, tb), attrs{"transA": ia(ta), "transB": ia(tb)}, a, b)
		}
	}
	add("MatMul", "plain", nil, tensor(3, 4), tensor(4, 5))
	add("MatMul", "batch", nil, tensor(2, 3, 4), tensor(2, 4, 5))
	add("MatMul", "weight", nil, tensor(2, 6, 3, 4), tensor(4, 5))
	add("MatMul", "spread", nil, tensor(2, 1, 3, 4), tensor(6, 4, 5))
	add("MatMul", "left", nil, tensor(3, 4), tensor(6, 4, 5))
	add("MatMul", "vector", nil, tensor(2, 3, 4), tensor(4))
	add("MatMul", "vectors", nil, tensor(4), tensor(4))
	add("MatMul", "row", nil, tensor(4), tensor(2, 4, 5))

	add("Flatten", "one", attrs{"axis": ia(1)}, tensor(2, 3, 4))
	add("Flatten", "zero", attrs{"axis": ia(0)}, tensor(2, 3))
	add("Reshape", "free", nil, tensor(2, 3, 4), ints(0, -1))
	add("Squeeze", "some", nil, tensor(2, 1, 3, 1), ints(1))
	add("Squeeze", "all", nil, tensor(2, 1, 3, 1))
	add("Unsqueeze", "two", nil, tensor(2, 3), ints(0, -1))
	add("Transpose", "default", nil, tensor(2, 3, 4))
	add("Transpose", "perm", attrs{"perm": is(2, 0, 3, 1)}, tensor(2, 3, 4, 5))
	add("Concat", "axis1", attrs{"axis": ia(1)}, tensor(2, 3, 2), tensor(2, 1, 2), tensor(2, 4, 2))
	add("Concat", "negative", attrs{"axis": ia(-1)}, tensor(2, 3), tensor(2, 1))

	add("Expand", "rows", nil, tensor(3, 1), ints(2, 3, 4))
	add("Expand", "same", nil, tensor(3, 4), ints(1, 4))

	mathCases(add)
	indexCases(add)
	trigCases(add)
	resizeCases(add)
	convCases(&cases)
	poolCases(&cases)
	blockedCases(&cases)
	recurrentCases(add)
	gridCases(add)

	add("BatchNormalization", "frozen", attrs{"epsilon": fa(0.1)}, tensor(3, 4, 5), tensor(4), tensor(4),
		tensor(4).constant(), tensor(4).drawn(positive).constant())
	for name, dims := range map[string][]int64{"image": {4, 3, 5, 5}, "vector": {16, 3}, "single": {1, 2, 4, 4}, "line": {3, 2, 6}} {
		c := add("BatchNormalization", "training-"+name, attrs{"epsilon": fa(1e-3)}, tensor(dims...), tensor(dims[1]), tensor(dims[1]),
			tensor(dims[1]).constant(), tensor(dims[1]).drawn(positive).constant())
		c.batchNorm, c.dtype, c.step, c.tol = true, onnx.Float32, 1e-2, 5e-3
	}
	return cases
}

// convCases checks every form of every convolution gradient.
func convCases(cases *[]gradCase) {
	for _, l := range []Lowering{{Data: DataTranspose, Weight: WeightGemm}, {Data: DataFlip, Weight: WeightImages}, {Weight: WeightTaps}, {}} {
		add := func(name string, a attrs, args ...arg) {
			*cases = append(*cases, gradCase{
				op: "Conv", name: name + "-" + l.Data + l.Weight, attrs: a, args: args, dtype: onnx.Float32, lower: l,
			})
		}
		add("plain", nil, tensor(2, 3, 5, 6), tensor(4, 3, 3, 3), tensor(4))
		add("padded", attrs{"pads": is(1, 1, 1, 1)}, tensor(2, 3, 5, 5), tensor(4, 3, 3, 3))
		add("pointwise", nil, tensor(2, 3, 4, 4), tensor(5, 3, 1, 1), tensor(5))
		add("stride", attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2)}, tensor(2, 3, 6, 6), tensor(4, 3, 3, 3))
		add("stride-odd", attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 3)}, tensor(2, 3, 7, 8), tensor(4, 3, 3, 3))
		add("stride-one", attrs{"strides": is(2, 2)}, tensor(2, 3, 6, 5), tensor(4, 3, 1, 1))
		add("asymmetric", attrs{"pads": is(0, 1, 2, 1)}, tensor(2, 2, 5, 5), tensor(3, 2, 3, 3))
		add("asymmetric-stride", attrs{"pads": is(0, 0, 1, 1), "strides": is(2, 2)}, tensor(2, 2, 6, 6), tensor(3, 2, 3, 3))
		add("wide-pads", attrs{"pads": is(3, 3, 3, 3)}, tensor(1, 2, 4, 4), tensor(2, 2, 3, 3))
		add("dilated", attrs{"pads": is(2, 2, 2, 2), "dilations": is(2, 2)}, tensor(2, 2, 6, 6), tensor(3, 2, 3, 3))
		add("grouped", attrs{"pads": is(1, 1, 1, 1), "group": ia(2)}, tensor(2, 4, 5, 5), tensor(6, 2, 3, 3), tensor(6))
		add("grouped-stride", attrs{"pads": is(1, 1, 1, 1), "group": ia(2), "strides": is(2, 2)}, tensor(2, 4, 5, 5), tensor(6, 2, 3, 3))
		add("depthwise", attrs{"pads": is(1, 1, 1, 1), "group": ia(4)}, tensor(2, 4, 5, 5), tensor(4, 1, 3, 3))
		add("depthwise-double", attrs{"pads": is(1, 1, 1, 1), "group": ia(3)}, tensor(2, 3, 5, 5), tensor(6, 1, 3, 3))
		add("same-upper", attrs{"auto_pad": sa("SAME_UPPER"), "strides": is(2, 2)}, tensor(2, 2, 6, 7), tensor(3, 2, 3, 3))
		add("same-lower", attrs{"auto_pad": sa("SAME_LOWER")}, tensor(2, 2, 5, 5), tensor(3, 2, 2, 2))
		add("valid", attrs{"auto_pad": sa("VALID")}, tensor(2, 2, 5, 5), tensor(3, 2, 2, 2))
		add("line", attrs{"pads": is(1, 1)}, tensor(2, 3, 8), tensor(4, 3, 3), tensor(4))
		add("volume", attrs{"pads": is(1, 1, 1, 1, 1, 1)}, tensor(1, 2, 3, 4, 3), tensor(2, 2, 3, 3, 3))
		add("large", attrs{"pads": is(1, 0, 0, 1), "strides": is(1, 2)}, tensor(2, 2, 9, 9), tensor(3, 2, 8, 8))
		add("large-depthwise", attrs{"group": ia(2)}, tensor(2, 2, 9, 9), tensor(2, 1, 8, 8))
		add("whole", nil, tensor(2, 3, 4, 4), tensor(5, 3, 4, 4))
	}
}

func poolCases(cases *[]gradCase) {
	kernel := func(k, s int64, more attrs) attrs {
		a := attrs{"kernel_shape": is(k, k), "strides": is(s, s)}
		for name, v := range more {
			a[name] = v
		}
		return a
	}
	for _, c := range []struct {
		name string
		a    attrs
		dims []int64
	}{
		{"halves", kernel(2, 2, nil), []int64{2, 3, 4, 6}},
		{"overlap", kernel(3, 2, attrs{"pads": is(1, 1, 1, 1)}), []int64{2, 2, 7, 7}},
		{"rest", kernel(2, 2, nil), []int64{1, 2, 5, 7}},
		{"gaps", kernel(2, 3, nil), []int64{1, 2, 8, 8}},
		{"ceil", kernel(3, 2, attrs{"ceil_mode": ia(1)}), []int64{1, 2, 6, 6}},
		{"one", kernel(1, 1, nil), []int64{2, 1, 3, 3}},
		{"thirds", kernel(3, 3, nil), []int64{2, 2, 6, 9}},
	} {
		n := 1
		for _, d := range c.dims {
			n *= int(d)
		}
		*cases = append(*cases,
			gradCase{op: "MaxPool", name: c.name, attrs: c.a, args: []arg{tensor(c.dims...).drawn(distinct(n))}, dtype: onnx.Float32, step: 0.02, tol: 1e-3},
			gradCase{op: "MaxPool", name: c.name + "-scatter", attrs: c.a, args: []arg{tensor(c.dims...).drawn(distinct(n))}, dtype: onnx.Float32, step: 0.02, tol: 1e-3,
				lower: Lowering{Pool: PoolScatter}},
			gradCase{op: "AveragePool", name: c.name, attrs: c.a, args: []arg{tensor(c.dims...)}, dtype: onnx.Float32})
		padded := attrs{"count_include_pad": ia(1)}
		for name, v := range c.a {
			padded[name] = v
		}
		*cases = append(*cases, gradCase{op: "AveragePool", name: c.name + "-padding", attrs: padded, args: []arg{tensor(c.dims...)}, dtype: onnx.Float32})
	}
	*cases = append(*cases,
		gradCase{op: "GlobalAveragePool", name: "image", args: []arg{tensor(2, 3, 4, 5)}, dtype: onnx.Float32},
		gradCase{op: "GlobalAveragePool", name: "dot", args: []arg{tensor(2, 3, 1, 1)}, dtype: onnx.Float32})
}
