package export

import (
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
)

// samples is the number of samples in the batch, counted on the device.
func (e *writer) samples(labels string) string {
	if rank := len(e.Shape(labels)); rank > 1 {
		axes := make([]int64, rank-1)
		for i := range axes {
			axes[i] = int64(i) + 1
		}
		labels = e.Emit("ReduceMax", emit.Attrs{"keepdims": onnx.IntAttr(0)}, labels, e.Int64s(axes...))
	}
	if e.DType(labels) != onnx.Float32 {
		labels = e.Cast(labels, onnx.Float32)
	}
	return e.Sum(e.Where(e.True(), e.Scalar(1), labels), false, 0)
}

// terms are what a loss is made of: scores x and targets t, both [N, K], or
// [N, K, P] where each of P pixels has a target of its own.
type terms struct {
	*emit.Builder
	bundle.Loss
	x, t      string
	weights   string  // of the K outputs, in a shape that meets x; "" weighs all alike
	soft      bool    // the targets of a sample or pixel need not sum up to 1
	classes   float64 // K
	pixels    int64   // P; 0 without pixels
	valid     string  // [N, 1, P], 1 where a pixel counts and 0 where it is left out; "" where all count
	count     string  // [N, 1], of pixels that count, at least 1
	perSample string  // the name that the losses of samples get
}

// loss emits, for scores [N, K] or [N, K, H, W], the loss of each sample and its
// mean over the batch. Labels are classes, int64 [N], or one for each pixel,
// [N, H, W], or the targets themselves, float32 [N, K]; a class c and smoothing s
// make the target t_k = (1 - s)*[k = c] + s/K. The loss of an image is the mean
// over its pixels, of those that are not of the class Loss.Ignore.
//
// It returns the mean, the losses [N], and the adjoint of the scores times
// w_i/N. The objective divides by N and not by the sum of the weights, as
// InfoBatch defines it (arXiv 2303.04947, section 3.3); weights "" stands for
// ones, and scale, if not "", multiplies the objective.
func (e *writer) loss(scores, labels, weights, scale string, l bundle.Loss) (loss, perSample, seed string) {
	shape := e.Shape(scores)
	classes := shape[1].N
	m := &terms{Builder: e.Builder, Loss: l, x: scores, t: labels, soft: l.SoftTargets, classes: float64(classes)}
	if len(shape) == 4 {
		labels = e.maskTerms(m, labels, shape)
	}
	if !l.SoftTargets && m.t != "" {
		off := l.Smoothing / float64(classes)
		m.t = e.Emit("OneHot", emit.Attrs{"axis": onnx.IntAttr(int64(m.axis()))}, labels, e.Int64s(classes),
			e.Float32s([]float32{float32(off), float32(1 - l.Smoothing + off)}, 2))
	} else if m.t == "" { // one output: class 1 is what it stands for
		m.t = e.Flat(e.Cast(labels, onnx.Float32), 0, 1, m.pixels)
	}
	if w := l.ClassWeights; w != nil {
		m.weights = e.perOutput(w, m)
	}
	kind := lossOf(l.Name)
	m.perSample = e.Unique(nameSampleLoss)
	perSample, seed, over := kind.emit(m)
	loss = e.Named(e.Unique(nameLoss), "ReduceMean", emit.Attrs{"keepdims": onnx.IntAttr(0)}, perSample, e.Int64s(0))
	switch {
	case m.pixels == 0 || kind.whole:
	case m.valid != "":
		seed = e.Mul(seed, e.Div(m.valid, e.Flat(m.count, -1, 1, 1)))
	default:
		over *= float64(m.pixels)
	}
	factor := e.Div(e.Scalar(1/over), e.Batch)
	if scale != "" {
		factor = e.Mul(factor, scale)
	}
	if weights != "" {
		ones := []int64{-1, 1}
		if m.pixels > 0 {
			ones = append(ones, 1)
		}
		factor = e.Flat(e.Mul(factor, weights), ones...)
	}
	seed = e.Mul(seed, factor)
	if m.pixels > 0 {
		seed = e.Flat(seed, 0, classes, shape[2].N, shape[3].N)
	}
	return loss, perSample, seed
}

// maskTerms lays scores and labels of pixels out in a row, and says which of
// them count. It gives the labels, int64 [N, P]; t is "" where there is one output.
func (e *writer) maskTerms(m *terms, labels string, shape onnx.Shape) string {
	m.pixels = shape[2].N * shape[3].N
	m.x = e.Flat(m.x, 0, shape[1].N, m.pixels)
	if e.DType(labels) != onnx.Int64 {
		labels = e.Cast(labels, onnx.Int64)
	}
	labels = e.Flat(labels, 0, m.pixels)
	if m.Ignore != nil {
		ignored := e.Emit("Equal", nil, labels, e.Constant(onnx.FromInt64([]int64{*m.Ignore})))
		counts := e.Cast(e.Emit("Not", nil, ignored), onnx.Float32)
		labels = e.Where(ignored, e.Constant(onnx.FromInt64([]int64{0})), labels)
		m.valid = e.Flat(counts, 0, 1, m.pixels)
		m.count = e.Emit("Max", nil, e.Sum(counts, true, 1), e.Scalar(1))
	}
	if shape[1].N == 1 {
		m.t = ""
	}
	return labels
}

// axis is that of the outputs in what OneHot makes.
func (l *terms) axis() int {
	if l.pixels > 0 {
		return 1
	}
	return -1
}

// perOutput is a number for each output, in a shape that meets the scores.
func (e *writer) perOutput(v []float64, m *terms) string {
	w := make([]float32, len(v))
	for i, x := range v {
		w[i] = float32(x)
	}
	if m.pixels > 0 {
		return e.Float32s(w, int64(len(w)), 1)
	}
	return e.Float32s(w, int64(len(w)))
}

// weighted is elements times the weights of their outputs.
func (l *terms) weighted(elements string) string {
	if l.weights == "" {
		return elements
	}
	return l.Mul(elements, l.weights)
}

// mean is the loss of each sample as a mean over its elements.
func (l *terms) mean(elements string) string {
	drop := emit.Attrs{"keepdims": onnx.IntAttr(0)}
	if l.pixels > 0 {
		return l.overPixels(l.Emit("ReduceMean", drop, l.weighted(elements), l.Int64s(1)))
	}
	return l.Named(l.perSample, "ReduceMean", drop, l.weighted(elements), l.Int64s(1))
}

// overPixels is the loss of each sample as the mean of those of its pixels [N, P].
func (l *terms) overPixels(each string) string {
	if l.valid == "" {
		return l.Named(l.perSample, "ReduceMean", emit.Attrs{"keepdims": onnx.IntAttr(0)}, each, l.Int64s(1))
	}
	sum := l.Sum(l.Mul(each, l.Flat(l.valid, 0, l.pixels)), false, 1)
	return l.Named(l.perSample, "Div", nil, sum, l.Flat(l.count, -1))
}

// The functions of the table give the loss of each sample, as PyTorch defines
// it with the reduction none, and the adjoint of the scores as what is to be
// divided by over, for each sample or pixel.

// crossEntropy is -sum w*t*logsoftmax(x), its adjoint softmax(x)*sum(w*t) - w*t.
func crossEntropy(l *terms) (perSample, adjoint string, over float64) {
	logp := l.Emit("LogSoftmax", emit.Attrs{"axis": onnx.IntAttr(int64(l.axis()))}, l.x)
	t := l.weighted(l.t)
	if sum := l.Sum(l.Mul(t, logp), false, 1); l.pixels > 0 {
		perSample = l.overPixels(l.Neg(sum))
	} else {
		perSample = l.Named(l.perSample, "Neg", nil, sum)
	}
	p := l.Emit("Exp", nil, logp)
	if l.soft || l.weights != "" {
		p = l.Mul(p, l.Sum(t, true, 1))
	}
	return perSample, l.Sub(p, t), 1
}

// binaryCrossEntropy is the mean of log(1 + exp(x)) - t*x, its adjoint
// (sigmoid(x) - t)/K; with a weight v of what is there, the mean of
// (1 - t)*x + (1 + (v - 1)*t)*log(1 + exp(-x)).
func binaryCrossEntropy(l *terms) (perSample, adjoint string, over float64) {
	if l.PosWeight != nil {
		return l.weighedBinary()
	}
	perSample = l.mean(l.Sub(l.Emit("Softplus", nil, l.x), l.Mul(l.t, l.x)))
	return perSample, l.weighted(l.Sub(l.Emit("Sigmoid", nil, l.x), l.t)), l.classes
}

// weighedBinary is binaryCrossEntropy with PosWeight. Its adjoint is
// (1 - t) - (1 + (v - 1)*t)*sigmoid(-x), /K.
func (l *terms) weighedBinary() (perSample, adjoint string, over float64) {
	more := make([]float64, len(l.PosWeight))
	for i, v := range l.PosWeight {
		more[i] = v - 1
	}
	weight := l.Add(l.Mul(l.t, (&writer{l.Builder}).perOutput(more, l)), l.Scalar(1))
	absent, minus := l.Sub(l.Scalar(1), l.t), l.Neg(l.x)
	perSample = l.mean(l.Add(l.Mul(absent, l.x), l.Mul(weight, l.Emit("Softplus", nil, minus))))
	return perSample, l.weighted(l.Sub(absent, l.Mul(weight, l.Emit("Sigmoid", nil, minus)))), l.classes
}

// leastFocal keeps powers of what is right already finite.
const leastFocal = 1e-12

// focal is the mean of a*b*q^gamma: b the binary cross-entropy, q = p + t - 2*p*t
// how far p = sigmoid(x) is from t, a = alpha*t + (1 - alpha)*(1 - t), or 1 for
// alpha 0 (Lin et al. 2017, arXiv 1708.02002, section 3). Its adjoint is
// a*((p - t)*q^gamma + b*gamma*q^(gamma-1)*(1 - 2*t)*p*(1 - p))/K.
func focal(l *terms) (perSample, adjoint string, over float64) {
	p := l.Emit("Sigmoid", nil, l.x)
	b := l.Sub(l.Emit("Softplus", nil, l.x), l.Mul(l.t, l.x))
	opposite := l.Sub(l.Scalar(1), l.Mul(l.t, l.Scalar(2))) // 1 - 2t
	far := l.Emit("Max", nil, l.Add(l.t, l.Mul(p, opposite)), l.Scalar(leastFocal))
	power := l.Emit("Pow", nil, far, l.Scalar(l.Gamma))
	weighed := func(v string) string {
		if l.Alpha == 0 {
			return v
		}
		return l.Mul(v, l.Add(l.Scalar(1-l.Alpha), l.Mul(l.t, l.Scalar(2*l.Alpha-1))))
	}
	perSample = l.mean(weighed(l.Mul(b, power)))
	slope := l.Mul(l.Mul(opposite, p), l.Sub(l.Scalar(1), p))
	inner := l.Mul(l.Mul(b, l.Scalar(l.Gamma)), l.Mul(l.Emit("Pow", nil, far, l.Scalar(l.Gamma-1)), slope))
	return perSample, l.weighted(weighed(l.Add(l.Mul(l.Sub(p, l.t), power), inner))), l.classes
}

// dice is 1 less the weighted mean over the classes of D = (2*I + s)/(U + s), with
// I = sum p*t and U = sum p + sum t over the pixels that count, and p the softmax
// over the classes, or the sigmoid of a single output (after Milletari et al.
// 2016, arXiv 1606.04797, whose U has squares). With g = -w/W*(2*t*(U + s) - (2*I + s))/(U + s)^2,
// the derivative by p, the adjoint is p*(g - sum over the classes of p*g), or g*p*(1 - p).
func dice(l *terms) (perSample, adjoint string, over float64) {
	single := l.classes == 1
	p := l.Emit("Sigmoid", nil, l.x)
	if !single {
		p = l.Emit("Softmax", emit.Attrs{"axis": onnx.IntAttr(1)}, l.x)
	}
	counted := func(v string) string {
		if l.valid == "" {
			return v
		}
		return l.Mul(v, l.valid)
	}
	t, s := counted(l.t), l.Scalar(l.DiceSmooth)
	above := l.Add(l.Mul(l.Sum(l.Mul(p, t), true, 2), l.Scalar(2)), s)      // [N, K, 1]
	below := l.Add(l.Add(l.Sum(counted(p), true, 2), l.Sum(t, true, 2)), s) // [N, K, 1]
	each, share := l.Div(above, below), 1/l.classes                         // of a class without weights
	if l.weights != "" {
		share = 0
		for _, w := range l.ClassWeights {
			share += w
		}
		share = 1 / share
	}
	mean := l.Mul(l.Sum(l.weighted(each), false, 1, 2), l.Scalar(share))
	perSample = l.Named(l.perSample, "Sub", nil, l.Scalar(1), mean)
	slope := l.Div(l.Sub(l.Mul(l.Mul(t, l.Scalar(2)), below), above), l.Mul(below, below)) // [N, K, P]
	g := counted(l.weighted(l.Mul(slope, l.Scalar(-share))))
	if single {
		return perSample, l.Mul(l.Mul(g, p), l.Sub(l.Scalar(1), p)), 1
	}
	return perSample, l.Mul(p, l.Sub(g, l.Sum(l.Mul(p, g), true, 1))), 1
}

// squaredError is the mean of (x - t)^2, its adjoint 2*(x - t)/K.
func squaredError(l *terms) (perSample, adjoint string, over float64) {
	d := l.Sub(l.x, l.t)
	return l.mean(l.Mul(d, d)), l.weighted(d), l.classes / 2
}

// absoluteError is the mean of |x - t|, its adjoint sign(x - t)/K.
func absoluteError(l *terms) (perSample, adjoint string, over float64) {
	d := l.Sub(l.x, l.t)
	perSample = l.mean(l.Emit("Abs", nil, d))
	return perSample, l.weighted(l.Emit("Sign", nil, d)), l.classes
}

// huber is the mean of d^2/2, or delta*(|d| - delta/2) where |d| > delta, with
// d = x - t; its adjoint is d bounded by delta, /K.
func huber(l *terms) (perSample, adjoint string, over float64) {
	d := l.Sub(l.x, l.t)
	adjoint = l.Emit("Clip", nil, d, l.Scalar(-l.Delta), l.Scalar(l.Delta))
	return l.mean(l.Mul(adjoint, l.Sub(d, l.Mul(adjoint, l.Scalar(0.5))))), l.weighted(adjoint), l.classes
}
