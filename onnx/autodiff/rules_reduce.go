package autodiff

// reduced is what the rules of reductions share: g and y with the reduced axes
// put back, and those axes.
func reduced(n *node) (g, y string, axes []int64, err error) {
	if axes, err = reducedAxes(n); err != nil {
		return "", "", nil, err
	}
	return n.kept(n.dy[0], axes), n.kept(n.Outputs[0], axes), axes, nil
}

// y = the largest or smallest of x over axes: g goes to the elements equal to
// y, in equal shares where several are, as torch.amax has it.
func gradReduceExtreme(n *node) ([]string, error) {
	g, y, axes, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.toEqual(g, y, axes))
}

// toEqual shares g among the elements of the input that equal y.
func (n *node) toEqual(g, y string, axes []int64) string {
	x := n.Inputs[0]
	hit := n.cast(n.op("Equal", nil, x, y), n.dtype(x))
	return n.mul(hit, n.div(g, n.sum(hit, true, axes...)))
}

// y = the largest of x over all positions, as ReduceMax.
func gradGlobalMaxPool(n *node) ([]string, error) {
	return one(n.toEqual(n.dy[0], n.Outputs[0], spatialAxes(len(n.shape(n.Inputs[0])), false)))
}

// y = sqrt(sum(x^2)): dx = g*x/y, 0 where y is 0.
func gradReduceL2(n *node) ([]string, error) {
	g, y, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	zero := n.number(0, y)
	some := n.greater(y, zero)
	return one(n.mul(n.Inputs[0], n.where(some, n.div(g, n.where(some, y, n.number(1, y))), zero)))
}

// y = sum(|x|): dx = g*sign(x).
func gradReduceL1(n *node) ([]string, error) {
	g, _, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.mul(n.op("Sign", nil, n.Inputs[0]), g))
}

// y = sum(x^2): dx = 2*g*x.
func gradReduceSumSquare(n *node) ([]string, error) {
	g, _, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.mul(n.Inputs[0], n.addOp(g, g)))
}

// y = log(sum(exp(x))): dx = g*exp(x - y).
func gradReduceLogSumExp(n *node) ([]string, error) {
	g, y, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.mul(n.op("Exp", nil, n.sub(n.Inputs[0], y)), g))
}

// y = product of x: dx = g times the product of the other elements, which is
// that of all that are not 0, divided by x where x is not, if no other is 0.
func gradReduceProd(n *node) ([]string, error) {
	g, _, axes, err := reduced(n)
	if err != nil {
		return nil, err
	}
	x := n.Inputs[0]
	zero := n.op("Equal", nil, x, n.number(0, x))
	rest := n.where(zero, n.number(1, x), x)
	product := rest
	if len(axes) > 0 {
		product = n.op("ReduceProd", nil, rest, n.ints(axes...))
	}
	zeros := n.cast(zero, n.dtype(x))
	others := n.sub(n.sum(zeros, true, axes...), zeros)
	none := n.op("Equal", nil, others, n.number(0, x))
	return one(n.mul(g, n.where(none, n.div(product, rest), n.number(0, x))))
}

// y = log(sum(x)): dx = g*exp(-y).
func gradReduceLogSum(n *node) ([]string, error) {
	g, y, _, err := reduced(n)
	if err != nil {
		return nil, err
	}
	return one(n.broadcast(n.mul(g, n.op("Exp", nil, n.neg(y))), n.Inputs[0]))
}
