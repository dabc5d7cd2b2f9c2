package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"winnow/onnx/bundle"
	"winnow/runtime/ortest"
)

// TestTune goes the way of a tuned bundle: exported, trained with, tuned
// again from the cache, made from one that ships.
func TestTune(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	model := write(t, in("lenet.onnx"), lenet(t))
	flags := []string{"--batch-size", "16", "--device", "cpu", "--threads", "1", "--tune-cache", in("tune.json")}
	with := func(args ...string) []string { return append(args, flags...) }

	text := winnow(t, with("export", model, "-o", in("b"), "--tune")...).succeeds(t).stdout
	if !strings.Contains(text, "5 gradients tuned on CPU") || !strings.Contains(text, "Conv filter") {
		t.Errorf("export --tune does not say what was chosen:\n%s", text)
	}
	manifest := func(name string) bundle.Manifest {
		b, err := bundle.OpenPath(in(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Validate(); err != nil {
			t.Error(err)
		}
		return b.Manifest
	}
	first := manifest("b").Tuned
	if first == nil || first.Provider != "CPUExecutionProvider" || first.BatchSize != 16 || first.Threads != 1 || len(first.Choices) != 5 {
		t.Fatalf("tuned %+v", first)
	}
	for _, c := range first.Choices {
		if len(c.Milliseconds) < 2 {
			t.Errorf("%s: %v", c.Key, c.Milliseconds)
		}
	}
	if text := winnow(t, "inspect", in("b")).succeeds(t).stdout; !strings.Contains(text, "Tuned") || !strings.Contains(text, first.Choices[0].Key) {
		t.Errorf("inspect does not show it:\n%s", text)
	}
	winnow(t, "train", "--bundle", in("b"), "--data", "glyphs:train=64,test=32", "--epochs", "1", "--batch-size", "16", "--device", "cpu",
		"--prune", "none", "-o", in("run")).succeeds(t)

	// The times in the cache become such as no run gives, and come back.
	cache, err := os.ReadFile(in("tune.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tree struct {
		Format string                               `json:"format"`
		Places map[string]map[string]map[string]any `json:"places"`
	}
	if err := json.Unmarshal(cache, &tree); err != nil {
		t.Fatal(err)
	}
	for _, cases := range tree.Places {
		for _, c := range cases {
			for form := range c["ms"].(map[string]any) {
				c["ms"].(map[string]any)[form] = 12345
			}
		}
	}
	if cache, err = json.Marshal(tree); err != nil {
		t.Fatal(err)
	}
	write(t, in("tune.json"), cache)
	winnow(t, with("tune", in("b"))...).succeeds(t)
	second := manifest("b").Tuned
	for i, c := range second.Choices {
		if c.Key != first.Choices[i].Key || c.Milliseconds[c.Form] != 12345 {
			t.Errorf("%s: %v is not what the cache holds", c.Key, c.Milliseconds)
		}
	}
	winnow(t, with("tune", in("b"), "--retune")...).succeeds(t)
	if c := manifest("b").Tuned.Choices[0]; c.Milliseconds[c.Form] == 12345 {
		t.Error("--retune takes times from the cache")
	}
	winnow(t, with("tune", in("b"), "--layout", "portable", "-o", in("p"))...).succeeds(t)
	if m := manifest("p"); m.Tuned.Layout != "portable" || !reflect.DeepEqual(m.Blocked, manifest("b").Blocked) {
		t.Errorf("layout %q, blocked %v", m.Tuned.Layout, m.Blocked)
	}
	winnow(t, with("tune", "mlp", "-o", in("mlp"))...).succeeds(t)

	bad := in("bad")
	winnow(t, "tune", "mlp").fails(t, exitUsage, "--out")
	winnow(t, "tune", "models/shipped/lenet.zip").fails(t, exitUsage, "--out")
	winnow(t, "tune", in("nothing"), "-o", bad).fails(t, exitInput, "nothing")
	winnow(t, "tune", "mlp", "-o", in("p")).fails(t, exitUsage, "--overwrite")
	winnow(t, "tune", "mlp", "-o", bad, "--batch-size", "0").fails(t, exitUsage, "--batch-size 0")
	winnow(t, "tune", "mlp", "-o", bad, "--device", "tpu").fails(t, exitUsage, "tpu")
	winnow(t, "tune", "mlp", "-o", bad, "--layout", "nhwc").fails(t, exitUsage, "nhwc")
	winnow(t, "tune").fails(t, exitUsage, "a bundle")
	winnow(t, "export", model, "-o", bad, "--batch-size", "8").fails(t, exitUsage, "--batch-size", "only with --tune")
	winnow(t, "export", model, "-o", bad, "--retune").fails(t, exitUsage, "only with --tune")
	if err := os.Remove(in("p/forward.onnx")); err != nil {
		t.Fatal(err)
	}
	winnow(t, "tune", in("p")).fails(t, exitInput, "forward.onnx", "export its model again")
	absent(t, bad)
}
