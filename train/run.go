package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/prune"
	ortrun "winnow/runtime"
)

// run is one training run.
type run struct {
	o       Options
	folder  *folder
	began   time.Time
	classes int

	state     *ortrun.State
	trainer   *ortrun.Trainer
	evaluator *ortrun.Evaluator
	closers   []io.Closer

	train, test *loader.Loader
	reference   *loader.Loader // over the training split, without augmentation; nil without an outside reference
	refIndices  []uint32
	pruner      *prune.Pruner

	wantsBatch bool
	wantsEach  bool
	rescale    string // how weights reach the step
	weightPath weightPath

	in     ortrun.StepInput
	out    ortrun.StepOutput
	pixels pixels
	random inputs
	mean   []float32 // batch weights, where the graph takes them per sample
	oneHot []float32
	losses []float32

	summary  Summary
	used     int64
	fullDone int64 // full training's samples in finished epochs
	total    int   // full training's samples in the open epoch
	step     int64 // finished, in the run

	epochStep                   int // finished, of the open epoch
	epochUsed, epochPlan        int // samples of the open epoch: used, and of its plan
	wait, steps, pruning, evals time.Duration
}

// Run trains as the options say and writes the run folder. When ctx is
// cancelled it finishes the step it is in, writes what was done, and returns
// the summary, marked as interrupted, together with the context's error. After
// any other error no summary is written; the files of the last finished epoch
// stay. With Options.Overwrite an earlier run stays, whole, until the first
// epoch is finished and written.
func Run(ctx context.Context, o Options) (_ *Summary, err error) {
	r := &run{o: o, began: time.Now()}
	if r.o.Reporter == nil {
		r.o.Reporter = silent{}
	}
	if r.o.Workers == 0 {
		r.o.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if r.o.Prefetch == 0 {
		r.o.Prefetch = loader.DefaultPrefetch
	}
	if err := r.o.Validate(); err != nil {
		return nil, err
	}
	if err := r.o.Bundle.Validate(); err != nil {
		return nil, fmt.Errorf("train: bundle %q: %w", r.o.Bundle.Where(), err)
	}
	if err := r.checkData(); err != nil {
		return nil, err
	}
	if err := r.setupPruning(); err != nil {
		return nil, err
	}
	if r.folder, err = openFolder(o.Out, o.Source, o.Overwrite); err != nil {
		return nil, err
	}
	defer r.folder.Release()
	defer func() {
		for i := len(r.closers) - 1; i >= 0; i-- {
			err = errors.Join(err, r.closers[i].Close())
		}
	}()
	if err := r.setup(); err != nil {
		return nil, err
	}
	for epoch := 1; epoch <= o.Epochs; epoch++ {
		if err := r.epoch(ctx, epoch); err != nil {
			if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
				return nil, err
			}
			return r.interrupted(ctx, epoch)
		}
	}
	return r.finish()
}

// finish writes the summary.
func (r *run) finish() (*Summary, error) {
	s := &r.summary
	s.WallSeconds = time.Since(r.began).Seconds()
	r.count()
	if err := r.folder.writeSummary(s); err != nil {
		return nil, err
	}
	return s, nil
}

// interrupted writes where training stopped. The model and the accuracy stay
// those of the last finished epoch. A run that has none leaves an earlier run
// in its place, and returns no summary.
func (r *run) interrupted(ctx context.Context, epoch int) (*Summary, error) {
	if r.folder.Staged() {
		r.noticef("train: no epoch is finished, so %q keeps the earlier run", r.o.Out)
		return nil, fmt.Errorf("train: interrupted in epoch %d after %d steps: %w", epoch, r.epochStep, context.Cause(ctx))
	}
	r.summary.Interrupted = true
	state, err := readState(r.o.Bundle, r.state)
	if err != nil {
		return nil, err
	}
	if err := r.checkpoint(state, epoch-1); err != nil {
		return nil, err
	}
	s, err := r.finish()
	if err != nil {
		return nil, err
	}
	return s, fmt.Errorf("train: interrupted in epoch %d after %d steps: %w", epoch, r.epochStep, context.Cause(ctx))
}

func (r *run) count() {
	s := &r.summary
	s.TrainSamplesUsed = r.used
	s.TrainSamplesFull = r.full()
	s.SavedRatio = savedRatio(s.TrainSamplesUsed, s.TrainSamplesFull)
	s.StepSeconds, s.WaitSeconds = r.steps.Seconds(), r.wait.Seconds()
	s.PruneSeconds, s.EvalSeconds = r.pruning.Seconds(), r.evals.Seconds()
}

// checkData holds the data against the bundle before anything long starts.
func (r *run) checkData() error {
	m := &r.o.Bundle.Manifest
	r.classes = int(m.Classes)
	if least := int(m.MinBatch); r.o.BatchSize < least {
		return optionError("batch-size", "%d, and bundle %q needs %d samples in a step: it normalises [N, C] by the batch, where one sample has no variance; "+
			"give --batch-size %d or more, or export the model with --freeze over that normalisation", r.o.BatchSize, r.o.BundleName, least, least)
	} else if r.o.Train.Len() < least {
		return dataError("train split of %q holds %d samples, and bundle %q needs %d in a step: it normalises [N, C] by the batch",
			r.o.Data, r.o.Train.Len(), r.o.BundleName, least)
	}
	for _, split := range []struct {
		name string
		src  *loader.Source
	}{{"train", r.o.Train}, {"test", r.o.Test}} {
		if split.src.Len() == 0 {
			return dataError("%s split of %q holds no samples", split.name, r.o.Data)
		}
		c, h, w := split.src.Shape()
		if got := [3]int64{int64(c), int64(h), int64(w)}; got != m.ImageShape {
			way := "export the model for that size"
			if s := m.ImageShape; got[0]*got[1]*got[2] == s[0]*s[1]*s[2] && s[0] == 1 && s[1] == 1 { // flat vectors
				way = fmt.Sprintf("export the model with --input-size %dx%dx%d", c, h, w)
			}
			return dataError("%s images of %q are %dx%dx%d, bundle %q takes %dx%dx%d; %s, or choose other data",
				split.name, r.o.Data, c, h, w, r.o.BundleName, m.ImageShape[0], m.ImageShape[1], m.ImageShape[2], way)
		}
		if names := split.src.Classes(); int64(len(names)) > m.Classes {
			return dataError("%q has %d classes, labels 0 to %d, bundle %q has %d", r.o.Data, len(names), len(names)-1, r.o.BundleName, m.Classes)
		}
		for i := range split.src.Len() {
			if label := split.src.Label(uint32(i)); label < 0 || label >= m.Classes {
				return dataError("label %d of %s sample %d of %q is outside the %d classes of bundle %q",
					label, split.name, i, r.o.Data, m.Classes, r.o.BundleName)
			}
		}
	}
	return nil
}

// setupPruning resolves the method and makes the pruner.
func (r *run) setupPruning() error {
	o, roles := &r.o, &r.o.Bundle.Manifest.Train
	perSample := roles.PerSampleLoss != nil || roles.Logits != nil
	p := o.Prune
	var why string
	var err error
	if p.Scorer, p.Policy, why, err = prune.Resolve(o.Method, perSample); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if o.Method == prune.MethodAuto {
		r.noticef("prune: %s", why)
	}
	p.Samples, p.Epochs, p.Seed = o.Train.Len(), o.Epochs, o.Seed
	if p.Scorer == prune.ScorerDAS {
		ref, err := parseReference(o.Reference)
		if err != nil {
			return err
		}
		if r.refIndices, err = ref.apply(&p, o.Train, o.Seed); err != nil {
			return err
		}
	} else if o.Reference != "" && o.Reference != DefaultReference {
		r.noticef("prune: the reference %q is for DAS and has no effect on %s", o.Reference, o.Method)
	}
	if r.pruner, err = prune.New(p); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if p.Scorer == prune.ScorerDAS {
		r.noticeDAS(p)
	}
	r.wantsBatch, r.wantsEach, _ = r.pruner.Wants()
	if err := r.resolveWeights(p); err != nil {
		return err
	}
	s := &r.summary
	s.Scorer, s.Policy, s.Seed = p.Scorer, p.Policy, o.Seed
	s.Bundle, s.Data = o.BundleName, o.Data
	s.Config = r.config(p)
	return nil
}

// config is the options of the run as its summary records them.
func (r *run) config(p prune.Options) Config {
	o, m := &r.o, &r.o.Bundle.Manifest
	p = p.Resolved()
	p.Rescale, p.Reference = r.rescale, o.Reference
	return Config{
		Epochs: o.Epochs, BatchSize: o.BatchSize, LearningRate: o.LearningRate, Schedule: o.Schedule,
		Optimizer: m.Optimizer, Loss: m.Loss, Precision: m.Precision, Seed: o.Seed,
		Prune:   PruneConfig{o.Method, p},
		Augment: AugmentConfig{o.Augment.CropPad, o.Augment.HFlip}, Workers: o.Workers, Prefetch: o.Prefetch,
		TrainSamples: o.Train.Len(), TestSamples: o.Test.Len(), ImageShape: m.ImageShape, Classes: m.Classes,
		Source: m.Source, Model: ModelConfig{m.Eval.Images.Name, m.Eval.Images.DType, m.Eval.Logits.Name}, Extra: o.Extra,
	}
}

// noticeDAS says what ranks the samples before there are trajectories.
func (r *run) noticeDAS(p prune.Options) {
	window := p.Window
	if window == 0 {
		window = prune.DefaultWindow
	}
	if float64(window+1) > p.Delta*float64(p.Epochs)+1e-9 { // epoch window+1 is the first that DAS plans
		r.noticef("prune: DAS does not begin in this run: it needs %d epochs of losses before the last pruned one, and until then the last loss ranks the samples; more epochs or a smaller --prune-window change that", window)
		return
	}
	r.noticef("prune: the last loss ranks the samples until DAS begins, after epoch %d", window)
}

// setup makes the loaders and the sessions.
func (r *run) setup() error {
	o := &r.o
	r.summary.Provider, r.summary.Device = o.Device.Provider(), o.Device.Name()
	r.summary.RuntimeVersion = o.Device.LibraryVersion()
	base := loader.Options{BatchSize: o.BatchSize, Workers: o.Workers, Prefetch: o.Prefetch, Seed: o.Seed}
	var err error
	if r.test, err = loader.New(o.Test, base); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if r.refIndices != nil {
		src := o.Unaugmented
		if src == nil {
			src = o.Train
		}
		if r.reference, err = loader.New(src, base); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	base.Shuffle, base.MinBatch = true, int(max(o.Bundle.Manifest.MinBatch, 1))
	if r.train, err = loader.New(o.Train, base); err != nil {
		return fmt.Errorf("train: %w", err)
	}

	slots, err := StateSlots(o.Bundle)
	if err != nil {
		return err
	}
	if r.state, err = o.Device.NewState(slots); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	r.closers = append(r.closers, r.state)
	spec, layout, err := TrainSpec(o.Bundle, o.Device, o.Layout)
	if err != nil {
		return err
	}
	r.summary.Layout = layout
	maxBatch := min(o.BatchSize, o.Train.Len())
	if rest := o.Train.Len() % maxBatch; r.summary.Policy != prune.PolicyFull || rest > 0 && rest < base.MinBatch { // a last batch may join the one before it
		maxBatch = min(base.Largest(), o.Train.Len())
	}
	if r.trainer, err = o.Device.NewTrainer(spec, r.state, maxBatch); err != nil {
		return fmt.Errorf("train: bundle %q: %s: %w", o.Bundle.Where(), graphFile(layout), err)
	}
	r.closers = append(r.closers, r.trainer)
	ev, err := evalSpec(o.Bundle)
	if err != nil {
		return err
	}
	if r.evaluator, err = o.Device.NewEvaluator(ev, r.state, max(maxBatch, min(o.BatchSize, o.Test.Len()))); err != nil {
		return fmt.Errorf("train: bundle %q: %s: %w", o.Bundle.Where(), bundle.EvalFile, err)
	}
	r.closers = append(r.closers, r.evaluator)

	r.pixels.float = spec.Images.DType == ortrun.Float32
	r.random.seed = o.Seed
	r.in.Random = r.random.fill
	r.losses = make([]float32, maxBatch)
	if r.weightPath == weightsMean {
		r.mean = make([]float32, maxBatch)
	}
	if spec.Labels != nil && spec.Labels.DType == ortrun.Float32 {
		r.oneHot = make([]float32, maxBatch*r.classes)
	}
	return nil
}
