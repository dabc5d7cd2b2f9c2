package train

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

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
	graphs  graphs
	pruning pruning
	input   input
	output  ortrun.StepOutput
	counts  counts
	clock   clock
	summary run.Summary
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
	if err := checkData(&l.o); err != nil {
		return nil, err
	}
	if err := l.setupPruning(); err != nil {
		return nil, err
	}
	if l.folder, err = run.Open(o.Out, o.Source, o.Overwrite); err != nil {
		return nil, err
	}
	defer l.folder.Release()
	defer func() { err = errors.Join(err, l.graphs.close()) }()
	if err := l.setup(); err != nil {
		return nil, err
	}
	for epoch := 1; epoch <= o.Epochs; epoch++ {
		if err := l.epoch(ctx, epoch); err != nil {
			if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
				return nil, err
			}
			return l.interrupted(ctx, epoch)
		}
	}
	return l.finish()
}

// finish writes the summary.
func (l *loop) finish() (*run.Summary, error) {
	s := &l.summary
	s.Seconds = l.clock.seconds(time.Since(l.began))
	s.TrainSamplesUsed, s.TrainSamplesFull = l.counts.used, l.counts.full()
	s.SavedRatio = savedRatio(s.TrainSamplesUsed, s.TrainSamplesFull)
	if l.o.Bad != nil {
		s.BadCount, s.BadSamples = l.o.Bad.Count(), l.o.Bad.List()
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
	stopped := fmt.Errorf("train: interrupted in epoch %d after %d steps: %w", epoch, l.counts.epochStep, context.Cause(ctx))
	if l.folder.Staged() {
		l.noticef("train: no epoch is finished, so %q keeps the earlier run", l.o.Out)
		return nil, stopped
	}
	l.summary.Interrupted = true
	state, err := l.graphs.read()
	if err != nil {
		return nil, err
	}
	if err := l.checkpoint(state, epoch-1); err != nil {
		return nil, err
	}
	s, err := l.finish()
	if err != nil {
		return nil, err
	}
	return s, stopped
}
