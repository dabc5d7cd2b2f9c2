package train

import (
	"errors"
	"slices"
	"strings"

	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/prune"
	"winnow/run"
	ortrun "winnow/runtime"
	"winnow/train/schedule"
)

// Defaults of Options.
const (
	DefaultEpochs       = 10
	DefaultBatchSize    = loader.DefaultBatchSize
	DefaultLearningRate = 0.05 // timm, --lr, before it scaled with the batch size
	DefaultPrune        = "auto"
	DefaultReference    = "population"
)

// Recipe is what a run does to the bundle, whatever the machine.
type Recipe struct {
	Epochs       int
	BatchSize    int
	Accum        int     // batches of a step; 0 is 1
	LearningRate float64 // the largest of the schedule
	Schedule     schedule.Schedule
	Augment      loader.Augment    // what Train does to raw images, as recorded
	Pipelines    *loader.Pipelines // what happens to images that are resized, as recorded; nil where none are
	Mix          loader.Mix        // of the samples of a batch
	Smoothing    float64           // of classes where the bundle takes vectors of them; else it is in the graph
	Seed         uint64            // of everything random

	Method    string        // a name of prune.Methods, or auto
	Prune     prune.Options // Samples, Epochs, Scorer, Policy, Seed and the reference are filled in
	Reference string        // DAS: FILE | holdout:F | pseudo:F | population
}

// Options describe a run completely. Start from Defaults.
type Options struct {
	Recipe
	Bundle      *bundle.Bundle // that passed its Validate
	BundleName  string         // as recorded
	Source      string         // file or folder that the bundle came from, which Out must not replace; "" if there is none
	Data        string         // name of the data, as recorded
	Train, Test *loader.Source
	Targets     map[string]string // what of the data a target of the bundle takes, by their names, where that is not plain
	Unaugmented *loader.Source    // Train as evaluation sees it, for an outside reference; nil takes Train

	Device            *ortrun.Device     // the caller's to close
	Layout            string             // of bundle.Layout names; "" is auto
	Bad               *loader.BadSamples // collects images that cannot be read, and leaves them out; nil makes them an error
	Workers, Prefetch int                // of the loader; 0 = half the processors, and loader.DefaultPrefetch

	Job Job // the processes that train together; zero is this one alone

	Out       string // run folder
	Overwrite bool   // replace a run that Out holds
	Saving
	Begin    func()       // called once options and data are known to fit; nil is nothing
	Reporter Reporter     // nil is silent
	Command  *run.Command // what a command adds to the record; nil is nothing
}

// maxStep is the most samples of a step: as many as float32 counts.
const maxStep = 1 << 24

// batches is how many batches a step takes.
func (r *Recipe) batches() int { return max(r.Accum, 1) }

// splits is whether steps run in two halves, gradients and update.
func (o *Options) splits() bool { return o.batches() > 1 || !o.Job.alone() }

// Saving says when checkpoints are written, and how a run goes on from one.
type Saving struct {
	Resume  bool   // Out holds the run, which goes on from its newest checkpoint
	Every   Every  // when to write one; the zero value only at the end
	Keep    int    // how many to keep, the best beside them; 0 is DefaultKeep
	OnNaN   string // one of the OnNaN names; "" is stop
	Best    string // metric of the test samples by which the best checkpoint is chosen; "" is the accuracy, or the task's main one
	Version string // of the program, as recorded
	Typed   run.CommandLine
	Events  bool   // also write run.EventsFile, for TensorBoard
	Config  []byte // what run.ConfigFile is to hold; nil writes none
}

// Defaults returns options to which Bundle, Train, Test, Device and Out must be added.
func Defaults() Options {
	return Options{Recipe: Recipe{
		Epochs: DefaultEpochs, BatchSize: DefaultBatchSize, LearningRate: DefaultLearningRate,
		Schedule: schedule.Default(), Method: DefaultPrune,
		Prune:     prune.Defaults(),
		Reference: DefaultReference,
	}, Saving: Saving{Every: DefaultEvery(), Keep: DefaultKeep, OnNaN: OnNaNStop}}
}

// Validate reports every option that is missing or out of range; errors wrap ErrOptions.
func (o *Options) Validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	for _, n := range []struct {
		name string
		ok   bool
	}{{"bundle", o.Bundle != nil}, {"train", o.Train != nil}, {"test", o.Test != nil},
		{"device", o.Device != nil}, {"out", o.Out != ""}} {
		if !n.ok {
			add(optionError(n.name, "is required"))
		}
	}
	if o.Keep < 0 {
		add(optionError("checkpoint-hist", "%d, want 1 or more", o.Keep))
	}
	if o.OnNaN != "" && !slices.Contains(OnNaNNames(), o.OnNaN) {
		add(optionError("on-nan", "%q, want one of %s", o.OnNaN, strings.Join(OnNaNNames(), ", ")))
	}
	return errors.Join(append(errs, o.Recipe.errors()...)...)
}

// Validate reports what is out of range. It needs neither bundle, data nor
// device: what a user typed can be refused before any of them is opened.
func (r *Recipe) Validate() error { return errors.Join(r.errors()...) }

func (r *Recipe) errors() (errs []error) {
	add := func(err error) { errs = append(errs, err) }
	if r.Epochs < 1 || r.Epochs > schedule.MaxEpochs {
		add(optionError("epochs", "%d, want 1 to %d", r.Epochs, schedule.MaxEpochs))
	}
	if r.BatchSize < 1 || r.BatchSize > loader.MaxBatchSize {
		add(optionError("batch-size", "%d, want 1 to %d", r.BatchSize, loader.MaxBatchSize))
	}
	if r.Accum < 0 || r.Accum > maxStep/max(r.BatchSize, 1) {
		add(optionError("accum", "%d batches of %d, want 1 or more and at most %d samples in a step", r.Accum, r.BatchSize, maxStep))
	}
	if !(r.LearningRate >= 0 && r.LearningRate <= schedule.MaxRate) {
		add(optionError("lr", "%v, want 0 to %v", r.LearningRate, float64(schedule.MaxRate)))
	}
	if err := r.Schedule.Validate(r.Epochs); err != nil {
		add(err)
	}
	if err := r.Mix.Validate(); err != nil {
		add(err)
	}
	if _, err := parseReference(r.Reference); err != nil {
		add(err)
	}
	return errs
}
