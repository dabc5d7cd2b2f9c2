package export

import (
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
)

// samples is the number of samples in the batch, counted on the device.
func (e *writer) samples(labels string, soft bool) string {
	if soft {
		labels = e.Emit("ReduceMax", emit.Attrs{"keepdims": onnx.IntAttr(0)}, labels, e.Int64s(1))
	} else {
		labels = e.Cast(labels, onnx.Float32)
	}
	return e.Sum(e.Where(e.True(), e.Scalar(1), labels), false, 0)
}

// terms are what a loss is made of: scores x and targets t, both [N, K].
type terms struct {
	*emit.Builder
	bundle.Loss
	x, t      string
	classes   float64 // K
	perSample string  // the name that the losses of samples get
}

// loss emits, for scores [N, K], the loss of each sample and its mean over the
// batch. Labels are the classes, int64 [N], or the targets themselves; a class c
// and smoothing s make the target t_k = (1 - s)*[k = c] + s/K.
//
// It returns the mean, the losses [N], and the adjoint of the scores times
// w_i/N. The objective divides by N and not by the sum of the weights, as
// InfoBatch defines it (arXiv 2303.04947, section 3.3); weights "" stands for
// ones, and scale, if not "", multiplies the objective.
func (e *writer) loss(scores, labels, weights, scale string, l bundle.Loss) (loss, perSample, seed string) {
	classes := e.Shape(scores)[1].N
	target := labels
	if !l.SoftTargets {
		off := l.Smoothing / float64(classes)
		target = e.Emit("OneHot", emit.Attrs{"axis": onnx.IntAttr(-1)}, labels, e.Int64s(classes),
			e.Float32s([]float32{float32(off), float32(1 - l.Smoothing + off)}, 2))
	}
	perSample, seed, over := lossOf(l.Name).emit(&terms{e.Builder, l, scores, target, float64(classes), e.Unique(nameSampleLoss)})
	loss = e.Named(e.Unique(nameLoss), "ReduceMean", emit.Attrs{"keepdims": onnx.IntAttr(0)}, perSample, e.Int64s(0))
	factor := e.Div(e.Scalar(1/over), e.Batch)
	if scale != "" {
		factor = e.Mul(factor, scale)
	}
	if weights != "" {
		factor = e.Flat(e.Mul(factor, weights), -1, 1)
	}
	return loss, perSample, e.Mul(seed, factor)
}

// mean is the loss of each sample as a mean over its K elements.
func (l *terms) mean(elements string) string {
	return l.Named(l.perSample, "ReduceMean", emit.Attrs{"keepdims": onnx.IntAttr(0)}, elements, l.Int64s(1))
}

// The functions of the table give the loss of each sample, as PyTorch defines
// it, and the adjoint of the scores as what is to be divided by over.

// crossEntropy is -sum t*logsoftmax(x), its adjoint softmax(x)*sum(t) - t.
func crossEntropy(l *terms) (perSample, adjoint string, over float64) {
	logp := l.Emit("LogSoftmax", emit.Attrs{"axis": onnx.IntAttr(-1)}, l.x)
	perSample = l.Named(l.perSample, "Neg", nil, l.Sum(l.Mul(l.t, logp), false, 1))
	p := l.Emit("Exp", nil, logp)
	if l.SoftTargets {
		p = l.Mul(p, l.Sum(l.t, true, 1))
	}
	return perSample, l.Sub(p, l.t), 1
}

// binaryCrossEntropy is the mean of log(1 + exp(x)) - t*x, its adjoint (sigmoid(x) - t)/K.
func binaryCrossEntropy(l *terms) (perSample, adjoint string, over float64) {
	perSample = l.mean(l.Sub(l.Emit("Softplus", nil, l.x), l.Mul(l.t, l.x)))
	return perSample, l.Sub(l.Emit("Sigmoid", nil, l.x), l.t), l.classes
}

// squaredError is the mean of (x - t)^2, its adjoint 2*(x - t)/K.
func squaredError(l *terms) (perSample, adjoint string, over float64) {
	d := l.Sub(l.x, l.t)
	return l.mean(l.Mul(d, d)), d, l.classes / 2
}

// absoluteError is the mean of |x - t|, its adjoint sign(x - t)/K.
func absoluteError(l *terms) (perSample, adjoint string, over float64) {
	d := l.Sub(l.x, l.t)
	perSample = l.mean(l.Emit("Abs", nil, d))
	return perSample, l.Emit("Sign", nil, d), l.classes
}

// huber is the mean of d^2/2, or delta*(|d| - delta/2) where |d| > delta, with
// d = x - t; its adjoint is d bounded by delta, /K.
func huber(l *terms) (perSample, adjoint string, over float64) {
	d := l.Sub(l.x, l.t)
	adjoint = l.Emit("Clip", nil, d, l.Scalar(-l.Delta), l.Scalar(l.Delta))
	return l.mean(l.Mul(adjoint, l.Sub(d, l.Mul(adjoint, l.Scalar(0.5))))), adjoint, l.classes
}
