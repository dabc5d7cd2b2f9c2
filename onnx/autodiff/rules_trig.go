package autodiff

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
