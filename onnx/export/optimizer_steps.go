package export

import (
	"winnow/onnx"
	"winnow/onnx/bundle"
)

// sgd is torch.optim.SGD without dampening:
//
//	g = grad + decay*p
//	v = momentum*v + g        v starts at 0
//	p = p - rate*(g + momentum*v if Nesterov, else v)
func sgd(u *update, p, g string) string {
	g = u.decayed(g, p)
	step := g
	if u.o.Momentum != 0 {
		step = u.moment(p, "momentum", func(v string) string {
			return u.Add(u.Mul(v, u.Scalar(u.o.Momentum)), g)
		})
		if u.o.Nesterov {
			step = u.Add(g, u.Mul(step, u.Scalar(u.o.Momentum)))
		}
	}
	return u.Sub(p, u.Mul(step, u.rate))
}

// steps is the number of steps taken, this one included, counted in a state of its own.
func (u *update) steps() string {
	if u.count == "" {
		next := u.keep("optimizer.steps", bundle.KindOptimizer, onnx.NewTensor(onnx.Float32), func(t string) string {
			return u.Add(t, u.Scalar(1))
		})
		u.count = u.Cast(next, onnx.Float64)
	}
	return u.count
}

// correction is 1 - beta^steps. In float32 the difference would lose most of
// its digits in the first steps.
func (u *update) correction(beta float64) string {
	t := u.steps()
	return u.Cast(u.Sub(u.Number(1, t), u.Emit("Pow", nil, u.Number(beta, t), t)), onnx.Float32)
}

// moments is m = b1*m + (1-b1)*g and s = b2*s + (1-b2)*g^2, corrected for starting at 0.
func (u *update) moments(p, g string) (m, s string) {
	m = u.moment(p, "exp_avg", func(m string) string { return u.blend(m, g, u.o.Betas[0]) })
	s = u.moment(p, "exp_avg_sq", func(s string) string { return u.blend(s, u.Mul(g, g), u.o.Betas[1]) })
	return u.Div(m, u.correction(u.o.Betas[0])), u.Div(s, u.correction(u.o.Betas[1]))
}

// direction is m/(sqrt(s) + eps).
func (u *update) direction(m, s string) string {
	return u.Div(m, u.Add(u.Emit("Sqrt", nil, s), u.Scalar(u.o.Eps)))
}

// adam is torch.optim.Adam: Kingma and Ba, arXiv 1412.6980, algorithm 1, with
// decay*p added to the gradient.
func adam(u *update, p, g string) string {
	return u.Sub(p, u.Mul(u.rate, u.direction(u.moments(p, u.decayed(g, p)))))
}

// adamW is torch.optim.AdamW: Loshchilov and Hutter, arXiv 1711.05101; the
// decay acts on the parameter, scaled by the rate.
func adamW(u *update, p, g string) string {
	kept := p
	if u.decay != 0 {
		kept = u.Mul(p, u.Sub(u.Scalar(1), u.Mul(u.rate, u.Scalar(u.decay))))
	}
	return u.Sub(kept, u.Mul(u.rate, u.direction(u.moments(p, g))))
}

// rmsprop is torch.optim.RMSprop, centred or not:
//
//	g = grad + decay*p;  s = a*s + (1-a)*g^2;  c = a*c + (1-a)*g
//	d = g/(sqrt(s - c^2 if centred, else s) + eps)
//	v = momentum*v + d;  p = p - rate*v
func rmsprop(u *update, p, g string) string {
	g = u.decayed(g, p)
	s := u.moment(p, "square_avg", func(s string) string { return u.blend(s, u.Mul(g, g), u.o.Alpha) })
	if u.o.Centered {
		c := u.moment(p, "grad_avg", func(c string) string { return u.blend(c, g, u.o.Alpha) })
		s = u.Emit("Relu", nil, u.Sub(s, u.Mul(c, c))) // rounding must not make it negative
	}
	step := u.direction(g, s)
	if u.o.Momentum != 0 {
		step = u.moment(p, "momentum", func(v string) string {
			return u.Add(u.Mul(v, u.Scalar(u.o.Momentum)), step)
		})
	}
	return u.Sub(p, u.Mul(step, u.rate))
}

// lars is You, Gitman, Ginsburg, arXiv 1708.03888, algorithm 1:
//
//	q = trust*|p|/(|g| + decay*|p|), 1 where either norm is 0
//	v = momentum*v + rate*q*(g + decay*p);  p = p - v
func lars(u *update, p, g string) string {
	rate := u.rate
	if u.ratio {
		np, ng := u.norm(p), u.norm(g)
		q := u.Div(u.Mul(np, u.Scalar(u.o.Trust)), u.Add(ng, u.Mul(np, u.Scalar(u.decay))))
		rate = u.Mul(rate, u.unlessZero(np, ng, q))
	}
	step := u.Mul(rate, u.decayed(g, p))
	return u.Sub(p, u.moment(p, "momentum", func(v string) string {
		return u.Add(u.Mul(v, u.Scalar(u.o.Momentum)), step)
	}))
}

// lamb is You et al., arXiv 1904.00962, algorithm 2, the ratio without bounds:
//
//	r = Adam's direction + decay*p;  p = p - rate*(|p|/|r|)*r, the quotient 1 where either norm is 0
func lamb(u *update, p, g string) string {
	r := u.decayed(u.direction(u.moments(p, g)), p)
	rate := u.rate
	if u.ratio {
		np, nr := u.norm(p), u.norm(r)
		rate = u.Mul(rate, u.unlessZero(np, nr, u.Div(np, nr)))
	}
	return u.Sub(p, u.Mul(rate, r))
}

// blend is d*a + (1-d)*b.
func (u *update) blend(a, b string, d float64) string {
	return u.Add(u.Mul(a, u.Scalar(d)), u.Mul(b, u.Scalar(1-d)))
}

func (u *update) norm(v string) string { return u.Emit("Sqrt", nil, u.SumSquare(v)) }

// unlessZero is q where a and b are both above 0, else 1.
func (u *update) unlessZero(a, b, q string) string {
	zero := u.Scalar(0)
	return u.Where(u.Emit("And", nil, u.Greater(a, zero), u.Greater(b, zero)), q, u.Scalar(1))
}
