package autodiff

// Rules maps an operator of the default domain, at opset 18, to its gradient.
// Every formula is written beside its rule, with y the output, g its adjoint, in
// the file that its heading names.
var Rules map[string]Rule

func init() {
	Rules = map[string]Rule{
		// The plainest of those that take every element by itself: rules_elementwise.go.
		"Add":      gradAdd,
		"Sub":      gradSub,
		"Mul":      gradMul,
		"Div":      gradDiv,
		"Relu":     gradRelu,
		"Sigmoid":  gradSigmoid,
		"Tanh":     gradTanh,
		"Clip":     gradClip,
		"Identity": gradIdentity,
		"Cast":     gradCast,

		// Functions of every element: rules_math.go.
		"Pow":             gradPow,
		"PRelu":           gradPRelu,
		"Mod":             gradMod,
		"Sum":             gradSum,
		"Mean":            gradMean,
		"Max":             gradExtreme,
		"Min":             gradExtreme,
		"Where":           gradWhere,
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
		"Shrink":          gradShrink,
		"ThresholdedRelu": gradThresholdedRelu,

		// Angles and their inverses: rules_trig.go.
		"Tan":   gradTan,
		"Asin":  gradAsin,
		"Acos":  gradAcos,
		"Atan":  gradAtan,
		"Sinh":  gradSinh,
		"Cosh":  gradCosh,
		"Asinh": gradAsinh,
		"Acosh": gradAcosh,
		"Atanh": gradAtanh,

		// Along an axis: rules_reduce.go.
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

		// Products of matrices: rules_product.go.
		"Gemm":   gradGemm,
		"MatMul": gradMatMul,

		// Products by letters: rules_einsum.go.
		"Einsum": gradEinsum,

		// Convolutions: rules_conv.go.
		"Conv":          gradConv,
		"ConvTranspose": gradConvTranspose,

		// Poolings: rules_pool.go.
		"MaxPool":           gradMaxPool,
		"AveragePool":       gradAveragePool,
		"GlobalAveragePool": gradGlobalAveragePool,
		"GlobalMaxPool":     gradGlobalMaxPool,
		"MaxUnpool":         gradMaxUnpool,

		// Resampling by scales: rules_resize.go.
		"Resize": gradResize,

		// Resampling by positions: rules_gridsample.go.
		"GridSample": gradGridSample,

		// Over the steps of a sequence: rules_recurrent.go.
		"LSTM": gradRecurrent([]string{"Sigmoid", "Tanh", "Tanh"}, gradLSTM),
		"GRU":  gradRecurrent([]string{"Sigmoid", "Tanh"}, gradGRU),
		"RNN":  gradRecurrent([]string{"Tanh"}, gradRNN),

		// Normalisation by channel: rules_norm.go.
		"BatchNormalization": gradBatchNorm,

		// Normalisation of each image: rules_layernorm.go.
		"InstanceNormalization": gradInstanceNorm,
		"LayerNormalization":    gradLayerNorm,

		// Fake quantisation: rules_quantize.go.
		"QuantizeLinear":   gradQuantize,
		"DequantizeLinear": gradDequantize,

		// Shape: rules_shape.go.
		"Flatten":      gradReshape,
		"Reshape":      gradReshape,
		"Squeeze":      gradReshape,
		"Unsqueeze":    gradReshape,
		"Transpose":    gradTranspose,
		"Concat":       gradConcat,
		"Expand":       gradExpand,
		"Split":        gradSplit,
		"Slice":        gradSlice,
		"Tile":         gradTile,
		"Trilu":        gradTrilu,
		"DepthToSpace": gradDepthToSpace,
		"SpaceToDepth": gradSpaceToDepth,

		// Padding: rules_pad.go.
		"Pad": gradPad,

		// By index: rules_index.go.
		"Gather":          gradGather,
		"GatherElements":  gradGatherElements,
		"GatherND":        gradGatherND,
		"ScatterElements": gradScatter,
		"ScatterND":       gradScatter,
		"TopK":            gradTopK,
		"ReverseSequence": gradReverseSequence,
	}
}
