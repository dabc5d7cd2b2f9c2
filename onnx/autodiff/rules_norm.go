package autodiff

import (
	"fmt"

	"winnow/onnx"
)

// batchStats are the values behind a batch normalisation in training: its
// node takes mean and variance of the batch instead of the running ones.
type batchStats struct {
	count    string // scalar: elements behind each statistic
	centered string // the input less its mean
}

// batchNorm rewrites n, a BatchNormalization of the forward model, to
// normalise by the statistics of the batch. It emits the statistics and the
// next running ones, and returns the latter. The operator's own training mode
// has no CUDA kernel; the inference form with computed statistics has one on
// every provider.
//
// The running variance takes the unbiased variance of the batch, as
// torch.nn.BatchNorm2d does.
func (e *emitter) batchNorm(n *onnx.Node) (out *onnx.Node, nextMean, nextVar string, err error) {
	x := n.Inputs[0]
	if e.shape(x) == nil {
		return nil, "", "", fmt.Errorf("the shape of %q is unknown: %w", x, ErrModel)
	}
	count, err := e.countOf(x, spatialAxes(len(e.shape(x)), true))
	if err != nil {
		return nil, "", "", err
	}
	mean := e.div(e.channelSum(x), count)
	// The mean of squares less the square of the mean would be one pass fewer, and
	// lose all digits where a channel's mean is large beside its deviation.
	centered := e.lessMean(x, mean)
	variance := e.div(e.channelSum(e.mul(centered, centered)), count)
	keep := float64(n.Float("momentum", 0.9))
	toward := func(running, batch string) string {
		return e.named(e.nextName(running), "Add", nil, e.mul(running, e.scalar(keep)), e.mul(batch, e.scalar(1-keep)))
	}
	rest := e.op("Max", nil, e.sub(count, e.scalar(1)), e.scalar(1))
	nextMean = toward(n.Inputs[3], mean)
	nextVar = toward(n.Inputs[4], e.mul(variance, e.div(count, rest)))
	out = &onnx.Node{
		Name: n.Name, Op: n.Op, Outputs: n.Outputs[:1],
		Inputs: []string{x, n.Inputs[1], n.Inputs[2], mean, variance},
		Attrs:  attrs{"epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))},
	}
	e.stats[out] = batchStats{count: count, centered: centered}
	return out, nextMean, nextVar, nil
}

// channelSum reduces every axis but that of the channels: positions first,
// then images. One reduction over both adds tens of thousands of elements one
// by one, which was measured 5 to 50 times less exact, and slower.
func (e *emitter) channelSum(x string) string {
	if b := e.blocks.of[x]; b != "" {
		return e.blockedSum(b)
	}
	if spatial := spatialAxes(len(e.shape(x)), false); len(spatial) > 0 {
		x = e.sum(x, false, spatial...)
	}
	return e.sum(x, false, 0)
}

// y = scale*(x - mean)/sqrt(var + eps) + bias, with inv = 1/sqrt(var + eps), by channel:
//
//	dbias  = sum(g)
//	dscale = inv*(sum(g*x) - mean*sum(g))
//	dx     = scale*inv*g, with fixed statistics; with those of the batch of m elements
//	dx     = scale*inv*(g - dbias/m - (x - mean)*inv*dscale/m)
//	       = a*g + (b*(x - mean) + c), which is one product and one normalisation by constants.
func gradBatchNorm(n *node) ([]string, error) {
	x, scale, mean, variance, g := n.Inputs[0], n.Inputs[1], n.Inputs[3], n.Inputs[4], n.dy[0]
	rank := len(n.shape(x))
	stats, training := n.stats[n.Node]

	eps := n.number(float64(n.Float("epsilon", 1e-5)), x)
	inv := n.op("Reciprocal", nil, n.op("Sqrt", nil, n.addOp(variance, eps)))
	dbias := n.channelSum(g)
	dx := []string{"", "", dbias, "", ""}
	var dscale string
	switch {
	case training:
		dscale = n.mul(inv, n.channelSum(n.mul(g, stats.centered)))
	case n.want[1]:
		dscale = n.mul(inv, n.sub(n.channelSum(n.mul(g, x)), n.mul(mean, dbias)))
	}
	dx[1] = dscale
	if !n.want[0] {
		return dx, nil
	}
	a := n.mul(scale, inv)
	if !training {
		dx[0] = n.mul(g, n.reshape(a, n.perChannel(scale, rank)))
		return dx, nil
	}
	am := n.div(a, stats.count)
	b := n.neg(n.mul(am, n.mul(inv, dscale)))
	c := n.neg(n.mul(am, dbias))
	if centered := n.blocks.of[stats.centered]; centered != "" {
		rest := n.scaleBlocked(scaled{x: centered, scale: b, shift: c})
		dx[0] = n.blockOut(n.scaleBlocked(scaled{x: n.blockIn(g), scale: a, plus: rest}))
		return dx, nil
	}
	dx[0] = n.addOp(n.mul(g, n.reshape(a, n.perChannel(scale, rank))), n.affine(stats.centered, b, c))
	return dx, nil
}

// affine is b*x + c by channel in one pass: a normalisation by mean 0 and variance 1.
func (e *emitter) affine(x, b, c string) string {
	const eps = 1e-5
	channels := e.shape(b)[0].N
	zeros, rest := make([]float32, channels), make([]float32, channels)
	for i := range rest {
		rest[i] = 1 - eps
	}
	return e.op("BatchNormalization", attrs{"epsilon": onnx.FloatAttr(eps)}, x, b, c,
		e.floats(zeros, channels), e.floats(rest, channels))
}
