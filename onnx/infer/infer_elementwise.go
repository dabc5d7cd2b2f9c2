package infer

import "winnow/onnx"

var elementwiseRules = makeElementwiseRules()

func makeElementwiseRules() map[string]inferRule {
	t := map[string]inferRule{
		"Where": inferWhere, "PRelu": inferLike, "Clip": inferLike, "Dropout": inferDropout,
		"QuantizeLinear": inferQuantize, "DequantizeLinear": inferCastLike,
		"Cast": inferCast, "CastLike": inferCastLike, "Not": inferLike, "BitwiseNot": inferLike,
		"IsNaN": inferPredicate, "IsInf": inferPredicate,
		"CumSum": inferLike, "Trilu": inferLike, "LRN": inferLike,
		"ScatterElements": inferScatter, "Scatter": inferScatter, "ScatterND": inferLike,
		"InstanceNormalization": inferLike, "GroupNormalization": inferLike,
		"MeanVarianceNormalization": inferLike, "LpNormalization": inferLike,
		"LayerNormalization": inferLayerNorm, "BatchNormalization": inferBatchNorm,
		"RandomNormalLike": inferRandomLike, "RandomUniformLike": inferRandomLike, "Bernoulli": inferRandomLike,
		"RandomNormal": inferRandom, "RandomUniform": inferRandom,
		"EyeLike": inferRandomLike, "ReverseSequence": inferLike,
	}

	for _, op := range []string{
		"Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Neg", "Abs", "Sign", "Reciprocal", "Erf",
		"Floor", "Ceil", "Round", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Selu", "Celu",
		"Softplus", "Softsign", "ThresholdedRelu", "Gelu", "Mish", "Identity", "Shrink",
		"Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh",
		"com.microsoft.Gelu", "com.microsoft.QuickGelu",
	} {
		t[op] = inferLike
	}
	for _, op := range []string{"Softmax", "LogSoftmax", "Hardmax"} {
		t[op] = inferAxisLike
	}
	for _, op := range []string{
		"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean",
		"BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor",
	} {
		t[op] = inferBroadcast
	}
	for _, op := range []string{"And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"} {
		t[op] = inferCompare
	}
	return t
}

// inferLike gives the output the first input's type.
func inferLike(c call) error {
	c.set(0, c.dtype(0), c.shape(0))
	return nil
}

func inferAxisLike(c call) error {
	if s := c.shape(0); len(s) > 0 {
		if _, err := c.axis(-1, len(s)); err != nil {
			return err
		}
	}
	return inferLike(c)
}

func inferPredicate(c call) error {
	c.set(0, onnx.Bool, c.shape(0))
	return nil
}

// broadcastInputs joins all inputs' shapes.
func (c call) broadcastInputs() (onnx.Shape, error) {
	if len(c.n.Inputs) == 0 {
		return nil, nil
	}
	s := c.shape(0)
	for i := 1; i < len(c.n.Inputs); i++ {
		var err error
		if s, err = c.in.broadcast(s, c.shape(i)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func inferBroadcast(c call) error {
	s, err := c.broadcastInputs()
	if err != nil {
		return err
	}
	d := c.dtype(0)
	if d == onnx.Undefined && c.n.Op != "Pow" {
		for i := range c.n.Inputs {
			if d = c.dtype(i); d != onnx.Undefined {
				break
			}
		}
	}
	c.set(0, d, s)
	return nil
}

func inferCompare(c call) error {
	s, err := c.broadcastInputs()
	c.set(0, onnx.Bool, s)
	return err
}

func inferWhere(c call) error {
	s, err := c.broadcastInputs()
	if err != nil {
		return err
	}
	d := c.dtype(1)
	if d == onnx.Undefined {
		d = c.dtype(2)
	}
	c.set(0, d, s)
	return nil
}

func inferDropout(c call) error {
	c.set(0, c.dtype(0), c.shape(0))
	c.set(1, onnx.Bool, c.shape(0))
	return nil
}

func inferCast(c call) error {
	c.set(0, onnx.DType(c.n.Int("to", 0)), c.shape(0))
	return nil
}

func inferCastLike(c call) error {
	c.set(0, c.dtype(1), c.shape(0))
	return nil
}

func inferQuantize(c call) error {
	d := onnx.Uint8
	if c.has(2) {
		d = c.dtype(2)
	}
	c.set(0, d, c.shape(0))
	return nil
}

func inferScatter(c call) error {
	if s := c.shape(0); s != nil {
		if _, err := c.axis(0, len(s)); err != nil {
			return err
		}
		if t := c.shape(1); t != nil && len(t) != len(s) {
			return shapeErrorf("indices of rank %d into rank %d", len(t), len(s))
		}
	}
	return inferLike(c)
}

// inferRandomLike serves the operators that take only a shape from their input.
func inferRandomLike(c call) error {
	d := onnx.DType(c.n.Int("dtype", int64(c.dtype(0))))
	c.set(0, d, c.shape(0))
	return nil
}

func inferRandom(c call) error {
	shape := c.n.Ints("shape", nil)
	if len(shape) > maxRank {
		return shapeErrorf("rank %d", len(shape))
	}
	c.set(0, onnx.DType(c.n.Int("dtype", 1)), onnx.ShapeOf(shape...))
	return nil
}
