package autodiff

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// BatchStats are the values behind a batch normalisation in training: its
// node takes mean and variance of the batch instead of the running ones.
type BatchStats struct {
	count   string // scalar: elements behind each statistic
	Centred string // the input less its mean; "" where NormForms.Moments gave the statistics
}

// NormForms are a layout's own forms of what a batch normalisation is made of;
// each may be nil, or give "" where it has none.
type NormForms struct {
	Centre  func(x, mean string) string                   // x - mean by channel
	Moments func(x string) (mean, variance string)        // by channel, over images and positions
	Sums    func(g, x, mean string) (sum, product string) // of g, and of g*(x - mean), where Moments gave the mean
	Combine func(g, x, mean, a, b, c string) string       // a*g + b*(x - mean) + c by channel; no mean is 0
}

// TrainingNorm rewrites n, a BatchNormalization of the forward model, to
// normalise by the statistics of the batch. It emits the statistics and the
// next running ones, and returns the latter. The operator's own training mode
// has no CUDA kernel; the inference form with computed statistics has one on
// every provider.
//
// The running variance takes the unbiased variance of the batch, as
// torch.nn.BatchNorm2d does.
func TrainingNorm(e *emit.Builder, n *onnx.Node, forms NormForms) (out *onnx.Node, stats BatchStats, nextMean, nextVar string, err error) {
	x := n.Inputs[0]
	if e.Shape(x) == nil {
		return nil, stats, "", "", fmt.Errorf("the shape of %q is unknown: %w", x, emit.ErrModel)
	}
	count, err := e.CountOf(x, emit.SpatialAxes(len(e.Shape(x)), true))
	if err != nil {
		return nil, stats, "", "", err
	}
	var mean, variance, centred string
	if forms.Moments != nil {
		mean, variance = forms.Moments(x)
	}
	if mean == "" {
		mean, variance, centred = batchMoments(e, x, count, forms.Centre)
	}
	keep := float64(n.Float("momentum", 0.9))
	toward := func(running, batch string) string {
		return e.Named(e.NextName(running), "Add", nil, e.Mul(running, e.Scalar(keep)), e.Mul(batch, e.Scalar(1-keep)))
	}
	rest := e.Emit("Max", nil, e.Sub(count, e.Scalar(1)), e.Scalar(1))
	nextMean = toward(n.Inputs[3], mean)
	nextVar = toward(n.Inputs[4], e.Mul(variance, e.Div(count, rest)))
	out = &onnx.Node{
		Name: n.Name, Op: n.Op, Outputs: n.Outputs[:1],
		Inputs: []string{x, n.Inputs[1], n.Inputs[2], mean, variance},
		Attrs:  emit.Attrs{"epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))},
	}
	return out, BatchStats{count: count, Centred: centred}, nextMean, nextVar, nil
}

// batchMoments are the mean and the variance by channel, and x less the mean. The
// mean of squares less the square of the mean would be one pass fewer, and lose
// all digits where a channel's mean is large beside its deviation.
func batchMoments(e *emit.Builder, x, count string, centre func(x, mean string) string) (mean, variance, centred string) {
	mean = e.Div(e.ChannelSum(x), count)
	if centre != nil {
		centred = centre(x, mean)
	}
	if centred == "" {
		centred = e.Sub(x, e.Reshape(mean, e.PerChannel(mean, len(e.Shape(x)))))
	}
	return mean, e.Div(e.ChannelSum(e.Mul(centred, centred)), count), centred
}

// y = scale*(x - mean)/sqrt(var + eps) + bias, with inv = 1/sqrt(var + eps), by channel:
//
//	dbias  = sum(g)
//	dscale = inv*(sum(g*x) - mean*sum(g))
//	dx     = scale*inv*g, with fixed statistics; with those of the batch of m elements
//	dx     = scale*inv*(g - dbias/m - (x - mean)*inv*dscale/m)
//	       = a*g + (b*(x - mean) + c), which is one product and one normalisation by constants.
func gradBatchNorm(n *Node) ([]string, error) { return GradBatchNorm(n, NormForms{}) }

// GradBatchNorm is the rule of BatchNormalization with a layout's forms.
func GradBatchNorm(n *Node, forms NormForms) ([]string, error) {
	x, scale, mean, variance, g := n.Inputs[0], n.Inputs[1], n.Inputs[3], n.Inputs[4], n.Dy[0]
	rank := len(n.Shape(x))
	stats, training := n.Walk.Stats[n.Node]

	eps := n.Number(float64(n.Float("epsilon", 1e-5)), x)
	inv := n.Emit("Reciprocal", nil, n.Emit("Sqrt", nil, n.Add(variance, eps)))
	var dbias, dscale string
	if training && stats.Centred == "" {
		dbias, dscale = forms.Sums(g, x, mean)
		dscale = n.Mul(inv, dscale)
	} else {
		dbias = n.ChannelSum(g)
	}
	dx := []string{"", "", dbias, "", ""}
	switch {
	case dscale != "":
	case training:
		dscale = n.Mul(inv, n.ChannelSum(n.Mul(g, stats.Centred)))
	case n.Want[1]:
		dscale = n.Mul(inv, n.Sub(n.ChannelSum(n.Mul(g, x)), n.Mul(mean, dbias)))
	}
	dx[1] = dscale
	if !n.Want[0] {
		return dx, nil
	}
	a := n.Mul(scale, inv)
	if !training {
		dx[0] = n.Mul(g, n.Reshape(a, n.PerChannel(scale, rank)))
		return dx, nil
	}
	am := n.Div(a, stats.count)
	b := n.Neg(n.Mul(am, n.Mul(inv, dscale)))
	c := n.Neg(n.Mul(am, dbias))
	if stats.Centred == "" {
		dx[0] = forms.Combine(g, x, mean, a, b, c)
		return dx, nil
	}
	if forms.Combine != nil {
		if dx[0] = forms.Combine(g, stats.Centred, "", a, b, c); dx[0] != "" {
			return dx, nil
		}
	}
	dx[0] = n.Add(n.Mul(g, n.Reshape(a, n.PerChannel(scale, rank))), n.affine(stats.Centred, b, c))
	return dx, nil
}

// affine is b*x + c by channel in one pass: a normalisation by mean 0 and variance 1.
func (n *Node) affine(x, b, c string) string {
	const eps = 1e-5
	channels := n.Shape(b)[0].N
	zeros, rest := make([]float32, channels), make([]float32, channels)
	for i := range rest {
		rest[i] = 1 - eps
	}
	return n.Emit("BatchNormalization", emit.Attrs{"epsilon": onnx.FloatAttr(eps)}, x, b, c,
		n.Float32s(zeros, channels), n.Float32s(rest, channels))
}
