package train

import (
	"errors"
	"fmt"

	"winnow/eval"
	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/prune"
	"winnow/run"
	ortrun "winnow/runtime"
)

// pruning is a run's pruner and what reaches it.
type pruning struct {
	*prune.Pruner
	o          prune.Options // as resolved
	rescale    string        // what the plan's weights become
	weights    weightPath    // and how they reach the step
	reference  []uint32      // samples whose mean loss DAS wants after each epoch; nil for none
	wantsBatch bool
	wantsEach  bool
	mixed      bool      // losses of samples are not their own
	losses     []float32 // each sample's, where they are made of logits here
	wrong      []bool    // samples whose label is wrong on purpose; nil for none
}

// setupPruning resolves the method, makes the pruner, and records both.
func (l *loop) setupPruning() error {
	o, roles := &l.o, &l.o.Bundle.Manifest.Train
	perSample := roles.PerSampleLoss != nil || roles.Logits != nil && takesClasses(l.targets)
	p, r := o.Prune, &l.pruning
	var why string
	var err error
	r.mixed = o.Mix.Enabled()
	if p.Scorer, p.Policy, why, err = prune.Resolve(o.Method, perSample && !r.mixed); r.mixed && errors.Is(err, prune.ErrNeedsLoss) {
		_, policy, _, _ := prune.Resolve(o.Method, true)
		return optionError("prune", "%s ranks samples by losses of their own, and a loss of mixed samples belongs to two of them; take bls-%s, or leave out --mixup and --cutmix", o.Method, policy)
	} else if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if r.mixed {
		why = "auto: BLS with InfoBatch, because a loss of mixed samples belongs to two of them"
	}
	if o.Method == prune.MethodAuto {
		l.noticef("prune: %s", why)
	}
	p.Samples, p.Epochs, p.Seed = o.Train.Len(), o.Epochs, o.Seed
	if p.Scorer == prune.ScorerDAS {
		ref, err := parseReference(o.Reference)
		if err != nil {
			return err
		}
		if r.reference, err = ref.apply(&p, o.Train, o.Seed); err != nil {
			return err
		}
	} else if o.Reference != "" && o.Reference != DefaultReference {
		l.noticef("prune: the reference %q is for DAS and has no effect on %s", o.Reference, o.Method)
	}
	if r.Pruner, err = prune.New(p); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	switch {
	case p.Policy != prune.PolicyFull && !r.CanPrune():
		l.noticef("prune: nothing is left out in this run: methods that rank samples begin with epoch 2, and --prune-delta %g ends pruning after epoch %d; more --epochs or a larger --prune-delta change that",
			p.Delta, int(p.Delta*float64(p.Epochs)+1e-9))
	case p.Scorer == prune.ScorerDAS:
		l.noticeDAS(p)
	}
	r.o, r.wrong = p, wrongLabels(o.Train.Records())
	r.wantsBatch, r.wantsEach, _ = r.Wants()
	var note string
	if r.weights, r.rescale, note, err = resolveWeights(o.Bundle, o.BundleName, p, r.Rescale()); err != nil {
		return err
	}
	if note != "" {
		l.noticef("%s", note)
	}
	s := &l.summary
	s.Scorer, s.Policy, s.Seed = p.Scorer, p.Policy, o.Seed
	s.Bundle, s.Data = o.BundleName, o.Data
	s.Config = o.config(p, r.rescale, l.measured())
	return nil
}

// wrongLabels are the samples with artificial noise in their label, nil for none.
func wrongLabels(r loader.Records) []bool {
	var wrong []bool
	for i := range uint32(r.Len()) {
		if loader.TrueLabelOf(r, i) != r.Target(i).Class() {
			if wrong == nil {
				wrong = make([]bool, r.Len())
			}
			wrong[i] = true
		}
	}
	return wrong
}

// countWrong counts the wrong labels of a plan.
func (p *pruning) countWrong(plan prune.Plan) (n int) {
	if p.wrong == nil {
		return 0
	}
	for _, i := range plan.Indices {
		if p.wrong[i] {
			n++
		}
	}
	return n
}

// config is the options of the run as its summary records them.
func (o *Options) config(p prune.Options, rescale string, target *run.Target) run.Config {
	m := &o.Bundle.Manifest
	p = p.Resolved()
	p.Rescale, p.Reference = rescale, o.Reference
	return run.Config{
		Epochs: o.Epochs, BatchSize: o.BatchSize, Accum: recorded(o.Accum), LearningRate: o.LearningRate, Schedule: o.Schedule, Mix: o.mixRecord(),
		Optimizer: m.Optimizer, Loss: o.lossRecord(), Precision: m.Precision, Seed: o.Seed,
		Prune:   run.PruneConfig{Method: o.Method, Options: p},
		Augment: run.AugmentConfig{CropPad: o.Augment.CropPad, HFlip: o.Augment.HFlip}, Images: o.Pipelines, Workers: o.Workers, Prefetch: o.Prefetch,
		DataConfig: run.DataConfig{TrainSamples: o.Train.Len(), TestSamples: o.Test.Len(), ImageShape: m.ImageShape, Classes: m.Classes, Target: target},
		Source:     m.Source, Model: run.ModelConfig{Images: m.Eval.Images.Name, ImagesDType: m.Eval.Images.DType, Logits: m.Eval.Logits.Name},
		Command: o.Command,
	}
}

// mixRecord is nil where nothing is mixed.
func (o *Options) mixRecord() *loader.Mix {
	if !o.Mix.Enabled() {
		return nil
	}
	return &o.Mix
}

// lossRecord is the loss with the smoothing of its targets, wherever that is done.
func (o *Options) lossRecord() bundle.Loss {
	loss := o.Bundle.Manifest.Loss
	if o.Smoothing > 0 {
		loss.Smoothing = o.Smoothing
	}
	return loss
}

// noticeDAS says what ranks the samples before there are trajectories.
func (l *loop) noticeDAS(p prune.Options) {
	window := p.Window
	if window == 0 {
		window = prune.DefaultWindow
	}
	if float64(window+1) > p.Delta*float64(p.Epochs)+1e-9 { // epoch window+1 is the first that DAS plans
		l.noticef("prune: DAS does not begin in this run: it needs %d epochs of losses before the last pruned one, and until then the last loss ranks the samples; more epochs or a smaller --prune-window change that", window)
		return
	}
	l.noticef("prune: the last loss ranks the samples until DAS begins, after epoch %d", window)
}

// observe hands a step's losses to the pruner.
func (p *pruning) observe(b *loader.Batch, out *ortrun.StepOutput, classes int) error {
	if p.mixed {
		out.PerSample = nil
	}
	losses := out.PerSample
	if losses == nil && p.wantsEach {
		losses = p.losses[:b.N]
		if err := eval.CrossEntropy(losses, out.Logits, b.Labels, classes); err != nil {
			return err
		}
	}
	if losses != nil {
		if err := p.RecordLosses(b.Indices, losses); err != nil {
			return err
		}
	}
	switch {
	case p.wantsBatch:
		return p.ObserveBatch(b.Indices, out.Loss)
	case p.wantsEach:
		return p.ObserveSamples(b.Indices, losses)
	}
	return nil
}
