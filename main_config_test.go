package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/runtime/ortest"
)

// Flags may come from a file; those on the command line go before, and a run from
// the config.yaml of another is that run to the bit.
func TestConfig(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	idxFiles(t, in("images"), 64)
	t.Chdir(dir)
	write(t, "c.yaml", []byte("bundle: mlp\ndata: idx:images\nepochs: 3\nlr: 0.1\nseed: 7\nhflip: 0.5\nmean: [0.3]\nstd: 0.4\ndevice: cpu\nthreads: 1\nprune: bls-infobatch\nquiet: true\n"))
	winnow(t, "train", "--config", "c.yaml", "--epochs", "2", "--out", "a").succeeds(t)

	// The whole of it comes back, from elsewhere, in YAML and through --print-config.
	t.Chdir(t.TempDir())
	again := in("a/config.yaml")
	winnow(t, "train", "--config", again, "--out", in("b"), "-q").succeeds(t)
	printed := winnow(t, "train", "--config", again, "--print-config").succeeds(t).stdout
	write(t, in("p.yaml"), []byte(printed))
	winnow(t, "train", "--config", in("p.yaml"), "--out", in("c"), "-q").succeeds(t)
	for _, run := range []string{"b", "c"} {
		for _, name := range []string{"model.onnx", "checkpoints/2-0/state.safetensors", "checkpoints/2-0/pruner"} {
			x, errX := os.ReadFile(filepath.Join(in("a"), name))
			y, errY := os.ReadFile(filepath.Join(in(run), name))
			if errX != nil || errY != nil || string(x) != string(y) {
				t.Errorf("%s of %s is not that of the run it repeats: %v, %v", name, run, errX, errY)
			}
		}
	}
	text, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"epochs: 2\n", "lr: 0.1\n", "seed: 7\n", "threads: 1\n", "batch-size: 128\n", "data: idx:" + in("images") + "\n", "# loss: cross-entropy\n", "mean:\n    - 0.3\n"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("config.yaml has no line %q:\n%s", line, text)
		}
	}

	// A flag that is given is not the file's; all others must be as the run has them.
	winnow(t, "train", "--resume", in("a"), "--config", again).succeeds(t)
	winnow(t, "train", "--resume", in("a"), "--epochs", "3", "-q").succeeds(t)
	if text, _ := os.ReadFile(again); !strings.Contains(string(text), "epochs: 3\n") {
		t.Errorf("after it went on for more epochs, config.yaml says\n%s", text)
	}
	good := string(text)
	for from, c := range map[string]struct {
		to   string
		code int
		says string
	}{
		"lr: 0.1\n":         {"lr: 0.2\n", exitUsage, "lr is \"0.2\""},
		"sched: cosine\n":   {"sched: step\n", exitUsage, "sched is"},
		"seed: 7\n":         {"sed: 7\n", exitInput, "sed"},
		"batch-size: 128\n": {"batch-size: [\n", exitInput, "remove it"},
	} {
		write(t, again, []byte(strings.Replace(good, from, c.to, 1)))
		winnow(t, "train", "--resume", in("a"), "--epochs", "4").fails(t, c.code, again, c.says)
	}
	write(t, again, []byte(good))
	if err := os.Remove(again); err != nil {
		t.Fatal(err)
	}
	winnow(t, "train", "--resume", in("a"), "--epochs", "4", "-q").succeeds(t)

	// A file of that name that is not ours stays.
	mine := write(t, in("d/config.yaml"), []byte("mine: true\n"))
	winnow(t, "train", "--config", in("c.yaml"), "--data", "idx:"+in("images"), "--out", in("d"), "--overwrite").fails(t, exitUsage, "config.yaml")
	if text, _ := os.ReadFile(mine); string(text) != "mine: true\n" {
		t.Errorf("a file that was there is %q now", text)
	}
}

func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		command, text string
		code          int
		says          []string
	}{
		{"train", "bundle: lenet\nepoch: 3\n", exitUsage, []string{"line 2", `"epoch"`, "epochs"}},
		{"train", "batch_size: 3\n", exitUsage, []string{"line 1", "batch-size"}},
		{"train", "epochs: ten\n", exitUsage, []string{"line 1", "epochs", `"ten"`, "whole number"}},
		{"train", "epochs: 1.5\n", exitUsage, []string{"line 1", "epochs", "whole number"}},
		{"train", "\n\nlr: fast\n", exitUsage, []string{"line 3", "lr", "a number"}},
		{"train", "amp: yes please\n", exitUsage, []string{"line 1", "amp", "true or false"}},
		{"train", "bundle: [a, b]\n", exitUsage, []string{"line 1", "bundle", "a list", "a text"}},
		{"train", "bundle:\n", exitUsage, []string{"line 1", "bundle", "nothing"}},
		{"train", "mean: [0.1, x]\n", exitUsage, []string{"line 1", "mean", "a text"}},
		{"train", "epochs: 99999999999999999999\n", exitUsage, []string{"line 1", "epochs"}},
		{"train", "seed: -1\n", exitUsage, []string{"line 1", "seed"}},
		{"train", "config: x.yaml\n", exitUsage, []string{"line 1", `"config"`}},
		{"train", "epochs: 1\nepochs: 2\n", exitInput, []string{"line 2", "epochs", "line 1"}},
		{"train", "epochs: &e 1\nbatch-size: *e\n", exitInput, []string{"line 1", "alias"}},
		{"train", "- epochs\n", exitInput, []string{"line 1", "a list"}},
		{"train", `{"epochs": 1, "lr": }`, exitUsage, []string{"lr"}},
		{"train", `{"epochs": 1,`, exitInput, []string{"line"}},
		{"train", "\x1b[2J: 1\n", exitInput, nil},
		{"train", "\"\\e[2J\": 1\n", exitUsage, []string{`\x1b`}},
		{"eval", "split: 3\nbatch: 1\n", exitUsage, []string{"line 2", "batch-size"}},
		{"export", "loss: 1\nlr: 0.1\n", exitUsage, []string{"line 2", "lr"}},
	} {
		path := write(t, filepath.Join(dir, "c.yaml"), []byte(c.text))
		winnow(t, c.command, "--config", path).fails(t, c.code, append(c.says, path)...)
	}
	winnow(t, "train", "--config", filepath.Join(dir, "none")).fails(t, exitInput, "none")
	winnow(t, "train", "--config", dir).fails(t, exitInput, "not a regular file")
}
