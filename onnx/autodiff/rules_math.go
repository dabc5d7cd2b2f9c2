package autodiff

import (
	"fmt"
	"math"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// one wraps the adjoint of a node's only differentiable input.
func one(dx string) ([]string, error) { return []string{dx}, nil }

// y = -x: dx = -g.
func gradNeg(n *Node) ([]string, error) { return one(n.Neg(n.Dy[0])) }

// y = |x|: dx = g*sign(x), 0 at 0.
func gradAbs(n *Node) ([]string, error) {
	return one(n.Mul(n.Dy[0], n.Emit("Sign", nil, n.Inputs[0])))
}

// y = sqrt(x): dx = g/(2y).
func gradSqrt(n *Node) ([]string, error) {
	y := n.Outputs[0]
	return one(n.Div(n.Dy[0], n.Add(y, y)))
}

// y = 1/x: dx = -g*y^2.
func gradReciprocal(n *Node) ([]string, error) {
	y := n.Outputs[0]
	return one(n.Neg(n.Mul(n.Dy[0], n.Mul(y, y))))
}

// y = exp(x): dx = g*y.
func gradExp(n *Node) ([]string, error) { return one(n.Mul(n.Dy[0], n.Outputs[0])) }

// y = log(x): dx = g/x.
func gradLog(n *Node) ([]string, error) { return one(n.Div(n.Dy[0], n.Inputs[0])) }

// y = sin(x): dx = g*cos(x).
func gradSin(n *Node) ([]string, error) {
	return one(n.Mul(n.Dy[0], n.Emit("Cos", nil, n.Inputs[0])))
}

// y = cos(x): dx = -g*sin(x).
func gradCos(n *Node) ([]string, error) {
	return one(n.Neg(n.Mul(n.Dy[0], n.Emit("Sin", nil, n.Inputs[0]))))
}

// y = erf(x): dx = g*2/sqrt(pi)*exp(-x^2).
func gradErf(n *Node) ([]string, error) {
	x := n.Inputs[0]
	slope := n.Mul(n.Emit("Exp", nil, n.Neg(n.Mul(x, x))), n.Number(2/math.Sqrt(math.Pi), x))
	return one(n.Mul(n.Dy[0], slope))
}

// y = a^b: da = g*b*a^(b-1); db = g*y*log(a), 0 where a <= 0.
func gradPow(n *Node) ([]string, error) {
	a, b, g := n.Inputs[0], n.Inputs[1], n.Dy[0]
	dx := make([]string, 2)
	if n.Want[0] {
		if b2 := n.Cast(b, n.DType(a)); n.DType(b) != n.DType(a) {
			b = b2
		}
		dx[0] = n.Mul(g, n.Mul(b, n.Emit("Pow", nil, a, n.Sub(b, n.Number(1, a)))))
	}
	if n.Want[1] {
		zero := n.Number(0, a)
		able := n.Greater(a, zero)
		log := n.Emit("Log", nil, n.Where(able, a, n.Number(1, a)))
		dx[1] = n.Mul(g, n.Where(able, n.Mul(n.Outputs[0], log), zero))
	}
	return dx, nil
}

// y = log(1 + exp(x)): dx = g/(1 + exp(-x)).
func gradSoftplus(n *Node) ([]string, error) {
	return one(n.Mul(n.Dy[0], n.Emit("Sigmoid", nil, n.Inputs[0])))
}

// y = x/(1 + |x|): dx = g/(1 + |x|)^2.
func gradSoftsign(n *Node) ([]string, error) {
	x := n.Inputs[0]
	d := n.Add(n.Number(1, x), n.Emit("Abs", nil, x))
	return one(n.Div(n.Dy[0], n.Mul(d, d)))
}

// y = x where x > 0, else alpha*x: dx = g or alpha*g.
func gradLeakyRelu(n *Node) ([]string, error) {
	x, g := n.Inputs[0], n.Dy[0]
	alpha := n.Number(float64(n.Float("alpha", 0.01)), x)
	return one(n.Where(n.Greater(x, n.Number(0, x)), g, n.Mul(g, alpha)))
}

// y = x where x > 0, else s*x: dx = g or s*g; ds = 0 or g*x.
func gradPRelu(n *Node) ([]string, error) {
	x, s, g := n.Inputs[0], n.Inputs[1], n.Dy[0]
	zero := n.Number(0, x)
	above := n.Greater(x, zero)
	return []string{n.Where(above, g, n.Mul(g, s)), n.Where(above, zero, n.Mul(g, x))}, nil
}

// y = x where x > 0, else alpha*(exp(x) - 1): dx = g or g*(y + alpha).
func gradElu(n *Node) ([]string, error) {
	x, y, g := n.Inputs[0], n.Outputs[0], n.Dy[0]
	alpha := n.Number(float64(n.Float("alpha", 1)), x)
	return one(n.Where(n.Greater(x, n.Number(0, x)), g, n.Mul(g, n.Add(y, alpha))))
}

// y = max(x, 0) + min(alpha*(exp(x/alpha) - 1), 0): dx = g or g*exp(x/alpha).
func gradCelu(n *Node) ([]string, error) {
	x, g := n.Inputs[0], n.Dy[0]
	alpha := n.Number(float64(n.Float("alpha", 1)), x)
	return one(n.Where(n.Greater(x, n.Number(0, x)), g, n.Mul(g, n.Emit("Exp", nil, n.Div(x, alpha)))))
}

// y = gamma*x where x > 0, else gamma*alpha*(exp(x) - 1): dx = gamma*g or g*(y + gamma*alpha).
func gradSelu(n *Node) ([]string, error) {
	x, y, g := n.Inputs[0], n.Outputs[0], n.Dy[0]
	alpha, gamma := float64(n.Float("alpha", 1.67326319)), float64(n.Float("gamma", 1.05070102))
	below := n.Mul(g, n.Add(y, n.Number(alpha*gamma, x)))
	return one(n.Where(n.Greater(x, n.Number(0, x)), n.Mul(g, n.Number(gamma, x)), below))
}

// y = min(max(alpha*x + beta, 0), 1): dx = alpha*g strictly between the bounds.
func gradHardSigmoid(n *Node) ([]string, error) {
	y, g := n.Outputs[0], n.Dy[0]
	return one(n.Where(n.between(y), n.Mul(g, n.Number(float64(n.Float("alpha", 0.2)), y)), n.Number(0, y)))
}

// between is where 0 < y < 1.
func (n *Node) between(y string) string {
	return n.Emit("And", nil, n.Greater(y, n.Number(0, y)), n.Emit("Less", nil, y, n.Number(1, y)))
}

// y = x*h, h = min(max(x/6 + 1/2, 0), 1): dx = g*(h + x/6 where 0 < h < 1).
func gradHardSwish(n *Node) ([]string, error) {
	x := n.Inputs[0]
	h := n.Emit("HardSigmoid", emit.Attrs{"alpha": onnx.FloatAttr(1.0 / 6), "beta": onnx.FloatAttr(0.5)}, x)
	slope := n.Where(n.between(h), n.Mul(x, n.Number(1.0/6, x)), n.Number(0, x))
	return one(n.Mul(n.Dy[0], n.Add(h, slope)))
}

// y = x*t, t = tanh(log(1 + exp(x))): dx = g*(t + x*(1 - t^2)*sigmoid(x)).
func gradMish(n *Node) ([]string, error) {
	x := n.Inputs[0]
	t := n.Emit("Tanh", nil, n.Emit("Softplus", nil, x))
	inner := n.Mul(n.Mul(x, n.Sub(n.Number(1, x), n.Mul(t, t))), n.Emit("Sigmoid", nil, x))
	return one(n.Mul(n.Dy[0], n.Add(t, inner)))
}

// y = a + b + ...: every adjoint is g.
func gradSum(n *Node) ([]string, error) {
	dx := make([]string, len(n.Inputs))
	for i := range dx {
		dx[i] = n.Dy[0]
	}
	return dx, nil
}

// y = (a + b + ...)/k: every adjoint is g/k.
func gradMean(n *Node) ([]string, error) {
	dx := make([]string, len(n.Inputs))
	for i := range dx {
		dx[i] = n.Div(n.Dy[0], n.Number(float64(len(n.Inputs)), n.Dy[0]))
	}
	return dx, nil
}

// y = max or min of a, b, ...: g goes to the operands equal to y, in equal
// shares where several are, as torch.maximum has it.
func gradExtreme(n *Node) ([]string, error) {
	y, g := n.Outputs[0], n.Dy[0]
	hits := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		hits[i] = n.Cast(n.Emit("Equal", nil, in, y), n.DType(y))
	}
	share := n.Div(g, emit.SumOf(n.Builder, hits))
	dx := make([]string, len(n.Inputs))
	for i := range dx {
		dx[i] = n.Mul(share, hits[i])
	}
	return dx, nil
}

// y = a where c holds, else b: da = g there, db = g elsewhere.
func gradWhere(n *Node) ([]string, error) {
	c, g := n.Inputs[0], n.Dy[0]
	zero := n.Number(0, g)
	dx := make([]string, 3)
	if n.Want[1] {
		dx[1] = n.Where(c, g, zero)
	}
	if n.Want[2] {
		dx[2] = n.Where(c, zero, g)
	}
	return dx, nil
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

// y = x + bias where x < -lambd, x - bias where x > lambd, else 0: dx = g
// outside of the two bounds, as torch.nn.functional.softshrink has it.
func gradShrink(n *Node) ([]string, error) {
	x := n.Inputs[0]
	lambd := float64(n.Float("lambd", 0.5))
	outside := n.Emit("Or", nil, n.Greater(x, n.Number(lambd, x)), n.Emit("Less", nil, x, n.Number(-lambd, x)))
	return one(n.Where(outside, n.Dy[0], n.Number(0, x)))
}

// y = x where x > alpha, else 0: dx = g there.
func gradThresholdedRelu(n *Node) ([]string, error) {
	x := n.Inputs[0]
	alpha := n.Number(float64(n.Float("alpha", 1)), x)
	return one(n.Where(n.Greater(x, alpha), n.Dy[0], n.Number(0, x)))
}
