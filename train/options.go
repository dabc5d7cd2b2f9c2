package train

import (
	"context"
	"errors"

	"winnow/loader"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/prune"
	ortrun "winnow/runtime"
)

// Defaults of Options.
const (
	DefaultEpochs       = 10
	DefaultBatchSize    = loader.DefaultBatchSize
	DefaultLearningRate = 0.05 // timm, --lr, before it scaled with the batch size
	DefaultPrune        = "auto"
	DefaultReference    = "population"
)

// Bounds of Options.
const (
	maxEpochs       = 1<<16 - 1 // as prune has it
	maxLearningRate = 1e6
)

// Runner computes logits; *ortrun.Evaluator is one.
type Runner interface {
	Run(n int, images []byte) (logits []float32, err error)
}

// Batches delivers batches until io.EOF; *loader.Iterator is one.
type Batches interface {
	Next() (*loader.Batch, error)
}

// Metrics is what an evaluation found.
type Metrics struct {
	Loss           float64 // mean cross-entropy
	Accuracy, Top5 float64 // shares of 1
}

// Evaluator measures a model's logits.
type Evaluator interface {
	// Evaluate runs every batch.
	Evaluate(ctx context.Context, r Runner, b Batches, classes int) (Metrics, error)
	// CrossEntropy fills dst, one loss a label, from logits [len(labels), classes].
	CrossEntropy(dst, logits []float32, labels []int64, classes int) error
}

// Options describe a run completely. Start from Defaults.
type Options struct {
	Bundle      *bundle.Bundle
	BundleName  string // as recorded
	Source      string // file or folder that the bundle came from, which Out must not replace; "" if there is none
	Data        string // name of the data, as recorded
	Train, Test *loader.Source
	// Unaugmented is Train as evaluation sees it, for an outside reference; nil takes Train.
	Unaugmented *loader.Source

	Epochs       int
	BatchSize    int
	LearningRate float64 // the largest of the schedule
	Schedule     Schedule
	Augment      loader.Augment // what Train does to its images, as recorded
	Seed         uint64         // of everything random

	Method    string        // a name of prune.Methods, or auto
	Prune     prune.Options // Samples, Epochs, Scorer, Policy, Seed and the reference are filled in
	Reference string        // DAS: FILE | holdout:F | pseudo:F | population

	Device            *ortrun.Device // the caller's to close
	Layout            string         // bundle.LayoutAuto, LayoutPortable or LayoutNCHWC; "" is auto
	Workers, Prefetch int            // of the loader; 0 = half the processors, and loader.DefaultPrefetch

	Out       string // run folder
	Overwrite bool   // replace a run that Out holds
	Evaluator Evaluator
	// Export turns the state, by name, into the model.onnx of the run folder; nil writes none.
	Export   func(state map[string]*onnx.Tensor) ([]byte, error)
	Reporter Reporter       // nil is silent
	Extra    map[string]any // further options of the caller, recorded in summary.json
}

// Defaults returns options to which Bundle, Train, Test, Device, Evaluator and Out must be added.
func Defaults() Options {
	return Options{
		Epochs: DefaultEpochs, BatchSize: DefaultBatchSize, LearningRate: DefaultLearningRate,
		Schedule: defaultSchedule(), Method: DefaultPrune,
		Prune:     prune.Defaults(),
		Reference: DefaultReference,
	}
}

// Validate reports every option that is missing or out of range; errors wrap ErrOptions.
func (o *Options) Validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	for _, n := range []struct {
		name string
		ok   bool
	}{{"bundle", o.Bundle != nil}, {"train", o.Train != nil}, {"test", o.Test != nil},
		{"device", o.Device != nil}, {"evaluator", o.Evaluator != nil}, {"out", o.Out != ""}} {
		if !n.ok {
			add(optionError(n.name, "is required"))
		}
	}
	return errors.Join(append(errs, o.recipeErrors()...)...)
}

// ValidateRecipe is the part of Validate that needs neither bundle, data nor
// device: what a user typed can be refused before any of them is opened.
func (o *Options) ValidateRecipe() error { return errors.Join(o.recipeErrors()...) }

func (o *Options) recipeErrors() (errs []error) {
	add := func(err error) { errs = append(errs, err) }
	if o.Epochs < 1 || o.Epochs > maxEpochs {
		add(optionError("epochs", "%d, want 1 to %d", o.Epochs, maxEpochs))
	}
	if o.BatchSize < 1 || o.BatchSize > loader.MaxBatchSize {
		add(optionError("batch-size", "%d, want 1 to %d", o.BatchSize, loader.MaxBatchSize))
	}
	if !(o.LearningRate >= 0 && o.LearningRate <= maxLearningRate) {
		add(optionError("lr", "%v, want 0 to %v", o.LearningRate, float64(maxLearningRate)))
	}
	if err := o.Schedule.Validate(o.Epochs); err != nil {
		add(err)
	}
	if _, err := parseReference(o.Reference); err != nil {
		add(err)
	}
	return errs
}
