package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	runs "winnow/run"
	"winnow/runtime/ortest"
)

// A run's options come from the run: a flag that says otherwise is refused by
// name, one that says the same or changes nothing of the result is taken.
func TestResumeFlags(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	winnow(t, tinyTrain(in("r"), "--epochs", "2", "--seed", "3", "--prune", "bls-infobatch", "--prune-ratio", "0.4", "--warmup-epochs", "1")...).succeeds(t)

	for _, c := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"--lr", "0.3"}, exitUsage, []string{"--lr 0.3", "started without", "--init"}},
		{[]string{"--seed", "4"}, exitUsage, []string{"--seed 4", "started with 3"}},
		{[]string{"--prune-ratio", "0.5"}, exitUsage, []string{"--prune-ratio 0.5", "0.4"}},
		{[]string{"--hflip"}, exitUsage, []string{"--hflip"}},
		{[]string{"--overwrite"}, exitUsage, []string{"--overwrite"}},
		{[]string{"--out", in("other")}, exitUsage, []string{"--out"}},
		{[]string{"--save-every", "2x", "--epochs", "3"}, exitUsage, []string{"save-every"}},
		{[]string{"--on-nan", "ignore", "--epochs", "3"}, exitUsage, []string{"on-nan", "rollback"}},
		{[]string{"--checkpoint-hist", "0", "--epochs", "3"}, exitUsage, []string{"checkpoint-hist"}},
		{[]string{"--data", "glyphs:train=65,test=32", "--epochs", "3"}, exitInput, []string{"data", "--init"}},
		{[]string{"--bundle", "lenet", "--epochs", "3"}, exitInput, []string{"bundle", "--init"}},
	} {
		winnow(t, append([]string{"train", "--resume", in("r")}, c.args...)...).fails(t, c.code, c.says...)
	}
	winnow(t, "train", "--resume", in("none")).fails(t, exitInput, in("none"), "no checkpoint")
	winnow(t, "train", "--resume", "auto", "--bundle", "mlp").fails(t, exitUsage, "--out")

	if o := winnow(t, "train", "--resume", in("r"), "--seed", "3"); o.code != exitDone || !strings.Contains(o.stderr, "is finished, with 2 epochs") {
		t.Errorf("a finished run: %+v", o)
	}
	if o := winnow(t, "train", "--resume", in("r"), "--epochs", "3", "--workers", "2"); o.code != exitDone || !strings.Contains(o.stderr, "3 epochs instead of 2") {
		t.Errorf("more epochs: %+v", o)
	}
	if o := winnow(t, "train", "--resume", in("r")); o.code != exitDone || !strings.Contains(o.stderr, "with 3 epochs") {
		t.Errorf("the epochs asked for last are the run's: %+v", o)
	}

	for _, args := range [][]string{nil, nil} { // starts, and finds that nothing is left to do
		winnow(t, append(tinyTrain(in("auto"), "--resume", "auto"), args...)...).succeeds(t)
	}
	winnow(t, tinyTrain(in("auto"), "--resume", "auto", "--lr", "0.3")...).fails(t, exitUsage, "--lr 0.3")
}

// First weights come from a run, its model, or its state by itself, and what
// does not fit is named.
func TestInit(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	winnow(t, tinyTrain(in("r"))...).succeeds(t)
	want, err := os.ReadFile(filepath.Join(in("r"), "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for i, from := range []string{in("r"), filepath.Join(in("r"), "model.onnx"), filepath.Join(in("r"), "checkpoints", "2-0", "state.safetensors")} {
		out := in(string(rune('a' + i)))
		winnow(t, tinyTrain(out, "--init", from, "--lr", "0")...).succeeds(t)
		if got, err := os.ReadFile(filepath.Join(out, "model.onnx")); err != nil || string(got) != string(want) {
			t.Errorf("from %s, after an epoch at rate 0: another model, %v", from, err)
		}
	}
	for _, none := range []string{in("none"), in("none.safetensors"), in(".")} {
		winnow(t, tinyTrain(in("no"), "--init", none)...).fails(t, exitInput, "--init", none, "no weights")
	}
	more := in("more.safetensors")
	f, err := os.Create(more)
	if err != nil {
		t.Fatal(err)
	}
	last, err := runs.Newest(in("r"))
	if err != nil {
		t.Fatal(err)
	}
	last.State["head.weight"] = onnx.FromFloat32([]float32{1}, 1)
	if err := errors.Join(bundle.WriteSafetensors(f, last.State, nil), f.Close()); err != nil {
		t.Fatal(err)
	}
	if o := winnow(t, tinyTrain(in("extra"), "--init", more)...); o.code != exitDone || !strings.Contains(o.stderr, `4 tensors, and 1 more in it that the bundle does not have, such as "head.weight"`) {
		t.Errorf("%+v", o)
	}
	winnow(t, "train", "--bundle", "lenet", "--data", tinyData, "--out", in("no"), "--device", "cpu", "--init", in("r")).fails(t, exitInput, "lenet", "needs")
	winnow(t, tinyTrain(in("r"), "--overwrite", "--init", in("r"))...).fails(t, exitUsage, "--init", "--out")
}

// idxFiles makes a data set of n training and n test images of 28x28 in a folder.
func idxFiles(t *testing.T, dir string, n int) string {
	t.Helper()
	for _, split := range []string{"train", "t10k"} {
		pixels, labels := make([]byte, n*28*28), make([]byte, n)
		for i := range pixels {
			pixels[i] = byte(i * i >> 3)
		}
		for i := range labels {
			labels[i] = byte(i % 10)
		}
		write(t, filepath.Join(dir, split+"-images-idx3-ubyte"), append([]byte{0, 0, 8, 3, 0, 0, byte(n >> 8), byte(n), 0, 0, 0, 28, 0, 0, 0, 28}, pixels...))
		write(t, filepath.Join(dir, split+"-labels-idx1-ubyte"), append([]byte{0, 0, 8, 1, 0, 0, byte(n >> 8), byte(n)}, labels...))
	}
	return dir
}

// A run whose data was named by a relative path goes on, and is evaluated, from
// any folder, and its records are those of a run that stayed where it was.
func TestResumeElsewhere(t *testing.T) {
	ortest.CPU(t, 1)
	home, away := t.TempDir(), t.TempDir()
	idxFiles(t, filepath.Join(home, "images"), 64)
	args := func(out string, more ...string) []string {
		return append([]string{"train", "--bundle", "mlp", "--data", "idx:images", "--out", out, "--device", "cpu", "--threads", "1", "-q"}, more...)
	}
	t.Chdir(home)
	winnow(t, args("whole", "--epochs", "2")...).succeeds(t)
	winnow(t, args("run", "--epochs", "1")...).succeeds(t)
	t.Chdir(away)
	run := filepath.Join(home, "run")
	winnow(t, "train", "--resume", run, "--epochs", "2", "-q").succeeds(t)
	winnow(t, "eval", run, "--device", "cpu").succeeds(t)
	for _, dir := range []string{run, filepath.Join(home, "whole")} {
		if text, err := os.ReadFile(filepath.Join(dir, "summary.json")); err != nil || !strings.Contains(string(text), `"data": "idx:`+home+`/images"`) {
			t.Errorf("%s: %v, %s", dir, err, text)
		}
	}
	winnow(t, "train", "--resume", run, "--epochs", "3", "--data", "idx:images").fails(t, exitInput, "images") // typed here, so it begins here
}
