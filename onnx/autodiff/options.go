package autodiff

import (
	"fmt"
	"regexp"

	"winnow/onnx/bundle"
)

// Names of losses and optimizers.
const (
	CrossEntropy = "cross-entropy"
	SGD          = "sgd"
)

// Defaults of Options: those of the CIFAR recipes of He et al. 2016
// (arXiv 1512.03385, section 4.2), and images in [0, 1].
const (
	DefaultMomentum    = 0.9
	DefaultWeightDecay = 5e-4
	DefaultScale       = 1.0 / 255
)

// Options says how a forward model becomes a training bundle.
type Options struct {
	Name         string // of the bundle
	SourceFile   string // recorded in the manifest
	SourceSHA256 string
	ImageShape   [3]int64 // C, H, W; needed only where the model takes flat vectors
	ClassNames   []string

	Loss      string  // "" is cross-entropy
	Smoothing float64 // label smoothing in [0, 1)

	Optimizer   string // "" is sgd
	Momentum    float64
	Nesterov    bool
	WeightDecay float64

	Normalize     bundle.Normalize // zero Scale is DefaultScale
	FloatImages   bool             // images enter as float32, as they are, instead of uint8
	BatchLossOnly bool             // expose the batch's loss alone, no sample weights
	Freeze        *regexp.Regexp   // parameters whose names match are not trained
	Lowering      Lowering
	Warn          func(text string) // nil drops warnings
}

// Validate fills defaults and refuses what contradicts itself.
func (o *Options) Validate() error {
	if o.Loss == "" {
		o.Loss = CrossEntropy
	}
	if o.Optimizer == "" {
		o.Optimizer = SGD
	}
	if o.Normalize.Scale == 0 {
		o.Normalize.Scale = DefaultScale
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("autodiff: %w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	switch {
	case o.Loss != CrossEntropy:
		return bad("loss %q is not known; %s is", o.Loss, CrossEntropy)
	case o.Optimizer != SGD:
		return bad("optimizer %q is not known; %s is", o.Optimizer, SGD)
	case !(o.Smoothing >= 0 && o.Smoothing < 1):
		return bad("label smoothing %v is not in [0, 1)", o.Smoothing)
	case !(o.Momentum >= 0 && o.Momentum < 1):
		return bad("momentum %v is not in [0, 1)", o.Momentum)
	case o.Nesterov && o.Momentum == 0:
		return bad("Nesterov momentum needs a momentum above 0")
	case !(o.WeightDecay >= 0 && o.WeightDecay < 1):
		return bad("weight decay %v is not in [0, 1)", o.WeightDecay)
	case len(o.Normalize.Mean) > 0 && len(o.Normalize.Std) > 0 && len(o.Normalize.Mean) != len(o.Normalize.Std):
		return bad("%d means and %d standard deviations", len(o.Normalize.Mean), len(o.Normalize.Std))
	case o.FloatImages && (len(o.Normalize.Mean) > 0 || len(o.Normalize.Std) > 0):
		return bad("float images enter as they are: no mean or standard deviation")
	}
	for _, s := range o.Normalize.Std {
		if !(s > 0) {
			return bad("standard deviation %v is not above 0", s)
		}
	}
	switch o.Lowering.Data {
	case "", DataTranspose, DataFlip:
	default:
		return bad("convolution data lowering %q", o.Lowering.Data)
	}
	switch o.Lowering.Weight {
	case "", WeightGemm, WeightImages:
	default:
		return bad("convolution weight lowering %q", o.Lowering.Weight)
	}
	return nil
}
