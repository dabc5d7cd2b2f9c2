package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"winnow/eval"
	"winnow/loader"
	"winnow/prune"
	"winnow/run"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
	"winnow/train/schedule"
	"winnow/train/traintest"
)

func device(t testing.TB) *ortrun.Device {
	t.Helper()
	return ortest.CPU(t, 1)
}

func testOptions(t testing.TB, d *ortrun.Device, p traintest.Parts) Options {
	t.Helper()
	o := Defaults()
	o.Bundle, o.BundleName, o.Data = traintest.Bundle(t, p), "softmax", "blobs"
	o.Train, o.Test = traintest.Blobs(t, 300, 1), traintest.Blobs(t, 120, 2)
	o.Epochs, o.BatchSize, o.LearningRate, o.Seed = 4, 32, 0.1, 11
	o.Method = "none"
	o.Device = d
	o.Out = filepath.Join(t.TempDir(), "run")
	return o
}

func readEpochs(t *testing.T, dir string) []run.Epoch {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, run.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var out []run.Epoch
	for line := range bytes.Lines(text) {
		var e run.Epoch
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// timeless clears the fields that no seed repeats.
func timeless(epochs []run.Epoch) []run.Epoch {
	out := append([]run.Epoch{}, epochs...)
	for i := range out {
		e := &out[i]
		e.WallSeconds, e.StepSeconds, e.WaitSeconds, e.PruneSeconds, e.EvalSeconds = 0, 0, 0, 0, 0
	}
	return out
}

func has(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func TestRunAgainstPlainLoops(t *testing.T) {
	d := device(t)
	infobatch := prune.Options{Scorer: prune.ScorerLoss, Policy: prune.PolicyInfoBatch, Ratio: 0.5, Delta: 0.75}
	bls := infobatch
	bls.Scorer = prune.ScorerBLS
	for _, c := range []struct {
		name, method string
		parts        traintest.Parts
		prune        prune.Options
		path         weightPath
	}{
		{"full", "none", traintest.Parts{}, prune.Options{}, weightsOff},
		{"float images, soft labels", "none", traintest.Parts{FloatImages: true, SoftLabels: true}, prune.Options{}, weightsOff},
		{"sample weights", "infobatch", traintest.AllParts, infobatch, weightsSample},
		{"losses from logits", "infobatch", traintest.Parts{Weights: true, Logits: true}, infobatch, weightsSample},
		{"batch weights by sample weights", "infobatch", traintest.AllParts, with(infobatch, prune.RescaleBatch), weightsMean},
		{"loss scale", "bls-infobatch", traintest.Parts{LossScale: true}, bls, weightsScale},
		{"learning rate", "bls-infobatch", traintest.Parts{}, bls, weightsRate},
		{"weights ignored", "infobatch", traintest.AllParts, with(infobatch, prune.RescaleNone), weightsOff},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions(t, d, c.parts)
			o.Method, o.Prune = c.method, c.prune
			s, err := Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			losses, used := referenceRun(t, o, c.path, c.prune)
			epochs, sum := readEpochs(t, o.Out), 0
			if len(epochs) != o.Epochs {
				t.Fatalf("%d lines of metrics for %d epochs", len(epochs), o.Epochs)
			}
			for i, e := range epochs {
				if e.SamplesUsed != used[i] {
					t.Errorf("epoch %d used %d samples, want %d", e.Epoch, e.SamplesUsed, used[i])
				}
				if !(math.Abs(e.TrainLoss-losses[i]) <= 1e-5*losses[i]) {
					t.Errorf("epoch %d: train loss %v, want %v", e.Epoch, e.TrainLoss, losses[i])
				}
				sum += used[i]
			}
			full := int64(o.Epochs * o.Train.Len())
			if s.TrainSamplesUsed != int64(sum) || s.TrainSamplesFull != full || s.SavedRatio != 1-float64(sum)/float64(full) {
				t.Errorf("summary counts %d of %d, saved %v; want %d of %d", s.TrainSamplesUsed, s.TrainSamplesFull, s.SavedRatio, sum, full)
			}
			if c.method != "none" && s.SavedRatio < 0.05 {
				t.Errorf("saved %v: the case prunes nothing", s.SavedRatio)
			}
			if s.TestAccuracy < 0.6 {
				t.Errorf("test accuracy %v: nothing was learned", s.TestAccuracy)
			}
		})
	}
}

func with(p prune.Options, rescale string) prune.Options {
	p.Rescale = rescale
	return p
}

func TestSameSeedSameMetrics(t *testing.T) {
	d := device(t)
	var first []run.Epoch
	for i, workers := range []int{1, 3} {
		o := testOptions(t, d, traintest.Parts{Weights: true, Random: true, PerSample: true})
		o.Method, o.Workers = "infobatch", workers
		o.Augment = loader.Augment{CropPad: 1, HFlip: true}
		o.Train = traintest.Augmented(t, o.Train, o.Augment)
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		got := timeless(readEpochs(t, o.Out))
		if i == 0 {
			first = got
		} else if !reflect.DeepEqual(got, first) {
			t.Errorf("with %d workers %+v, with 1 %+v", workers, got, first)
		}
		o.Seed++
		o.Out += "-other"
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		if reflect.DeepEqual(timeless(readEpochs(t, o.Out)), first) {
			t.Error("another seed gives the same metrics")
		}
	}
}

// counting counts the reads of a source.
type counting struct {
	*loader.Memory
	reads []atomic.Int32
}

func (c *counting) Read(i uint32, r *loader.Record) error {
	c.reads[i].Add(1)
	return c.Memory.Read(i, r)
}

func TestSamplesAreCounted(t *testing.T) {
	d := device(t)
	for _, method := range []string{"none", "random", "infobatch", "bls-seta", "das-infobatch"} {
		o := testOptions(t, d, traintest.AllParts)
		src := &counting{traintest.BlobRecords(t, 300, 1), make([]atomic.Int32, 300)}
		o.Train, o.Method, o.Epochs = traintest.Plain(t, src), method, 6
		s, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(method, err)
		}
		reads := int64(0)
		for i := range src.reads {
			reads += int64(src.reads[i].Load())
		}
		if s.TrainSamplesUsed+sampledImages != reads {
			t.Errorf("%s: summary says %d samples, the source was read %d times", method, s.TrainSamplesUsed, reads)
		}
	}
}

// record keeps what a run reported, and may act on it.
type record struct {
	notices []string
	epochs  []run.Epoch
	on      func(Progress)
}

var _ Reporter = (*record)(nil)

func (r *record) Notice(text string) { r.notices = append(r.notices, text) }
func (r *record) Epoch(e run.Epoch)  { r.epochs = append(r.epochs, e) }
func (r *record) Progress(p Progress) {
	if r.on != nil {
		r.on(p)
	}
}

func TestAutoSaysWhatItTook(t *testing.T) {
	d := device(t)
	for _, c := range []struct {
		parts  traintest.Parts
		scorer string
		says   string
	}{
		{traintest.Parts{Logits: true}, prune.ScorerDAS, "DAS"},
		{traintest.Parts{PerSample: true}, prune.ScorerDAS, "DAS"},
		{traintest.Parts{}, prune.ScorerBLS, "BLS"},
	} {
		o := testOptions(t, d, c.parts)
		rec := &record{}
		o.Method, o.Reporter = "auto", rec
		s, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if s.Scorer != c.scorer || !strings.Contains(strings.Join(rec.notices, "\n"), c.says) {
			t.Errorf("%+v: scorer %s, notices %q", c.parts, s.Scorer, rec.notices)
		}
	}
	for _, c := range []struct {
		window int
		says   string
	}{{6, "until DAS begins, after epoch 6"}, {7, "DAS does not begin"}} { // the last pruned epoch is 7
		o := testOptions(t, d, traintest.Parts{Logits: true})
		rec := &record{}
		o.Method, o.Reporter, o.Epochs, o.Prune.Window = "das-infobatch", rec, 8, c.window
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(rec.notices, "\n"), c.says) {
			t.Errorf("window %d: notices %q lack %q", c.window, rec.notices, c.says)
		}
	}
	o := testOptions(t, d, traintest.Parts{})
	o.Method = "infobatch"
	if _, err := Run(context.Background(), o); !errors.Is(err, prune.ErrNeedsLoss) {
		t.Errorf("per-sample method without per-sample losses: %v", err)
	}
	for epochs, says := range map[int]bool{2: true, 3: false} {
		o, rec := testOptions(t, device(t), traintest.AllParts), &record{}
		o.Method, o.Epochs, o.Prune.Delta, o.Reporter = "infobatch", epochs, prune.DefaultDelta, rec
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.Join(rec.notices, "\n"), "nothing is left out") != says {
			t.Errorf("%d epochs: notices %q", epochs, rec.notices)
		}
	}
}

func TestInterrupted(t *testing.T) {
	d := device(t)
	for _, c := range []struct {
		method      string
		phase       string
		epoch, step int
		wantEpochs  int
		wantStep    int
	}{
		{"infobatch", PhaseTrain, 2, 3, 1, 3},
		{"none", PhaseEval, 2, 1, 1, 10},
		{"infobatch", PhaseTrain, 1, 1, 0, 1},
		{"none", PhaseTrain, 1, 9, 0, 9},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		o := testOptions(t, d, traintest.AllParts)
		o.Method = c.method
		o.Reporter = &record{on: func(p Progress) {
			if p.Phase == c.phase && p.Epoch == c.epoch && p.Step == c.step {
				cancel()
			}
		}}
		s, err := Run(ctx, o)
		cancel()
		if !errors.Is(err, context.Canceled) || s == nil || !s.Interrupted || s.Epochs != c.wantEpochs {
			t.Fatalf("%+v: %+v, %v", c, s, err)
		}
		f, at, notes, err := run.Resume(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		f.Release()
		if len(at.State) != 4 || at.Epoch != c.wantEpochs || at.Step != c.wantStep || len(notes) > 0 {
			t.Errorf("%+v: checkpoint of %d tensors at %s, %q", c, len(at.State), at.Name(), notes)
		}
		p := o.Prune
		p.Samples, p.Epochs, p.Seed, p.Scorer, p.Policy = o.Train.Len(), o.Epochs, o.Seed, s.Scorer, s.Policy
		pruner, err := prune.New(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := pruner.Load(bytes.NewReader(at.Pruner)); err != nil || pruner.Stats().Epoch != c.epoch {
			t.Errorf("%+v: the saved pruner is at epoch %d, %v", c, pruner.Stats().Epoch, err)
		}
		r, err := run.Read(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Summary.Interrupted || len(r.Epochs) != c.wantEpochs || has(o.Out, run.ModelFile) != (c.wantEpochs > 0) {
			t.Errorf("%+v: run folder %+v", c, r)
		}
		if sum := r.Summary; sum.SavedRatio < 0 || c.method == "none" && sum.TrainSamplesUsed != sum.TrainSamplesFull {
			t.Errorf("%+v: used %d of %d, saved %v", c, sum.TrainSamplesUsed, sum.TrainSamplesFull, sum.SavedRatio)
		}
		if c.wantEpochs > 0 && r.Summary.TestAccuracy != r.Epochs[c.wantEpochs-1].TestAccuracy {
			t.Errorf("%+v: the summary's accuracy is not the last epoch's", c)
		}
	}
}

func TestLossNotFinite(t *testing.T) {
	p := traintest.AllParts
	p.NaNBelow = 0.05
	o := testOptions(t, device(t), p)
	o.Schedule.Name, o.Schedule.DecayEpochs = schedule.Step, 1
	_, err := Run(context.Background(), o)
	if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "epoch 2, step 1") || !strings.Contains(err.Error(), "samples [") {
		t.Errorf("error %v", err)
	}
	if has(o.Out, run.SummaryFile) || !has(o.Out, filepath.Join(run.CheckpointDir, "1-0", "manifest.json")) || !has(o.Out, run.ModelFile) || len(readEpochs(t, o.Out)) != 1 {
		t.Error("the run folder is not that of one finished epoch")
	}
	o.Out += "-first"
	o.LearningRate = 0.01
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrNotFinite) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(o.Out); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a run without a finished epoch left its folder behind")
	}
}

func TestRunFolder(t *testing.T) {
	d := device(t)
	o := testOptions(t, d, traintest.AllParts)
	o.Epochs = 1
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), o); !errors.Is(err, run.ErrExists) {
		t.Errorf("second run: %v", err)
	}
	o.Overwrite, o.Epochs = true, 2
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if n := len(readEpochs(t, o.Out)); n != 2 {
		t.Errorf("%d lines of metrics after overwriting, want 2", n)
	}
	entries, err := os.ReadDir(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 5 {
		t.Errorf("run folder holds %v", entries)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{file, filepath.Join(file, "run")} {
		o.Out = out
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), out) {
			t.Errorf("out %q: %v", out, err)
		}
	}
}

func TestModelGivesTheSummarysAccuracy(t *testing.T) {
	d := device(t)
	for _, float := range []bool{false, true} {
		p := traintest.AllParts
		p.FloatImages = float
		o := testOptions(t, d, p)
		s, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		r, err := run.Read(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		model, err := os.ReadFile(filepath.Join(o.Out, run.ModelFile))
		if err != nil {
			t.Fatal(err)
		}
		c := &r.Summary.Config
		spec := eval.Spec{Images: s.Config.Model.Images, Logits: s.Config.Model.Logits, Float: float, ImageShape: c.ImageShape, Classes: int(c.Classes)}
		m, err := eval.OpenModel(d, model, spec, 50)
		if err != nil {
			t.Fatal(err)
		}
		l, err := loader.New(o.Test, loader.Options{BatchSize: 50})
		if err != nil {
			t.Fatal(err)
		}
		it, err := l.Epoch(context.Background(), 1, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := eval.Evaluate(context.Background(), m, it, traintest.Classes)
		if err != nil {
			t.Fatal(err)
		}
		if res.Top1 != s.TestAccuracy || !(math.Abs(res.Loss-s.TestLoss) <= 1e-6) {
			t.Errorf("model.onnx: accuracy %v, loss %v; summary.json: %v, %v", res.Top1, res.Loss, s.TestAccuracy, s.TestLoss)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSummaryKeys(t *testing.T) {
	o := testOptions(t, device(t), traintest.AllParts)
	s, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.Out, run.SummaryFile))
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(`test_accuracy best_test_accuracy test_loss epochs train_samples_used train_samples_full worst_class
		saved_ratio wall_seconds step_seconds wait_seconds prune_seconds eval_seconds provider device layout
		onnxruntime_version seed scorer policy bundle data data_sha256 config`)
	for _, k := range want {
		if _, ok := tree[k]; !ok {
			t.Errorf("summary.json lacks %q", k)
		}
	}
	if len(tree) != len(want) {
		t.Errorf("summary.json has %d keys, want %d: %s", len(tree), len(want), text)
	}
	r, err := run.Read(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	got := r.Summary
	if got.TestAccuracy != s.TestAccuracy || got.TrainSamplesUsed != s.TrainSamplesUsed || got.WallSeconds != s.WallSeconds ||
		got.Config.Prune.Method != "none" || got.Config.ImageShape != [3]int64{1, traintest.Side, traintest.Side} {
		t.Errorf("eval reads %+v of %s", got, text)
	}
	if s.WallSeconds < s.StepSeconds+s.WaitSeconds+s.PruneSeconds+s.EvalSeconds {
		t.Errorf("the parts are longer than the whole: %+v", s)
	}
}
