package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"winnow/internal/guard"
	"winnow/loader"
	"winnow/run"
	ortrun "winnow/runtime"
)

// loop is one training run.
type loop struct {
	o       Options
	began   time.Time
	folder  *run.Folder
	classes int

	data    data
	targets []boundTarget // of the training samples

	testTargets []boundTarget
	graphs      graphs
	split       split // of a step in two halves
	pruning     pruning
	input       input
	output      ortrun.StepOutput
	counts      counts
	clock       clock
	open        open
	saver       saver
	nan         run.NaN

	asked context.Context         // ends when this process is told to stop; those of a job then agree
	stop  context.CancelCauseFunc // ends the run's context

	staged    bool // an earlier run stands at the folder until the first epoch is finished
	identity  run.Identity
	bestEpoch int
	summary   run.Summary
}

// Run trains as the options say and writes the run folder. When ctx is
// cancelled it finishes the step it is in, writes what was done, and returns
// the summary, marked as interrupted, together with the context's error. After
// any other error no summary is written; the files of the last finished epoch
// stay. With Options.Overwrite an earlier run stays, whole, until the first
// epoch is finished and written. Options.Bundle must have passed its Validate.
func Run(ctx context.Context, o Options) (_ *run.Summary, err error) {
	l := &loop{o: o, began: time.Now()}
	if l.o.Reporter == nil {
		l.o.Reporter = silent{}
	}
	if l.o.Workers == 0 {
		l.o.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if l.o.Prefetch == 0 {
		l.o.Prefetch = loader.DefaultPrefetch
	}
	if err := l.o.Validate(); err != nil {
		return nil, err
	}
	l.classes = int(o.Bundle.Manifest.Classes)
	if err := l.checkData(); err != nil {
		return nil, err
	}
	if l.o.Begin != nil {
		l.o.Begin()
	}
	if err := l.setupPruning(); err != nil {
		return nil, err
	}
	if err := l.identify(); err != nil {
		return nil, err
	}
	if err := l.agreeOnRun(); err != nil {
		return nil, err
	}
	var from *run.Checkpoint
	if o.Job.leads() {
		from, err = l.takeFolder()
	}
	if l.folder != nil {
		defer l.folder.Release()
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.graphs.close()) }()
	if err := l.setup(); err != nil {
		return nil, err
	}
	if from, err = l.beginTogether(from); err != nil {
		return nil, err
	}
	if from != nil {
		if err := l.restore(from); err != nil {
			return nil, err
		}
	}
	if o.Job.leads() {
		var stop func()
		ctx, stop = stoppable(ctx, filepath.Join(o.Out, run.StopFile))
		defer stop()
	}
	l.asked, l.stop = ctx, func(error) {}
	if !o.Job.alone() {
		ctx, l.stop = context.WithCancelCause(context.WithoutCancel(ctx))
		defer l.stop(nil)
	}
	defer func() { // a write that goes on needs the folder
		if werr := l.saver.wait(); werr != nil && !errors.Is(err, werr) {
			err = errors.Join(err, werr)
		}
	}()
	return l.epochs(ctx)
}

// epochs trains from where the run stands to its end.
func (l *loop) epochs(ctx context.Context) (*run.Summary, error) {
	for l.summary.Epochs < l.o.Epochs {
		epoch := l.summary.Epochs + 1
		switch err := l.epoch(ctx, epoch); {
		case err == nil:
		case errors.Is(err, errRollback):
			if err := l.rolledBack(); err != nil {
				return nil, err
			}
		case ctx.Err() == nil || !errors.Is(err, ctx.Err()):
			return nil, err
		default:
			return l.interrupted(ctx, epoch)
		}
	}
	return l.finish()
}

// stopEvery is how often a run looks for the file that ends it.
const stopEvery = time.Second

// stoppable is a context that also ends when a file appears.
func stoppable(ctx context.Context, path string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	look := time.NewTicker(stopEvery)
	guard.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-look.C:
				if _, err := os.Lstat(path); err == nil {
					return fmt.Errorf("%q is there: %w", path, context.Canceled)
				}
			}
		}
	}, cancel)
	return ctx, func() {
		look.Stop()
		cancel(nil)
	}
}

// finish writes the summary.
func (l *loop) finish() (*run.Summary, error) {
	if err := l.saver.wait(); err != nil {
		return nil, err
	}
	s := &l.summary
	s.Seconds = l.clock.seconds(time.Since(l.began))
	s.TrainSamplesUsed, s.TrainSamplesFull = l.counts.used, l.counts.full()
	s.SavedRatio = savedRatio(s.TrainSamplesUsed, s.TrainSamplesFull)
	if l.o.Bad != nil {
		s.BadCount, s.BadSamples = l.o.Bad.Count(), l.o.Bad.List()
	}
	if !l.o.Job.leads() {
		return s, nil
	}
	if err := l.folder.WriteSummary(s); err != nil {
		return nil, err
	}
	return s, nil
}

// interrupted writes where training stopped. The model and the accuracy stay
// those of the last finished epoch. A run that has none leaves an earlier run
// in its place, and returns no summary.
func (l *loop) interrupted(ctx context.Context, epoch int) (*run.Summary, error) {
	stopped := error(agreed{fmt.Errorf("train: interrupted in epoch %d after %d steps: %w", epoch, l.counts.epochStep, context.Cause(ctx))})
	if l.staged {
		l.noticef("train: no epoch is finished, so %q keeps the earlier run", l.o.Out)
		return nil, stopped
	}
	l.summary.Interrupted = true
	if err := errors.Join(l.checkpoint(), l.saver.wait()); err != nil {
		return nil, err
	}
	s, err := l.finish()
	if err != nil {
		return nil, err
	}
	return s, stopped
}
