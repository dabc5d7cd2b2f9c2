package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"winnow/onnx"
)

// Fake quantisation is a QuantizeLinear and the DequantizeLinear behind it: the
// rounding counts as the identity (the straight-through estimator of Bengio et
// al., arXiv:1308.3432), and what is clipped has no gradient, as in PyTorch's
// fake_quantize_per_tensor_affine. Scales and zero points are not trained.

// q = clip(round(x/s) + z): dx = dq/s where nothing is clipped.
func gradQuantize(n *node) ([]string, error) {
	x := n.Inputs[0]
	scale, err := n.alongAxis(n.Inputs[1])
	if err != nil {
		return nil, err
	}
	low, high := 0.0, 255.0
	if n.dtype(n.Outputs[0]) == onnx.Int8 {
		low, high = -128, 127
	}
	level := n.op("Round", nil, n.div(x, scale))
	if z := n.Input(2); z != "" {
		zero, err := n.alongAxis(n.cast(z, n.dtype(x)))
		if err != nil {
			return nil, err
		}
		level = n.addOp(level, zero)
	}
	inside := n.op("And", nil, n.op("GreaterOrEqual", nil, level, n.number(low, x)), n.op("LessOrEqual", nil, level, n.number(high, x)))
	return one(n.where(inside, n.div(n.dy[0], scale), n.number(0, x)))
}

// y = (q - z)*s: dq = g*s.
func gradDequantize(n *node) ([]string, error) {
	scale, err := n.alongAxis(n.Inputs[1])
	if err != nil {
		return nil, err
	}
	return one(n.mul(n.dy[0], scale))
}

// alongAxis gives one number a channel the dimensions that spread it over the node's input.
func (n *node) alongAxis(v string) (string, error) {
	s, rank := n.shape(v), len(n.shape(n.Inputs[0]))
	if s != nil && len(s) == 0 {
		return v, nil
	}
	if len(s) != 1 || !s.IsConst() {
		return "", fmt.Errorf("scales of shape %v: %w", s, ErrModel)
	}
	if s[0].N == 1 {
		return n.flat(v), nil
	}
	axis, err := axisOf(n.Int("axis", 1), rank)
	if err != nil {
		return "", err
	}
	dims := slices.Repeat([]int64{1}, rank-axis)
	dims[0] = s[0].N
	return n.flat(v, dims...), nil
}

// checkQuantised refuses quantised models of which a part would not be trained
// without a word: weights stored as integers, and integers computed with.
func checkQuantised(g *onnx.Graph) error {
	const wayOut = "export the float model, or one that is quantised for training, with float weights and QuantizeLinear behind them"
	made := map[string]*onnx.Node{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if q := made[in]; q != nil && n.Op != "DequantizeLinear" {
				return fmt.Errorf("autodiff: node %q (%s) computes with the integers of node %q (QuantizeLinear); %s: %w", n.Name, n.Op, q.Name, wayOut, ErrModel)
			}
		}
		switch {
		case n.Op == "DynamicQuantizeLinear" || strings.HasPrefix(n.Op, "QLinear") || strings.HasSuffix(n.Op, "Integer"):
			return fmt.Errorf("autodiff: node %q (%s) computes with integers, which have no gradient; %s: %w", n.Name, n.Op, wayOut, ErrModel)
		case n.Op == "QuantizeLinear":
			made[n.Output(0)] = n
		case n.Op == "DequantizeLinear" && made[n.Input(0)] == nil:
			return fmt.Errorf("autodiff: node %q (DequantizeLinear): %q is stored quantised and cannot be trained; %s: %w", n.Name, n.Input(0), wayOut, ErrModel)
		}
	}
	return nil
}
