package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"winnow/onnx"
	"winnow/onnx/wire"
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
