package train

import (
	"context"
	"errors"
	"strings"
	"testing"

	"winnow/run"
	"winnow/train/schedule"
	"winnow/train/traintest"
)

// poisoned is a run whose loss is NaN where the learning rate is below 0.05: in
// the second epoch of a schedule that halves it.
func poisoned(t *testing.T, mode string) Options {
	t.Helper()
	p := traintest.AllParts
	p.NaNBelow = 0.05
	o := testOptions(t, device(t), p)
	o.Schedule.Name, o.Schedule.DecayEpochs, o.Schedule.DecayRate = schedule.Step, 1, 0.5
	o.Epochs, o.LearningRate, o.OnNaN = 2, 0.09, mode
	return o
}

// A step whose loss is not finite leaves the state from before it, saved.
func TestNaNStops(t *testing.T) {
	o := poisoned(t, OnNaNStop)
	_, err := Run(context.Background(), o)
	if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "epoch 2, step 1") || !strings.Contains(err.Error(), "0.045") || !strings.Contains(err.Error(), "--resume") {
		t.Fatal(err)
	}
	f, c, _, err := run.Resume(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	f.Release()
	if c.Name() != "1-0" || notFiniteIn(o.Bundle, c.State) != "" {
		t.Errorf("checkpoint %s", c.Name())
	}
	o = poisoned(t, OnNaNSkip)
	o.BatchSize = 16 // 19 steps an epoch
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "step 11,") || strings.Contains(err.Error(), "--on-nan skip") {
		t.Errorf("ten steps in a row are left out, and then: %v", err)
	}
}

// Skipped steps train on nothing: the state is that from before them, and the
// pruner hears nothing.
func TestNaNSkips(t *testing.T) {
	o := poisoned(t, OnNaNSkip)
	o.BatchSize = 64 // five steps an epoch, fewer than what is given up after
	rec := &record{}
	o.Reporter = rec
	s, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	one := poisoned(t, OnNaNStop)
	one.BatchSize, one.Epochs = 64, 1
	if _, err := Run(context.Background(), one); err != nil {
		t.Fatal(err)
	}
	got, want := outcomeOf(t, o.Out), outcomeOf(t, one.Out)
	for name, data := range want.state {
		if string(got.state[name]) != string(data) {
			t.Errorf("state %q is not that from before the skipped steps", name)
		}
	}
	if s.TrainSamplesUsed != 300 || len(got.epochs) != 2 || got.epochs[1].SamplesUsed != 0 || len(rec.notices) < 5 {
		t.Errorf("%+v, %+v, %q", s.Result, got.epochs, rec.notices)
	}
}

// A rollback halves the learning rate from the last checkpoint on, and gives up
// where that does not help.
func TestNaNRollsBack(t *testing.T) {
	o := poisoned(t, OnNaNRollback)
	rec := &record{}
	o.Reporter = rec
	_, err := Run(context.Background(), o)
	backs := 0
	for _, n := range rec.notices {
		if strings.Contains(n, "back to the last checkpoint") {
			backs++
		}
	}
	if !errors.Is(err, ErrNotFinite) || backs != maxRollbacks {
		t.Errorf("%d rollbacks, %v", backs, err)
	}
}

// Where half the rate is low enough, the run goes on from the last checkpoint
// as one that had that rate from there on.
func TestNaNRollbackHelps(t *testing.T) {
	p := traintest.AllParts
	p.NaNAbove = 0.05
	o := testOptions(t, device(t), p)
	o.Method = "infobatch"
	o.Schedule.WarmupEpochs, o.Schedule.WarmupLR, o.LearningRate = 2, 0.01, 0.08 // over the limit in the second epoch
	o.OnNaN, o.Every = OnNaNRollback, Every{Epochs: 1}
	s, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	epochs := readEpochs(t, o.Out)
	if s.Epochs != 4 || len(epochs) != 4 || epochs[1].LearningRate > 0.05 || epochs[1].LearningRate < 0.03 {
		t.Errorf("%+v, %+v", s.Result, epochs)
	}
	f, c, _, err := run.Resume(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	f.Release()
	if c.NaN.Rollbacks != 1 || c.NaN.RateScale != 0.5 {
		t.Errorf("%+v", c.NaN)
	}
}
