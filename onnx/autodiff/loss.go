package autodiff

import "winnow/onnx"

// crossEntropy emits, for scores [N, K], labels int64 [N] and smoothing s,
//
//	t_i    = (1 - s)*onehot(label_i) + s/K
//	l_i    = -sum_k t_ik*logsoftmax(scores_i)_k      [N], as torch.nn.CrossEntropyLoss
//	loss   = mean_i l_i                              scalar
//	seed   = (exp(logsoftmax) - t)*w_i/N             [N, K], the adjoint of the scores
//
// The objective whose adjoint the seed is divides by N and not by the sum of
// the weights, as InfoBatch defines it (arXiv 2303.04947, section 3.3); weights
// "" stands for ones, and scale, if not "", multiplies the objective.
func (e *emitter) crossEntropy(scores, labels, weights, scale string, smoothing float64) (loss, perSample, seed string) {
	classes := e.shape(scores)[1].N
	off := smoothing / float64(classes)
	target := e.op("OneHot", attrs{"axis": onnx.IntAttr(-1)}, labels, e.ints(classes),
		e.floats([]float32{float32(off), float32(1 - smoothing + off)}, 2))
	logp := e.op("LogSoftmax", attrs{"axis": onnx.IntAttr(-1)}, scores)
	perSample = e.named(e.unique(nameSampleLoss), "Neg", nil, e.sum(e.mul(target, logp), false, 1))
	loss = e.named(e.unique(nameLoss), "ReduceMean", attrs{"keepdims": onnx.IntAttr(0)}, perSample, e.ints(0))
	factor := e.op("Reciprocal", nil, e.batch)
	if scale != "" {
		factor = e.mul(factor, scale)
	}
	if weights != "" {
		factor = e.flat(e.mul(factor, weights), -1, 1)
	}
	seed = e.mul(e.sub(e.op("Exp", nil, logp), target), factor)
	return loss, perSample, seed
}
