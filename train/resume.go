package train

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"winnow/onnx/bundle"
	"winnow/run"
)

// takeFolder takes the run folder. Of a run that goes on it gives the
// checkpoint to go on from.
func (l *loop) takeFolder() (c *run.Checkpoint, err error) {
	o := &l.o
	if path := filepath.Join(o.Out, run.StopFile); exists(path) {
		return nil, optionError("out", "%q is there, which tells a run to stop; remove it first", path)
	}
	if !o.Resume {
		l.folder, err = run.Open(o.Out, o.Source, o.Overwrite)
		return nil, err
	}
	var notes []string
	if l.folder, c, notes, err = run.Resume(o.Out); err != nil {
		return nil, err
	}
	for _, note := range notes {
		l.noticef("train: %s; the one before it is taken", note)
	}
	if err := l.continues(&c.Position); err != nil {
		return nil, err
	}
	l.noticef("goes on from checkpoint %s: %d of %d epochs and %d steps of the next are done", c.Name(), c.Epoch, o.Epochs, c.Step)
	return c, nil
}

// continues refuses a checkpoint that these options, this bundle or this data
// do not belong to, and says what is not as it was.
func (l *loop) continues(p *run.Position) error {
	o := &l.o
	if p.Config.Epochs > o.Epochs {
		return optionError("epochs", "%d, and the run has %d: fewer cannot be asked for", o.Epochs, p.Config.Epochs)
	}
	if p.Identity.Bundle != l.identity.Bundle {
		return fmt.Errorf("train: %w: bundle %q is not the one that the run was started with; --init %s starts a new run from its weights", ErrBadData, o.BundleName, o.Out)
	}
	if p.Identity.Data != l.identity.Data {
		return fmt.Errorf("train: %w: data %q is not what the run was started with: its sizes, labels or images have changed; --init %s starts a new run from its weights", ErrBadData, o.Data, o.Out)
	}
	if name, was, is := difference(p.Config, l.summary.Config); name != "" {
		return optionError(name, "the run was started with %s, now it is %s; what a run means stays as it was, and --init starts a new one from its weights", was, is)
	}
	if o.Epochs > p.Config.Epochs {
		l.noticef("train: %d epochs instead of %d: schedule %s and pruning follow the new end from epoch %d on; an unbroken run of %d epochs would have had other learning rates before",
			o.Epochs, p.Config.Epochs, o.Schedule.Name, p.Epoch+1, o.Epochs)
	}
	if p.Versions.Winnow != o.Version {
		l.noticef("train: the checkpoint is of version %q, this is %q", p.Versions.Winnow, o.Version)
	}
	return nil
}

// difference names the first option that is not as it was. The number of
// epochs, and what has no effect on the result, are not looked at, nor what bundle
// and data are known by.
func difference(was, is run.Config) (name, a, b string) {
	fields := func(c run.Config) map[string]json.RawMessage {
		c.Epochs, c.Workers, c.Prefetch, c.Command = 0, 0, 0, nil
		c.Source, c.Model, c.TrainSamples, c.TestSamples = bundle.Source{}, run.ModelConfig{}, 0, 0 // of bundle and data
		text, err := json.Marshal(c)
		if err != nil {
			return nil
		}
		var m, inner map[string]json.RawMessage
		_ = json.Unmarshal(text, &m) // of what was just written
		for _, group := range []string{"sched", "prune", "augment", "opt"} {
			_ = json.Unmarshal(m[group], &inner)
			for k, v := range inner {
				m[group+"."+k] = v
			}
			delete(m, group)
			inner = nil
		}
		return m
	}
	x, y := fields(was), fields(is)
	all := maps.Clone(x)
	maps.Copy(all, y)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if !bytes.Equal(x[k], y[k]) {
			return k, cmp.Or(string(x[k]), "nothing"), cmp.Or(string(y[k]), "nothing")
		}
	}
	return "", "", ""
}

// restore makes the run stand where a checkpoint was taken.
func (l *loop) restore(c *run.Checkpoint) error {
	if l.o.Job.leads() {
		if err := l.folder.Begin(c); err != nil {
			return err
		}
	}
	if err := l.graphs.write(c.State); err != nil {
		return err
	}
	if err := l.pruning.LoadOf(c.Config.Epochs, bytes.NewReader(c.Pruner)); err != nil {
		return fmt.Errorf("train: checkpoint %s of %q: %w", c.Name(), l.o.Out, err)
	}
	if l.o.Bad != nil {
		l.o.Bad.Put(c.Bad)
	}
	now := time.Now()
	l.began = now.Add(-seconds(c.Seconds.WallSeconds))
	l.clock = clockOf(c.Seconds)
	l.summary.Result, l.bestEpoch, l.nan = c.Result, c.BestEpoch, c.NaN
	l.counts = counts{used: c.Result.TrainSamplesUsed, fullDone: c.FullDone, step: c.GlobalStep, epochStep: c.Step, epochUsed: c.Open.SamplesUsed}
	l.open = open{}
	if c.Step > 0 {
		l.open = open{lossSum: c.Open.LossSum, scalars: l.newScalars(), rate: c.Open.LearningRate, ended: c.Open.PrunerEnded,
			began: now.Add(-seconds(c.Open.WallSeconds)), clock: l.clock.minus(clockOf(c.Open.Seconds))}
	}
	copy(l.open.scalars, c.Open.Scalars)
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func clockOf(s run.Seconds) clock {
	return clock{wait: seconds(s.WaitSeconds), steps: seconds(s.StepSeconds), pruning: seconds(s.PruneSeconds), evals: seconds(s.EvalSeconds)}
}
