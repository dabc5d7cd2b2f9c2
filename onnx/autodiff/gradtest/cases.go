package gradtest

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

func ia(v int64) onnx.Attr    { return onnx.IntAttr(v) }
func is(v ...int64) onnx.Attr { return onnx.IntsAttr(v...) }
func fa(v float32) onnx.Attr  { return onnx.FloatAttr(v) }
func sa(v string) onnx.Attr   { return onnx.StringAttr(v) }

// Cases is the table of gradient checks.
func Cases() []Case {
	var cases []Case
	add := func(op, name string, a emit.Attrs, args ...Arg) *Case {
		cases = append(cases, Case{Op: op, Name: name, Attrs: a, Args: args})
		return &cases[len(cases)-1]
	}
	// Two operands: equal shapes, broadcasts either way, size-1 axes, scalars, zeros.
	for _, op := range []string{"Add", "Sub", "Mul", "Div"} {
		second := func(dims ...int64) Arg {
			if op == "Div" {
				return Tensor(dims...).Drawn(apart)
			}
			return Tensor(dims...).Drawn(withZeros)
		}
		add(op, "same", nil, Tensor(2, 3, 4), second(2, 3, 4))
		add(op, "row", nil, Tensor(2, 3, 4), second(4))
		add(op, "channel", nil, Tensor(2, 3, 4, 2), second(3, 1, 1))
		add(op, "left", nil, Tensor(3, 1), second(2, 3, 4))
		add(op, "both", nil, Tensor(2, 1, 4), second(1, 3, 1))
		add(op, "scalar", nil, Tensor(2, 3), second([]int64{}...))
		add(op, "one", nil, Tensor(1), second(1, 1))
	}
	add("Relu", "apart", nil, Tensor(2, 3, 4).Drawn(apart))
	add("Sigmoid", "zeros", nil, Tensor(2, 3, 4).Drawn(withZeros))
	add("Tanh", "zeros", nil, Tensor(2, 3, 4).Drawn(withZeros))
	add("Identity", "plain", nil, Tensor(2, 3))
	add("Cast", "same", emit.Attrs{"to": ia(int64(onnx.Float64))}, Tensor(2, 3))
	add("Clip", "both", nil, Tensor(5, 7).Drawn(apart), scalarArg(-0.1), scalarArg(0.9))
	add("Clip", "low", nil, Tensor(5, 7).Drawn(apart), scalarArg(0))
	add("Clip", "high", nil, Tensor(5, 7).Drawn(apart), Arg{}, scalarArg(0.1))

	for _, op := range []string{"Softmax", "LogSoftmax"} {
		add(op, "last", nil, Tensor(3, 5))
		add(op, "middle", emit.Attrs{"axis": ia(1)}, Tensor(2, 4, 3))
		add(op, "single", emit.Attrs{"axis": ia(-1)}, Tensor(4, 1, 1)).Tol = 1
	}
	for _, op := range []string{"ReduceMean", "ReduceSum"} {
		add(op, "all", nil, Tensor(2, 3, 4))
		add(op, "spatial", emit.Attrs{"keepdims": ia(0)}, Tensor(2, 3, 4, 5), ints(2, 3))
		add(op, "kept", emit.Attrs{"keepdims": ia(1)}, Tensor(2, 3, 4), ints(-2))
		add(op, "noop", emit.Attrs{"noop_with_empty_axes": ia(1)}, Tensor(2, 3))
		add(op, "one", emit.Attrs{"keepdims": ia(0)}, Tensor(2, 1, 3), ints(1))
	}
	for ta := range int64(2) {
		for tb := range int64(2) {
			a, b := Tensor(3, 4), Tensor(4, 5)
			if ta == 1 {
				a = Tensor(4, 3)
			}
			if tb == 1 {
				b = Tensor(5, 4)
			}
			at := emit.Attrs{"transA": ia(ta), "transB": ia(tb), "alpha": fa(0.5), "beta": fa(2)}
			for name, c := range map[string]Arg{"row": Tensor(5), "column": Tensor(3, 1), "full": Tensor(3, 5)} {
				add("Gemm", fmt.Sprintf("%d%d%s", ta, tb, name), at, a, b, c)
			}
			add("Gemm", fmt.Sprintf("%d%dbare", ta, tb), emit.Attrs{"transA": ia(ta), "transB": ia(tb)}, a, b)
		}
	}
	add("MatMul", "plain", nil, Tensor(3, 4), Tensor(4, 5))
	add("MatMul", "batch", nil, Tensor(2, 3, 4), Tensor(2, 4, 5))
	add("MatMul", "weight", nil, Tensor(2, 6, 3, 4), Tensor(4, 5))
	add("MatMul", "spread", nil, Tensor(2, 1, 3, 4), Tensor(6, 4, 5))
	add("MatMul", "left", nil, Tensor(3, 4), Tensor(6, 4, 5))
	add("MatMul", "vector", nil, Tensor(2, 3, 4), Tensor(4))
	add("MatMul", "vectors", nil, Tensor(4), Tensor(4))
	add("MatMul", "row", nil, Tensor(4), Tensor(2, 4, 5))

	add("Flatten", "one", emit.Attrs{"axis": ia(1)}, Tensor(2, 3, 4))
	add("Flatten", "zero", emit.Attrs{"axis": ia(0)}, Tensor(2, 3))
	add("Reshape", "free", nil, Tensor(2, 3, 4), ints(0, -1))
	add("Squeeze", "some", nil, Tensor(2, 1, 3, 1), ints(1))
	add("Squeeze", "all", nil, Tensor(2, 1, 3, 1))
	add("Unsqueeze", "two", nil, Tensor(2, 3), ints(0, -1))
	add("Transpose", "default", nil, Tensor(2, 3, 4))
	add("Transpose", "perm", emit.Attrs{"perm": is(2, 0, 3, 1)}, Tensor(2, 3, 4, 5))
	add("Concat", "axis1", emit.Attrs{"axis": ia(1)}, Tensor(2, 3, 2), Tensor(2, 1, 2), Tensor(2, 4, 2))
	add("Concat", "negative", emit.Attrs{"axis": ia(-1)}, Tensor(2, 3), Tensor(2, 1))

	add("Expand", "rows", nil, Tensor(3, 1), ints(2, 3, 4))
	add("Expand", "same", nil, Tensor(3, 4), ints(1, 4))

	mathCases(add)
	indexCases(add)
	trigCases(add)
	resizeCases(add)
	convCases(&cases)
	poolCases(&cases)
	recurrentCases(add)
	gridCases(add)

	add("BatchNormalization", "frozen", emit.Attrs{"epsilon": fa(0.1)}, Tensor(3, 4, 5), Tensor(4), Tensor(4),
		Tensor(4).constant(), Tensor(4).Drawn(positive).constant())
	for name, dims := range map[string][]int64{"image": {4, 3, 5, 5}, "vector": {16, 3}, "single": {1, 2, 4, 4}, "line": {3, 2, 6}} {
		c := add("BatchNormalization", "training-"+name, emit.Attrs{"epsilon": fa(1e-3)}, Tensor(dims...), Tensor(dims[1]), Tensor(dims[1]),
			Tensor(dims[1]).constant(), Tensor(dims[1]).Drawn(positive).constant())
		c.BatchNorm, c.DType, c.Step, c.Tol = true, onnx.Float32, 1e-2, 5e-3
	}
	return cases
}

// convCases checks every form of every convolution gradient.
func convCases(cases *[]Case) {
	for _, l := range []autodiff.Lowering{{Data: autodiff.DataTranspose, Weight: autodiff.WeightGemm}, {Data: autodiff.DataFlip, Weight: autodiff.WeightImages}, {Weight: autodiff.WeightTaps}, {}} {
		add := func(name string, a emit.Attrs, args ...Arg) {
			*cases = append(*cases, Case{
				Op: "Conv", Name: name + "-" + l.Data + l.Weight, Attrs: a, Args: args, DType: onnx.Float32, Lower: l,
			})
		}
		add("plain", nil, Tensor(2, 3, 5, 6), Tensor(4, 3, 3, 3), Tensor(4))
		add("padded", emit.Attrs{"pads": is(1, 1, 1, 1)}, Tensor(2, 3, 5, 5), Tensor(4, 3, 3, 3))
		add("pointwise", nil, Tensor(2, 3, 4, 4), Tensor(5, 3, 1, 1), Tensor(5))
		add("stride", emit.Attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 2)}, Tensor(2, 3, 6, 6), Tensor(4, 3, 3, 3))
		add("stride-odd", emit.Attrs{"pads": is(1, 1, 1, 1), "strides": is(2, 3)}, Tensor(2, 3, 7, 8), Tensor(4, 3, 3, 3))
		add("stride-one", emit.Attrs{"strides": is(2, 2)}, Tensor(2, 3, 6, 5), Tensor(4, 3, 1, 1))
		add("asymmetric", emit.Attrs{"pads": is(0, 1, 2, 1)}, Tensor(2, 2, 5, 5), Tensor(3, 2, 3, 3))
		add("asymmetric-stride", emit.Attrs{"pads": is(0, 0, 1, 1), "strides": is(2, 2)}, Tensor(2, 2, 6, 6), Tensor(3, 2, 3, 3))
		add("wide-pads", emit.Attrs{"pads": is(3, 3, 3, 3)}, Tensor(1, 2, 4, 4), Tensor(2, 2, 3, 3))
		add("dilated", emit.Attrs{"pads": is(2, 2, 2, 2), "dilations": is(2, 2)}, Tensor(2, 2, 6, 6), Tensor(3, 2, 3, 3))
		add("grouped", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(2)}, Tensor(2, 4, 5, 5), Tensor(6, 2, 3, 3), Tensor(6))
		add("grouped-stride", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(2), "strides": is(2, 2)}, Tensor(2, 4, 5, 5), Tensor(6, 2, 3, 3))
		add("depthwise", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(4)}, Tensor(2, 4, 5, 5), Tensor(4, 1, 3, 3))
		add("depthwise-double", emit.Attrs{"pads": is(1, 1, 1, 1), "group": ia(3)}, Tensor(2, 3, 5, 5), Tensor(6, 1, 3, 3))
		add("same-upper", emit.Attrs{"auto_pad": sa("SAME_UPPER"), "strides": is(2, 2)}, Tensor(2, 2, 6, 7), Tensor(3, 2, 3, 3))
		add("same-lower", emit.Attrs{"auto_pad": sa("SAME_LOWER")}, Tensor(2, 2, 5, 5), Tensor(3, 2, 2, 2))
		add("valid", emit.Attrs{"auto_pad": sa("VALID")}, Tensor(2, 2, 5, 5), Tensor(3, 2, 2, 2))
		add("line", emit.Attrs{"pads": is(1, 1)}, Tensor(2, 3, 8), Tensor(4, 3, 3), Tensor(4))
		add("volume", emit.Attrs{"pads": is(1, 1, 1, 1, 1, 1)}, Tensor(1, 2, 3, 4, 3), Tensor(2, 2, 3, 3, 3))
		add("large", emit.Attrs{"pads": is(1, 0, 0, 1), "strides": is(1, 2)}, Tensor(2, 2, 9, 9), Tensor(3, 2, 8, 8))
		add("large-depthwise", emit.Attrs{"group": ia(2)}, Tensor(2, 2, 9, 9), Tensor(2, 1, 8, 8))
		add("whole", nil, Tensor(2, 3, 4, 4), Tensor(5, 3, 4, 4))
	}
}

func poolCases(cases *[]Case) {
	kernel := func(k, s int64, more emit.Attrs) emit.Attrs {
		a := emit.Attrs{"kernel_shape": is(k, k), "strides": is(s, s)}
		for name, v := range more {
			a[name] = v
		}
		return a
	}
	for _, c := range []struct {
		name string
		a    emit.Attrs
		dims []int64
	}{
		{"halves", kernel(2, 2, nil), []int64{2, 3, 4, 6}},
		{"overlap", kernel(3, 2, emit.Attrs{"pads": is(1, 1, 1, 1)}), []int64{2, 2, 7, 7}},
		{"rest", kernel(2, 2, nil), []int64{1, 2, 5, 7}},
		{"gaps", kernel(2, 3, nil), []int64{1, 2, 8, 8}},
		{"ceil", kernel(3, 2, emit.Attrs{"ceil_mode": ia(1)}), []int64{1, 2, 6, 6}},
		{"one", kernel(1, 1, nil), []int64{2, 1, 3, 3}},
		{"thirds", kernel(3, 3, nil), []int64{2, 2, 6, 9}},
	} {
		n := 1
		for _, d := range c.dims {
			n *= int(d)
		}
		*cases = append(*cases,
			Case{Op: "MaxPool", Name: c.name, Attrs: c.a, Args: []Arg{Tensor(c.dims...).Drawn(distinct(n))}, DType: onnx.Float32, Step: 0.02, Tol: 1e-3},
			Case{Op: "MaxPool", Name: c.name + "-scatter", Attrs: c.a, Args: []Arg{Tensor(c.dims...).Drawn(distinct(n))}, DType: onnx.Float32, Step: 0.02, Tol: 1e-3,
				Lower: autodiff.Lowering{Pool: autodiff.PoolScatter}},
			Case{Op: "AveragePool", Name: c.name, Attrs: c.a, Args: []Arg{Tensor(c.dims...)}, DType: onnx.Float32})
		padded := emit.Attrs{"count_include_pad": ia(1)}
		for name, v := range c.a {
			padded[name] = v
		}
		*cases = append(*cases, Case{Op: "AveragePool", Name: c.name + "-padding", Attrs: padded, Args: []Arg{Tensor(c.dims...)}, DType: onnx.Float32})
	}
	*cases = append(*cases,
		Case{Op: "GlobalAveragePool", Name: "image", Args: []Arg{Tensor(2, 3, 4, 5)}, DType: onnx.Float32},
		Case{Op: "GlobalAveragePool", Name: "dot", Args: []Arg{Tensor(2, 3, 1, 1)}, DType: onnx.Float32})
}
