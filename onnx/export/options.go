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

// Options says how a forward model becomes a training bundle.
type Options struct {
	Name         string // of the bundle
	SourceFile   string // recorded in the manifest
	SourceSHA256 string
	ImageShape   [3]int64 // C, H, W; needed only where the model takes flat vectors
	DataShape    [3]int64 // C, H, W that flat vectors of as many values are taken for, where ImageShape is not given
	Output       string   // of the class scores; "" is the one that holds every parameter
	DynamicBatch bool     // a fixed number of images gives way to any
	ClassNames   []string

	Loss          bundle.Loss       // "" is cross-entropy
	Optimizer     bundle.Optimizer  // "" is sgd
	Normalize     bundle.Normalize  // zero Scale is DefaultScale
	FloatImages   bool              // images enter as float32, of the same range, instead of uint8
	BatchLossOnly bool              // expose the batch's loss alone, no sample weights
	Freeze        *regexp.Regexp    // parameters whose names match are not trained, and statistics stay
	Train         *regexp.Regexp    // tensors whose names match are trained, whatever their role; Freeze goes first
	FreezeNorms   bool              // batch normalisations of images keep statistics, scale and shift
	Classes       int64             // above 0: the last layer is replaced by one of so many classes
	Reinit        bool              // draw all parameters anew from Seed
	Seed          uint64            // of the weights that Classes and Reinit draw
	Precision     string            // of convolutions and products: "" is float32, or Float16, or BFloat16, which only CUDA runs
	Lowering      autodiff.Lowering // forms of gradients
	// Block is how many channels ONNX Runtime's CPU provider puts into a block
	// on this machine (runtime.Device.ConvBlock): there is then a second training
	// graph of the provider's own operators. 0 leaves it out.
	Block int64
	// InsistOnBlock makes it an error that the graph in blocks cannot be made;
	// else it is left out with a warning.
	InsistOnBlock bool
	// Tuned has forms of gradients that were timed, and is recorded. Tune, if
	// not nil, is asked for them with all there is to choose in the training graphs.
	Tuned   *bundle.Tuned
	Tune    func([]autodiff.Case) (*bundle.Tuned, error)
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
	if o.Normalize.Scale == 0 {
		o.Normalize.Scale = DefaultScale
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
	case len(o.Normalize.Mean) > 0 && len(o.Normalize.Std) > 0 && len(o.Normalize.Mean) != len(o.Normalize.Std):
		return optionError("mean", "%d means and %d standard deviations", len(o.Normalize.Mean), len(o.Normalize.Std))
	}
	if o.Classes < 0 || o.Classes > maxClasses {
		return optionError("num-classes", "%d, want 1 to %d", o.Classes, maxClasses)
	}
	for _, s := range o.Normalize.Std {
		if !(s > 0) {
			return optionError("std", "%v, want above 0", s)
		}
	}
	switch o.Lowering.Data {
	case "", autodiff.DataTranspose, autodiff.DataFlip, autodiff.DataBlocked:
	default:
		return optionError("data lowering", "%q is not known", o.Lowering.Data)
	}
	switch o.Lowering.Pool {
	case "", autodiff.PoolScatter, autodiff.PoolCompare, autodiff.PoolBlocked:
	default:
		return optionError("pool lowering", "%q is not known", o.Lowering.Pool)
	}
	switch o.Lowering.Weight {
	case "", autodiff.WeightGemm, autodiff.WeightImages, autodiff.WeightTaps, autodiff.WeightBatch, autodiff.WeightEach:
	default:
		return optionError("weight lowering", "%q is not known", o.Lowering.Weight)
	}
	if b := o.Block; b != 0 && b != 8 && b != 16 {
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
	for _, n := range [2][]float64{o.Normalize.Mean, o.Normalize.Std} {
		if len(n) > 1 && int64(len(n)) != f.shape[0] {
			return optionError("mean", "%d means or standard deviations for %d channels", len(n), f.shape[0])
		}
	}
	if len(o.ClassNames) > 0 && int64(len(o.ClassNames)) != f.classes() {
		return optionError("class names", "%d for %d classes", len(o.ClassNames), f.classes())
	}
	return nil
}
