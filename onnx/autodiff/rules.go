package autodiff

// rules maps an operator of the default domain, at opset 18, to its gradient.
// Every formula is written beside its rule, with y the output, g its adjoint.
var rules map[string]rule

func init() {
	rules = map[string]rule{
		// Elementwise, two operands.
		"Add": gradAdd,
		"Sub": gradSub,
		"Mul": gradMul,
		"Div": gradDiv,

		// Elementwise, one operand.
		"Relu":     gradRelu,
		"Sigmoid":  gradSigmoid,
		"Tanh":     gradTanh,
		"Clip":     gradClip,
		"Identity": gradIdentity,
		"Cast":     gradCast,

		// Along an axis.
		"Softmax":    gradSoftmax,
		"LogSoftmax": gradLogSoftmax,
		"ReduceMean": gradReduceMean,
		"ReduceSum":  gradReduceSum,

		// Products.
		"Gemm":   gradGemm,
		"MatMul": gradMatMul,
		"Conv":   gradConv,

		// Normalisation and pooling.
		"BatchNormalization": gradBatchNorm,
		"MaxPool":            gradMaxPool,
		"AveragePool":        gradAveragePool,
		"GlobalAveragePool":  gradGlobalAveragePool,

		// Shape.
		"Flatten":   gradReshape,
		"Reshape":   gradReshape,
		"Squeeze":   gradReshape,
		"Unsqueeze": gradReshape,
		"Transpose": gradTranspose,
		"Concat":    gradConcat,
		"Expand":    gradExpand,
	}
}
