package autodiff

import (
	"math"

	"winnow/onnx"
)

// one wraps the adjoint of a node's only differentiable input.
func one(dx string) ([]string, error) { return []string{dx}, nil }

// where emits a where the condition holds, b elsewhere.
func (e *emitter) where(cond, a, b string) string { return e.op("Where", nil, cond, a, b) }

func (e *emitter) greater(a, b string) string { return e.op("Greater", nil, a, b) }

// y = -x: dx = -g.
func gradNeg(n *node) ([]string, error) { return one(n.neg(n.dy[0])) }

// y = |x|: dx = g*sign(x), 0 at 0.
func gradAbs(n *node) ([]string, error) {
	return one(n.mul(n.dy[0], n.op("Sign", nil, n.Inputs[0])))
}

// y = sqrt(x): dx = g/(2y).
func gradSqrt(n *node) ([]string, error) {
	y := n.Outputs[0]
	return one(n.div(n.dy[0], n.addOp(y, y)))
}

// y = 1/x: dx = -g*y^2.
func gradReciprocal(n *node) ([]string, error) {
	y := n.Outputs[0]
	return one(n.neg(n.mul(n.dy[0], n.mul(y, y))))
}

// y = exp(x): dx = g*y.
func gradExp(n *node) ([]string, error) { return one(n.mul(n.dy[0], n.Outputs[0])) }

// y = log(x): dx = g/x.
func gradLog(n *node) ([]string, error) { return one(n.div(n.dy[0], n.Inputs[0])) }

// y = sin(x): dx = g*cos(x).
func gradSin(n *node) ([]string, error) {
	return one(n.mul(n.dy[0], n.op("Cos", nil, n.Inputs[0])))
}

// y = cos(x): dx = -g*sin(x).
func gradCos(n *node) ([]string, error) {
	return one(n.neg(n.mul(n.dy[0], n.op("Sin", nil, n.Inputs[0]))))
}

// y = erf(x): dx = g*2/sqrt(pi)*exp(-x^2).
func gradErf(n *node) ([]string, error) {
	x := n.Inputs[0]
	slope := n.mul(n.op("Exp", nil, n.neg(n.mul(x, x))), n.number(2/math.Sqrt(math.Pi), x))
	return one(n.mul(n.dy[0], slope))
}

// y = a^b: da = g*b*a^(b-1); db = g*y*log(a), 0 where a <= 0.
func gradPow(n *node) ([]string, error) {
	a, b, g := n.Inputs[0], n.Inputs[1], n.dy[0]
	dx := make([]string, 2)
	if n.want[0] {
		if b2 := n.cast(b, n.dtype(a)); n.dtype(b) != n.dtype(a) {
			b = b2
		}
		dx[0] = n.mul(g, n.mul(b, n.op("Pow", nil, a, n.sub(b, n.number(1, a)))))
	}
	if n.want[1] {
		zero := n.number(0, a)
		able := n.greater(a, zero)
		log := n.op("Log", nil, n.where(able, a, n.number(1, a)))
		dx[1] = n.mul(g, n.where(able, n.mul(n.Outputs[0], log), zero))
	}
	return dx, nil
}

// y = log(1 + exp(x)): dx = g/(1 + exp(-x)).
func gradSoftplus(n *node) ([]string, error) {
	return one(n.mul(n.dy[0], n.op("Sigmoid", nil, n.Inputs[0])))
}

// y = x/(1 + |x|): dx = g/(1 + |x|)^2.
func gradSoftsign(n *node) ([]string, error) {
	x := n.Inputs[0]
	d := n.addOp(n.number(1, x), n.op("Abs", nil, x))
	return one(n.div(n.dy[0], n.mul(d, d)))
}

// y = x where x > 0, else alpha*x: dx = g or alpha*g.
func gradLeakyRelu(n *node) ([]string, error) {
	x, g := n.Inputs[0], n.dy[0]
	alpha := n.number(float64(n.Float("alpha", 0.01)), x)
	return one(n.where(n.greater(x, n.number(0, x)), g, n.mul(g, alpha)))
}

// y = x where x > 0, else s*x: dx = g or s*g; ds = 0 or g*x.
func gradPRelu(n *node) ([]string, error) {
	x, s, g := n.Inputs[0], n.Inputs[1], n.dy[0]
	zero := n.number(0, x)
	above := n.greater(x, zero)
	return []string{n.where(above, g, n.mul(g, s)), n.where(above, zero, n.mul(g, x))}, nil
}

// y = x where x > 0, else alpha*(exp(x) - 1): dx = g or g*(y + alpha).
func gradElu(n *node) ([]string, error) {
	x, y, g := n.Inputs[0], n.Outputs[0], n.dy[0]
	alpha := n.number(float64(n.Float("alpha", 1)), x)
	return one(n.where(n.greater(x, n.number(0, x)), g, n.mul(g, n.addOp(y, alpha))))
}

// y = max(x, 0) + min(alpha*(exp(x/alpha) - 1), 0): dx = g or g*exp(x/alpha).
func gradCelu(n *node) ([]string, error) {
	x, g := n.Inputs[0], n.dy[0]
	alpha := n.number(float64(n.Float("alpha", 1)), x)
	return one(n.where(n.greater(x, n.number(0, x)), g, n.mul(g, n.op("Exp", nil, n.div(x, alpha)))))
}

// y = gamma*x where x > 0, else gamma*alpha*(exp(x) - 1): dx = gamma*g or g*(y + gamma*alpha).
func gradSelu(n *node) ([]string, error) {
	x, y, g := n.Inputs[0], n.Outputs[0], n.dy[0]
	alpha, gamma := float64(n.Float("alpha", 1.67326319)), float64(n.Float("gamma", 1.05070102))
	below := n.mul(g, n.addOp(y, n.number(alpha*gamma, x)))
	return one(n.where(n.greater(x, n.number(0, x)), n.mul(g, n.number(gamma, x)), below))
}

// y = min(max(alpha*x + beta, 0), 1): dx = alpha*g strictly between the bounds.
func gradHardSigmoid(n *node) ([]string, error) {
	y, g := n.Outputs[0], n.dy[0]
	return one(n.where(n.between(y), n.mul(g, n.number(float64(n.Float("alpha", 0.2)), y)), n.number(0, y)))
}

// between is where 0 < y < 1.
func (n *node) between(y string) string {
	return n.op("And", nil, n.greater(y, n.number(0, y)), n.op("Less", nil, y, n.number(1, y)))
}

// y = x*h, h = min(max(x/6 + 1/2, 0), 1): dx = g*(h + x/6 where 0 < h < 1).
func gradHardSwish(n *node) ([]string, error) {
	x := n.Inputs[0]
	h := n.op("HardSigmoid", attrs{"alpha": onnx.FloatAttr(1.0 / 6), "beta": onnx.FloatAttr(0.5)}, x)
	slope := n.where(n.between(h), n.mul(x, n.number(1.0/6, x)), n.number(0, x))
	return one(n.mul(n.dy[0], n.addOp(h, slope)))
}

// y = x*t, t = tanh(log(1 + exp(x))): dx = g*(t + x*(1 - t^2)*sigmoid(x)).
func gradMish(n *node) ([]string, error) {
	x := n.Inputs[0]
	t := n.op("Tanh", nil, n.op("Softplus", nil, x))
	inner := n.mul(n.mul(x, n.sub(n.number(1, x), n.mul(t, t))), n.op("Sigmoid", nil, x))
	return one(n.mul(n.dy[0], n.addOp(t, inner)))
}

// y = a + b + ...: every adjoint is g.
func gradSum(n *node) ([]string, error) {
	dx := make([]string, len(n.Inputs))
	for i := range dx {
		dx[i] = n.dy[0]
	}
	return dx, nil
}

// y = (a + b + ...)/k: every adjoint is g/k.
func gradMean(n *node) ([]string, error) {
	dx := make([]string, len(n.Inputs))
	for i := range dx {
		dx[i] = n.div(n.dy[0], n.number(float64(len(n.Inputs)), n.dy[0]))
	}
	return dx, nil
}

// y = max or min of a, b, ...: g goes to the operands equal to y, in equal
// shares where several are, as torch.maximum has it.
func gradExtreme(n *node) ([]string, error) {
	y, g := n.Outputs[0], n.dy[0]
	hits := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		hits[i] = n.cast(n.op("Equal", nil, in, y), n.dtype(y))
	}
	share := n.div(g, accumulate(n.emitter, hits))
	dx := make([]string, len(n.Inputs))
	for i := range dx {
		dx[i] = n.mul(share, hits[i])
	}
	return dx, nil
}

// y = a where c holds, else b: da = g there, db = g elsewhere.
func gradWhere(n *node) ([]string, error) {
	c, g := n.Inputs[0], n.dy[0]
	zero := n.number(0, g)
	dx := make([]string, 3)
	if n.want[1] {
		dx[1] = n.where(c, g, zero)
	}
	if n.want[2] {
		dx[2] = n.where(c, zero, g)
	}
	return dx, nil
}
