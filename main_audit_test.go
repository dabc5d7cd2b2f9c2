//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"codeberg.org/sbinet/npyio/npz"

	"winnow/audit"
	"winnow/datasets"
	"winnow/eval"
	"winnow/loader"
	runs "winnow/run"
	"winnow/runtime/ortest"
)

// noisyData is tinyData with wrong labels.
const noisyData = tinyData + ",noise=0.2"

type auditOutput struct {
	Ranking string
	Folds   int
	Issues  int `json:"label_issues"`
	Wrong   *audit.Decision
	Known   *audit.Decision `json:"known_wrong"`
	Ranks   []struct {
		Ranking string
		AUC     float64 `json:"roc_auc"`
		AP      float64 `json:"average_precision"`
	} `json:"rankings"`
	Note string
}

func auditJSON(t *testing.T, args ...string) (got auditOutput) {
	t.Helper()
	text, err := program(append([]string{"audit", "--device", "cpu", "--threads", "1", "-q", "--json"}, args...)...).Output()
	if err != nil {
		t.Fatal(err, string(text))
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func readNPZ[T any](t *testing.T, file, name string) (x []T) {
	t.Helper()
	z, err := npz.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := z.Read(name+".npy", &x); err != nil {
		t.Fatal(name, err)
	}
	return x
}

// What an audit tells is what its files say, and the wrong labels are those of
// the data's noise.
func TestAudit(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	winnow(t, "train", "--bundle", "mlp", "--data", noisyData, "--epochs", "12", "--prune", "das-full", "--prune-window", "5", "--device", "cpu", "--threads", "1", "-q", "-o", run).succeeds(t)
	got := auditJSON(t, run)
	if got.Ranking != "mean-loss" || len(got.Ranks) != 3 || got.Known == nil || !strings.Contains(got.Note, "test split is not audited") {
		t.Fatalf("%+v", got)
	}
	d, err := datasets.Open(noisyData, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	file := filepath.Join(run, "audit", "labels.npz")
	given, predicted, issues := readNPZ[int64](t, file, "given_label"), readNPZ[int64](t, file, "predicted_label"), readNPZ[bool](t, file, "is_label_issue")
	quality, suspicion, order := readNPZ[float32](t, file, "label_quality"), readNPZ[float32](t, file, "suspicion"), readNPZ[int64](t, file, "order")
	wrong := make([]bool, d.Train.Len())
	chosen, hits, total := 0, 0, 0
	for i := range wrong {
		wrong[i] = loader.TrueLabelOf(d.Train, uint32(i)) != d.Train.Target(uint32(i)).Class()
		if given[i] != d.Train.Target(uint32(i)).Class() {
			t.Fatalf("sample %d: given label %d", i, given[i])
		}
		if wrong[i] {
			total++
		}
		if issues[i] {
			chosen++
			if wrong[i] {
				hits++
			}
			if predicted[i] == given[i] {
				t.Errorf("sample %d is an issue and predicted as given", i)
			}
		}
	}
	if k := got.Known; k.Wrong != total || k.Chosen != chosen || got.Issues != chosen || math.Abs(k.Precision*float64(chosen)-float64(hits)) > 1e-9 || total == 0 || chosen == 0 {
		t.Errorf("%+v: want %d wrong, %d chosen, %d of both", k, total, chosen, hits)
	}
	if d := audit.Detect("", suspicion, wrong); d.ROCAUC != got.Ranks[0].AUC || d.AveragePrecision != got.Ranks[0].AP {
		t.Errorf("ranking of labels.npz: %+v, told %+v", d, got.Ranks[0])
	}

	// The CSV has the same, the most suspect first; das is that of winnow scores.
	text, err := os.ReadFile(filepath.Join(run, "audit", "labels.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != len(wrong)+1 {
		t.Fatal(err, len(rows))
	}
	column := map[string]int{}
	for k, name := range rows[0] {
		column[name] = k
	}
	scores := filepath.Join(dir, "scores.npz")
	winnow(t, "scores", run, "-o", scores).succeeds(t)
	das, means := readNPZ[float32](t, scores, "score"), readNPZ[float32](t, scores, "mean_loss")
	for k, row := range rows[1:] {
		i, err := strconv.Atoi(row[column["index"]])
		if err != nil || int64(i) != order[k] || k > 0 && suspicion[order[k-1]] < suspicion[i] {
			t.Fatalf("row %d is of sample %d, order has %d: %v", k, i, order[k], err)
		}
		for name, want := range map[string]float32{"label_quality": quality[i], "das": das[i], "mean_loss": means[i]} {
			x, err := strconv.ParseFloat(row[column[name]], 32)
			if err != nil && want == want || err == nil && float32(x) != want {
				t.Fatalf("sample %d: %s is %q, want %v", i, name, row[column[name]], want)
			}
		}
		if row[column["times_seen"]] != "12" {
			t.Fatalf("sample %d was seen %s times", i, row[column["times_seen"]])
		}
	}

	page, err := os.ReadFile(filepath.Join(run, "audit", "suspects.html"))
	if err != nil || strings.Count(string(page), "data:image/png;base64,") != 96 || !strings.Contains(string(page), "default-src 'none'") {
		t.Error("the gallery has not 96 pictures, or no policy", err)
	}
	gone := filepath.Join(dir, "gone")
	if err := os.CopyFS(gone, os.DirFS(run)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(gone, "checkpoints")); err != nil {
		t.Fatal(err)
	}
	if alone := auditJSON(t, gone); alone.Ranking != "self-confidence" || len(alone.Ranks) != 1 { // the model alone
		t.Errorf("without checkpoints: %+v", alone)
	}
	winnow(t, "audit", gone, "--by", "das").fails(t, exitInput, "das", "self-confidence")
	if by := auditJSON(t, run, "--by", "das"); by.Ranking != "das" { // replaces its own files
		t.Error(by.Ranking)
	}
	theirs := filepath.Join(dir, "theirs")
	if err := os.MkdirAll(theirs, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(theirs, "labels.csv"), []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	winnow(t, "audit", run, "-o", theirs).fails(t, exitUsage, "labels.csv")
	winnow(t, "audit", run, "--data", "glyphs:train=100,test=64").fails(t, exitInput, "100", "256")
	winnow(t, "audit", run, "--data", tinyData).fails(t, exitInput, "wrong on purpose", "--data")
	winnow(t, "audit", run, "--by", "x").fails(t, exitUsage, "--by", "mean-loss")
	winnow(t, "audit", run, "--folds", "1").fails(t, exitUsage, "--folds")
	winnow(t, "audit", dir).fails(t, exitInput, dir)
}

// Out of fold, each sample is judged by the model that was trained without it;
// what is trained is not trained again.
func TestAuditFolds(t *testing.T) {
	device := ortest.CPU(t, 1)
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	winnow(t, "train", "--bundle", "mlp", "--data", noisyData, "--epochs", "8", "--prune", "bls-infobatch", "--seed", "3", "--device", "cpu", "--threads", "1", "-q", "-o", run).succeeds(t)
	got := auditJSON(t, run, "--folds", "3")
	if got.Ranking != "self-confidence" || got.Folds != 3 || got.Known == nil {
		t.Fatalf("%+v", got)
	}
	file := filepath.Join(run, "audit", "labels.npz")
	quality, others := readNPZ[float32](t, file, "label_quality"), 0
	d, err := datasets.Open(noisyData, datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	fold, err := datasets.Folds(d.Train, 3)
	if err != nil {
		t.Fatal(err)
	}
	var before [3]os.FileInfo
	for k := range 3 {
		place := filepath.Join(run, "audit", "folds", "runs", "none-s3-f"+strconv.Itoa(k+1))
		r, err := runs.Read(place)
		if err != nil {
			t.Fatal(err)
		}
		in := 0
		for _, f := range fold {
			if f == k {
				in++
			}
		}
		if c := r.Summary.Config; c.Command.LeftOut != strconv.Itoa(k+1)+"/3" || c.TrainSamples != len(fold)-in || c.Seed != 3 || r.Summary.Policy != "full" || c.Epochs != 8 {
			t.Errorf("fold %d: %+v", k+1, c)
		}
		c, err := eval.OpenRun(place, "", func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		model, err := eval.OpenModel(device, c.Model, c.Spec, 16)
		if err != nil {
			t.Fatal(err)
		}
		src, err := loader.NewSource(d.Train, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := loader.New(src, loader.Options{BatchSize: 16})
		if err != nil {
			t.Fatal(err)
		}
		it, err := l.Epoch(context.Background(), 1, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = eval.Probabilities(context.Background(), model, it, c.Spec.Classes, func(i uint32, label int64, p []float32) {
			differs := math.Abs(float64(quality[i]-p[label])) > 1e-4
			if in := fold[i] == k; in && differs {
				t.Errorf("sample %d of fold %d has label quality %v, its model says %v", i, k+1, quality[i], p[label])
			} else if !in && differs {
				others++
			}
		})
		if err := errors.Join(err, it.Close(), model.Close()); err != nil {
			t.Fatal(err)
		}
		if before[k], err = os.Stat(filepath.Join(place, "summary.json")); err != nil {
			t.Fatal(err)
		}
	}
	if others < len(quality) {
		t.Errorf("the models of other folds say the same of all but %d samples", others)
	}
	auditJSON(t, run, "--folds", "3")
	for k, was := range before {
		now, err := os.Stat(filepath.Join(run, "audit", "folds", "runs", "none-s3-f"+strconv.Itoa(k+1), "summary.json"))
		if err != nil || !now.ModTime().Equal(was.ModTime()) {
			t.Errorf("fold %d was trained again: %v", k+1, err)
		}
	}
	winnow(t, "audit", run, "--folds", "2", "--device", "cpu", "-q").fails(t, exitUsage, "folds", "--out")
	leftOut := filepath.Join(run, "audit", "folds", "runs", "none-s3-f1")
	winnow(t, "audit", leftOut).fails(t, exitInput, "1/3")
	winnow(t, "train", "--bundle", "mlp", "--leave-out", "4/3", "-o", filepath.Join(dir, "x")).fails(t, exitUsage, "--leave-out")
}

// Data that lie elsewhere now are named by --data, for the models of the folds
// too; a class of one sample is one that its judge has never seen.
func TestAuditMovedData(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	was, now := filepath.Join(dir, "was"), filepath.Join(dir, "now")
	for i, class := range []string{"a", "a", "a", "b", "b", "b", "single"} {
		for _, part := range []string{"train", "test"} {
			m := image.NewGray(image.Rect(0, 0, 28, 28))
			for k := range m.Pix {
				m.Pix[k] = uint8(30*i + k%7)
			}
			var text bytes.Buffer
			if err := errors.Join(png.Encode(&text, m), os.MkdirAll(filepath.Join(was, part, class), 0o777),
				os.WriteFile(filepath.Join(was, part, class, strconv.Itoa(i)+".png"), text.Bytes(), 0o666)); err != nil {
				t.Fatal(err)
			}
		}
	}
	run := filepath.Join(dir, "run")
	begun := filepath.Join(dir, "begun") // where the run is begun, which is gone later
	if err := os.Mkdir(begun, 0o777); err != nil {
		t.Fatal(err)
	}
	train := program("train", "--bundle", "mlp", "--num-classes", "3", "--data", "folder:"+was, "--epochs", "1", "--prune", "none", "--device", "cpu", "--threads", "1", "-q", "-o", run)
	train.Dir = begun
	if text, err := train.CombinedOutput(); err != nil {
		t.Fatal(err, string(text))
	}
	if err := errors.Join(os.Remove(begun), os.Rename(was, now)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"audit", "report", "eval"} {
		winnow(t, command, run, "--device", "cpu").fails(t, exitInput, was, "--data")
	}
	t.Chdir(dir)
	for range 2 { // the second time the models are there
		cmd := program("audit", run, "--data", "folder:now", "--folds", "2", "--device", "cpu")
		text, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(text), "classes of one sample: single:") {
			t.Fatal(err, string(text))
		}
	}
}
