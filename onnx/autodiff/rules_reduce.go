package autodiff

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/emit"
)

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

// y = sum of x over axes: dx = g, spread.
func gradReduceSum(n *Node) ([]string, error) {
	axes, err := reducedAxes(n)
	if err != nil {
		return nil, err
	}
	return []string{n.Broadcast(n.kept(n.Dy[0], axes), n.Inputs[0])}, nil
}

// y = mean of x over axes: dx = g/count, spread.
func gradReduceMean(n *Node) ([]string, error) {
	axes, err := reducedAxes(n)
	if err != nil {
		return nil, err
	}
	count, err := n.CountOf(n.Inputs[0], axes)
	if err != nil {
		return nil, err
	}
	return []string{n.Broadcast(n.kept(n.Div(n.Dy[0], count), axes), n.Inputs[0])}, nil
}

// y = softmax(x): dx = y*(g - sum(g*y)).
func gradSoftmax(n *Node) ([]string, error) {
	axis, err := emit.Axis(n.Int("axis", -1), len(n.Shape(n.Outputs[0])))
	if err != nil {
		return nil, err
	}
	gy := n.Mul(n.Dy[0], n.Outputs[0])
	return []string{n.Sub(gy, n.Mul(n.Outputs[0], n.Sum(gy, true, int64(axis))))}, nil
}

// y = x - log(sum(exp(x))): dx = g - exp(y)*sum(g).
func gradLogSoftmax(n *Node) ([]string, error) {
	axis, err := emit.Axis(n.Int("axis", -1), len(n.Shape(n.Outputs[0])))
	if err != nil {
		return nil, err
	}
	p := n.Emit("Exp", nil, n.Outputs[0])
	return []string{n.Sub(n.Dy[0], n.Mul(p, n.Sum(n.Dy[0], true, int64(axis))))}, nil
}

// reducedAxes resolves the axes that a reduction at opset 18 runs over.
func reducedAxes(n *Node) ([]int64, error) {
	rank := len(n.Shape(n.Inputs[0]))
	var axes []int64
	if name := n.Input(1); name != "" {
		content, ok := n.Inf.Content(name)
		if !ok {
			return nil, fmt.Errorf("axes %q are computed at run time: %w", name, emit.ErrModel)
		}
		for _, d := range content {
			a, err := emit.Axis(d.N, rank)
			if err != nil {
				return nil, err
			}
			axes = append(axes, int64(a))
		}
	}
	if len(axes) == 0 && n.Int("noop_with_empty_axes", 0) == 0 {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	return axes, nil
}

// kept puts back, with size 1, the axes that a reduction removed from v.
func (n *Node) kept(v string, axes []int64) string {
	shape := append(onnx.Shape{}, n.Shape(n.Inputs[0])...)
	for _, a := range axes {
		shape[a] = onnx.Const(1)
	}
	return n.Reshape(v, shape)
}

// y = running sums of x along an axis: dx = running sums of g from the other end.
func gradCumSum(n *Node) ([]string, error) {
	a := emit.Attrs{"exclusive": onnx.IntAttr(n.Int("exclusive", 0)), "reverse": onnx.IntAttr(1 - n.Int("reverse", 0))}
	return one(n.Emit("CumSum", a, n.Dy[0], n.Inputs[1]))
}
