package autodiff

import (
	"math"

	"winnow/onnx"
)

// y = a + b: da = g, db = g.
func gradAdd(n *node) ([]string, error) { return []string{n.dy[0], n.dy[0]}, nil }

// y = a - b: da = g, db = -g.
func gradSub(n *node) ([]string, error) {
	dx := []string{n.dy[0], ""}
	if n.want[1] {
		dx[1] = n.neg(n.dy[0])
	}
	return dx, nil
}

// y = a*b: da = g*b, db = g*a.
func gradMul(n *node) ([]string, error) {
	dx := make([]string, 2)
	if n.want[0] {
		dx[0] = n.mul(n.dy[0], n.Inputs[1])
	}
	if n.want[1] {
		dx[1] = n.mul(n.dy[0], n.Inputs[0])
	}
	return dx, nil
}

// y = a/b: da = g/b, db = -g*y/b.
func gradDiv(n *node) ([]string, error) {
	q := n.div(n.dy[0], n.Inputs[1])
	dx := []string{q, ""}
	if n.want[1] {
		dx[1] = n.neg(n.mul(q, n.Outputs[0]))
	}
	return dx, nil
}

// y = max(x, 0): dx = g where y > 0.
func gradRelu(n *node) ([]string, error) {
	return []string{n.mul(n.dy[0], n.positive(n.Outputs[0]))}, nil
}

// positive is 1 where y, which is never negative, is above 0, else 0. Its truth
// value is that; two casts were measured 7 times faster than Sign, and faster
// than Where. On the CPU a slope that takes the least normal number to 1 is
// twice as fast again.
func (e *emitter) positive(y string) string {
	if e.blocks.size > 0 && e.dtype(y) == onnx.Float32 {
		return e.op("HardSigmoid", attrs{"alpha": onnx.FloatAttr(math.MaxFloat32), "beta": onnx.FloatAttr(0)}, y)
	}
	return e.cast(e.cast(y, onnx.Bool), e.dtype(y))
}

// y = 1/(1 + exp(-x)): dx = g*y*(1 - y).
func gradSigmoid(n *node) ([]string, error) {
	y := n.Outputs[0]
	return []string{n.mul(n.dy[0], n.mul(y, n.sub(n.number(1, y), y)))}, nil
}

// y = tanh(x): dx = g*(1 - y^2).
func gradTanh(n *node) ([]string, error) {
	y := n.Outputs[0]
	return []string{n.mul(n.dy[0], n.sub(n.number(1, y), n.mul(y, y)))}, nil
}

// y = min(max(x, lo), hi): dx = g strictly between the bounds, 0 at and beyond
// them, as torch.nn.functional.hardtanh has it (most Clips are a ReLU6).
func gradClip(n *node) ([]string, error) {
	x, dx := n.Inputs[0], n.dy[0]
	lo, hi := n.graph.Initializers[n.Input(1)], n.graph.Initializers[n.Input(2)]
	if y := n.Outputs[0]; n.blocks.of[y] != "" && finite(lo) && finite(hi) { // in blocks there is no Where
		inside := n.mul(n.sub(y, n.Inputs[1]), n.sub(n.Inputs[2], y))
		return one(n.mul(dx, n.positive(inside)))
	}
	if lo := n.Input(1); lo != "" {
		dx = n.op("Where", nil, n.op("Greater", nil, x, lo), dx, n.number(0, x))
	}
	if hi := n.Input(2); hi != "" {
		dx = n.op("Where", nil, n.op("Less", nil, x, hi), dx, n.number(0, x))
	}
	return []string{dx}, nil
}

// finite is whether t is a float32 number neither infinite nor close to it.
func finite(t *onnx.Tensor) bool {
	return t != nil && t.DType == onnx.Float32 && t.Len() == 1 && math.Abs(float64(t.Float32s()[0])) < 1e18
}

// y = x: dx = g.
func gradIdentity(n *node) ([]string, error) { return []string{n.dy[0]}, nil }

// y = x in another floating point type: dx = g in the type of x.
func gradCast(n *node) ([]string, error) {
	to := n.dtype(n.Inputs[0])
	if !to.IsFloat() {
		return []string{""}, nil
	}
	return []string{n.cast(n.dy[0], to)}, nil
}
