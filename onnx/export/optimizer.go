package export

import (
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
)

// update emits the optimizer's part of a training graph.
type update struct {
	*writer
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
func (e *writer) optimize(b *bundle.Bundle, f *forward, grads map[string]string, rate string, scaler *lossScaler) {
	u := &update{writer: e, bundle: b, o: b.Manifest.Optimizer, rate: rate, scaler: scaler}
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
		next := e.Rename(u.unless(optimizerOf(u.o.Name).next(u, p, grads[p]), p), e.NextName(p))
		e.state(b, p, bundle.KindParameter, next, init)
		moveBefore(b.Manifest.State, at)
		if u.o.EMA != 0 {
			name := p + ".ema"
			u.keep(name, bundle.KindEMA, init, func(average string) string {
				return u.blend(average, next, u.o.EMA)
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
	out := u.Rename(u.unless(next(in), in), u.NextName(in))
	u.state(u.bundle, in, kind, out, init)
	return out
}

// moment declares a tensor shaped like p that starts at 0.
func (u *update) moment(p, what string, next func(current string) string) string {
	return u.keep(p+"."+what, bundle.KindOptimizer, onnx.NewTensor(onnx.Float32, u.Shape(p).Ints()...), next)
}

// decayed is g + decay*p.
func (u *update) decayed(g, p string) string {
	if u.decay == 0 {
		return g
	}
	return u.Add(g, u.Mul(p, u.Scalar(u.decay)))
}

// clip scales all gradients so that their norm together is at most Clip, as
// torch.nn.utils.clip_grad_norm_ does: by min(1, clip/(norm + 1e-6)).
func (u *update) clip(params []string, grads map[string]string) {
	if u.o.Clip == 0 {
		return
	}
	var squares []string
	for _, p := range params {
		squares = append(squares, u.SumSquare(grads[p]))
	}
	norm := u.Emit("Sqrt", nil, emit.SumOf(u.Builder, squares))
	scale := u.Emit("Min", nil, u.Scalar(1), u.Div(u.Scalar(u.o.Clip), u.Add(norm, u.Scalar(1e-6))))
	for _, p := range params {
		grads[p] = u.Mul(grads[p], scale)
	}
}
