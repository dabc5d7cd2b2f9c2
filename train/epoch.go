package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"winnow/eval"
	"winnow/loader"
	"winnow/onnx"
	"winnow/prune"
	"winnow/run"
	"winnow/train/step"
)

// epoch trains on one plan, evaluates, and writes the epoch's line and files.
func (l *loop) epoch(ctx context.Context, epoch int) error {
	start, before := time.Now(), l.clock
	plan, err := l.plan(epoch)
	if err != nil {
		return err
	}
	l.clock.pruning += time.Since(start)
	e := run.Epoch{Epoch: epoch, SamplesTotal: l.counts.total}
	if err := l.steady(ctx, &e, plan); err != nil {
		return err
	}
	if err := l.endPruning(ctx, epoch); err != nil {
		return err
	}
	t := time.Now()
	m, err := l.evaluate(ctx, PhaseEval, epoch, l.data.test, nil)
	l.clock.evals += time.Since(t)
	if err != nil {
		return err
	}
	if !finite(m.Loss) {
		return fmt.Errorf("train: test loss after epoch %d: %w%s", epoch, ErrNotFinite, l.stateNotFinite())
	}
	l.counts.end()
	s := &l.summary
	s.Epochs, s.TestAccuracy, s.TestLoss = epoch, m.Top1, m.Loss
	s.BestTestAccuracy = max(s.BestTestAccuracy, m.Top1)
	if err := l.save(epoch); err != nil {
		return err
	}
	e.TestLoss, e.TestAccuracy, e.TestTop5 = m.Loss, m.Top1, m.Top5
	e.SavedRatio = savedRatio(l.counts.used, l.counts.fullDone)
	e.Seconds = l.clock.minus(before).seconds(time.Since(start))
	if err := l.folder.AppendEpoch(e); err != nil {
		return err
	}
	if err := l.folder.Commit(); err != nil {
		return err
	}
	l.o.Reporter.Epoch(e)
	return nil
}

// plan opens an epoch.
func (l *loop) plan(epoch int) (prune.Plan, error) {
	plan, err := l.pruning.Plan(epoch)
	if err != nil {
		return plan, fmt.Errorf("train: %w", err)
	}
	l.counts.begin(l.pruning.Stats().Samples, len(plan.Indices))
	if least := int(l.o.Bundle.Manifest.MinBatch); len(plan.Indices) < least {
		return plan, optionError("prune-ratio", "leaves %d samples in epoch %d, and bundle %q needs %d in a step: it normalises [N, C] by the batch; give a lower --prune-ratio",
			len(plan.Indices), epoch, l.o.BundleName, least)
	}
	return plan, nil
}

// endPruning closes the pruner's epoch, with the reference's loss where it wants one.
func (l *loop) endPruning(ctx context.Context, epoch int) error {
	t := time.Now()
	defer func() { l.clock.pruning += time.Since(t) }()
	if l.data.reference != nil {
		m, err := l.evaluate(ctx, PhaseReference, epoch, l.data.reference, l.pruning.reference)
		if err != nil {
			return err
		}
		if err := l.pruning.ObserveReference(epoch, m.Loss); err != nil {
			return fmt.Errorf("train: epoch %d: %w", epoch, err)
		}
	}
	if err := l.pruning.EndEpoch(epoch); err != nil {
		return fmt.Errorf("train: epoch %d: %w", epoch, err)
	}
	return nil
}

// steady runs the steps of a plan. Nothing in its loop allocates.
func (l *loop) steady(ctx context.Context, e *run.Epoch, plan prune.Plan) (err error) {
	it, err := l.data.train.Epoch(ctx, e.Epoch, plan.Indices, plan.Weights)
	if err != nil {
		return fmt.Errorf("train: epoch %d: %w", e.Epoch, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	p := Progress{Phase: PhaseTrain, Epoch: e.Epoch, Epochs: l.o.Epochs, Steps: it.Steps(), Used: l.counts.used, Full: l.counts.fullDone}
	l.o.Reporter.Progress(p)
	e.Steps = it.Steps()
	sum := 0.0
	for {
		t := time.Now()
		b, err := it.Next()
		l.clock.wait += time.Since(t)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("train: epoch %d: %w", e.Epoch, err)
		}
		at := float64(e.Epoch-1) + float64(p.Step)/float64(p.Steps)
		rate := l.o.Schedule.At(at, l.o.Epochs, l.o.LearningRate)
		loss, err := l.step(b, e.Epoch, p.Step+1, rate)
		if err != nil {
			return err
		}
		l.counts.stepped(b.N)
		e.SamplesUsed += b.N
		e.LearningRate = rate
		sum += float64(loss) * float64(b.N)
		e.TrainLoss = sum / float64(e.SamplesUsed)
		p.Step++
		p.Samples += b.N
		p.Loss, p.LearningRate = float64(loss), rate
		p.Used, p.Full = l.counts.used, l.counts.full()
		l.o.Reporter.Progress(p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// step trains on a batch, tells the pruner, and gives the loss.
func (l *loop) step(b *loader.Batch, epoch, step int, rate float64) (float32, error) {
	l.input.fill(b, l.counts.step, rate)
	out := &l.output
	t := time.Now()
	err := l.graphs.trainer.Step(&l.input.step, out)
	now := time.Now()
	l.clock.steps += now.Sub(t)
	if err != nil {
		return 0, fmt.Errorf("train: epoch %d, step %d: %w", epoch, step, err)
	}
	if !finite(float64(out.Loss)) {
		return 0, l.notFinite(out, epoch, step, b)
	}
	if err := l.pruning.observe(b, out, l.classes); err != nil {
		return 0, fmt.Errorf("train: epoch %d, step %d: %w", epoch, step, err)
	}
	l.clock.pruning += time.Since(now)
	return out.Loss, nil
}

// evaluate measures the current state on samples of a loader; nil indices are all.
func (l *loop) evaluate(ctx context.Context, phase string, epoch int, from *loader.Loader, indices []uint32) (_ *eval.Result, err error) {
	it, err := from.Epoch(ctx, epoch, indices, nil)
	if err != nil {
		return nil, fmt.Errorf("train: %s, epoch %d: %w", phase, epoch, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	p := Progress{Phase: phase, Epoch: epoch, Epochs: l.o.Epochs, Steps: it.Steps(), Used: l.counts.used, Full: l.counts.full()}
	l.o.Reporter.Progress(p)
	r := &runner{l.graphs.evaluator, step.PixelsFor(l.o.Bundle.Manifest.Eval.Images)}
	m, err := eval.Evaluate(ctx, r, &reported{it, l.o.Reporter, p}, l.classes)
	if err != nil {
		return nil, fmt.Errorf("train: %s, epoch %d: %w", phase, epoch, err)
	}
	return m, nil
}

// reported tells a reporter of the batches that were taken.
type reported struct {
	eval.Batches
	reporter Reporter
	p        Progress
}

var _ eval.Batches = (*reported)(nil)

func (b *reported) Next() (*loader.Batch, error) {
	batch, err := b.Batches.Next()
	if err == nil {
		b.p.Step++
		b.p.Samples += batch.N
		b.reporter.Progress(b.p)
	}
	return batch, err
}

// save writes a finished epoch's checkpoint and model, which alone would not
// show that it is of a run.
func (l *loop) save(epoch int) error {
	state, err := l.graphs.read()
	if err != nil {
		return err
	}
	if bad := notFiniteIn(l.o.Bundle, state); bad != "" {
		return fmt.Errorf("train: after epoch %d: %w: %s; a lower --lr may help", epoch, ErrNotFiniteState, bad)
	}
	if err := l.checkpoint(state, epoch); err != nil {
		return err
	}
	model, err := l.graphs.model(state)
	if err != nil {
		return fmt.Errorf("train: exporting the model after epoch %d: %w", epoch, err)
	}
	return l.folder.WriteBytes(run.ModelFile, model)
}

// checkpoint writes a state, after so many finished epochs.
func (l *loop) checkpoint(state map[string]*onnx.Tensor, epochs int) error {
	c := &l.counts
	at := run.Position{Epochs: epochs, EpochStep: c.epochStep, GlobalStep: c.step, Seed: l.o.Seed, SamplesUsed: c.used}
	return l.folder.WriteCheckpoint(state, at, l.pruning.Save)
}
