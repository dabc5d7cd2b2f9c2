package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/prune"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

// metrics wires eval as the command does.
type metrics struct{}

var _ Evaluator = metrics{}

func (metrics) Evaluate(ctx context.Context, r Runner, b Batches, classes int) (Metrics, error) {
	res, err := eval.Evaluate(ctx, r, b, classes)
	if err != nil {
		return Metrics{}, err
	}
	return Metrics{Loss: res.Loss, Accuracy: res.Top1, Top5: res.Top5}, nil
}

func (metrics) CrossEntropy(dst, logits []float32, labels []int64, classes int) error {
	return eval.CrossEntropy(dst, logits, labels, classes)
}

func device(t testing.TB) *ortrun.Device {
	t.Helper()
	return ortest.CPU(t, 1)
}

func testOptions(t testing.TB, d *ortrun.Device, p parts) Options {
	t.Helper()
	o := Defaults()
	o.Bundle, o.BundleName, o.Data = softmaxBundle(t, p), "softmax", "blobs"
	o.Train, o.Test = blobs(t, 300, 1), blobs(t, 120, 2)
	o.Epochs, o.BatchSize, o.LearningRate, o.Seed = 4, 32, 0.1, 11
	o.Method = "none"
	o.Device, o.Evaluator = d, metrics{}
	o.Out = filepath.Join(t.TempDir(), "run")
	b := o.Bundle
	o.Export = func(state map[string]*onnx.Tensor) ([]byte, error) { return plainModel(b, state) }
	return o
}

func readEpochs(t *testing.T, dir string) []Epoch {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var out []Epoch
	for line := range bytes.Lines(text) {
		var e Epoch
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// timeless clears the fields that no seed repeats.
func timeless(epochs []Epoch) []Epoch {
	out := append([]Epoch{}, epochs...)
	for i := range out {
		e := &out[i]
		e.WallSeconds, e.StepSeconds, e.WaitSeconds, e.PruneSeconds, e.EvalSeconds = 0, 0, 0, 0, 0
	}
	return out
}

func exists(dir, name string) bool {
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
		parts        parts
		prune        prune.Options
		path         weightPath
	}{
		{"full", "none", parts{}, prune.Options{}, weightsOff},
		{"float images, soft labels", "none", parts{floatImages: true, softLabels: true}, prune.Options{}, weightsOff},
		{"sample weights", "infobatch", allParts, infobatch, weightsSample},
		{"losses from logits", "infobatch", parts{weights: true, logits: true}, infobatch, weightsSample},
		{"batch weights by sample weights", "infobatch", allParts, with(infobatch, prune.RescaleBatch), weightsMean},
		{"loss scale", "bls-infobatch", parts{lossScale: true}, bls, weightsScale},
		{"learning rate", "bls-infobatch", parts{}, bls, weightsRate},
		{"weights ignored", "infobatch", allParts, with(infobatch, prune.RescaleNone), weightsOff},
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
	var first []Epoch
	for i, workers := range []int{1, 3} {
		o := testOptions(t, d, parts{weights: true, random: true, perSample: true})
		o.Method, o.Workers = "infobatch", workers
		o.Augment = loader.Augment{CropPad: 1, HFlip: true}
		o.Train = augmented(t, o.Train, o.Augment)
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
		o := testOptions(t, d, allParts)
		src := &counting{blobRecords(t, 300, 1), make([]atomic.Int32, 300)}
		o.Train, o.Method, o.Epochs = plain(t, src), method, 6
		s, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(method, err)
		}
		reads := int64(0)
		for i := range src.reads {
			reads += int64(src.reads[i].Load())
		}
		if s.TrainSamplesUsed != reads {
			t.Errorf("%s: summary says %d samples, the source was read %d times", method, s.TrainSamplesUsed, reads)
		}
	}
}

// record keeps what a run reported, and may act on it.
type record struct {
	notices []string
	epochs  []Epoch
	on      func(Progress)
}

var _ Reporter = (*record)(nil)

func (r *record) Notice(text string) { r.notices = append(r.notices, text) }
func (r *record) Epoch(e Epoch)      { r.epochs = append(r.epochs, e) }
func (r *record) Progress(p Progress) {
	if r.on != nil {
		r.on(p)
	}
}

func TestAutoSaysWhatItTook(t *testing.T) {
	d := device(t)
	for _, c := range []struct {
		parts  parts
		scorer string
		says   string
	}{
		{parts{logits: true}, prune.ScorerDAS, "DAS"},
		{parts{perSample: true}, prune.ScorerDAS, "DAS"},
		{parts{}, prune.ScorerBLS, "BLS"},
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
		o := testOptions(t, d, parts{logits: true})
		rec := &record{}
		o.Method, o.Reporter, o.Epochs, o.Prune.Window = "das-infobatch", rec, 8, c.window
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(rec.notices, "\n"), c.says) {
			t.Errorf("window %d: notices %q lack %q", c.window, rec.notices, c.says)
		}
	}
	o := testOptions(t, d, parts{})
	o.Method = "infobatch"
	if _, err := Run(context.Background(), o); !errors.Is(err, prune.ErrNeedsLoss) {
		t.Errorf("per-sample method without per-sample losses: %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	d := device(t)
	for _, c := range []struct {
		method      string
		phase       string
		epoch, step int
		wantEpochs  int
		wantStep    string
	}{
		{"infobatch", PhaseTrain, 2, 3, 1, "3"},
		{"none", PhaseEval, 2, 1, 1, "10"},
		{"infobatch", PhaseTrain, 1, 1, 0, "1"},
		{"none", PhaseTrain, 1, 9, 0, "9"},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		o := testOptions(t, d, allParts)
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
		f, err := os.Open(filepath.Join(o.Out, CheckpointFile))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		state, meta, err := bundle.ReadSafetensors(f, info.Size())
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(state) != 4 || meta["epoch_step"] != c.wantStep || meta["format"] != CheckpointFormat || !exists(o.Out, CheckpointPruneFile) {
			t.Errorf("%+v: checkpoint of %d tensors, %v", c, len(state), meta)
		}
		scores, err := os.ReadFile(filepath.Join(o.Out, CheckpointPruneFile))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(scores); meta["prune_sha256"] != hex.EncodeToString(sum[:]) {
			t.Errorf("%+v: the checkpoint names another pruner state", c)
		}
		p := o.Prune
		p.Samples, p.Epochs, p.Seed, p.Scorer, p.Policy = o.Train.Len(), o.Epochs, o.Seed, s.Scorer, s.Policy
		pruner, err := prune.New(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := pruner.Load(bytes.NewReader(scores)); err != nil || pruner.Stats().Epoch != c.epoch {
			t.Errorf("%+v: the saved pruner is at epoch %d, %v", c, pruner.Stats().Epoch, err)
		}
		run, err := eval.ReadRun(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		if !run.Summary.Interrupted || len(run.Epochs) != c.wantEpochs || exists(o.Out, ModelFile) != (c.wantEpochs > 0) {
			t.Errorf("%+v: run folder %+v", c, run)
		}
		if sum := run.Summary; sum.SavedRatio < 0 || c.method == "none" && sum.TrainSamplesUsed != sum.TrainSamplesFull {
			t.Errorf("%+v: used %d of %d, saved %v", c, sum.TrainSamplesUsed, sum.TrainSamplesFull, sum.SavedRatio)
		}
		if c.wantEpochs > 0 && run.Summary.TestAccuracy != run.Epochs[c.wantEpochs-1].TestAccuracy {
			t.Errorf("%+v: the summary's accuracy is not the last epoch's", c)
		}
	}
}

func TestLossNotFinite(t *testing.T) {
	p := allParts
	p.nanBelow = 0.05
	o := testOptions(t, device(t), p)
	o.Schedule.Name, o.Schedule.DecayEpochs = Step, 1
	_, err := Run(context.Background(), o)
	if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "epoch 2, step 1") || !strings.Contains(err.Error(), "samples [") {
		t.Errorf("error %v", err)
	}
	if exists(o.Out, SummaryFile) || !exists(o.Out, CheckpointFile) || !exists(o.Out, ModelFile) || len(readEpochs(t, o.Out)) != 1 {
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
	o := testOptions(t, d, allParts)
	o.Epochs = 1
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrRunExists) {
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
	if len(entries) != len(runFiles) {
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
		p := allParts
		p.floatImages = float
		o := testOptions(t, d, p)
		s, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		run, err := eval.ReadRun(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		model, err := os.ReadFile(filepath.Join(o.Out, ModelFile))
		if err != nil {
			t.Fatal(err)
		}
		c := &run.Summary.Config
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
		res, err := eval.Evaluate(context.Background(), m, it, classes)
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
	o := testOptions(t, device(t), allParts)
	s, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.Out, SummaryFile))
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(`test_accuracy best_test_accuracy test_loss epochs train_samples_used train_samples_full
		saved_ratio wall_seconds step_seconds wait_seconds prune_seconds eval_seconds provider device layout
		onnxruntime_version seed scorer policy bundle data config`)
	for _, k := range want {
		if _, ok := tree[k]; !ok {
			t.Errorf("summary.json lacks %q", k)
		}
	}
	if len(tree) != len(want) {
		t.Errorf("summary.json has %d keys, want %d: %s", len(tree), len(want), text)
	}
	run, err := eval.ReadRun(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	r := run.Summary
	if r.TestAccuracy != s.TestAccuracy || r.TrainSamplesUsed != s.TrainSamplesUsed || r.WallSeconds != s.WallSeconds ||
		r.Config.Prune.Method != "none" || r.Config.ImageShape != [3]int64{1, side, side} {
		t.Errorf("eval reads %+v of %s", r, text)
	}
	if s.WallSeconds < s.StepSeconds+s.WaitSeconds+s.PruneSeconds+s.EvalSeconds {
		t.Errorf("the parts are longer than the whole: %+v", s)
	}
}
