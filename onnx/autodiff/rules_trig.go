package autodiff

import "fmt"

// overRoot is g/sqrt(v).
func (n *node) overRoot(g, v string) string { return n.div(g, n.op("Sqrt", nil, v)) }

// y = tan(x): dx = g*(1 + y^2).
func gradTan(n *node) ([]string, error) {
	y := n.Outputs[0]
	return one(n.mul(n.dy[0], n.addOp(n.mul(y, y), n.number(1, y))))
}

// y = asin(x): dx = g/sqrt(1 - x^2).
func gradAsin(n *node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.overRoot(n.dy[0], n.sub(n.number(1, x), n.mul(x, x))))
}

// y = acos(x): dx = -g/sqrt(1 - x^2).
func gradAcos(n *node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.neg(n.overRoot(n.dy[0], n.sub(n.number(1, x), n.mul(x, x)))))
}

// y = atan(x): dx = g/(1 + x^2).
func gradAtan(n *node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.div(n.dy[0], n.addOp(n.mul(x, x), n.number(1, x))))
}

// y = sinh(x): dx = g*cosh(x).
func gradSinh(n *node) ([]string, error) {
	return one(n.mul(n.dy[0], n.op("Cosh", nil, n.Inputs[0])))
}

// y = cosh(x): dx = g*sinh(x).
func gradCosh(n *node) ([]string, error) {
	return one(n.mul(n.dy[0], n.op("Sinh", nil, n.Inputs[0])))
}

// y = asinh(x): dx = g/sqrt(x^2 + 1).
func gradAsinh(n *node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.overRoot(n.dy[0], n.addOp(n.mul(x, x), n.number(1, x))))
}

// y = acosh(x): dx = g/sqrt(x^2 - 1).
func gradAcosh(n *node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.overRoot(n.dy[0], n.sub(n.mul(x, x), n.number(1, x))))
}

// y = atanh(x): dx = g/(1 - x^2).
func gradAtanh(n *node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.div(n.dy[0], n.sub(n.number(1, x), n.mul(x, x))))
}

// y = x where x > alpha, else 0: dx = g there.
func gradThresholdedRelu(n *node) ([]string, error) {
	x := n.Inputs[0]
	alpha := n.number(float64(n.Float("alpha", 1)), x)
	return one(n.where(n.greater(x, alpha), n.dy[0], n.number(0, x)))
}

// y = x + bias where x < -lambd, x - bias where x > lambd, else 0: dx = g
// outside of the two bounds, as torch.nn.functional.softshrink has it.
func gradShrink(n *node) ([]string, error) {
	x := n.Inputs[0]
	lambd := float64(n.Float("lambd", 0.5))
	outside := n.op("Or", nil, n.greater(x, n.number(lambd, x)), n.op("Less", nil, x, n.number(-lambd, x)))
	return one(n.where(outside, n.dy[0], n.number(0, x)))
}

// y = a - b*trunc(a/b), the remainder with the sign of a: da = g, db = -g*trunc(a/b).
func gradMod(n *node) ([]string, error) {
	if n.Int("fmod", 0) == 0 {
		return nil, fmt.Errorf("of floating point numbers with fmod 0, which ONNX Runtime lacks: %w", ErrNoRule)
	}
	dx := []string{n.dy[0], ""}
	if n.want[1] {
		q := n.div(n.Inputs[0], n.Inputs[1])
		whole := n.mul(n.op("Sign", nil, q), n.op("Floor", nil, n.op("Abs", nil, q)))
		dx[1] = n.neg(n.mul(n.dy[0], whole))
	}
	return dx, nil
}
