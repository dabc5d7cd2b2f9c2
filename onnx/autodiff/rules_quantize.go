package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// Fake quantisation is a QuantizeLinear and the DequantizeLinear behind it: the
// rounding counts as the identity (the straight-through estimator of Bengio et
// al., arXiv:1308.3432), and what is clipped has no gradient, as in PyTorch's
// fake_quantize_per_tensor_affine. Scales and zero points are not trained.

// q = clip(round(x/s) + z): dx = dq/s where nothing is clipped.
func gradQuantize(n *Node) ([]string, error) {
	x := n.Inputs[0]
	scale, err := n.alongAxis(n.Inputs[1])
	if err != nil {
		return nil, err
	}
	low, high := 0.0, 255.0
	if n.DType(n.Outputs[0]) == onnx.Int8 {
		low, high = -128, 127
	}
	level := n.Emit("Round", nil, n.Div(x, scale))
	if z := n.Input(2); z != "" {
		zero, err := n.alongAxis(n.Cast(z, n.DType(x)))
		if err != nil {
			return nil, err
		}
		level = n.Add(level, zero)
	}
	inside := n.Emit("And", nil, n.Emit("GreaterOrEqual", nil, level, n.Number(low, x)), n.Emit("LessOrEqual", nil, level, n.Number(high, x)))
	return one(n.Where(inside, n.Div(n.Dy[0], scale), n.Number(0, x)))
}

// y = (q - z)*s: dq = g*s.
func gradDequantize(n *Node) ([]string, error) {
	scale, err := n.alongAxis(n.Inputs[1])
	if err != nil {
		return nil, err
	}
	return one(n.Mul(n.Dy[0], scale))
}

// alongAxis gives one number a channel the dimensions that spread it over the node's input.
func (n *Node) alongAxis(v string) (string, error) {
	s, rank := n.Shape(v), len(n.Shape(n.Inputs[0]))
	if s != nil && len(s) == 0 {
		return v, nil
	}
	if len(s) != 1 || !s.IsConst() {
		return "", fmt.Errorf("scales of shape %v: %w", s, emit.ErrModel)
	}
	if s[0].N == 1 {
		return n.Flat(v), nil
	}
	axis, err := emit.Axis(n.Int("axis", 1), rank)
	if err != nil {
		return "", err
	}
	dims := slices.Repeat([]int64{1}, rank-axis)
	dims[0] = s[0].N
	return n.Flat(v, dims...), nil
}
