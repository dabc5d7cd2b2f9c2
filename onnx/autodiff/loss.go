package autodiff

import (
	"math"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// Losses lists the losses that Build knows.
func Losses() []string {
	return []string{bundle.CrossEntropy, bundle.BCE, bundle.MSE, bundle.L1, bundle.Huber, bundle.NoLoss}
}

// Optimizers lists the optimizers that Build knows.
func Optimizers() []string {
	return []string{bundle.SGD, bundle.Adam, bundle.AdamW, bundle.RMSprop, bundle.LARS, bundle.LAMB}
}

// DefaultDelta is where Huber's loss turns from a square to a line, PyTorch's default.
const DefaultDelta = 1

func checkLoss(l *bundle.Loss) error {
	if l.Name == "" {
		l.Name = bundle.CrossEntropy
	}
	if l.Name == bundle.Huber && l.Delta == 0 {
		l.Delta = DefaultDelta
	}
	switch {
	case !slices.Contains(Losses(), l.Name):
		return badOption("loss %q is not known; there are %s", l.Name, strings.Join(Losses(), ", "))
	case !fraction(l.Smoothing):
		return badOption("label smoothing %v is not in [0, 1)", l.Smoothing)
	case l.Smoothing > 0 && (l.Name != bundle.CrossEntropy && l.Name != bundle.BCE || l.SoftTargets):
		return badOption("label smoothing goes with class labels under %s or %s", bundle.CrossEntropy, bundle.BCE)
	case l.SoftTargets && l.Name == bundle.NoLoss:
		return badOption("soft targets are the model's own affair under loss %s", bundle.NoLoss)
	case l.Delta != 0 && l.Name != bundle.Huber:
		return badOption("delta goes with %s", bundle.Huber)
	case !(l.Delta >= 0) || math.IsInf(l.Delta, 0):
		return badOption("delta %v is not a number above 0", l.Delta)
	}
	return nil
}

// samples is the number of samples in the batch, counted on the device.
func (e *emitter) samples(labels string, soft bool) string {
	if soft {
		labels = e.op("ReduceMax", attrs{"keepdims": onnx.IntAttr(0)}, labels, e.ints(1))
	} else {
		labels = e.cast(labels, onnx.Float32)
	}
	return e.sum(e.where(e.always(), e.scalar(1), labels), false, 0)
}

// loss emits, for scores x and targets t, both [N, K]; labels are the classes,
// int64 [N], or the targets themselves. A class c and smoothing s make the
// target t_k = (1 - s)*[k = c] + s/K. The losses are PyTorch's, by sample and with
// the mean over K where there is one:
//
//	cross-entropy  -sum t*logsoftmax(x)                    adjoint  softmax(x)*sum(t) - t
//	bce            mean log(1 + exp(x)) - t*x              adjoint  (sigmoid(x) - t)/K
//	mse            mean (x - t)^2                          adjoint  2*(x - t)/K
//	l1             mean |x - t|                            adjoint  sign(x - t)/K
//	huber          mean d^2/2, or delta*(|d| - delta/2)    adjoint  d bounded by delta, /K
//	               where |d| > delta, d = x - t
//
// It returns the mean over the batch, the losses [N], and the adjoint of the
// scores times w_i/N. The objective divides by N and not by the sum of the
// weights, as InfoBatch defines it (arXiv 2303.04947, section 3.3); weights ""
// stands for ones, and scale, if not "", multiplies the objective.
func (e *emitter) loss(scores, labels, weights, scale string, l bundle.Loss) (loss, perSample, seed string) {
	classes := e.shape(scores)[1].N
	target := labels
	if !l.SoftTargets {
		off := l.Smoothing / float64(classes)
		target = e.op("OneHot", attrs{"axis": onnx.IntAttr(-1)}, labels, e.ints(classes),
			e.floats([]float32{float32(off), float32(1 - l.Smoothing + off)}, 2))
	}
	perSampleName := e.unique(nameSampleLoss)
	each := func(elements string) string { // the mean over K
		return e.named(perSampleName, "ReduceMean", attrs{"keepdims": onnx.IntAttr(0)}, elements, e.ints(1))
	}
	over := float64(classes) // what the adjoint is divided by
	difference := func() string { return e.sub(scores, target) }
	switch l.Name {
	case bundle.BCE:
		perSample = each(e.sub(e.op("Softplus", nil, scores), e.mul(target, scores)))
		seed = e.sub(e.op("Sigmoid", nil, scores), target)
	case bundle.MSE:
		d := difference()
		perSample = each(e.mul(d, d))
		seed, over = d, over/2
	case bundle.L1:
		d := difference()
		perSample = each(e.op("Abs", nil, d))
		seed = e.op("Sign", nil, d)
	case bundle.Huber:
		d := difference()
		seed = e.op("Clip", nil, d, e.scalar(-l.Delta), e.scalar(l.Delta))
		perSample = each(e.mul(seed, e.sub(d, e.mul(seed, e.scalar(0.5)))))
	default:
		logp := e.op("LogSoftmax", attrs{"axis": onnx.IntAttr(-1)}, scores)
		perSample = e.named(perSampleName, "Neg", nil, e.sum(e.mul(target, logp), false, 1))
		p := e.op("Exp", nil, logp)
		if l.SoftTargets {
			p = e.mul(p, e.sum(target, true, 1))
		}
		seed, over = e.sub(p, target), 1
	}
	loss = e.named(e.unique(nameLoss), "ReduceMean", attrs{"keepdims": onnx.IntAttr(0)}, perSample, e.ints(0))
	factor := e.div(e.scalar(1/over), e.batch)
	if scale != "" {
		factor = e.mul(factor, scale)
	}
	if weights != "" {
		factor = e.flat(e.mul(factor, weights), -1, 1)
	}
	return loss, perSample, e.mul(seed, factor)
}
