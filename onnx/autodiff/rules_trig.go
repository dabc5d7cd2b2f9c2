package autodiff

import "fmt"

// overRoot is g/sqrt(v).
func (n *Node) overRoot(g, v string) string { return n.Div(g, n.Emit("Sqrt", nil, v)) }

// y = tan(x): dx = g*(1 + y^2).
func gradTan(n *Node) ([]string, error) {
	y := n.Outputs[0]
	return one(n.Mul(n.Dy[0], n.Add(n.Mul(y, y), n.Number(1, y))))
}

// y = asin(x): dx = g/sqrt(1 - x^2).
func gradAsin(n *Node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.overRoot(n.Dy[0], n.Sub(n.Number(1, x), n.Mul(x, x))))
}

// y = acos(x): dx = -g/sqrt(1 - x^2).
func gradAcos(n *Node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.Neg(n.overRoot(n.Dy[0], n.Sub(n.Number(1, x), n.Mul(x, x)))))
}

// y = atan(x): dx = g/(1 + x^2).
func gradAtan(n *Node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.Div(n.Dy[0], n.Add(n.Mul(x, x), n.Number(1, x))))
}

// y = sinh(x): dx = g*cosh(x).
func gradSinh(n *Node) ([]string, error) {
	return one(n.Mul(n.Dy[0], n.Emit("Cosh", nil, n.Inputs[0])))
}

// y = cosh(x): dx = g*sinh(x).
func gradCosh(n *Node) ([]string, error) {
	return one(n.Mul(n.Dy[0], n.Emit("Sinh", nil, n.Inputs[0])))
}

// y = asinh(x): dx = g/sqrt(x^2 + 1).
func gradAsinh(n *Node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.overRoot(n.Dy[0], n.Add(n.Mul(x, x), n.Number(1, x))))
}

// y = acosh(x): dx = g/sqrt(x^2 - 1).
func gradAcosh(n *Node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.overRoot(n.Dy[0], n.Sub(n.Mul(x, x), n.Number(1, x))))
}

// y = atanh(x): dx = g/(1 - x^2).
func gradAtanh(n *Node) ([]string, error) {
	x := n.Inputs[0]
	return one(n.Div(n.Dy[0], n.Sub(n.Number(1, x), n.Mul(x, x))))
}

// y = x where x > alpha, else 0: dx = g there.
func gradThresholdedRelu(n *Node) ([]string, error) {
	x := n.Inputs[0]
	alpha := n.Number(float64(n.Float("alpha", 1)), x)
	return one(n.Where(n.Greater(x, alpha), n.Dy[0], n.Number(0, x)))
}

// y = x + bias where x < -lambd, x - bias where x > lambd, else 0: dx = g
// outside of the two bounds, as torch.nn.functional.softshrink has it.
func gradShrink(n *Node) ([]string, error) {
	x := n.Inputs[0]
	lambd := float64(n.Float("lambd", 0.5))
	outside := n.Emit("Or", nil, n.Greater(x, n.Number(lambd, x)), n.Emit("Less", nil, x, n.Number(-lambd, x)))
	return one(n.Where(outside, n.Dy[0], n.Number(0, x)))
}

// y = a - b*trunc(a/b), the remainder with the sign of a: da = g, db = -g*trunc(a/b).
func gradMod(n *Node) ([]string, error) {
	if n.Int("fmod", 0) == 0 {
		return nil, fmt.Errorf("of floating point numbers with fmod 0, which ONNX Runtime lacks: %w", ErrNoRule)
	}
	dx := []string{n.Dy[0], ""}
	if n.Want[1] {
		q := n.Div(n.Inputs[0], n.Inputs[1])
		whole := n.Mul(n.Emit("Sign", nil, q), n.Emit("Floor", nil, n.Emit("Abs", nil, q)))
		dx[1] = n.Neg(n.Mul(n.Dy[0], whole))
	}
	return dx, nil
}
