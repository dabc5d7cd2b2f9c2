package autodiff

import (
	"math"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// updates has one entry per optimizer; each emits the value that replaces a parameter.
var updates = map[string]func(u *update, p string, g string) string{
	bundle.SGD: sgd, bundle.Adam: adam, bundle.AdamW: adamW, bundle.RMSprop: rmsprop, bundle.LARS: lars, bundle.LAMB: lamb,
}

// update emits the optimizer's part of a training graph.
type update struct {
	*emitter
	bundle *bundle.Bundle
	o      bundle.Optimizer
	rate   string
	count  string // float64 scalar: steps taken, this one included
	decay  float64
	ratio  bool // LARS and LAMB: whether the parameter's rate is adapted to its norm
	scaler *lossScaler
	finite string // boolean scalar: whether the step is taken; "" for always
}

// optimize emits the next value of every parameter from its gradient, and
// declares the optimizer's state.
func (e *emitter) optimize(b *bundle.Bundle, f *forward, grads map[string]string, rate string, scaler *lossScaler) {
	u := &update{emitter: e, bundle: b, o: b.Manifest.Optimizer, rate: rate, scaler: scaler}
	if scaler != nil {
		u.unscale(f.params, grads)
		defer u.rescale()
	}
	u.clip(f.params, grads)
	for _, p := range f.params {
		init := f.graph.Initializers[p]
		u.decay, u.ratio = u.o.WeightDecay, true
		if u.o.NoDecayNormBias && len(init.Dims) <= 1 {
			u.decay, u.ratio = 0, false
		}
		at := len(b.Manifest.State)
		next := e.rename(u.unless(updates[u.o.Name](u, p, grads[p]), p), e.nextName(p))
		e.state(b, p, bundle.KindParameter, next, init)
		moveBefore(b.Manifest.State, at)
		if u.o.EMA != 0 {
			name := p + ".ema"
			u.keep(name, bundle.KindEMA, init, func(average string) string {
				return e.blend(average, next, u.o.EMA)
			})
			b.Manifest.State[len(b.Manifest.State)-1].Of = p
		}
	}
}

// moveBefore puts the last element at position at: a parameter goes before its moments.
func moveBefore(s []bundle.State, at int) {
	last := s[len(s)-1]
	copy(s[at+1:], s[at:len(s)-1])
	s[at] = last
}

// keep declares a state tensor and the value, made by next from it, that replaces it; it returns the latter.
func (u *update) keep(name, kind string, init *onnx.Tensor, next func(current string) string) string {
	in := u.input(name, init.DType, onnx.ShapeOf(init.Dims...)).Name
	out := u.rename(u.unless(next(in), in), u.nextName(in))
	u.state(u.bundle, in, kind, out, init)
	return out
}

// moment declares a tensor shaped like p that starts at 0.
func (u *update) moment(p, what string, next func(current string) string) string {
	return u.keep(p+"."+what, bundle.KindOptimizer, onnx.NewTensor(onnx.Float32, u.shape(p).Ints()...), next)
}

// blend is d*a + (1-d)*b.
func (e *emitter) blend(a, b string, d float64) string {
	return e.addOp(e.mul(a, e.scalar(d)), e.mul(b, e.scalar(1-d)))
}

// decayed is g + decay*p.
func (u *update) decayed(g, p string) string {
	if u.decay == 0 {
		return g
	}
	return u.addOp(g, u.mul(p, u.scalar(u.decay)))
}

// clip scales all gradients so that their norm together is at most Clip, as
// torch.nn.utils.clip_grad_norm_ does: by min(1, clip/(norm + 1e-6)).
func (u *update) clip(params []string, grads map[string]string) {
	if u.o.Clip == 0 {
		return
	}
	var squares []string
	for _, p := range params {
		squares = append(squares, u.square(grads[p]))
	}
	norm := u.op("Sqrt", nil, accumulate(u.emitter, squares))
	scale := u.op("Min", nil, u.scalar(1), u.div(u.scalar(u.o.Clip), u.addOp(norm, u.scalar(1e-6))))
	for _, p := range params {
		grads[p] = u.mul(grads[p], scale)
	}
}

// square is the sum of a value's squared elements.
func (e *emitter) square(v string) string {
	return e.op("ReduceSumSquare", attrs{"keepdims": onnx.IntAttr(0)}, v)
}

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
			return u.addOp(u.mul(v, u.scalar(u.o.Momentum)), g)
		})
		if u.o.Nesterov {
			step = u.addOp(g, u.mul(step, u.scalar(u.o.Momentum)))
		}
	}
	return u.sub(p, u.mul(step, u.rate))
}

// steps is the number of steps taken, this one included, counted in a state of its own.
func (u *update) steps() string {
	if u.count == "" {
		next := u.keep("optimizer.steps", bundle.KindOptimizer, onnx.NewTensor(onnx.Float32), func(t string) string {
			return u.addOp(t, u.scalar(1))
		})
		u.count = u.cast(next, onnx.Float64)
	}
	return u.count
}

// correction is 1 - beta^steps. In float32 the difference would lose most of
// its digits in the first steps.
func (u *update) correction(beta float64) string {
	t := u.steps()
	return u.cast(u.sub(u.number(1, t), u.op("Pow", nil, u.number(beta, t), t)), onnx.Float32)
}

// moments is m = b1*m + (1-b1)*g and s = b2*s + (1-b2)*g^2, corrected for starting at 0.
func (u *update) moments(p, g string) (m, s string) {
	m = u.moment(p, "exp_avg", func(m string) string { return u.blend(m, g, u.o.Betas[0]) })
	s = u.moment(p, "exp_avg_sq", func(s string) string { return u.blend(s, u.mul(g, g), u.o.Betas[1]) })
	return u.div(m, u.correction(u.o.Betas[0])), u.div(s, u.correction(u.o.Betas[1]))
}

// direction is m/(sqrt(s) + eps).
func (u *update) direction(m, s string) string {
	return u.div(m, u.addOp(u.op("Sqrt", nil, s), u.scalar(u.o.Eps)))
}

// adam is torch.optim.Adam: Kingma and Ba, arXiv 1412.6980, algorithm 1, with
// decay*p added to the gradient.
func adam(u *update, p, g string) string {
	return u.sub(p, u.mul(u.rate, u.direction(u.moments(p, u.decayed(g, p)))))
}

// adamW is torch.optim.AdamW: Loshchilov and Hutter, arXiv 1711.05101; the
// decay acts on the parameter, scaled by the rate.
func adamW(u *update, p, g string) string {
	kept := p
	if u.decay != 0 {
		kept = u.mul(p, u.sub(u.scalar(1), u.mul(u.rate, u.scalar(u.decay))))
	}
	return u.sub(kept, u.mul(u.rate, u.direction(u.moments(p, g))))
}

// rmsprop is torch.optim.RMSprop, centred or not:
//
//	g = grad + decay*p;  s = a*s + (1-a)*g^2;  c = a*c + (1-a)*g
//	d = g/(sqrt(s - c^2 if centred, else s) + eps)
//	v = momentum*v + d;  p = p - rate*v
func rmsprop(u *update, p, g string) string {
	g = u.decayed(g, p)
	s := u.moment(p, "square_avg", func(s string) string { return u.blend(s, u.mul(g, g), u.o.Alpha) })
	if u.o.Centered {
		c := u.moment(p, "grad_avg", func(c string) string { return u.blend(c, g, u.o.Alpha) })
		s = u.op("Relu", nil, u.sub(s, u.mul(c, c))) // rounding must not make it negative
	}
	step := u.direction(g, s)
	if u.o.Momentum != 0 {
		step = u.moment(p, "momentum", func(v string) string {
			return u.addOp(u.mul(v, u.scalar(u.o.Momentum)), step)
		})
	}
	return u.sub(p, u.mul(step, u.rate))
}

// lars is You, Gitman, Ginsburg, arXiv 1708.03888, algorithm 1:
//
//	q = trust*|p|/(|g| + decay*|p|), 1 where either norm is 0
//	v = momentum*v + rate*q*(g + decay*p);  p = p - v
func lars(u *update, p, g string) string {
	rate := u.rate
	if u.ratio {
		np, ng := u.norm(p), u.norm(g)
		q := u.div(u.mul(np, u.scalar(u.o.Trust)), u.addOp(ng, u.mul(np, u.scalar(u.decay))))
		rate = u.mul(rate, u.unlessZero(np, ng, q))
	}
	step := u.mul(rate, u.decayed(g, p))
	return u.sub(p, u.moment(p, "momentum", func(v string) string {
		return u.addOp(u.mul(v, u.scalar(u.o.Momentum)), step)
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
		rate = u.mul(rate, u.unlessZero(np, nr, u.div(np, nr)))
	}
	return u.sub(p, u.mul(rate, r))
}

func (e *emitter) norm(v string) string { return e.op("Sqrt", nil, e.square(v)) }

// unlessZero is q where a and b are both above 0, else 1.
func (e *emitter) unlessZero(a, b, q string) string {
	zero := e.scalar(0)
	return e.where(e.op("And", nil, e.greater(a, zero), e.greater(b, zero)), q, e.scalar(1))
}

// Defaults of the optimizers' own settings: PyTorch's, and for the trust
// coefficient of LARS and the epsilon of LAMB those of the papers' recipes.
const (
	DefaultBeta1   = 0.9
	DefaultBeta2   = 0.999
	DefaultEps     = 1e-8
	DefaultLAMBEps = 1e-6
	DefaultAlpha   = 0.99
	DefaultTrust   = 0.001
)

// checkOptimizer fills defaults and refuses impossible settings.
func checkOptimizer(o *bundle.Optimizer) error {
	if o.Name == "" {
		o.Name = bundle.SGD
	}
	if updates[o.Name] == nil {
		return badOption("optimizer %q is not known; there are %s, %s, %s, %s, %s, %s", o.Name, bundle.SGD, bundle.Adam, bundle.AdamW, bundle.RMSprop, bundle.LARS, bundle.LAMB)
	}
	moments := o.Name == bundle.Adam || o.Name == bundle.AdamW || o.Name == bundle.LAMB
	if moments {
		if o.Betas == nil {
			o.Betas = []float64{DefaultBeta1, DefaultBeta2}
		}
		if len(o.Betas) != 2 || !fraction(o.Betas[0]) || !fraction(o.Betas[1]) {
			return badOption("betas %v are not two numbers in [0, 1)", o.Betas)
		}
	}
	if moments || o.Name == bundle.RMSprop {
		if o.Eps == 0 {
			o.Eps = DefaultEps
			if o.Name == bundle.LAMB {
				o.Eps = DefaultLAMBEps
			}
		}
	}
	if o.Name == bundle.RMSprop && o.Alpha == 0 {
		o.Alpha = DefaultAlpha
	}
	if o.Name == bundle.LARS && o.Trust == 0 {
		o.Trust = DefaultTrust
	}
	switch {
	case !fraction(o.Momentum):
		return badOption("momentum %v is not in [0, 1)", o.Momentum)
	case moments && o.Momentum != 0:
		return badOption("%s has no momentum; it has betas", o.Name)
	case !moments && o.Betas != nil:
		return badOption("%s has no betas", o.Name)
	case o.Nesterov && (o.Name != bundle.SGD || o.Momentum == 0):
		return badOption("Nesterov momentum needs %s with a momentum above 0", bundle.SGD)
	case !fraction(o.WeightDecay):
		return badOption("weight decay %v is not in [0, 1)", o.WeightDecay)
	case !(o.Eps >= 0) || math.IsInf(o.Eps, 0):
		return badOption("eps %v is not a number above 0", o.Eps)
	case !fraction(o.Alpha):
		return badOption("alpha %v is not in [0, 1)", o.Alpha)
	case !(o.Trust >= 0) || math.IsInf(o.Trust, 0):
		return badOption("trust coefficient %v is not a number above 0", o.Trust)
	case !(o.Clip >= 0) || math.IsInf(o.Clip, 0):
		return badOption("gradient clipping %v is not a number above 0", o.Clip)
	case !fraction(o.EMA):
		return badOption("weight averaging decay %v is not in [0, 1)", o.EMA)
	}
	return nil
}

func fraction(v float64) bool { return v >= 0 && v < 1 }
