package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"winnow/loader"
	"winnow/onnx"
	"winnow/prune"
)

// shownIndices bounds how many sample indices an error spells out.
const shownIndices = 16

// full is how many samples full training would have used when as large a share
// of the epoch was done.
func (r *run) full() int64 {
	if r.epochUsed == 0 {
		return r.fullDone
	}
	return r.fullDone + int64(r.total)*int64(r.epochUsed)/int64(r.epochPlan)
}

// epoch trains on one plan, evaluates, and writes the epoch's line and files.
func (r *run) epoch(ctx context.Context, epoch int) error {
	start := time.Now()
	before := r.times()
	plan, err := r.pruner.Plan(epoch)
	r.pruning += time.Since(start)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	r.total, r.epochPlan = r.pruner.Stats().Samples, len(plan.Indices)
	if least := int(r.o.Bundle.Manifest.MinBatch); len(plan.Indices) < least {
		return optionError("prune-ratio", "leaves %d samples in epoch %d, and bundle %q needs %d in a step: it normalises [N, C] by the batch; give a lower --prune-ratio",
			len(plan.Indices), epoch, r.o.BundleName, least)
	}
	r.epochStep, r.epochUsed = 0, 0
	e := Epoch{Epoch: epoch, SamplesTotal: r.total}
	if err := r.steady(ctx, &e, plan); err != nil {
		return err
	}
	t := time.Now()
	if r.reference != nil {
		m, err := r.evaluate(ctx, PhaseReference, epoch, r.reference, r.refIndices)
		if err != nil {
			return err
		}
		if err := r.pruner.ObserveReference(epoch, m.Loss); err != nil {
			return fmt.Errorf("train: epoch %d: %w", epoch, err)
		}
	}
	err = r.pruner.EndEpoch(epoch)
	r.pruning += time.Since(t)
	if err != nil {
		return fmt.Errorf("train: epoch %d: %w", epoch, err)
	}
	t = time.Now()
	m, err := r.evaluate(ctx, PhaseEval, epoch, r.test, nil)
	r.evals += time.Since(t)
	if err != nil {
		return err
	}
	if !finite(m.Loss) {
		return fmt.Errorf("train: test loss after epoch %d: %w%s", epoch, ErrNotFinite, r.stateNotFinite())
	}
	r.fullDone += int64(r.total)
	r.epochStep, r.epochUsed = 0, 0
	s := &r.summary
	s.Epochs, s.TestAccuracy, s.TestLoss = epoch, m.Accuracy, m.Loss
	s.BestTestAccuracy = max(s.BestTestAccuracy, m.Accuracy)
	if err := r.save(epoch); err != nil {
		return err
	}
	e.TestLoss, e.TestAccuracy, e.TestTop5 = m.Loss, m.Accuracy, m.Top5
	e.SavedRatio = savedRatio(r.used, r.fullDone)
	after := r.times()
	e.StepSeconds, e.WaitSeconds = (after.steps - before.steps).Seconds(), (after.wait - before.wait).Seconds()
	e.PruneSeconds, e.EvalSeconds = (after.pruning - before.pruning).Seconds(), (after.evals - before.evals).Seconds()
	e.WallSeconds = time.Since(start).Seconds()
	if err := r.folder.appendEpoch(e); err != nil {
		return err
	}
	if err := r.folder.commit(); err != nil {
		return err
	}
	r.o.Reporter.Epoch(e)
	return nil
}

type times struct{ wait, steps, pruning, evals time.Duration }

func (r *run) times() times { return times{r.wait, r.steps, r.pruning, r.evals} }

// steady runs the steps of a plan. Nothing in its loop allocates.
func (r *run) steady(ctx context.Context, e *Epoch, plan prune.Plan) (err error) {
	it, err := r.train.Epoch(ctx, e.Epoch, plan.Indices, plan.Weights)
	if err != nil {
		return fmt.Errorf("train: epoch %d: %w", e.Epoch, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	p := Progress{Phase: PhaseTrain, Epoch: e.Epoch, Epochs: r.o.Epochs, Steps: it.Steps(), Used: r.used, Full: r.fullDone}
	r.o.Reporter.Progress(p)
	e.Steps = it.Steps()
	sum := 0.0
	for {
		t := time.Now()
		b, err := it.Next()
		now := time.Now()
		r.wait += now.Sub(t)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("train: epoch %d: %w", e.Epoch, err)
		}
		at := float64(e.Epoch-1) + float64(p.Step)/float64(p.Steps)
		rate := r.o.Schedule.At(at, r.o.Epochs, r.o.LearningRate)
		r.prepare(b, rate)
		t = time.Now()
		err = r.trainer.Step(&r.in, &r.out)
		now = time.Now()
		r.steps += now.Sub(t)
		if err != nil {
			return fmt.Errorf("train: epoch %d, step %d: %w", e.Epoch, p.Step+1, err)
		}
		if !finite(float64(r.out.Loss)) {
			return r.notFinite(e.Epoch, p.Step+1, b)
		}
		if err := r.observe(b); err != nil {
			return fmt.Errorf("train: epoch %d, step %d: %w", e.Epoch, p.Step+1, err)
		}
		r.pruning += time.Since(now)
		r.step++
		r.epochStep++
		r.epochUsed += b.N
		r.used += int64(b.N)
		e.SamplesUsed += b.N
		e.LearningRate = rate
		sum += float64(r.out.Loss) * float64(b.N)
		e.TrainLoss = sum / float64(e.SamplesUsed)
		p.Step++
		p.Samples += b.N
		p.Loss, p.LearningRate = float64(r.out.Loss), rate
		p.Used, p.Full = r.used, r.full()
		r.o.Reporter.Progress(p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// prepare fills the step's input from a batch.
func (r *run) prepare(b *loader.Batch, rate float64) {
	r.in.N, r.in.Labels = b.N, b.Labels
	r.in.Images = r.pixels.convert(b.Images)
	if r.oneHot != nil {
		r.in.LabelsFloat = r.oneHot[:b.N*r.classes]
		oneHot(r.in.LabelsFloat, b.Labels, r.classes)
	}
	r.random.step = uint64(r.step)
	r.weigh(rate, b.Weights)
}

// observe hands the step's losses to the pruner.
func (r *run) observe(b *loader.Batch) error {
	if r.wantsBatch {
		return r.pruner.ObserveBatch(b.Indices, r.out.Loss)
	}
	if !r.wantsEach {
		return nil
	}
	losses := r.out.PerSample
	if losses == nil {
		losses = r.losses[:b.N]
		if err := r.o.Evaluator.CrossEntropy(losses, r.out.Logits, b.Labels, r.classes); err != nil {
			return err
		}
	}
	return r.pruner.ObserveSamples(b.Indices, losses)
}

// notFinite names the samples whose loss is not finite, all of the batch where
// only the batch's loss is known.
func (r *run) notFinite(epoch, step int, b *loader.Batch) error {
	var bad []uint32
	for j, l := range r.out.PerSample {
		if !finite(float64(l)) {
			bad = append(bad, b.Indices[j])
		}
	}
	if bad == nil {
		bad = b.Indices
	}
	more := ""
	if len(bad) > shownIndices {
		more = fmt.Sprintf(" and %d more", len(bad)-shownIndices)
		bad = bad[:shownIndices]
	}
	return fmt.Errorf("train: epoch %d, step %d: %w (%v): samples %v%s; first is %s; a lower --lr may help",
		epoch, step, ErrNotFinite, r.out.Loss, bad, more, r.firstNotFinite(b))
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// evaluate measures the current state on samples of a loader; nil indices are all.
func (r *run) evaluate(ctx context.Context, phase string, epoch int, l *loader.Loader, indices []uint32) (_ Metrics, err error) {
	it, err := l.Epoch(ctx, epoch, indices, nil)
	if err != nil {
		return Metrics{}, fmt.Errorf("train: %s, epoch %d: %w", phase, epoch, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	p := Progress{Phase: phase, Epoch: epoch, Epochs: r.o.Epochs, Steps: it.Steps(), Used: r.used, Full: r.full()}
	r.o.Reporter.Progress(p)
	run := &pixelRunner{Runner: r.evaluator, pixels: pixels{float: r.o.Bundle.Manifest.Eval.Images.DType == "float32"}}
	m, err := r.o.Evaluator.Evaluate(ctx, run, &reported{it, r.o.Reporter, p}, r.classes)
	if err != nil {
		return Metrics{}, fmt.Errorf("train: %s, epoch %d: %w", phase, epoch, err)
	}
	return m, nil
}

// reported tells a reporter of the batches that were taken.
type reported struct {
	Batches
	reporter Reporter
	p        Progress
}

var _ Batches = (*reported)(nil)

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
func (r *run) save(epoch int) error {
	state, err := readState(r.o.Bundle, r.state)
	if err != nil {
		return err
	}
	if bad := notFiniteIn(r.o.Bundle, state); bad != "" {
		return fmt.Errorf("train: after epoch %d: %w: %s; a lower --lr may help", epoch, ErrNotFiniteState, bad)
	}
	if err := r.checkpoint(state, epoch); err != nil {
		return err
	}
	if r.o.Export == nil {
		return nil
	}
	model, err := r.o.Export(state)
	if err != nil {
		return fmt.Errorf("train: exporting the model after epoch %d: %w", epoch, err)
	}
	return r.folder.writeBytes(ModelFile, model)
}

// checkpoint writes a state, after so many finished epochs.
func (r *run) checkpoint(state map[string]*onnx.Tensor, epochs int) error {
	at := position{epochs: epochs, epochStep: r.epochStep, globalStep: r.step, seed: r.o.Seed, samplesUsed: r.used}
	return r.folder.writeCheckpoint(state, at, r.pruner.Save)
}
