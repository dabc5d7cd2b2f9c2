package train

import (
	"fmt"

	"winnow/loader"
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

// dataWeights are the weights that the data gives its training samples, nil for
// none.
func dataWeights(o *Options) ([]float32, error) {
	weights := loader.WeightsOf(o.Train.Records())
	switch {
	case weights == nil:
	case o.Bundle.Manifest.Train.SampleWeights == nil:
		return nil, dataError("the samples of %q have weights, and bundle %q takes no sample_weights: export the model with its loss left to winnow, or leave the weights away (weight=off)", o.Data, o.BundleName)
	case o.Mix.Enabled():
		return nil, optionError("mixup", "the samples of %q have weights, and mixed samples are of two; leave out --mixup and --cutmix, or the weights (weight=off)", o.Data)
	}
	return weights, nil
}

// resolveWeights chooses the path of weights that are meant for rescale, as far
// as the policy of p gives any. It says so in note where it is not the exact one.
func resolveWeights(b *bundle.Bundle, name string, p prune.Options, rescale string) (_ weightPath, _ string, note string, err error) {
	roles := &b.Manifest.Train
	switch {
	case rescale == prune.RescaleNone || !prune.Weighs(p.Policy):
		return weightsOff, prune.RescaleNone, "", nil
	case rescale == prune.RescaleSample && roles.SampleWeights != nil:
		return weightsSample, rescale, "", nil
	case rescale == prune.RescaleSample && p.Rescale == prune.RescaleSample:
		return 0, "", "", optionError("prune-rescale", "sample: bundle %q takes no sample_weights; take batch", name)
	case roles.SampleWeights != nil:
		return weightsMean, prune.RescaleBatch, "", nil
	case roles.LossScale != nil:
		return weightsScale, prune.RescaleBatch, "prune: the bundle takes no sample weights; each batch's mean weight scales its loss", nil
	}
	exact := "exact for plain SGD only"
	if o := b.Manifest.Optimizer; o.Name == bundle.SGD && o.Momentum == 0 && o.WeightDecay == 0 {
		exact = "exact for this bundle's plain SGD"
	}
	return weightsRate, prune.RescaleBatch, fmt.Sprintf("prune: the bundle takes neither sample weights nor a loss scale; each batch's mean weight scales the learning rate, %s", exact), nil
}
