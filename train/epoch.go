package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"winnow/eval"
	"winnow/loader"
	"winnow/prune"
	"winnow/run"
	"winnow/train/step"
)

// epoch trains on one plan, evaluates, and writes the epoch's line and files.
func (l *loop) epoch(ctx context.Context, epoch int) error {
	if l.open.began.IsZero() {
		l.open = open{began: time.Now(), clock: l.clock, scalars: l.newScalars()}
	}
	t := time.Now()
	plan, err := l.plan(epoch)
	if err != nil {
		return err
	}
	l.clock.pruning += time.Since(t)
	if err := l.agreeOnEpoch(epoch, plan); err != nil {
		return err
	}
	e := run.Epoch{Epoch: epoch, SamplesTotal: l.counts.total, WrongUsed: l.pruning.countWrong(plan)}
	if err := l.steady(ctx, &e, plan); err != nil {
		return err
	}
	if err := l.endPruning(ctx, epoch); err != nil {
		return err
	}
	e.ScoreQuantiles = l.pruning.ScoreQuantiles(run.ScoreParts)
	t = time.Now()
	m, err := l.evaluate(ctx, PhaseEval, epoch, l.data.test, nil)
	l.clock.evals += time.Since(t)
	if err != nil {
		return err
	}
	if !finite(m.Loss) {
		return fmt.Errorf("train: test loss after epoch %d: %w%s", epoch, ErrNotFinite, l.stateNotFinite())
	}
	if err := l.saveModel(epoch); err != nil {
		return err
	}
	l.counts.end()
	s := &l.summary
	s.Epochs, s.TestAccuracy, s.TestLoss = epoch, m.Score(), m.Loss
	if main := l.task(l.data.test).Main(); main != eval.Accuracy {
		s.Metric, s.TestMetrics = main, m.Values()
		s.Scalars = l.scalarNames()
	}
	s.WorstClass = run.ClassResult(m.Worst())
	if err := l.judge(m, epoch); err != nil {
		return err
	}
	e.TestLoss, e.TestAccuracy, e.TestTop5 = m.Loss, s.TestAccuracy, m.Top5
	e.Metric, e.TestMetrics = s.Metric, s.TestMetrics
	e.SavedRatio = savedRatio(l.counts.used, l.counts.fullDone)
	e.Seconds = l.clock.minus(l.open.clock).seconds(time.Since(l.open.began))
	l.open = open{}
	if l.o.Job.leads() {
		if err := l.folder.AppendEpoch(e); err != nil {
			return err
		}
		if err := l.folder.Log(e, l.o.Events, time.Now()); err != nil {
			return err
		}
	}
	if err := l.afterEpoch(epoch); err != nil {
		return err
	}
	l.o.Reporter.Epoch(e)
	return nil
}

// judge keeps which epoch is the best so far, by the metric asked for.
func (l *loop) judge(m *eval.Result, epoch int) error {
	s := &l.summary
	value, best, less := s.TestAccuracy, s.BestTestAccuracy, false
	name, least, said := eval.Directed(l.o.Best)
	if main := l.task(l.data.test).Main(); name != "" && name != main {
		all := append(slices.Clone(m.Metrics), eval.Metric{Name: eval.LossMetric, Value: m.Loss, Less: true})
		i := slices.IndexFunc(all, func(x eval.Metric) bool { return x.Name == name })
		if i < 0 {
			names := []string{main}
			for _, x := range all {
				names = append(names, x.Name)
			}
			return optionError("best", "%q, and the test samples are measured by %s", name, strings.Join(slices.Compact(names), ", "))
		}
		if value, best, less = all[i].Value, s.BestValue, all[i].Less; said {
			less = least
		}
	}
	if l.bestEpoch == 0 || value > best && !less || value < best && less {
		l.bestEpoch = epoch
		if l.o.Best != "" {
			s.BestValue = value
		}
	}
	s.BestTestAccuracy = max(s.BestTestAccuracy, s.TestAccuracy)
	return nil
}

// afterEpoch takes a checkpoint where one is due. The first one is whole before
// an earlier run gives way.
func (l *loop) afterEpoch(epoch int) error {
	staged := l.staged
	if every := l.o.Every.Epochs; staged || epoch == l.o.Epochs || every > 0 && epoch%every == 0 {
		if err := l.checkpoint(); err != nil {
			return err
		}
	}
	if !staged {
		return nil
	}
	if err := l.saver.wait(); err != nil {
		return err
	}
	l.staged = false
	if !l.o.Job.leads() {
		return nil
	}
	return l.folder.Commit()
}

// plan opens an epoch.
func (l *loop) plan(epoch int) (prune.Plan, error) {
	plan, err := l.pruning.Plan(epoch)
	if err != nil {
		return plan, fmt.Errorf("train: %w", err)
	}
	l.counts.total, l.counts.plan = l.pruning.Stats().Samples, len(plan.Indices)
	if least := int(l.o.Bundle.Manifest.MinBatch); len(plan.Indices) < least {
		return plan, optionError("prune-ratio", "leaves %d samples in epoch %d, and bundle %q needs %d in a step: it normalises [N, C] by the batch; give a lower --prune-ratio",
			len(plan.Indices), epoch, l.o.BundleName, least)
	}
	return plan, nil
}

// endPruning closes the pruner's epoch, with the reference's loss where it wants one.
func (l *loop) endPruning(ctx context.Context, epoch int) error {
	if l.open.ended {
		return nil
	}
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
	l.open.ended = true
	return nil
}

// steady runs the steps of a plan. Nothing in its loop allocates.
func (l *loop) steady(ctx context.Context, e *run.Epoch, plan prune.Plan) (err error) {
	done, batches := l.counts.epochStep, l.o.batches()
	it, err := l.data.train.EpochFrom(ctx, e.Epoch, done*batches, plan.Indices, plan.Weights)
	if err != nil {
		return fmt.Errorf("train: epoch %d: %w", e.Epoch, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	e.Steps = (it.Steps() + batches - 1) / batches
	p := Progress{Phase: PhaseTrain, Epoch: e.Epoch, Epochs: l.o.Epochs, Step: done, Steps: e.Steps, Samples: l.counts.epochUsed, Used: l.counts.used, Full: l.counts.full()}
	l.o.Reporter.Progress(p)
	take := l.step
	if l.o.splits() {
		l.split.begin(l.o.Seed, e.Epoch, plan, it)
		take = l.splitStep
	}
	defer func() { l.count(e) }()
	for {
		at := float64(e.Epoch-1) + float64(p.Step)/float64(p.Steps)
		rate := l.o.Schedule.At(at, l.o.Epochs, l.o.LearningRate) * l.nan.RateScale
		if err := take(it, e.Epoch, p.Step+1, rate); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		p.Step = (it.Done() + batches - 1) / batches
		l.counts.epochStep = p.Step
		p.Samples = l.counts.epochUsed
		p.Loss, p.LearningRate = float64(l.output.Loss), rate
		p.Used, p.Full = l.counts.used, l.counts.full()
		l.o.Reporter.Progress(p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := l.afterStep(); err != nil {
			return err
		}
	}
}

// count puts into an epoch's line what its steps have counted.
func (l *loop) count(e *run.Epoch) {
	e.SamplesUsed, e.LearningRate = l.counts.epochUsed, l.open.rate
	if e.SamplesUsed > 0 {
		e.TrainLoss = l.open.lossSum / float64(e.SamplesUsed)
		e.TrainMetrics = l.trainMetrics(e.SamplesUsed)
	}
}

// step trains on the next batch; io.EOF after the last one.
func (l *loop) step(it *loader.Iterator, epoch, step int, rate float64) error {
	t := time.Now()
	b, err := it.Next()
	now := time.Now()
	l.clock.wait += now.Sub(t)
	if errors.Is(err, io.EOF) {
		return io.EOF
	} else if err != nil {
		return fmt.Errorf("train: epoch %d: %w", epoch, err)
	}
	l.input.fill(b, l.counts.step, rate)
	err = l.graphs.trainer.Step(&l.input.step, &l.output)
	l.clock.steps += time.Since(now)
	if err != nil {
		return fmt.Errorf("train: epoch %d, step %d: %w", epoch, step, err)
	}
	return l.stepped(b, epoch, step, rate)
}

// stepped takes up the losses of a step on the samples of b: it tells the pruner, and counts.
func (l *loop) stepped(b *loader.Batch, epoch, step int, rate float64) error {
	out, now := &l.output, time.Now()
	if !finite(float64(out.Loss)) {
		return l.stepNotFinite(epoch, step, rate, b)
	}
	if err := l.pruning.observe(b, out, l.classes); err != nil {
		return fmt.Errorf("train: epoch %d, step %d: %w", epoch, step, err)
	}
	l.clock.pruning += time.Since(now)
	l.counts.stepped(b.N)
	l.open.lossSum += float64(out.Loss) * float64(b.N)
	for i, x := range out.Scalars {
		l.open.scalars[i] += float64(x) * float64(b.N)
	}
	l.open.rate = rate
	return nil
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
	if l.ownLoss() {
		return l.evaluateLoss(ctx, &reported{it, l.o.Reporter, p}, phase, epoch)
	}
	r := &runner{l.graphs.evaluator, step.PixelsFor(l.o.Bundle.Manifest.Eval.Images)}
	m, err := l.task(from).Evaluate(ctx, r, &reported{it, l.o.Reporter, p}, nil)
	if err == nil {
		err = l.together(m, l.data.parts)
	}
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

// saveModel writes the model of an epoch, whose state must be finite.
func (l *loop) saveModel(epoch int) error {
	if !l.o.Job.leads() {
		return nil
	}
	state, err := l.graphs.read()
	if err != nil {
		return err
	}
	if bad := notFiniteIn(l.o.Bundle, state); bad != "" {
		return fmt.Errorf("train: after epoch %d: %w: %s; a lower --lr may help", epoch, ErrNotFiniteState, bad)
	}
	model, err := l.graphs.model(state)
	if err != nil {
		return fmt.Errorf("train: exporting the model after epoch %d: %w", epoch, err)
	}
	return l.folder.WriteBytes(run.ModelFile, model)
}
