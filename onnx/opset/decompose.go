package opset

import (
	"encoding/binary"
	"math"

	"winnow/onnx"
)

// scalar adds a constant of the element type of x; float32 where the model
// does not say. False if that type is none of the usual ones.
func (c *converter) scalar(n *onnx.Node, role, x string, v float64) (string, bool) {
	var t *onnx.Tensor
	switch c.typeOf(x).DType {
	case onnx.Undefined, onnx.Float32:
		t = onnx.FromFloat32([]float32{float32(v)})
	case onnx.Float64:
		t = onnx.NewTensor(onnx.Float64)
		binary.LittleEndian.PutUint64(t.Data, math.Float64bits(v))
	case onnx.Float16, onnx.BFloat16:
		return c.step(n, "CastLike", nil, c.constInput(baseName(n), role, onnx.FromFloat32([]float32{float32(v)})), x), true
	default:
		c.refuse(n, "elements of type %s", c.typeOf(x).DType)
		return "", false
	}
	return c.constInput(baseName(n), role, t), true
}

// Gelu came with opset 20: x/2 (1 + erf(x/sqrt 2)), or for approximate="tanh"
// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
func convertGelu(c *converter, n *onnx.Node, _ int64) {
	x := n.Input(0)
	half, ok := c.scalar(n, "half", x, 0.5)
	if !ok {
		return
	}
	one, _ := c.scalar(n, "one", x, 1)
	var inner string
	switch mode := n.Str("approximate", "none"); mode {
	case "none":
		scale, _ := c.scalar(n, "scale", x, math.Sqrt2/2)
		inner = c.step(n, "Erf", nil, c.step(n, "Mul", nil, x, scale))
	case "tanh":
		scale, _ := c.scalar(n, "scale", x, math.Sqrt(2/math.Pi))
		cubic, _ := c.scalar(n, "cubic", x, 0.044715*math.Sqrt(2/math.Pi))
		square := c.step(n, "Mul", nil, x, x)
		factor := c.step(n, "Add", nil, c.step(n, "Mul", nil, square, cubic), scale)
		inner = c.step(n, "Tanh", nil, c.step(n, "Mul", nil, x, factor))
	default:
		c.refuse(n, "approximate %q", mode)
		return
	}
	sum := c.step(n, "Add", nil, inner, one)
	c.stepTo(n.Output(0), "Mul", nil, c.step(n, "Mul", nil, x, half), sum)
}

// Swish came with opset 24: x sigmoid(alpha x).
func convertSwish(c *converter, n *onnx.Node, _ int64) {
	x := n.Input(0)
	arg := x
	if alpha := n.Float("alpha", 1); alpha != 1 {
		scale, ok := c.scalar(n, "alpha", x, float64(alpha))
		if !ok {
			return
		}
		arg = c.step(n, "Mul", nil, x, scale)
	}
	c.stepTo(n.Output(0), "Mul", nil, x, c.step(n, "Sigmoid", nil, arg))
}

// GroupNormalization is InstanceNormalization over groups of channels. In
// opsets 18 to 20 scale and bias have one number for each group, which is
// InstanceNormalization's own form; from 21 on, one for each channel.
func convertGroupNormalization(c *converter, n *onnx.Node, source int64) {
	x, groups := n.Input(0), n.Int("num_groups", 0)
	if groups <= 0 {
		c.refuse(n, "num_groups %d", groups)
		return
	}
	scale, bias := n.Input(1), n.Input(2)
	epsilon := map[string]onnx.Attr{"epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))}
	shape := c.step(n, "Shape", nil, x)
	grouped := c.step(n, "Reshape", nil, x, c.ints(n, "groups", []int64{0, groups, -1}))
	if source < 21 {
		y := c.step(n, "InstanceNormalization", epsilon, grouped, scale, bias)
		c.stepTo(n.Output(0), "Reshape", nil, y, shape)
		return
	}
	v := c.typeOf(x)
	channels := int64(0)
	if s := c.typeOf(scale).Shape; len(s) == 1 && s.IsConst() {
		channels = s[0].N
	} else if len(v.Shape) > 1 && v.Shape[1].IsConst() {
		channels = v.Shape[1].N
	}
	dtype := v.DType
	if dtype == onnx.Undefined {
		dtype = c.typeOf(scale).DType
	}
	switch {
	case channels == 0:
		c.refuse(n, "the number of channels is not known")
		return
	case dtype != onnx.Undefined && dtype != onnx.Float32:
		c.refuse(n, "elements of type %s", dtype)
		return
	}
	ones, zeros := make([]float32, groups), make([]float32, groups)
	for i := range ones {
		ones[i] = 1
	}
	y := c.step(n, "InstanceNormalization", epsilon, grouped,
		c.constInput(baseName(n), "ones", onnx.FromFloat32(ones, groups)),
		c.constInput(baseName(n), "zeros", onnx.FromFloat32(zeros, groups)))
	y = c.step(n, "Reshape", nil, y, c.ints(n, "channels", []int64{0, channels, -1}))
	axis := c.ints(n, "axis", []int64{1})
	y = c.step(n, "Mul", nil, y, c.step(n, "Unsqueeze", nil, scale, axis))
	y = c.step(n, "Add", nil, y, c.step(n, "Unsqueeze", nil, bias, axis))
	c.stepTo(n.Output(0), "Reshape", nil, y, shape)
}
