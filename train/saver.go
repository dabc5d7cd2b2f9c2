package train

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"winnow/internal/guard"
	"winnow/run"
)

// DefaultKeep is how many checkpoints are kept.
const DefaultKeep = 2

// Every says when a checkpoint is due; 0 is never.
type Every struct {
	Epochs, Steps int
	Time          time.Duration
}

// DefaultEvery is every epoch, and every ten minutes within one.
func DefaultEvery() Every { return Every{Epochs: 1, Time: 10 * time.Minute} }

// String is as ParseEvery reads it.
func (e Every) String() string {
	var parts []string
	if e.Epochs > 0 {
		parts = append(parts, strconv.Itoa(e.Epochs)+"e")
	}
	if e.Steps > 0 {
		parts = append(parts, strconv.Itoa(e.Steps)+"s")
	}
	if e.Time > 0 {
		parts = append(parts, strconv.Itoa(int(e.Time/time.Minute))+"m")
	}
	return strings.Join(parts, ",")
}

// maxEvery bounds each number of Every.
const maxEvery = 1 << 30

// ParseEvery reads numbers of epochs (e, or no letter), steps (s) and minutes
// (m) with commas between: "1e,10m".
func ParseEvery(text string) (Every, error) {
	var e Every
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		number, unit := strings.TrimRight(part, "esm"), "e"
		if len(number) < len(part) {
			unit = part[len(number):]
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > maxEvery {
			return e, optionError("save-every", "%q, want numbers of epochs, steps or minutes, such as 1e,500s,10m", text)
		}
		switch unit {
		case "e":
			e.Epochs = n
		case "s":
			e.Steps = n
		case "m":
			e.Time = time.Duration(n) * time.Minute
		default:
			return e, optionError("save-every", "%q: want e, s or m behind a number", text)
		}
	}
	return e, nil
}

// saver writes checkpoints beside the training, one at a time.
type saver struct {
	every  Every
	keep   int
	last   time.Time  // when one was taken
	config bool       // config.yaml is written
	busy   chan error // of the one that is being written; nil for none
}

// wait ends when no checkpoint is being written, with what became of it.
func (s *saver) wait() error {
	if s.busy == nil {
		return nil
	}
	err := <-s.busy
	s.busy = nil
	return err
}

// failed is the error of a write that has ended, without waiting for one.
func (s *saver) failed() error {
	select {
	case err := <-s.busy: // blocks where it is nil
		s.busy = nil
		return err
	default:
		return nil
	}
}

// due is whether a checkpoint is to be taken after a step of the run.
func (s *saver) due(step int64, now time.Time) bool {
	return s.every.Steps > 0 && step%int64(s.every.Steps) == 0 || s.every.Time > 0 && now.Sub(s.last) >= s.every.Time
}

// afterStep takes a checkpoint where one is due. An earlier run that has not
// given way yet gets none beside it.
func (l *loop) afterStep() error {
	if err := l.saver.failed(); err != nil {
		return err
	}
	if !l.saver.due(l.counts.step, time.Now()) || l.staged {
		return nil
	}
	return l.checkpoint()
}

// checkpoint takes one: the state is copied here, and written while training
// goes on.
func (l *loop) checkpoint() error {
	if !l.o.Job.leads() {
		return nil
	}
	if err := l.saver.wait(); err != nil {
		return err
	}
	if err := l.saveConfig(); err != nil {
		return err
	}
	state, err := l.graphs.read()
	if err != nil {
		return err
	}
	var pruner bytes.Buffer
	if err := l.pruning.Save(&pruner); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	c := &run.Checkpoint{Position: l.position(), State: state, Pruner: pruner.Bytes()}
	if c.Metrics, err = l.folder.Metrics(c.Epoch); err != nil {
		return err
	}
	c.NaN.Skipped = slices.Clone(c.NaN.Skipped)
	l.saver.last = time.Now()
	busy := make(chan error, 1)
	l.saver.busy = busy
	guard.Go(func() error {
		if bad := notFiniteIn(l.o.Bundle, state); bad != "" {
			return fmt.Errorf("train: epoch %d, after step %d: %w: %s; a lower --lr may help", c.Epoch+1, c.Step, ErrNotFiniteState, bad)
		}
		return l.folder.Save(c, l.saver.keep)
	}, func(err error) { busy <- err })
	return nil
}

// saveConfig writes what the run was asked for, once, before its first checkpoint.
func (l *loop) saveConfig() error {
	if l.o.Config == nil || l.saver.config {
		return nil
	}
	l.saver.config = true
	return l.folder.WriteBytes(run.ConfigFile, l.o.Config)
}

// position is where the run stands.
func (l *loop) position() run.Position {
	n, now := &l.counts, time.Now()
	p := run.Position{
		Format: run.CheckpointFormat, Epoch: l.summary.Epochs, Step: n.epochStep, GlobalStep: n.step, FullDone: n.fullDone,
		Result: l.summary.Result, BestEpoch: l.bestEpoch, Seconds: l.clock.seconds(now.Sub(l.began)), NaN: l.nan,
		Identity: l.identity, Versions: run.Versions{Winnow: l.o.Version, Go: runtime.Version()}, Place: l.summary.Place,
		Scorer: l.summary.Scorer, Policy: l.summary.Policy, Config: l.summary.Config, Typed: l.o.Typed,
	}
	p.Result.TrainSamplesUsed, p.Result.TrainSamplesFull = n.used, n.full()
	p.Result.SavedRatio = savedRatio(n.used, n.full())
	if l.o.Bad != nil {
		p.Bad = l.o.Bad.List()
	}
	if n.epochStep > 0 {
		p.Open = run.OpenEpoch{SamplesUsed: n.epochUsed, LossSum: l.open.lossSum, Scalars: slices.Clone(l.open.scalars), LearningRate: l.open.rate, PrunerEnded: l.open.ended,
			Seconds: l.clock.minus(l.open.clock).seconds(now.Sub(l.open.began))}
	}
	return p
}
