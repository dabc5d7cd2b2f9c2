package opset

import (
	"slices"

	"winnow/onnx"
)

// changed names operators whose definition differs in more than the element
// types allowed, somewhere in opsets 7..26, and for which there is no
// conversion. What is neither here nor among the conversions gained only
// element types, or attributes and inputs whose absence means what it meant.
var changed = map[string]bool{
	"DFT":           true, // 20: axis is an input
	"QLinearMatMul": true,
}

// conversions holds the operators that need more than a look at the version.
// source is the opset whose definition the node follows. The function emits
// the node, or what stands for it, or refuses.
var conversions map[string]func(c *converter, n *onnx.Node, source int64)

func init() {
	conversions = map[string]func(c *converter, n *onnx.Node, source int64){
		"AffineGrid":         convertAffineGrid,
		"Attention":          convertAttention,
		"AveragePool":        convertAveragePool,
		"BatchNormalization": convertBatchNormalization,
		"Cast":               convertCast,
		"CastLike":           convertCast,
		"Clip":               convertClip,
		"DequantizeLinear":   convertQuantize,
		"Dropout":            convertDropout,
		"Gelu":               convertGelu,
		"GridSample":         convertGridSample,
		"GroupNormalization": convertGroupNormalization,
		"Hardmax":            convertSoftmax,
		"GRU":                convertRecurrent,
		"LSTM":               convertRecurrent,
		"LogSoftmax":         convertSoftmax,
		"RNN":                convertRecurrent,
		"Pad":                convertPad,
		"QuantizeLinear":     convertQuantize,
		"RMSNormalization":   convertRMSNormalization,
		"ReduceSum":          axesFrom(13),
		"Resize":             convertResize,
		"RoiAlign":           convertRoiAlign,
		"RotaryEmbedding":    convertRotaryEmbedding,
		"Scan":               convertScan,
		"Scatter":            convertScatter,
		"Slice":              convertSlice,
		"Softmax":            convertSoftmax,
		"Split":              convertSplit,
		"Squeeze":            axesFrom(13),
		"Swish":              convertSwish,
		"TopK":               convertTopK,
		"Unsqueeze":          axesFrom(13),
		"Upsample":           convertUpsample,
	}
	for _, op := range []string{"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
		"ReduceMin", "ReduceProd", "ReduceSumSquare"} {
		conversions[op] = axesFrom(18)
	}
}

// Rewritten reports whether To18 writes an operator as others.
func Rewritten(op string) bool {
	return conversions[op] != nil && opVersion(op, targetOpset) == 0 || op == "GroupNormalization" || op == "CastLike"
}

// axesFrom converts an operator whose axes became an input with an opset.
// ReduceMax and ReduceMin took booleans from opset 20 on.
func axesFrom(opset int64) func(*converter, *onnx.Node, int64) {
	return func(c *converter, n *onnx.Node, source int64) {
		if source >= 20 && c.typeOf(n.Input(0)).DType == onnx.Bool && (n.Op == "ReduceMax" || n.Op == "ReduceMin") {
			c.refuse(n, "of a boolean value")
			return
		}
		if source < opset {
			// No axes, or none in the list: all of them, in both forms.
			if axes := n.Ints("axes", nil); len(axes) > 0 {
				setInput(n, 1, c.ints(n, "axes", axes))
			}
			delete(n.Attrs, "axes")
		}
		c.emit(n)
	}
}

// Opset 19 added dilations.
func convertAveragePool(c *converter, n *onnx.Node, source int64) {
	if slices.ContainsFunc(n.Ints("dilations", nil), func(d int64) bool { return d != 1 }) {
		n.Domain = onnx.LaterDomain
	} else {
		delete(n.Attrs, "dilations")
	}
	c.emit(n)
}

// Before opset 14, further outputs said that the node was in training mode:
// running mean and variance, and two that only that mode's gradient used.
func convertBatchNormalization(c *converter, n *onnx.Node, source int64) {
	if !convertOldBatchNormalization(c, n) {
		return
	}
	if source < 14 {
		for i := 3; i < len(n.Outputs); i++ {
			if c.scope.read[n.Outputs[i]] {
				c.refuse(n, "output %q, of the saved statistics, is used", n.Outputs[i])
				return
			}
		}
		training := false
		for _, out := range n.Outputs[min(1, len(n.Outputs)):] {
			training = training || out != ""
		}
		if training {
			n.Attrs["training_mode"] = onnx.IntAttr(1)
			n.Outputs = n.Outputs[:min(3, len(n.Outputs))]
		} else {
			n.Outputs = n.Outputs[:min(1, len(n.Outputs))]
		}
	}
	c.emit(n)
}

// saturate (19) and round_mode (24) speak of float8 alone, which opset 18 lacks.
func convertCast(c *converter, n *onnx.Node, source int64) {
	if to := onnx.DType(n.Int("to", 0)); n.Op == "Cast" && to != onnx.String && to.Size() == 0 {
		c.refuse(n, "to %s", to)
		return
	}
	delete(n.Attrs, "saturate")
	delete(n.Attrs, "round_mode")
	c.emit(n)
}

// Opset 12 turned ratio into an input, and training_mode into one, false by
// default; before it the node did nothing when it ran for inference.
func convertDropout(c *converter, n *onnx.Node, source int64) {
	if source < 12 {
		if dtype := c.typeOf(n.Input(0)).DType; dtype != onnx.Undefined && dtype != onnx.Float32 {
			delete(n.Attrs, "ratio") // not read outside training mode
			c.emit(n)
			return
		}
		setInput(n, 1, c.constInput(baseName(n), "ratio", onnx.FromFloat32([]float32{n.Float("ratio", 0.5)})))
		delete(n.Attrs, "ratio")
	}
	c.emit(n)
}

// Opset 11 wanted an empty tensor where 13 wants no input at all. ONNX Runtime's
// kernel of 18 takes the coordinate mode that 13 dropped and the one that 19 added.
func convertResize(c *converter, n *onnx.Node, source int64) {
	if source < 11 {
		convertUpsample(c, n, source)
		return
	}
	if source < 13 {
		for _, i := range []int{1, 2} {
			if t := c.constant(n.Input(i)); t != nil && t.Len() == 0 {
				n.Inputs[i] = ""
			}
		}
		if n.Input(3) != "" && n.Input(2) != "" {
			c.refuse(n, "both scales and sizes")
			return
		}
	}
	c.emit(n)
}

// Before opset 16 coordinates were not shifted by half a pixel.
func convertRoiAlign(c *converter, n *onnx.Node, source int64) {
	if source < 16 {
		n.Attrs["coordinate_transformation_mode"] = onnx.StringAttr("output_half_pixel")
	}
	c.emit(n)
}

// Before opset 13 all axes from the given one on were taken together, and the
// default was 1.
func convertSoftmax(c *converter, n *onnx.Node, source int64) {
	if source >= 13 {
		c.emit(n)
		return
	}
	axis := n.Int("axis", 1)
	rank := int64(len(c.typeOf(n.Input(0)).Shape)) // 0 if unknown
	if axis == -1 || (rank > 0 && axis == rank-1) {
		n.Attrs["axis"] = onnx.IntAttr(-1)
		c.emit(n)
		return
	}
	shape := c.step(n, "Shape", nil, n.Input(0))
	flat := c.step(n, "Flatten", map[string]onnx.Attr{"axis": onnx.IntAttr(axis)}, n.Input(0))
	y := c.step(n, n.Op, map[string]onnx.Attr{"axis": onnx.IntAttr(-1)}, flat)
	c.stepTo(n.Output(0), "Reshape", nil, y, shape)
}

// Opset 13 turned split into an input; 18 wants the number of parts where
// there is none.
func convertSplit(c *converter, n *onnx.Node, source int64) {
	if split := n.Ints("split", nil); source < 13 && len(split) > 0 {
		setInput(n, 1, c.ints(n, "split", split))
	}
	delete(n.Attrs, "split")
	if source < 18 && n.Input(1) == "" {
		n.Attrs["num_outputs"] = onnx.IntAttr(int64(len(n.Outputs)))
	}
	c.emit(n)
}
