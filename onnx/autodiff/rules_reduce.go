package autodiff

import "winnow/onnx/emit"

// reduced is what the rules of reductions share: g and y with the reduced axes
// put back, and those axes.
func reduced(n *Node) (g, y string, axes []int64, err error) {
	if axes, err = reducedAxes(n); err != nil {
		return "", "", nil, err
	}
	return n.kept(n.Dy[0], axes), n.kept(n.Outputs[0], axes), axes, nil
}

// y = the largest or smallest of x over axes: g goes to the elements equal to
// y, in equal shares where several are, as torch.amax has it.
func gradReduceExtreme(n *Node) ([]string, error) {
	g, y, axes, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.toEqual(g, y, axes))
}

// toEqual shares g among the elements of the input that equal y.
func (n *Node) toEqual(g, y string, axes []int64) string {
	x := n.Inputs[0]
	hit := n.Cast(n.Emit("Equal", nil, x, y), n.DType(x))
	return n.Mul(hit, n.Div(g, n.Sum(hit, true, axes...)))
}

// y = the largest of x over all positions, as ReduceMax.
func gradGlobalMaxPool(n *Node) ([]string, error) {
	return one(n.toEqual(n.Dy[0], n.Outputs[0], emit.SpatialAxes(len(n.Shape(n.Inputs[0])), false)))
}

// y = sqrt(sum(x^2)): dx = g*x/y, 0 where y is 0.
func gradReduceL2(n *Node) ([]string, error) {
	g, y, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	zero := n.Number(0, y)
	some := n.Greater(y, zero)
	return one(n.Mul(n.Inputs[0], n.Where(some, n.Div(g, n.Where(some, y, n.Number(1, y))), zero)))
}

// y = sum(|x|): dx = g*sign(x).
func gradReduceL1(n *Node) ([]string, error) {
	g, _, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.Mul(n.Emit("Sign", nil, n.Inputs[0]), g))
}

// y = sum(x^2): dx = 2*g*x.
func gradReduceSumSquare(n *Node) ([]string, error) {
	g, _, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.Mul(n.Inputs[0], n.Add(g, g)))
}

// y = log(sum(exp(x))): dx = g*exp(x - y).
func gradReduceLogSumExp(n *Node) ([]string, error) {
	g, y, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.Mul(n.Emit("Exp", nil, n.Sub(n.Inputs[0], y)), g))
}

// y = product of x: dx = g times the product of the other elements, which is
// that of all that are not 0, divided by x where x is not, if no other is 0.
func gradReduceProd(n *Node) ([]string, error) {
	g, _, axes, err := reduced(n)
	if err != nil {
		return nil, err
	}
	x := n.Inputs[0]
	zero := n.Emit("Equal", nil, x, n.Number(0, x))
	rest := n.Where(zero, n.Number(1, x), x)
	product := rest
	if len(axes) > 0 {
		product = n.Emit("ReduceProd", nil, rest, n.Int64s(axes...))
	}
	zeros := n.Cast(zero, n.DType(x))
	others := n.Sub(n.Sum(zeros, true, axes...), zeros)
	none := n.Emit("Equal", nil, others, n.Number(0, x))
	return one(n.Mul(g, n.Where(none, n.Div(product, rest), n.Number(0, x))))
}

// y = log(sum(x)): dx = g*exp(-y).
func gradReduceLogSum(n *Node) ([]string, error) {
	g, y, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.Broadcast(n.Mul(g, n.Emit("Exp", nil, n.Neg(y))), n.Inputs[0]))
}
