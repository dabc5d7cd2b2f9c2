package autodiff

// Rules maps an operator of the default domain, at opset 18, to its gradient.
// Every formula is written beside its rule, with y the output, g its adjoint.
var Rules map[string]Rule

func init() {
	Rules = map[string]Rule{
		// Elementwise, two operands.
		"Add":   gradAdd,
		"Sub":   gradSub,
		"Mul":   gradMul,
		"Div":   gradDiv,
		"Pow":   gradPow,
		"PRelu": gradPRelu,
		"Mod":   gradMod,

		// Elementwise, any number of operands.
		"Sum":   gradSum,
		"Mean":  gradMean,
		"Max":   gradExtreme,
		"Min":   gradExtreme,
		"Where": gradWhere,

		// Elementwise, one operand.
		"Relu":            gradRelu,
		"Sigmoid":         gradSigmoid,
		"Tanh":            gradTanh,
		"Clip":            gradClip,
		"Identity":        gradIdentity,
		"Cast":            gradCast,
		"Neg":             gradNeg,
		"Abs":             gradAbs,
		"Sqrt":            gradSqrt,
		"Reciprocal":      gradReciprocal,
		"Exp":             gradExp,
		"Log":             gradLog,
		"Sin":             gradSin,
		"Cos":             gradCos,
		"Erf":             gradErf,
		"Softplus":        gradSoftplus,
		"Softsign":        gradSoftsign,
		"LeakyRelu":       gradLeakyRelu,
		"Elu":             gradElu,
		"Celu":            gradCelu,
		"Selu":            gradSelu,
		"HardSigmoid":     gradHardSigmoid,
		"HardSwish":       gradHardSwish,
		"Mish":            gradMish,
		"Tan":             gradTan,
		"Asin":            gradAsin,
		"Acos":            gradAcos,
		"Atan":            gradAtan,
		"Sinh":            gradSinh,
		"Cosh":            gradCosh,
		"Asinh":           gradAsinh,
		"Acosh":           gradAcosh,
		"Atanh":           gradAtanh,
		"Shrink":          gradShrink,
		"ThresholdedRelu": gradThresholdedRelu,

		// Along an axis.
		"Softmax":         gradSoftmax,
		"LogSoftmax":      gradLogSoftmax,
		"ReduceMean":      gradReduceMean,
		"ReduceSum":       gradReduceSum,
		"ReduceMax":       gradReduceExtreme,
		"ReduceMin":       gradReduceExtreme,
		"ReduceL1":        gradReduceL1,
		"ReduceL2":        gradReduceL2,
		"ReduceSumSquare": gradReduceSumSquare,
		"ReduceLogSumExp": gradReduceLogSumExp,
		"ReduceProd":      gradReduceProd,
		"ReduceLogSum":    gradReduceLogSum,
		"CumSum":          gradCumSum,

		// Products.
		"Gemm":          gradGemm,
		"MatMul":        gradMatMul,
		"Conv":          gradConv,
		"Einsum":        gradEinsum,
		"ConvTranspose": gradConvTranspose,
		"Resize":        gradResize,
		"GridSample":    gradGridSample,

		// Over the steps of a sequence.
		"LSTM": gradRecurrent([]string{"Sigmoid", "Tanh", "Tanh"}, gradLSTM),
		"GRU":  gradRecurrent([]string{"Sigmoid", "Tanh"}, gradGRU),
		"RNN":  gradRecurrent([]string{"Tanh"}, gradRNN),

		// Normalisation and pooling.
		"BatchNormalization":    gradBatchNorm,
		"MaxPool":               gradMaxPool,
		"AveragePool":           gradAveragePool,
		"GlobalAveragePool":     gradGlobalAveragePool,
		"GlobalMaxPool":         gradGlobalMaxPool,
		"InstanceNormalization": gradInstanceNorm,
		"LayerNormalization":    gradLayerNorm,

		// Fake quantisation.
		"QuantizeLinear":   gradQuantize,
		"DequantizeLinear": gradDequantize,

		// Shape.
		"Flatten":      gradReshape,
		"Reshape":      gradReshape,
		"Squeeze":      gradReshape,
		"Unsqueeze":    gradReshape,
		"Transpose":    gradTranspose,
		"Concat":       gradConcat,
		"Expand":       gradExpand,
		"Split":        gradSplit,
		"Slice":        gradSlice,
		"Pad":          gradPad,
		"Tile":         gradTile,
		"Trilu":        gradTrilu,
		"DepthToSpace": gradDepthToSpace,
		"SpaceToDepth": gradSpaceToDepth,

		// By index.
		"Gather":          gradGather,
		"GatherElements":  gradGatherElements,
		"GatherND":        gradGatherND,
		"ScatterElements": gradScatter,
		"ScatterND":       gradScatter,
		"TopK":            gradTopK,
		"ReverseSequence": gradReverseSequence,
		"MaxUnpool":       gradMaxUnpool,
	}
}
