package export

import (
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
)

// Dynamic loss scaling as torch.amp.GradScaler has it, with its defaults.
const (
	firstScale     = 65536
	scaleGrowth    = 2
	scaleBackoff   = 0.5
	growthInterval = 2000 // steps with finite gradients, in a row
)

// Names of the scaler's state.
const (
	nameScale   = "amp.scale"
	nameTracker = "amp.growth_tracker" // steps with finite gradients since the scale last changed
)

// Bounds of float32: the largest number, and the largest power of two.
const (
	maxFloat32 = 0x1.fffffep127
	maxScale   = 0x1p127
)

// lossScaler is the state of dynamic loss scaling.
type lossScaler struct {
	scale, tracker string // float32 scalars
	interval       int64
}

// lossScaler declares the scaler's state, and returns what the objective is multiplied by, scale times that.
func (e *writer) lossScaler(o Options, scale string) (*lossScaler, string) {
	s := &lossScaler{interval: o.growthInterval}
	s.scale = e.input(nameScale, onnx.Float32, onnx.Shape{}).Name
	s.tracker = e.input(nameTracker, onnx.Float32, onnx.Shape{}).Name
	if scale == "" {
		return s, s.scale
	}
	return s, e.Mul(scale, s.scale)
}

// unscale divides the gradients by the scale and decides whether the step is
// taken: where all gradients are finite, and the sum of their squares is, which
// a norm below 1.8e19 has.
func (u *update) unscale(params []string, grads map[string]string) {
	inverse := u.Emit("Reciprocal", nil, u.scaler.scale)
	var squares []string
	for _, p := range params {
		grads[p] = u.Mul(grads[p], inverse)
		squares = append(squares, u.SumSquare(grads[p]))
	}
	u.finite = u.Emit("LessOrEqual", nil, emit.SumOf(u.Builder, squares), u.Scalar(maxFloat32))
}

// unless is next, or current where a gradient is not finite.
func (u *update) unless(next, current string) string {
	if u.finite == "" {
		return next
	}
	return u.Where(u.finite, next, current)
}

// rescale declares the scaler's next state: a gradient that is not finite halves
// the scale, an interval of finite ones doubles it, but not into infinity.
func (u *update) rescale() {
	s := u.scaler
	good := u.Add(s.tracker, u.Scalar(1))
	full := u.Emit("GreaterOrEqual", nil, good, u.Scalar(float64(s.interval)))
	grown := u.Emit("Min", nil, u.Mul(s.scale, u.Scalar(scaleGrowth)), u.Scalar(maxScale))
	zero := u.Scalar(0)
	scale := u.Where(u.finite, u.Where(full, grown, s.scale), u.Mul(s.scale, u.Scalar(scaleBackoff)))
	u.state(u.bundle, s.scale, bundle.KindOptimizer, u.Rename(scale, u.NextName(s.scale)), onnx.FromFloat32([]float32{firstScale}))
	tracker := u.Where(u.finite, u.Where(full, zero, good), zero)
	u.state(u.bundle, s.tracker, bundle.KindOptimizer, u.Rename(tracker, u.NextName(s.tracker)), onnx.NewTensor(onnx.Float32))
}
