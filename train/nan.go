package train

import (
	"errors"
	"fmt"

	"winnow/loader"
)

// What is done where a loss is not finite.
const (
	OnNaNStop     = "stop"     // end the run, with the state from before the step saved
	OnNaNSkip     = "skip"     // take the step back and leave its batch out
	OnNaNRollback = "rollback" // go back to the last checkpoint, with half the learning rate from there
)

// OnNaNNames lists the names that Saving.OnNaN takes.
func OnNaNNames() []string { return []string{OnNaNStop, OnNaNSkip, OnNaNRollback} }

// Bounds of what is tried before a run is given up.
const (
	maxSkips     = 10 // steps in a row
	maxRollbacks = 5
)

// errRollback asks for the last checkpoint.
var errRollback = errors.New("go back to the last checkpoint")

// stepNotFinite deals with a step whose loss is not finite: its batch was
// skipped where the error is nil.
func (l *loop) stepNotFinite(epoch, step int, rate float64, b *loader.Batch) error {
	problem := l.notFinite(&l.output, epoch, step, rate, b)
	l.graphs.state.Undo()
	if l.stateNotFinite() != "" { // the state that the step began with is the fault
		l.graphs.state.Undo()
		return l.rollBack(problem)
	}
	switch {
	case l.o.OnNaN == OnNaNSkip && !l.skippedTooMany():
		l.noticef("%v: the step is left out", problem)
		l.nan.Skipped = append(l.nan.Skipped, l.counts.step)
		l.counts.stepped(0)
		return nil
	case l.o.OnNaN == OnNaNRollback:
		return l.rollBack(problem)
	case l.staged || l.counts.step == 0: // nothing to go on from
		return agreed{problem}
	}
	if err := errors.Join(l.checkpoint(), l.saver.wait()); err != nil {
		return errors.Join(problem, err)
	}
	if l.o.OnNaN == OnNaNSkip {
		return agreed{fmt.Errorf("%w; the %d steps before it are left out, so the run ends, with the state before it saved", problem, maxSkips)}
	}
	return agreed{fmt.Errorf("%w; the state before it is saved, and winnow train --resume %s --on-nan skip goes on without that step", problem, l.o.Out)}
}

// rollBack asks for the last checkpoint where that is wanted and not yet tried
// too often.
func (l *loop) rollBack(problem error) error {
	if l.o.OnNaN != OnNaNRollback || l.nan.Rollbacks >= maxRollbacks {
		return agreed{problem}
	}
	if err := l.saver.wait(); err != nil {
		return errors.Join(problem, err)
	}
	if l.o.Job.leads() {
		if _, err := l.folder.Newest(); err != nil {
			return errors.Join(problem, err)
		}
	}
	l.noticef("%v: back to the last checkpoint, at half the learning rate", problem)
	return errRollback
}

// skippedTooMany is whether the last steps were all left out.
func (l *loop) skippedTooMany() bool {
	n := len(l.nan.Skipped)
	return n >= maxSkips && l.nan.Skipped[n-maxSkips] == l.counts.step-maxSkips
}

// rolledBack takes the run to the newest checkpoint.
func (l *loop) rolledBack() error {
	c, err := l.newest()
	if err != nil {
		return err
	}
	nan := l.nan
	if err := l.restore(c); err != nil {
		return err
	}
	l.nan.Rollbacks = nan.Rollbacks + 1
	l.nan.RateScale = nan.RateScale / 2
	return nil
}
