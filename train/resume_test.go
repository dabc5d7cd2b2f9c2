package train

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/run"
	"winnow/train/schedule"
	"winnow/train/traintest"
)

// outcome is all of a run's result that its seed decides.
type outcome struct {
	model, pruner []byte
	epochs        []run.Epoch
	result        run.Result
	state         map[string][]byte
}

func outcomeOf(t *testing.T, dir string) outcome {
	t.Helper()
	r, err := run.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(filepath.Join(dir, run.ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	f, c, _, err := run.Resume(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.Release()
	o := outcome{model, c.Pruner, timeless(r.Epochs), r.Summary.Result, map[string][]byte{}}
	for name, s := range c.State {
		o.state[name] = s.Data
	}
	return o
}

// stopAfter is a reporter that cancels after so many steps of all phases.
func stopAfter(steps int, cancel func()) Reporter {
	return &record{on: func(p Progress) {
		if p.Step > 0 {
			if steps--; steps == 0 {
				cancel()
			}
		}
	}}
}

// A run that is interrupted again and again, at any step of any phase, and goes
// on with another number of workers, ends as one that never was: parameters,
// plans and metrics to the bit, under every scorer and policy.
func TestResumedRunsAreTheSame(t *testing.T) {
	d := device(t)
	for i, method := range []string{"none", "random", "static", "infobatch", "seta", "bls-infobatch", "bls-seta", "das-infobatch", "das-seta", "epsilon-greedy", "ucb", "repb", "bls-repb"} {
		t.Run(method, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(i), 5))
			options := func() Options {
				o := testOptions(t, d, traintest.Parts{Weights: true, Random: true, PerSample: true})
				o.Method, o.Epochs, o.Prune.Window, o.LearningRate = method, 6, 3, 0.05
				o.Train, o.Test = traintest.Blobs(t, 200, 1), traintest.Blobs(t, 60, 2)
				o.Unaugmented = o.Train
				o.Train = traintest.Augmented(t, o.Train, loader.Augment{CropPad: 1, HFlip: true})
				if strings.HasPrefix(method, "das") {
					o.Reference = "holdout:0.1"
				}
				return o
			}
			resumesAlike(t, random, options)
		})
	}
}

// resumesAlike interrupts a run at random until it is done, and holds it against
// one that never was.
func resumesAlike(t *testing.T, random *rand.Rand, options func() Options) {
	t.Helper()
	whole := options()
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Every = Every{Steps: 3}
	interruptions := 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		o.Reporter = stopAfter(1+random.IntN(15), cancel)
		o.Workers = 1 + random.IntN(3)
		_, err := Run(ctx, o)
		cancel()
		if err == nil {
			break
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		interruptions++
		o.Resume = true
	}
	if interruptions < 3 {
		t.Fatalf("%d interruptions", interruptions)
	}
	want, got := outcomeOf(t, whole.Out), outcomeOf(t, o.Out)
	for name, data := range want.state {
		if !bytes.Equal(got.state[name], data) {
			t.Errorf("state %q differs after %d interruptions", name, interruptions)
		}
	}
	if !bytes.Equal(got.model, want.model) || !bytes.Equal(got.pruner, want.pruner) {
		t.Error("the model or the plans differ")
	}
	if !reflect.DeepEqual(got.epochs, want.epochs) || !reflect.DeepEqual(got.result, want.result) {
		t.Errorf("metrics %+v %+v\nwant %+v %+v", got.epochs, got.result, want.epochs, want.result)
	}
}

// interruptedRun is a run stopped in its second epoch.
func interruptedRun(t *testing.T, change func(*Options)) Options {
	t.Helper()
	o := testOptions(t, device(t), traintest.AllParts)
	o.Method = "infobatch"
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Reporter = &record{on: func(p Progress) {
		if p.Phase == PhaseTrain && p.Epoch == 2 && p.Step == 3 {
			cancel()
		}
	}}
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	o.Reporter, o.Resume = nil, true
	return o
}

// What would change the meaning of a run is refused by name, and the run stays
// as it was; what would not is taken.
func TestResumeRefuses(t *testing.T) {
	o := interruptedRun(t, nil)
	for name, c := range map[string]struct {
		change func(*Options)
		is     error
		says   string
	}{
		"rate":     {func(o *Options) { o.LearningRate = 0.2 }, ErrOptions, `"lr"`},
		"schedule": {func(o *Options) { o.Schedule.Name = schedule.Step }, ErrOptions, "sched.name"},
		"pruning":  {func(o *Options) { o.Prune.Ratio = 0.25 }, ErrOptions, "prune.ratio"},
		"seed":     {func(o *Options) { o.Seed++ }, ErrOptions, "seed"},
		"epochs":   {func(o *Options) { o.Epochs = 3 }, ErrOptions, "epochs"},
		"data":     {func(o *Options) { o.Train = traintest.Blobs(t, 300, 3) }, ErrBadData, "data"},
		"bundle": {func(o *Options) {
			o.Bundle = traintest.Bundle(t, traintest.Parts{Weights: true, PerSample: true, Logits: true})
		},
			ErrBadData, "bundle"},
		"no run": {func(o *Options) { o.Out = t.TempDir() }, run.ErrNothing, "no checkpoint"},
	} {
		changed := o
		c.change(&changed)
		if _, err := Run(context.Background(), changed); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if s, err := run.Read(o.Out); err != nil || !s.Summary.Interrupted {
			t.Fatalf("%s: the run is no longer what it was: %v", name, err)
		}
	}
	rec := &record{}
	o.Epochs, o.Workers, o.Reporter = 6, 3, rec
	s, err := Run(context.Background(), o)
	if err != nil || s.Epochs != 6 || s.Interrupted || len(readEpochs(t, o.Out)) != 6 {
		t.Errorf("more epochs: %+v, %v", s, err)
	}
	if notices := strings.Join(rec.notices, "\n"); !strings.Contains(notices, "6 epochs instead of 4") {
		t.Errorf("notices %q", notices)
	}
}

// A checkpoint that is not whole is passed over for the one before it.
func TestResumeOfDamagedCheckpoints(t *testing.T) {
	whole := testOptions(t, device(t), traintest.AllParts)
	whole.Method = "infobatch"
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	want := outcomeOf(t, whole.Out)
	for _, file := range []string{"state.safetensors", "pruner", "position.json", "manifest.json"} {
		for _, damage := range []string{"flip", "cut", "gone"} {
			o := interruptedRun(t, nil)
			path := filepath.Join(o.Out, run.CheckpointDir, "1-3", file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			switch damage {
			case "flip":
				data[len(data)/2] ^= 1
				err = os.WriteFile(path, data, 0o644)
			case "cut":
				err = os.WriteFile(path, data[:len(data)/2], 0o644)
			case "gone":
				err = os.Remove(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			rec := &record{}
			o.Reporter = rec
			if _, err := Run(context.Background(), o); err != nil {
				t.Errorf("%s, %s: %v", file, damage, err)
			} else if got := outcomeOf(t, o.Out); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: another outcome", file, damage)
			} else if !strings.Contains(strings.Join(rec.notices, "\n"), "checkpoint 1-3") {
				t.Errorf("%s, %s: notices %q", file, damage, rec.notices)
			}
		}
	}
}

// The newest checkpoints are kept, and the best; nothing that no run wrote goes.
func TestCheckpointsAreThinned(t *testing.T) {
	o := testOptions(t, device(t), traintest.AllParts)
	o.Epochs, o.Keep = 8, 2
	mine := filepath.Join(o.Out, run.CheckpointDir, "2-0", "mine")
	o.Reporter = &record{on: func(p Progress) {
		if p.Epoch == 4 && p.Phase == PhaseTrain && p.Step == 1 {
			if err := errors.Join(os.MkdirAll(filepath.Dir(mine), 0o755), os.WriteFile(mine, []byte("mine"), 0o644)); err != nil {
				t.Error(err)
			}
		}
	}}
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	best, top := 0, -1.0
	for _, e := range readEpochs(t, o.Out) {
		if e.TestAccuracy > top {
			best, top = e.Epoch, e.TestAccuracy
		}
	}
	want := map[string]bool{"2-0": true, "7-0": true, "8-0": true, (&run.Position{Epoch: best}).Name(): true}
	entries, err := os.ReadDir(filepath.Join(o.Out, run.CheckpointDir))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, e := range entries {
		got[e.Name()] = true
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("checkpoints %v, want %v", got, want)
	}
	if data, err := os.ReadFile(mine); err != nil || string(data) != "mine" {
		t.Errorf("a file of the user's: %q, %v", data, err)
	}
}

// RUN/stop ends a run as Ctrl-C does.
func TestStopFile(t *testing.T) {
	o := testOptions(t, device(t), traintest.AllParts)
	o.Epochs = 60000
	done := false
	o.Reporter = &record{on: func(p Progress) {
		if p.Epoch == 2 && !done {
			done = true
			if err := os.WriteFile(filepath.Join(o.Out, run.StopFile), nil, 0o644); err != nil {
				t.Error(err)
			}
		}
	}}
	s, err := Run(context.Background(), o)
	if !errors.Is(err, context.Canceled) || s == nil || !s.Interrupted || !strings.Contains(err.Error(), run.StopFile) {
		t.Fatalf("%+v, %v", s, err)
	}
	o.Resume = true
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), run.StopFile) {
		t.Errorf("a run that is told to stop: %v", err)
	}
}

func TestParseEvery(t *testing.T) {
	for text, want := range map[string]string{"1e,10m": "1e,10m", "3": "3e", "500s": "500s", " 2m , 7s": "7s,2m"} {
		if e, err := ParseEvery(text); err != nil || e.String() != want {
			t.Errorf("%q: %v, %v", text, e, err)
		}
	}
	for _, text := range []string{"", "0", "-1e", "e", "1x", "1es", "1,", "99999999999999999999"} {
		if e, err := ParseEvery(text); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: %v, %v", text, e, err)
		}
	}
}
