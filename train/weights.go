package train

import (
	"winnow/onnx/bundle"
	"winnow/prune"
)

// weightPath is how a plan's weights reach a step.
type weightPath int

const (
	weightsOff    weightPath = iota
	weightsSample            // each sample's own, through sample_weights
	weightsMean              // the batch's mean, through sample_weights
	weightsScale             // the batch's mean, through loss_scale
	weightsRate              // the batch's mean, through the learning rate
)

// resolveWeights chooses the path and says so where it is not the exact one.
func (r *run) resolveWeights(p prune.Options) error {
	roles := &r.o.Bundle.Manifest.Train
	r.rescale = r.pruner.Rescale()
	if !prune.Weighs(p.Policy) {
		r.rescale = prune.RescaleNone
	}
	switch r.rescale {
	case prune.RescaleNone:
		return nil
	case prune.RescaleSample:
		if roles.SampleWeights != nil {
			r.weightPath = weightsSample
			return nil
		}
		if p.Rescale == prune.RescaleSample {
			return optionError("prune-rescale", "sample: bundle %q takes no sample_weights; take batch", r.o.BundleName)
		}
		r.rescale = prune.RescaleBatch
	}
	switch {
	case roles.SampleWeights != nil:
		r.weightPath = weightsMean
	case roles.LossScale != nil:
		r.weightPath = weightsScale
		r.noticef("prune: the bundle takes no sample weights; each batch's mean weight scales its loss")
	default:
		r.weightPath = weightsRate
		exact := "exact for plain SGD only"
		if o := r.o.Bundle.Manifest.Optimizer; o.Name == bundle.SGD && o.Momentum == 0 && o.WeightDecay == 0 {
			exact = "exact for this bundle's plain SGD"
		}
		r.noticef("prune: the bundle takes neither sample weights nor a loss scale; each batch's mean weight scales the learning rate, %s", exact)
	}
	return nil
}

// weigh sets the step's weights, loss scale and learning rate.
func (r *run) weigh(rate float64, weights []float32) {
	r.in.Weights, r.in.LossScale = nil, 1
	if weights != nil {
		switch r.weightPath {
		case weightsSample:
			r.in.Weights = weights
		case weightsMean:
			r.in.Weights = r.mean[:len(weights)]
			mean := prune.BatchWeight(weights)
			for i := range r.in.Weights {
				r.in.Weights[i] = mean
			}
		case weightsScale:
			r.in.LossScale = prune.BatchWeight(weights)
		case weightsRate:
			rate *= float64(prune.BatchWeight(weights))
		}
	}
	r.in.LearningRate = float32(rate)
}
