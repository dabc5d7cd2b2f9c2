package export

import (
	"fmt"
	"regexp"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
)

// Defaults of Options: those of the CIFAR recipes of He et al. 2016
// (arXiv 1512.03385, section 4.2), and images in [0, 1].
const (
	DefaultMomentum    = 0.9
	DefaultWeightDecay = 5e-4
	DefaultScale       = 1.0 / 255
)

// maxClasses bounds what Classes may ask for.
const maxClasses = 1 << 20

// ImageOptions say what images a model takes, and what is done to them inside the graphs.
type ImageOptions struct {
	Shape     [3]int64         // C, H, W; needed only where the model takes flat vectors
	DataShape [3]int64         // C, H, W that flat vectors of as many values are taken for, where Shape is not given
	Float     bool             // images enter as float32, of the same range, instead of uint8
	Normalize bundle.Normalize // zero Scale is DefaultScale
}

// Selection says what is trained where that does not follow from the model.
type Selection struct {
	Freeze      *regexp.Regexp // parameters whose names match are not trained, and statistics stay
	Train       *regexp.Regexp // tensors whose names match are trained, whatever their role; Freeze goes first
	FreezeNorms bool           // batch normalisations of images keep statistics, scale and shift
}

// NewWeights says which weights are drawn anew.
type NewWeights struct {
	Classes int64  // above 0: the last layer is replaced by one of so many classes
	Reinit  bool   // all parameters
	Seed    uint64 // of what is drawn
}

// Blocks asks for a second training graph in the layout of package nchwc.
type Blocks struct {
	// Size is how many channels ONNX Runtime's CPU provider puts into a block on
	// this machine (runtime.Device.ConvBlock). 0 leaves the graph out.
	Size int64
	// Kernels lets it have operators of package runtime/kernels, and adds an
	// evaluation graph that has them. They run in this program alone: such a
	// bundle is for a run, not for a file.
	Kernels bool
	// Insist makes it an error that the graph cannot be made; else it is left
	// out with a warning.
	Insist bool
}

// Forms says in which forms gradients are written that have several.
type Forms struct {
	Lowering autodiff.Lowering
	Tuned    *bundle.Tuned // forms that were timed; it is recorded
	// Tune, if not nil, is asked for Tuned with all there is to choose in the
	// training graphs.
	Tune func([]autodiff.Case) (*bundle.Tuned, error)
}

// Options says how a forward model becomes a training bundle.
type Options struct {
	Name         string        // of the bundle
	Source       bundle.Source // recorded in the manifest
	Output       string        // of the class scores; "" is the one that holds every parameter
	DynamicBatch bool          // a fixed number of images gives way to any
	ClassNames   []string

	Loss          bundle.Loss      // "" is cross-entropy
	Optimizer     bundle.Optimizer // "" is sgd
	BatchLossOnly bool             // expose the batch's loss alone, no sample weights
	Precision     string           // of convolutions and products: "" is float32, or Float16, or BFloat16, which only CUDA runs

	Images    ImageOptions
	Selection Selection
	Weights   NewWeights
	Blocks    Blocks
	Forms     Forms

	Decided func([]Tensor)    // takes what is said of each tensor of the model's file; nil drops it
	Warn    func(text string) // takes warnings and notices; nil drops them

	growthInterval int64 // of the loss scale; 0 is the default
}

// Validate fills defaults and refuses what contradicts itself.
func (o *Options) Validate() error {
	if err := checkLoss(&o.Loss); err != nil {
		return err
	}
	if err := checkOptimizer(&o.Optimizer); err != nil {
		return err
	}
	if o.Images.Normalize.Scale == 0 {
		o.Images.Normalize.Scale = DefaultScale
	}
	if o.growthInterval == 0 {
		o.growthInterval = growthInterval
	}
	if o.Precision != "" && halfTypes[o.Precision] == onnx.Undefined {
		return optionError("amp", "%q, want %s or %s", o.Precision, Float16, BFloat16)
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	switch {
	case len(o.Images.Normalize.Mean) > 0 && len(o.Images.Normalize.Std) > 0 && len(o.Images.Normalize.Mean) != len(o.Images.Normalize.Std):
		return optionError("mean", "%d means and %d standard deviations", len(o.Images.Normalize.Mean), len(o.Images.Normalize.Std))
	}
	if o.Weights.Classes < 0 || o.Weights.Classes > maxClasses {
		return optionError("num-classes", "%d, want 1 to %d", o.Weights.Classes, maxClasses)
	}
	for _, s := range o.Images.Normalize.Std {
		if !(s > 0) {
			return optionError("std", "%v, want above 0", s)
		}
	}
	switch o.Forms.Lowering.Data {
	case "", autodiff.DataTranspose, autodiff.DataFlip, autodiff.DataBlocked, autodiff.DataWinograd:
	default:
		return optionError("data lowering", "%q is not known", o.Forms.Lowering.Data)
	}
	switch o.Forms.Lowering.Pool {
	case "", autodiff.PoolScatter, autodiff.PoolCompare, autodiff.PoolBlocked:
	default:
		return optionError("pool lowering", "%q is not known", o.Forms.Lowering.Pool)
	}
	switch o.Forms.Lowering.Weight {
	case "", autodiff.WeightGemm, autodiff.WeightImages, autodiff.WeightTaps, autodiff.WeightBatch, autodiff.WeightEach, autodiff.WeightWinograd:
	default:
		return optionError("weight lowering", "%q is not known", o.Forms.Lowering.Weight)
	}
	if b := o.Blocks.Size; b != 0 && b != 8 && b != 16 {
		return optionError("block", "%d channels, want 8 or 16", b)
	}
	return nil
}

// clearUnread empties settings of the loss and the optimizer that these do not
// read: a manifest of another tool may have some.
func (o *Options) clearUnread() {
	if k, err := lossChoice.kindOf(o.Loss.Name); err == nil {
		lossChoice.clear(k, &o.Loss)
	}
	if k, err := optimizerChoice.kindOf(o.Optimizer.Name); err == nil {
		optimizerChoice.clear(k, &o.Optimizer)
	}
}

// optionError is about one option, by the name that a flag has.
func optionError(name, format string, args ...any) error {
	return fmt.Errorf("export: %w %q: %s", ErrOptions, name, fmt.Sprintf(format, args...))
}

// fits refuses options that contradict the model.
func (o *Options) fits(f *forward) error {
	for _, n := range [2][]float64{o.Images.Normalize.Mean, o.Images.Normalize.Std} {
		if len(n) > 1 && int64(len(n)) != f.shape[0] {
			return optionError("mean", "%d means or standard deviations for %d channels", len(n), f.shape[0])
		}
	}
	if err := o.lossFits(f); err != nil {
		return err
	}
	if len(o.ClassNames) > 0 && int64(len(o.ClassNames)) != f.classes() {
		return optionError("class names", "%d for %d classes", len(o.ClassNames), f.classes())
	}
	return nil
}
