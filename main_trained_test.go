package main

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/wire"
	"winnow/runtime/ortest"
)

// vectors is a model of images [N, 1, 28, 28] that normalises [N, 8], with a
// mask that is no weight and a factor that may be one.
func vectors(t *testing.T) string {
	r := rand.New(rand.NewPCG(1, 1))
	weights := func(dims ...int64) *onnx.Tensor {
		x := onnx.NewTensor(onnx.Float32, dims...)
		v := x.Float32s()
		for i := range v {
			v[i] = float32(0.05 * r.NormFloat64())
		}
		return onnx.FromFloat32(v, dims...)
	}
	same := func(v float32) *onnx.Tensor {
		return onnx.FromFloat32([]float32{v, v, v, v, v, v, v, v}, 8)
	}
	node := func(op, out string, in ...string) *onnx.Node {
		return &onnx.Node{Name: "/" + out, Op: op, Inputs: in, Outputs: []string{out}}
	}
	m := &onnx.Model{IRVersion: 8, Opset: 18, Graph: &onnx.Graph{
		Name:    "vectors",
		Inputs:  []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("N")}, onnx.ShapeOf(1, 28, 28)...)}},
		Outputs: []onnx.Value{{Name: "y", DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("N")}, onnx.ShapeOf(10)...)}},
		Initializers: map[string]*onnx.Tensor{"w": weights(784, 8), "h": weights(8, 10), "gate": weights(8), "mask": onnx.FromFloat32([]float32{1, 0, 1, 1, 1, 1, 0, 1}, 8),
			"scale": same(1), "shift": same(0), "mean": same(0.5), "var": same(2)},
		Nodes: []*onnx.Node{node("Flatten", "a", "x"), node("MatMul", "b", "a", "w"), node("BatchNormalization", "c", "b", "scale", "shift", "mean", "var"),
			node("Mul", "d", "c", "mask"), node("Mul", "e", "d", "gate"), node("MatMul", "y", "e", "h")},
	}}
	data, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(t.TempDir(), "vectors.onnx"), data)
}

// A last sample joins the batch before it, where the batch alone normalises:
// the running variance is that of one batch, 0.9 of what it was and 0.1 of the
// batch's, and not pulled to 0 by a batch without a variance.
func TestNormOfOneSample(t *testing.T) {
	ortest.CPU(t, 1)
	model, dir := vectors(t), t.TempDir()
	variance := func(batch string) []float32 {
		out := filepath.Join(dir, batch)
		winnow(t, "train", "--bundle", model, "--data", tinyData, "--limit-train", "17", "--limit-test", "8", "--epochs", "1", "--lr", "0",
			"--prune", "none", "--device", "cpu", "--threads", "1", "--batch-size", batch, "--out", out).succeeds(t)
		m, err := wire.Read(filepath.Join(out, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		return m.Graph.Initializers["var"].Float32s()
	}
	joined, whole := variance("16"), variance("17")
	for i, v := range joined {
		if v != whole[i] || v < 0.9*2 {
			t.Errorf("running variance %v after batches of 16 and 1, %v after one of 17", joined, whole)
			break
		}
	}
	winnow(t, "train", "--bundle", model, "--data", tinyData, "--batch-size", "1", "--device", "cpu", "--out", filepath.Join(dir, "one")).
		fails(t, exitUsage, "batch-size", "--batch-size 2")
}

// What is trained, what is not, and why, is said; flags settle it, and are refused where they change nothing.
func TestTrainedTensorsAreListed(t *testing.T) {
	ortest.CPU(t, 1)
	model, dir := vectors(t), t.TempDir()
	var r struct {
		Tensors []struct{ Name, State, Role, Why string }
	}
	if err := json.Unmarshal([]byte(winnow(t, "inspect", model, "--json").succeeds(t).stdout), &r); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, x := range r.Tensors {
		states[x.Name] = x.State
	}
	for name, want := range map[string]string{"w": "trained", "gate": "trained", "mask": "fixed", "mean": "running", "scale": "trained"} {
		if states[name] != want {
			t.Errorf("%s is %q, want %s", name, states[name], want)
		}
	}
	for _, word := range []string{"mask", "factor", "requires_grad", "--freeze"} {
		if o := winnow(t, "inspect", model).succeeds(t); !strings.Contains(o.stdout, word) {
			t.Errorf("no %q in\n%s", word, o.stdout)
		}
	}
	out := filepath.Join(dir, "b")
	o := winnow(t, "export", model, "-o", out).succeeds(t)
	for _, word := range []string{"6,376 parameters in 5 tensors (1 tensor of 8 values stay as they are)", `"gate" [8] (factor)`, "--freeze REGEX", "1 BatchNormalization in evaluation mode"} {
		if !strings.Contains(o.stdout+o.stderr, word) {
			t.Errorf("no %q in\n%s%s", word, o.stdout, o.stderr)
		}
	}
	if o := winnow(t, "inspect", out).succeeds(t); !strings.Contains(o.stdout, "Left as they are") {
		t.Errorf("no mask in\n%s", o.stdout)
	}
	run := []string{"train", "--bundle", model, "--data", tinyData, "--limit-train", "16", "--limit-test", "8", "--epochs", "1", "--device", "cpu", "--threads", "1", "--out"}
	o = winnow(t, append(run, filepath.Join(dir, "r"), "--train", "mask", "--freeze", "^(w|mean)$")...).succeeds(t)
	if want := "112 parameters in 5 tensors"; !strings.Contains(o.stderr+o.stdout, want) {
		t.Errorf("no %q in\n%s%s", want, o.stdout, o.stderr)
	}
	for _, flags := range [][]string{{"--freeze", "^nothing$"}, {"--train", "^nothing$"}, {"--train", "^var$"}, {"--freeze-norm-stats"}, {"--freeze", "("}, {"--train", "("}} {
		winnow(t, append([]string{"export", model, "-o", filepath.Join(dir, "c")}, flags...)...).fails(t, exitUsage, flags[0])
	}
	winnow(t, "train", "--bundle", out, "--data", tinyData, "--freeze", "^w$", "--out", filepath.Join(dir, "d")).fails(t, exitUsage, "--freeze", "export it again")
}
