package autodiff

import (
	"winnow/onnx"
	"winnow/onnx/bundle"
)

// samples is the number of samples in the batch, counted on the device.
func (e *emitter) samples(labels string, soft bool) string {
	if soft {
		labels = e.op("ReduceMax", attrs{"keepdims": onnx.IntAttr(0)}, labels, e.ints(1))
	} else {
		labels = e.cast(labels, onnx.Float32)
	}
	return e.sum(e.where(e.always(), e.scalar(1), labels), false, 0)
}

// terms are what a loss is made of: scores x and targets t, both [N, K].
type terms struct {
	*emitter
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
func (e *emitter) loss(scores, labels, weights, scale string, l bundle.Loss) (loss, perSample, seed string) {
	classes := e.shape(scores)[1].N
	target := labels
	if !l.SoftTargets {
		off := l.Smoothing / float64(classes)
		target = e.op("OneHot", attrs{"axis": onnx.IntAttr(-1)}, labels, e.ints(classes),
			e.floats([]float32{float32(off), float32(1 - l.Smoothing + off)}, 2))
	}
	perSample, seed, over := lossOf(l.Name).emit(&terms{e, l, scores, target, float64(classes), e.unique(nameSampleLoss)})
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

// mean is the loss of each sample as a mean over its K elements.
func (l *terms) mean(elements string) string {
	return l.named(l.perSample, "ReduceMean", attrs{"keepdims": onnx.IntAttr(0)}, elements, l.ints(1))
}

// The functions of the table give the loss of each sample, as PyTorch defines
// it, and the adjoint of the scores as what is to be divided by over.

// crossEntropy is -sum t*logsoftmax(x), its adjoint softmax(x)*sum(t) - t.
func crossEntropy(l *terms) (perSample, adjoint string, over float64) {
	logp := l.op("LogSoftmax", attrs{"axis": onnx.IntAttr(-1)}, l.x)
	perSample = l.named(l.perSample, "Neg", nil, l.sum(l.mul(l.t, logp), false, 1))
	p := l.op("Exp", nil, logp)
	if l.SoftTargets {
		p = l.mul(p, l.sum(l.t, true, 1))
	}
	return perSample, l.sub(p, l.t), 1
}

// binaryCrossEntropy is the mean of log(1 + exp(x)) - t*x, its adjoint (sigmoid(x) - t)/K.
func binaryCrossEntropy(l *terms) (perSample, adjoint string, over float64) {
	perSample = l.mean(l.sub(l.op("Softplus", nil, l.x), l.mul(l.t, l.x)))
	return perSample, l.sub(l.op("Sigmoid", nil, l.x), l.t), l.classes
}

// squaredError is the mean of (x - t)^2, its adjoint 2*(x - t)/K.
func squaredError(l *terms) (perSample, adjoint string, over float64) {
	d := l.sub(l.x, l.t)
	return l.mean(l.mul(d, d)), d, l.classes / 2
}

// absoluteError is the mean of |x - t|, its adjoint sign(x - t)/K.
func absoluteError(l *terms) (perSample, adjoint string, over float64) {
	d := l.sub(l.x, l.t)
	perSample = l.mean(l.op("Abs", nil, d))
	return perSample, l.op("Sign", nil, d), l.classes
}

// huber is the mean of d^2/2, or delta*(|d| - delta/2) where |d| > delta, with
// d = x - t; its adjoint is d bounded by delta, /K.
func huber(l *terms) (perSample, adjoint string, over float64) {
	d := l.sub(l.x, l.t)
	adjoint = l.op("Clip", nil, d, l.scalar(-l.Delta), l.scalar(l.Delta))
	return l.mean(l.mul(adjoint, l.sub(d, l.mul(adjoint, l.scalar(0.5))))), adjoint, l.classes
}
