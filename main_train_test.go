package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"winnow/models"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/runtime/ortest"
)

func tinyTrain(out string, more ...string) []string {
	return append([]string{"train", "--bundle", "mlp", "--data", tinyData, "--epochs", "2", "--device", "cpu", "--threads", "1", "--out", out}, more...)
}

func TestRunFolders(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	out := filepath.Join(dir, "run")
	winnow(t, tinyTrain(out)...).succeeds(t)
	winnow(t, tinyTrain(out)...).fails(t, exitUsage, out, "--overwrite")
	winnow(t, tinyTrain(out, "--overwrite")...).succeeds(t)

	bad := filepath.Join(dir, "bad")
	winnow(t, tinyTrain(bad, "--workers", "-1")...).fails(t, exitUsage, "workers")
	winnow(t, tinyTrain(bad, "--crop-pad", "-1")...).fails(t, exitUsage, "crop")
	winnow(t, tinyTrain(bad, "--prune-rescale", "some")...).fails(t, exitUsage, "auto", "batch")
	winnow(t, tinyTrain(bad, "--prune-ratio", "2")...).fails(t, exitUsage, "prune-ratio", "want 0 to 1")
	winnow(t, tinyTrain(bad, "--prune-reference", "populaton")...).fails(t, exitInput, "populaton", "holdout:F")
	if o := winnow(t, tinyTrain(bad, "--epochs", "0")...); strings.Contains(o.stderr, "recipe") {
		t.Errorf("a run that cannot begin was announced:\n%s", o.stderr)
	}
	absent(t, bad)

	write(t, filepath.Join(out, "model.onnx"), []byte("no model"))
	winnow(t, "eval", out).fails(t, exitInput, "model.onnx")
	if err := os.Remove(filepath.Join(out, "summary.json")); err != nil {
		t.Fatal(err)
	}
	winnow(t, "eval", out).fails(t, exitInput, out, "summary.json")
	winnow(t, "eval", filepath.Join(dir, "nothing")).fails(t, exitInput, "nothing", "run")
	winnow(t, "export", os.DevNull, "-o", bad).fails(t, exitInput, "not a regular file")

	file := write(t, filepath.Join(dir, "file"), nil)
	winnow(t, "compare", file).fails(t, exitInput, file)
	winnow(t, tinyTrain(filepath.Join(file, "run"))...).fails(t, exitUsage, file)
	if os.Geteuid() != 0 {
		locked := filepath.Join(dir, "locked")
		if err := os.Mkdir(locked, 0o555); err != nil {
			t.Fatal(err)
		}
		winnow(t, tinyTrain(filepath.Join(locked, "run"))...).fails(t, exitFailed, locked)
	}
}

// Class labels train a bundle that takes targets, float32 [N, K], as they train
// one that takes classes: the losses, the plans and the evaluation are the same.
func TestTargetsTrainAsClasses(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	for _, soft := range []bool{false, true} {
		m, err := models.Forward("mlp", 3)
		if err != nil {
			t.Fatal(err)
		}
		b, err := export.Build(m, export.Options{
			Name:      "mlp",
			Images:    export.ImageOptions{Shape: [3]int64{1, 28, 28}},
			Loss:      bundle.Loss{Name: bundle.BCE, SoftTargets: soft},
			Optimizer: bundle.Optimizer{Momentum: 0.9},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Manifest.Train.Labels.DType == "float32"; got != soft {
			t.Fatalf("labels are %s", b.Manifest.Train.Labels.DType)
		}
		if err := b.Save(filepath.Join(dir, fmt.Sprint("bundle-", soft))); err != nil {
			t.Fatal(err)
		}
	}
	for method, more := range map[string][]string{
		"none": nil, "infobatch": nil, "das-infobatch": {"--prune-reference", "holdout:0.1"}, "das-seta": nil, "bls-infobatch": nil,
	} {
		var results []map[string]any
		for _, soft := range []bool{false, true} {
			run := filepath.Join(dir, fmt.Sprint(method, "-", soft))
			args := append([]string{"train", "--bundle", filepath.Join(dir, fmt.Sprint("bundle-", soft)), "--data", tinyData, "--epochs", "6",
				"--batch-size", "32", "--lr", "0.3", "--prune", method, "--prune-window", "3", "--seed", "5", "--device", "cpu", "--threads", "1", "--out", run}, more...)
			winnow(t, args...).succeeds(t)
			winnow(t, "eval", run).succeeds(t)
			data, err := os.ReadFile(filepath.Join(run, "summary.json"))
			if err != nil {
				t.Fatal(err)
			}
			var r map[string]any
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
			results = append(results, r)
		}
		classes, targets := results[0], results[1]
		for _, field := range []string{"train_samples_used", "test_accuracy", "test_loss"} {
			want, ok := classes[field].(float64)
			got, _ := targets[field].(float64)
			if !ok || math.Abs(got-want) > 1e-4*want {
				t.Errorf("%s: %s is %v with targets, %v with classes", method, field, targets[field], classes[field])
			}
		}
		if saved, _ := targets["saved_ratio"].(float64); method != "none" && saved <= 0 {
			t.Errorf("%s: nothing was pruned", method)
		}
	}
}

// TestExportTrainEvalCompare goes the whole way: a model exported by PyTorch
// becomes a bundle, the bundle a run, the run is evaluated and compared.
func TestExportTrainEvalCompare(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	model := write(t, in("lenet.onnx"), lenet(t))

	winnow(t, "inspect", model).succeeds(t)
	winnow(t, "export", model, "-o", in("bundle"), "--smoothing", "0.1").succeeds(t)
	winnow(t, "export", model, "-o", in("bundle")).fails(t, exitUsage, "--overwrite")
	winnow(t, "export", model, "-o", in("black"), "--batch-loss-only").succeeds(t)
	if text := winnow(t, "inspect", in("bundle")).succeeds(t).stdout; !strings.Contains(text, "smoothing 0.1") {
		t.Errorf("inspect does not show the loss:\n%s", text)
	}
	var manifest struct {
		Manifest struct{ Classes int }
		Problems []string
	}
	text := winnow(t, "inspect", in("bundle"), "--json").succeeds(t).stdout
	if err := json.Unmarshal([]byte(text), &manifest); err != nil || manifest.Manifest.Classes != 10 || len(manifest.Problems) > 0 {
		t.Errorf("inspect --json: %v\n%s", err, text)
	}

	common := []string{"--data", "glyphs:train=512,test=128", "--epochs", "2", "--device", "cpu", "--seed", "3"}
	full := winnow(t, append(common, []string{"train", "--bundle", in("bundle"), "--prune", "none", "--out", in("full")}...)...)
	full.fails(t, exitUsage) // flags of a command stand behind its name
	train := func(args ...string) outcome {
		return winnow(t, append([]string{"train"}, append(args, common...)...)...).succeeds(t)
	}
	train("--bundle", in("bundle"), "--prune", "none", "--out", in("full"))
	if log := train("--bundle", in("bundle"), "--prune", "auto", "--out", in("das")); !strings.Contains(log.stderr, "DAS") {
		t.Errorf("auto does not say that DAS was taken:\n%s", log.stderr)
	}
	if log := train("--bundle", in("black"), "--prune", "auto", "--out", in("bls")); !strings.Contains(log.stderr, "BLS") {
		t.Errorf("auto does not say that BLS was taken:\n%s", log.stderr)
	}
	winnow(t, "train", "--bundle", in("bundle"), "--data", "glyphs", "--momentum", "0.8", "--out", in("no")).fails(t, exitUsage, "--momentum", "export it again")

	var summary struct {
		TestAccuracy float64 `json:"test_accuracy"`
	}
	data, err := os.ReadFile(in("full/summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &summary); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{in("full"), in("full/model.onnx")} {
		var result struct {
			Top1 float64 `json:"top1"`
		}
		text := winnow(t, "eval", path, "--data", "glyphs:train=512,test=128", "--device", "cpu", "--json").succeeds(t).stdout
		if err := json.Unmarshal([]byte(text), &result); err != nil {
			t.Fatal(err)
		}
		if result.Top1 != summary.TestAccuracy {
			t.Errorf("eval %s: accuracy %v, summary.json says %v", path, result.Top1, summary.TestAccuracy)
		}
	}
	winnow(t, "eval", in("full"), "--device", "cpu").succeeds(t)

	table := winnow(t, "compare", in("full"), in("das"), in("bls"), "--plot", in("compare.svg")).succeeds(t).stdout
	if !strings.Contains(table, "das") || !strings.Contains(table, "bls") {
		t.Errorf("compare:\n%s", table)
	}
	if svg, err := os.ReadFile(in("compare.svg")); err != nil || !bytes.Contains(svg, []byte("<svg")) {
		t.Errorf("no chart: %v", err)
	}
	if text := winnow(t, "compare", in("full"), in("das"), "--json").succeeds(t).stdout; !json.Valid([]byte(text)) {
		t.Errorf("compare --json:\n%s", text)
	}
	winnow(t, "compare", in("full"), dir).fails(t, exitInput, dir)
}

func TestShippedModelsTakeRecipeFlags(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	winnow(t, tinyTrain(out, "--momentum", "0.5", "--smoothing", "0.2")...).succeeds(t)
	data, err := os.ReadFile(filepath.Join(out, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"momentum": ?0.5`, `"smoothing": ?0.2`} {
		if !regexp.MustCompile(want).Match(data) {
			t.Errorf("summary.json lacks %s:\n%s", want, data)
		}
	}
}

// Half precision learns on the CPU as float32 does, and is in the bundle, in
// what inspect prints and in the summary; bfloat16 needs CUDA, and says so.
func TestMixedPrecision(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	text := func(name string) string {
		data, err := os.ReadFile(in(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	model := write(t, in("lenet.onnx"), lenet(t))
	winnow(t, "export", model, "-o", in("half"), "--amp").succeeds(t)
	shown := winnow(t, "inspect", in("half")).succeeds(t).stdout
	for _, want := range []string{"float16 with float32 weights", "amp.scale"} {
		if !strings.Contains(shown, want) {
			t.Errorf("inspect lacks %s:\n%s", want, shown)
		}
	}
	winnow(t, "train", "--bundle", in("half"), "--data", "glyphs", "--amp").fails(t, exitUsage, "--amp", "float16 with float32 weights")
	winnow(t, tinyTrain(in("brain"), "--amp", "--amp-dtype", "bfloat16")...).fails(t, exitRuntime, "bfloat16", "CUDA")

	losses := func(run string, more ...string) (list []float64) {
		winnow(t, append([]string{"train", "--bundle", "mlp", "--data", "glyphs:train=320,test=32", "--epochs", "3", "--batch-size", "16", "--lr", "0.1",
			"--device", "cpu", "--threads", "2", "--prune", "none", "--out", in(run)}, more...)...).succeeds(t)
		for _, line := range strings.Split(strings.TrimSpace(text(run+"/metrics.jsonl")), "\n") {
			var e struct {
				Loss float64 `json:"train_loss"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			list = append(list, e.Loss)
		}
		return list
	}
	single, half := losses("single"), losses("mixed", "--amp")
	for i := range single {
		if !(math.Abs(half[i]-single[i]) < 0.01*single[i]) || i > 0 && !(half[i] < half[i-1]) {
			t.Errorf("losses %v, with float32 %v", half, single)
		}
	}
	if s := text("mixed/summary.json"); !regexp.MustCompile(`"precision": ?"float16"`).MatchString(s) {
		t.Errorf("summary.json does not say float16:\n%s", s)
	}
}

// TestInterrupt stops a run by signal: what was done is written, as a run that
// was interrupted, and the exit code says so.
func TestInterrupt(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	cmd := program(tinyTrain(out, "--epochs", "60000")...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	buf := make([]byte, 4096)
	if _, err := stdout.Read(buf); err != nil { // the first epoch's line
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit code is what is checked
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	data, err := os.ReadFile(filepath.Join(out, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(`"interrupted": true`)) {
		t.Errorf("summary.json does not say that the run was interrupted:\n%s", data)
	}
	winnow(t, "eval", out, "--device", "cpu").succeeds(t)
}
