//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	runs "winnow/run"
	"winnow/runtime/mpi/mpitest"
)

// cudaFlags put a run on the GPU that WINNOW_TEST_CUDA=1 says is there, in full
// float32, with no node on the CPU. WINNOW_TEST_CUDA=cpu tries the tests
// themselves: on one thread, which adds in another order than several.
func cudaFlags(t *testing.T) []string {
	t.Helper()
	switch os.Getenv("WINNOW_TEST_CUDA") {
	case "1":
		return []string{"--device", "cuda:0", "--tf32=false", "--strict-device"}
	case "cpu":
		return []string{"--device", "cpu", "--threads", "1", "--layout", "nchwc"}
	}
	t.Skip("needs an NVIDIA GPU: set WINNOW_TEST_CUDA=1, or run `make test-cuda`")
	return nil
}

// cudaRun trains and gives the epochs.
func cudaRun(t *testing.T, out string, args ...string) []runs.Epoch {
	t.Helper()
	winnow(t, slices.Concat([]string{"train", "--quiet", "--report=false", "--out", out}, args)...).succeeds(t)
	r, err := runs.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	return r.Epochs
}

// epochsAgree holds the losses of two runs against each other.
func epochsAgree(t *testing.T, what string, got, want []runs.Epoch, tolerance float64) {
	t.Helper()
	worst := 0.0
	for i, w := range want {
		if i >= len(got) || got[i].Steps != w.Steps || got[i].SamplesUsed != w.SamplesUsed {
			t.Fatalf("%s: epoch %d has other steps or samples", what, i+1)
		}
		for _, pair := range [][2]float64{{got[i].TrainLoss, w.TrainLoss}, {got[i].TestLoss, w.TestLoss}} {
			d := math.Abs(pair[0]-pair[1]) / max(math.Abs(pair[1]), 0.1)
			if worst = max(worst, d); !(d <= tolerance) {
				t.Errorf("%s: epoch %d: loss %v, want %v", what, i+1, pair[0], pair[1])
			}
		}
	}
	t.Logf("%s: %d epochs, losses within %.2g", what, len(want), worst)
}

// cudaTolerance is how far losses of 20 steps may be from the CPU's, relative to
// them: float32 sums in another order, through batch normalisation too.
const cudaTolerance = 1e-3

// Twenty steps of one batch and of four, of classes, masks and of a model with
// its own loss, have the CPU's losses; and where no batch normalisation is, four
// batches have those of one.
func TestCUDATrainsAsTheCPU(t *testing.T) {
	gpu := cudaFlags(t)
	cpu := []string{"--device", "cpu", "--layout", "portable"}
	const sizes = "train=64,test=32"
	common := []string{"--epochs", "10", "--prune", "none", "--seed", "5", "--lr", "0.01"}
	for _, c := range []struct {
		name string
		args []string
		same bool // in parts as whole
	}{
		{"lenet", []string{"--bundle", "lenet", "--data", "glyphs:" + sizes}, true},
		{"resnet8", []string{"--bundle", "resnet8", "--data", "glyphs:" + sizes}, false},
		{"unet", []string{"--bundle", "unet", "--data", "glyphs:task=mask," + sizes, "--batch-loss-only"}, false},
		{"detector", []string{"--bundle", filepath.Join("onnx", "export", "testdata", "detect.onnx"), "--loss", "none", "--data", "glyphs:task=boxes,size=32," + sizes}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			args := slices.Concat(common, c.args)
			one := []string{"--batch-size", "32"}
			whole := cudaRun(t, filepath.Join(dir, "gpu"), slices.Concat(args, one, gpu)...)
			epochsAgree(t, "whole steps", whole, cudaRun(t, filepath.Join(dir, "cpu"), slices.Concat(args, one, cpu)...), cudaTolerance)
			if first, last := whole[0].TrainLoss, whole[len(whole)-1].TrainLoss; !(last < first) {
				t.Errorf("the loss went from %v to %v", first, last)
			}
			four := []string{"--batch-size", "8", "--accum", "4"}
			parts := cudaRun(t, filepath.Join(dir, "gpu-parts"), slices.Concat(args, four, gpu)...)
			epochsAgree(t, "steps of four batches", parts, cudaRun(t, filepath.Join(dir, "cpu-parts"), slices.Concat(args, four, cpu)...), cudaTolerance)
			if c.same {
				epochsAgree(t, "four batches as one", parts, whole, 1e-4)
			}
		})
	}
}

// A run on the GPU that is killed goes on with the losses that it would have
// had, but for the order of sums on the GPU.
func TestCUDARunsGoOn(t *testing.T) {
	gpu := cudaFlags(t)
	dir := t.TempDir()
	args := slices.Concat([]string{"--bundle", "lenet", "--data", "glyphs:train=512,test=64", "--epochs", "12", "--batch-size", "8", "--accum", "2", "--prune", "none",
		"--seed", "3", "--lr", "0.005", "--save-every", "1e,7s", "--checkpoint-hist", "100", "--crop-pad", "1"}, gpu)
	whole := cudaRun(t, filepath.Join(dir, "whole"), args...)
	out := filepath.Join(dir, "run")
	cmd := program(slices.Concat([]string{"train", "--quiet", "--report=false", "--out", out}, args)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, filepath.Join(out, runs.CheckpointDir, "2-13")) // within the third epoch
	_ = cmd.Process.Kill()                                       // it may have ended meanwhile, which the next line finds
	if err := cmd.Wait(); err == nil {
		t.Fatalf("the run ended before it was killed: %s", stderr.String())
	}
	winnow(t, "train", "--quiet", "--resume", out).succeeds(t)
	r, err := runs.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	epochsAgree(t, "after a kill", r.Epochs, whole, cudaTolerance)
}

// Two ranks that share a GPU train as one process does: the same plans, and
// losses within rounding.
func TestCUDAJobs(t *testing.T) {
	gpu := cudaFlags(t)
	for _, l := range mpitest.Launchers(t) {
		t.Run(l.Name, func(t *testing.T) {
			dir := t.TempDir()
			args := slices.Concat([]string{"--bundle", "lenet", "--data", "glyphs:train=512,test=64", "--epochs", "5", "--batch-size", "32", "--prune", "infobatch",
				"--seed", "3", "--lr", "0.01"}, gpu)
			one, both := filepath.Join(dir, "one"), filepath.Join(dir, "both")
			want := cudaRun(t, one, args...)
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			defer cancel()
			out, err := jobProgram(ctx, t, l, 2, slices.Concat([]string{"train", "--report=false", "--out", both}, args)...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "2 processes") {
				t.Fatalf("%v: %s", err, out)
			}
			r, err := runs.Read(both)
			if err != nil {
				t.Fatal(err)
			}
			epochsAgree(t, "two ranks", r.Epochs, want, 1e-4)
			if a, b := keptSamples(t, one), keptSamples(t, both); !slices.Equal(a, b) {
				t.Error("the plans differ")
			}
		})
	}
}

// keptSamples are the samples of every plan of a run, as winnow scores has them.
func keptSamples(t *testing.T, run string) []string {
	t.Helper()
	o := winnow(t, "scores", run).succeeds(t)
	rows, err := csv.NewReader(strings.NewReader(o.stdout)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for i, name := range rows[0] {
		if !strings.HasPrefix(name, "kept_") {
			continue
		}
		for _, row := range rows[1:] {
			kept = append(kept, fmt.Sprint(name, " ", row[0], " ", row[i]))
		}
	}
	if len(kept) < len(rows) {
		t.Fatalf("%d marks of plans in %d rows", len(kept), len(rows))
	}
	return kept
}
