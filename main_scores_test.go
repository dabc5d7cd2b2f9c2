package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"codeberg.org/sbinet/npyio/npz"

	"winnow/eval"
	runs "winnow/run"
	"winnow/runtime/ortest"
)

// The times that samples were taken add up to the samples that the run used,
// and both files say the same.
func TestScores(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	winnow(t, trainMLP(run, "--epochs", "6", "--prune", "infobatch", "--prune-delta", "1", "-q")...).succeeds(t)
	r, err := runs.Read(run)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(winnow(t, "scores", run).succeeds(t).stdout)).ReadAll()
	if err != nil || len(rows) != 257 {
		t.Fatal(err, len(rows))
	}
	column := map[string]int{}
	for k, name := range rows[0] {
		column[name] = k
	}
	file := filepath.Join(dir, "s.npz")
	winnow(t, "scores", run, "-o", file).succeeds(t)
	z, err := npz.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var scores []float32
	var taken []uint16
	if err := z.Read("score.npy", &scores); err != nil {
		t.Fatal(err)
	}
	if err := z.Read("taken.npy", &taken); err != nil {
		t.Fatal(err)
	}
	all, kept := 0, 0
	var plans [6]int
	for i, row := range rows[1:] {
		n, err := strconv.Atoi(row[column["taken"]])
		if err != nil || n != int(taken[i]) {
			t.Fatalf("sample %d taken %d times, %d in npz: %v", i, n, taken[i], err)
		}
		all += n
		if row[column["kept"]] == "1" {
			kept++
		}
		times := 0
		for e := range plans {
			if row[column[fmt.Sprintf("kept_%d", e+1)]] == "1" {
				plans[e]++
				times++
			}
		}
		if mean := row[column["mean_loss"]]; times != n || (mean == "") != (n == 0) {
			t.Fatalf("sample %d is in %d plans, taken %d times; mean loss %q", i, times, n, mean)
		}
		if x, err := strconv.ParseFloat(row[column["score"]], 32); err != nil || float32(x) != scores[i] {
			t.Fatalf("sample %d has score %v, %v in npz: %v", i, x, scores[i], err)
		}
	}
	if last := r.Epochs[5].SamplesUsed; int64(all) != r.Summary.TrainSamplesUsed || kept != last || last == 256 {
		t.Errorf("taken %d times, %d kept in the last epoch; the run used %d and %d", all, kept, r.Summary.TrainSamplesUsed, last)
	}

	for e, n := range plans {
		if n != r.Epochs[e].SamplesUsed {
			t.Errorf("epoch %d: %d samples in its plan, %d used", e+1, n, r.Epochs[e].SamplesUsed)
		}
	}

	winnow(t, "scores", dir).fails(t, exitInput, dir, "checkpoint")
	winnow(t, "scores", run, "-o", "x.txt").fails(t, exitUsage, ".npz")
	other := filepath.Join(dir, "notes.csv")
	if err := os.WriteFile(other, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	winnow(t, "scores", run, "-o", other).fails(t, exitUsage, "notes.csv")
}

// Two models on the same samples: what one alone has right is what their
// accuracies differ by.
func TestEvalAgainst(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	one, other := filepath.Join(dir, "one"), filepath.Join(dir, "other")
	winnow(t, trainMLP(one, "--epochs", "8", "-q")...).succeeds(t)
	winnow(t, trainMLP(other, "--seed", "3", "-q")...).succeeds(t)
	var r struct {
		Samples int
		Rate    float64 `json:"samples_per_second"`
		Top1    float64
		Against struct {
			Top1      float64
			Samples   int
			OnlyThis  int `json:"only_this"`
			OnlyOther int `json:"only_other"`
			P         float64
		}
	}
	text := winnow(t, "eval", one, "--against", other, "--json", "--device", "cpu").succeeds(t).stdout
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	a := r.Against
	if got, want := float64(a.OnlyThis-a.OnlyOther)/64, r.Top1-a.Top1; r.Samples != 64 || !(r.Rate > 0) || a.Samples != 64 || got != want || a.OnlyThis+a.OnlyOther == 0 ||
		a.P != eval.McNemar(a.OnlyThis, a.OnlyOther) {
		t.Errorf("%s", text)
	}
	winnow(t, "eval", one, "--against", dir, "--device", "cpu").fails(t, exitInput, dir)
	winnow(t, "eval", one, "--against", "unet", "--device", "cpu").fails(t, exitUsage, "--against", `"unet"`)
	winnow(t, "eval", "unet", "--data", "glyphs:task=mask,train=8,test=8", "--against", one, "--device", "cpu").fails(t, exitUsage, "--against", `"unet"`)
}
