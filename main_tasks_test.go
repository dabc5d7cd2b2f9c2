package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"winnow/onnx"
	"winnow/onnx/wire"
	runs "winnow/run"
	"winnow/runtime/ortest"
)

// A shipped model takes another number of outputs, its last layer drawn from the
// run's seed and the rest as it ships.
func TestShippedModelForOtherOutputs(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	weights := func(seed string) map[string]*onnx.Tensor {
		out := filepath.Join(dir, seed)
		winnow(t, "train", "--bundle", "mlp", "--num-classes", "3", "--data", "glyphs:task=pose,train=32,test=8", "--loss", "mse", "--epochs", "1", "--lr", "0",
			"--prune", "none", "--device", "cpu", "--threads", "1", "--seed", seed, "--overwrite", "--out", out).succeeds(t)
		m, err := wire.Read(filepath.Join(out, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Graph.Outputs[0].Shape; len(got) != 2 || got[1] != onnx.Const(3) {
			t.Fatalf("scores %v, want [N, 3]", got)
		}
		return m.Graph.Initializers
	}
	one, again, two := weights("1"), weights("1"), weights("2")
	w := one["output.weight"]
	if w == nil || w.Len() != 3*256 {
		t.Fatalf("the last layer's weights are %v", w)
	}
	for name := range one {
		if !bytes.Equal(one[name].Data, again[name].Data) {
			t.Errorf("%s: a seed gives two sets of numbers", name)
		}
	}
	if bytes.Equal(w.Data, two["output.weight"].Data) {
		t.Error("two seeds give one last layer")
	}
	winnow(t, "train", "--bundle", "mlp", "--output", "x", "--data", "glyphs").fails(t, 2, "--output", "made already")
}

// A run and a bundle of a model with its own loss are evaluated by it, wherever
// the command is given.
func TestEvalOfAnOwnLoss(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	model, err := os.ReadFile(filepath.Join("onnx", "export", "testdata", "detect.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	file, out := write(t, filepath.Join(dir, "detect.onnx"), model), filepath.Join(dir, "run")
	const data = "glyphs:task=boxes,size=32,train=32,test=20"
	winnow(t, "train", "--bundle", file, "--loss", "none", "--data", data, "--epochs", "2", "--lr", "0.01", "--batch-size", "8",
		"--prune", "none", "--device", "cpu", "--threads", "1", "--out", out).succeeds(t)
	r, err := runs.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	loss := func(args ...string) float64 {
		t.Helper()
		o := winnow(t, append([]string{"eval", "--json", "--batch-size", "8", "--device", "cpu", "--threads", "1"}, args...)...).succeeds(t)
		var report struct {
			Loss    float64
			Samples int
			Metrics map[string]float64
		}
		if err := json.Unmarshal([]byte(o.stdout), &report); err != nil || report.Samples != 20 {
			t.Fatalf("%v: %s", err, o.stdout)
		}
		if want := math.Exp(-report.Loss); report.Metrics["exp(-loss)"] != want {
			t.Errorf("score %v, want %v", report.Metrics, want)
		}
		return report.Loss
	}
	if got := loss(out); got != r.Summary.TestLoss {
		t.Errorf("loss %v, the run had %v", got, r.Summary.TestLoss)
	}
	bundle := filepath.Join(dir, "bundle")
	winnow(t, "export", file, "--loss", "none", "-o", bundle).succeeds(t)
	if first := loss(bundle, "--data", data); first <= r.Summary.TestLoss {
		t.Errorf("loss %v of the first weights, %v after training", first, r.Summary.TestLoss)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	winnow(t, "eval", out).fails(t, 3, "detect.onnx", "the loss of the bundle")
}
