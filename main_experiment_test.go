//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"winnow/eval"
	runs "winnow/run"
	"winnow/runtime/ortest"
)

// An experiment that is interrupted goes on, keeps what was finished, and
// compares what its runs say, which are the same when two are trained at a time.
func TestExperiment(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "e")
	args := []string{"experiment", "--bundle", "mlp", "--data", tinyData, "--epochs", "40", "--device", "cpu", "--threads", "1",
		"--methods", "random,none", "--ratios", "0.5", "--seeds", "2", "-o", out}
	at := func(name string, file ...string) string {
		return filepath.Join(append([]string{out, "runs", name}, file...)...)
	}
	cmd := program(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	started(t, cmd)
	await(t, at("random-r0.5-s0", "metrics.jsonl"))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := code(cmd); got != exitInterrupted || !strings.Contains(stderr.String(), "winnow experiment --resume "+out+" goes on") {
		t.Fatalf("exit code %d; stderr:\n%s", got, &stderr)
	}
	first, err := os.ReadFile(at("none-s0", "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	half, err := runs.Last(at("random-r0.5-s0"))
	if err != nil || half.Epoch >= 40 {
		t.Fatal("the run at work was not ended in the middle", err)
	}

	text, err := program("experiment", "--resume", out, "--jobs", "2", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Groups []eval.Group `json:"groups"`
	}
	if err := json.Unmarshal(text, &got); err != nil || len(got.Groups) != 2 {
		t.Fatal(err, string(text))
	}
	if again, err := os.ReadFile(at("none-s0", "summary.json")); err != nil || !bytes.Equal(first, again) {
		t.Error("a finished run has changed", err)
	}
	var d [2]float64
	for i, seed := range []string{"0", "1"} {
		full, err := runs.Read(at("none-s" + seed))
		if err != nil {
			t.Fatal(err)
		}
		pruned, err := runs.Read(at("random-r0.5-s" + seed))
		if err != nil {
			t.Fatal(err)
		}
		if f, p := *full.Summary.Config.Command.InitSeed, *pruned.Summary.Config.Command.InitSeed; f != p || f != uint64(i) {
			t.Errorf("seed %s: first weights of seeds %d and %d", seed, f, p)
		}
		d[i] = pruned.Summary.TestAccuracy - full.Summary.TestAccuracy
	}
	if g := got.Groups[1]; g.Method != "random" || g.Difference == nil || g.Difference.Pairs != 2 || math.Abs(g.Difference.Mean-(d[0]+d[1])/2) > 1e-12 {
		t.Errorf("%+v, want differences %v", g, d)
	}

	// The run that went on is the one that a run without a break makes.
	alone := filepath.Join(t.TempDir(), "alone")
	if err := program("train", "--bundle", "mlp", "--data", tinyData, "--epochs", "40", "--device", "cpu", "--threads", "1",
		"--prune", "random", "--prune-ratio", "0.5", "-q", "-o", alone).Run(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{alone, at("random-r0.5-s0")} {
		r, err := runs.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		var report struct {
			PerClass  map[string]runs.ClassResult `json:"per_class"`
			Confusion []struct {
				Label, Predicted string
				Samples          int
			}
		}
		text, err := program("eval", dir, "--json", "--device", "cpu").Output()
		if err != nil || json.Unmarshal(text, &report) != nil {
			t.Fatal(err, string(text))
		}
		worst := 1.0
		for _, x := range report.Confusion { // whose rows add up to the classes, and whose diagonal is what is right
			c := report.PerClass[x.Label]
			if c.Samples -= x.Samples; x.Label == x.Predicted && c.Correct != x.Samples {
				t.Errorf("class %s: %d right, the confusion matrix has %d", x.Label, c.Correct, x.Samples)
			}
			report.PerClass[x.Label] = c
		}
		for name, c := range report.PerClass {
			if c.Samples != 0 {
				t.Errorf("class %s: %d samples are not in the confusion matrix", name, c.Samples)
			}
		}
		if err := json.Unmarshal(text, &report); err != nil {
			t.Fatal(err)
		}
		for _, c := range report.PerClass {
			if c.Samples > 0 {
				worst = min(worst, float64(c.Correct)/float64(c.Samples))
			}
		}
		if w := r.Summary.WorstClass; w.Samples == 0 || float64(w.Correct)/float64(w.Samples) != worst {
			t.Errorf("worst class %+v, eval finds %v", w, worst)
		}
	}
	a, errA := os.ReadFile(filepath.Join(alone, "model.onnx"))
	b, errB := os.ReadFile(at("random-r0.5-s0", "model.onnx"))
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Error("the model of the run that went on differs from that of one without a break", errA, errB)
	}

	// compare takes the runs, grouped in the same way; the plan holds.
	table := winnow(t, "compare", at("none-s0"), at("none-s1"), at("random-r0.5-s0"), at("random-r0.5-s1"), "--csv").succeeds(t).stdout
	if strings.Count(table, "\n") != 3 || !strings.Contains(table, "\nrandom,random,0.5,none,2,") {
		t.Errorf("compare --csv:\n%s", table)
	}
	winnow(t, append(args, "--lr", "0.3")...).fails(t, exitUsage, "--lr", "--out")
	winnow(t, "experiment", "--resume", out, "--seeds", "3").fails(t, exitUsage, "--seeds", "leave out")
	if err := os.Rename(at("none-s1"), at("kept")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at("none-s0"), at("none-s1")); err != nil {
		t.Fatal(err)
	}
	winnow(t, args...).fails(t, exitUsage, "none-s1", "seed=0")
}

// What is refused before a run begins leaves no plan that a second try has to keep
// to, and a metric that runs have not is found with the first of them.
func TestExperimentSecondTry(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "e")
	try := func(flags ...string) (string, error) {
		cmd := program(append([]string{"experiment", "--bundle", "mlp", "--data", tinyData, "--epochs", "1", "--device", "cpu", "--threads", "1",
			"--methods", "none, random", "--seeds", "2", "-o", out}, flags...)...)
		text, err := cmd.CombinedOutput()
		return string(text), err
	}
	if text, err := try("--lr", "-1"); err == nil || !strings.Contains(text, "--lr") {
		t.Error(err, text)
	}
	if text, err := try("--lr", "0.1", "--metric", "nonsense"); err == nil || !strings.Contains(text, "nonsense") || !strings.Contains(text, "measured by accuracy, loss") {
		t.Error(err, text)
	}
	if names, err := os.ReadDir(filepath.Join(out, "runs")); err != nil || len(names) != 1 {
		t.Error("runs that nothing can be said of were trained:", names, err)
	}
	if text, err := try("--lr", "0.1", "--metric", "loss"); err != nil || !strings.Contains(text, "none-s0: accuracy") {
		t.Error(err, text)
	}
	text, err := try("--lr", "0.1", "--metric", "nonsense", "-q")
	if err == nil || strings.Count(text, "measured by accuracy, loss") != 1 {
		t.Error("of runs that are all there:", err, text)
	}
	if text, err := try("--lr", "0.2"); err == nil || !strings.Contains(text, "--lr") {
		t.Error(err, text)
	}
}

func TestExperimentRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{nil, exitUsage, []string{"--bundle"}},
		{[]string{"--bundle", "mlp", "--methods", "nothing"}, exitUsage, []string{"nothing", "infobatch"}},
		{[]string{"--bundle", "mlp", "--ratios", "0.5,2"}, exitUsage, []string{"--ratios"}},
		{[]string{"--bundle", "mlp", "--jobs", "0"}, exitUsage, []string{"--jobs"}},
		{[]string{"--bundle", "mlp", "--seeds", "0"}, exitUsage, []string{"--seeds"}},
		{[]string{"--bundle", "mlp", "--margin", "0"}, exitUsage, []string{"--margin"}},
		{[]string{"--bundle", "mlp", "--csv", "--json"}, exitUsage, []string{"--csv"}},
		{[]string{"--bundle", "mlp", "--prune", "none"}, exitUsage, []string{"--prune"}},
		{[]string{"--resume", dir}, exitInput, []string{"plan.json"}},
	} {
		winnow(t, append([]string{"experiment"}, c.args...)...).fails(t, c.code, c.want...)
	}
	// What a run refuses, the experiment refuses in the same way.
	cmd := program("experiment", "--bundle", "mlp", "--data", "mnist:"+filepath.Join(dir, "none"), "-o", filepath.Join(dir, "e"), "-q")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if _ = cmd.Run(); cmd.ProcessState.ExitCode() != exitInput {
		t.Errorf("exit code %d; stderr:\n%s", cmd.ProcessState.ExitCode(), &stderr)
	}
	outcome{cmd.ProcessState.ExitCode(), "", stderr.String()}.fails(t, exitInput, "none-s0")
}

// A method that the model cannot have does not stop the others, and what the
// runs say of their options is told once.
func TestExperimentGoesOn(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "e")
	args := []string{"experiment", "--bundle", "mlp", "--batch-loss-only", "--data", tinyData, "--epochs", "2", "--device", "cpu", "--threads", "1",
		"--methods", "none,infobatch,bls-infobatch", "--seeds", "2", "-o", out}
	cmd := program(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	table, _ := cmd.Output()
	end := outcome{cmd.ProcessState.ExitCode(), string(table), stderr.String()}
	end.fails(t, exitFailed, "2 of 6: infobatch-s0, infobatch-s1; the first: train: prune: method \"infobatch\": needs per-sample losses")
	if n := strings.Count(end.stderr, "takes no sample weights"); n != 1 {
		t.Errorf("a note of two runs is told %d times:\n%s", n, end.stderr)
	}
	if !strings.Contains(end.stdout, "bls-infobatch") {
		t.Errorf("the other method is not compared:\n%s", end.stdout)
	}

	winnow(t, "compare", out).fails(t, exitInput, "is an experiment", "--resume")
	other := program("experiment", "--bundle", "mlp", "--data", tinyData, "--epochs", "1", "--device", "cpu", "--methods", "static,random", "--seeds", "1", "-o", filepath.Join(t.TempDir(), "other"))
	if text, err := other.CombinedOutput(); err != nil || !strings.Contains(string(text), "differences are to static") {
		t.Errorf("no word of a comparison without full training: %v\n%s", err, text)
	}
	winnow(t, append(args, "--noise", "foo:0.2")...).fails(t, exitUsage, "foo:0.2", "pairflip")
	// The folder where it was begun is gone, and the plan was carried elsewhere.
	plan, err := os.ReadFile(filepath.Join(out, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	gone := regexp.MustCompile(`"dir": "[^"]*"`).ReplaceAll(plan, []byte(`"dir": "/gone/away"`))
	if err := os.WriteFile(filepath.Join(out, "plan.json"), gone, 0o666); err != nil {
		t.Fatal(err)
	}
	winnow(t, "experiment", "--resume", out).fails(t, exitInput, "/gone/away", "--out")
	for _, more := range [][]string{append(args[:len(args):len(args)], "--seeds", "3"), {"experiment", "--resume", out}} {
		cmd := program(more...)
		if text, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(text), "3 of 9") {
			t.Errorf("%q: %s", more, text)
		}
	}

	foreign := filepath.Join(t.TempDir(), "results.md")
	if err := os.WriteFile(foreign, []byte("mine\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(foreign), filepath.Join(out, "runs", "none-s0")} {
		winnow(t, append(args[:len(args)-1], dir)...).fails(t, exitUsage, dir)
		if names, err := filepath.Glob(filepath.Join(dir, "runs")); err != nil || len(names) > 0 {
			t.Errorf("%s: training began: %v", dir, err)
		}
	}
}

// A plan in a YAML file, at an equal budget: beside each pruned run one in full
// that takes about as many samples; the folder has the results as files.
func TestExperimentPlanFile(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	out := filepath.Join(dir, "e")
	plan := filepath.Join(dir, "plan.yaml")
	text := "bundle: mlp\ndata: " + tinyData + "\nepochs: 6\nmethods: [none, random]\nratios: [0.5]\nseeds: 2\nnoise: [0, 0.2]\nbudget: true\n"
	if err := os.WriteFile(plan, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	args := []string{"experiment", "--config", plan, "--prune-delta", "1", "--device", "cpu", "--threads", "1", "-q", "-o", out}
	said, err := program(args...).Output()
	if err != nil {
		t.Fatal(err, string(said))
	}
	if !strings.Contains(string(said), "to full training on as many samples") || !strings.Contains(string(said), "of the kept labels are wrong") {
		t.Errorf("%s", said)
	}
	// Half of every epoch is left out, so that three full epochs take as many samples.
	for _, name := range []string{"none-s0-e3", "none-s1-e3", "none-n0.2-s0-e3", "none-n0.2-s1-e3"} {
		r, err := runs.Read(filepath.Join(out, "runs", name))
		if err != nil {
			t.Fatal(err)
		}
		if r.Summary.Epochs != 3 || r.Summary.TrainSamplesUsed != 3*256 {
			t.Errorf("%s: %d epochs, %d samples", name, r.Summary.Epochs, r.Summary.TrainSamplesUsed)
		}
	}
	var got struct {
		Groups []eval.Group `json:"groups"`
	}
	object, err := os.ReadFile(filepath.Join(out, "results.json"))
	if err != nil || json.Unmarshal(object, &got) != nil || len(got.Groups) != 6 {
		t.Fatal(err, string(object))
	}
	pairs := 0
	for _, g := range got.Groups {
		if g.Method == "random" {
			pairs += g.Difference.Pairs
			if g.Baseline != "full training on as many samples" || math.Abs(*g.SamplesSaved) > 0.01 {
				t.Errorf("%+v", g)
			}
		}
	}
	if pairs != 4 {
		t.Errorf("%d pairs", pairs)
	}
	for name, head := range map[string]string{"results.md": "| pruning |", "results.csv": "name,method,", "accuracy.svg": "<?xml"} {
		if text, err := os.ReadFile(filepath.Join(out, name)); err != nil || !strings.HasPrefix(string(text), head) {
			t.Errorf("%s: %v, %.60s", name, err, text)
		}
	}
	before, err := os.Stat(filepath.Join(out, "runs", "none-s0-e3", "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := program(args...).Output(); err != nil {
		t.Fatal(err, string(said))
	}
	if after, err := os.Stat(filepath.Join(out, "runs", "none-s0-e3", "summary.json")); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Error("a finished run was trained again", err)
	}
	if err := os.WriteFile(plan, []byte("methods: {a: b}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	winnow(t, "experiment", "--config", plan).fails(t, exitUsage, "methods", "line 1")
}

// Data that are spelled in two ways are one; other labels are others.
func TestCompareSpellings(t *testing.T) {
	runs := []string{"compare"}
	for _, r := range []struct{ name, method, data string }{
		{"a", "none", "glyphs:train=128,test=64"}, {"b", "das-infobatch", "glyphs:test=64,train=128"}, {"c", "none", "glyphs:test=64,train=128,noise=0.5"},
	} {
		out := filepath.Join(t.TempDir(), r.name)
		winnow(t, "train", "--bundle", "mlp", "--data", r.data, "--epochs", "1", "--prune", r.method, "-q", "--report=false", "--device", "cpu", "-o", out).succeeds(t)
		runs = append(runs, out)
	}
	said := winnow(t, runs...).succeeds(t).stdout
	for _, want := range []string{"note: b: data glyphs:test=64,train=128 is the same as glyphs:train=128,test=64 of a", "note: c: data glyphs:test=64,train=128,noise=0.5, the first run has glyphs"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
}

// What takes a run says what else a path is, and what to do.
func TestNoRuns(t *testing.T) {
	dir := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	file := write(t, at("file"), nil)
	for _, folder := range []string{"foreign", "experiment", filepath.Join("killed", "checkpoints")} {
		if err := os.MkdirAll(at(folder), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	write(t, at("experiment", "plan.json"), []byte("{}"))
	write(t, at("killed", "metrics.jsonl"), nil)
	for _, command := range [][]string{{"compare"}, {"audit"}, {"report"}, {"scores"}, {"eval", "--data", "glyphs"}, {"train", "--resume"}, {"inspect"}, {"train", "--data", "glyphs", "--bundle"}} {
		words := map[string]string{at("nothing"): "no", file: "file", at("foreign"): "foreign", at("killed"): "winnow train --", at("experiment"): "winnow experiment --resume"}
		if command[len(command)-1] == "--bundle" || command[0] == "inspect" {
			words[at("killed")] = "it finished no epoch"
		} else if command[0] == "scores" {
			words[at("killed")] = "no checkpoint"
		}
		for path, word := range words {
			said := winnow(t, append(slices.Clone(command), path)...)
			said.fails(t, exitInput, path, word)
			if path != at("killed") && strings.Contains(said.stderr, "--resume auto") != (path == at("nothing") && command[0] == "train" && len(command) == 2) {
				t.Errorf("%q: %s", command, said.stderr)
			}
		}
	}
}

// A name that lies below a file, or in a folder that is not there, is refused
// before anything is computed.
func TestNoPlace(t *testing.T) {
	dir := t.TempDir()
	run, file := filepath.Join(dir, "run"), write(t, filepath.Join(dir, "file"), []byte("x"))
	winnow(t, trainMLP(run, "-q", "--report=false")...).succeeds(t)
	for _, c := range []struct{ args, names []string }{
		{append(trainMLP("", "-q"), "--out"), []string{"", "x"}}, {[]string{"audit", run, "--device", "cpu", "--out"}, []string{"", "x"}},
		{[]string{"experiment", "--bundle", "mlp", "--data", tinyData, "--out"}, []string{"", "x"}},
		{[]string{"report", run, "--device", "cpu", "--out"}, []string{"x.html"}}, {[]string{"scores", run, "--out"}, []string{"x.csv", "x.npz"}},
		{[]string{"compare", run, "--plot"}, []string{"x.svg", "x.png"}},
	} {
		for _, name := range c.names {
			args := append(slices.Clone(c.args), filepath.Join(file, name))
			winnow(t, args...).fails(t, exitUsage, filepath.Join(file, name), "not a directory")
			if name := filepath.Join(dir, "no", name); strings.Contains(name, "x.") {
				args[len(args)-1] = name
				winnow(t, args...).fails(t, exitUsage, name, "there is no folder")
			}
		}
	}
	absent(t, filepath.Join(dir, "no"))
	if text, err := os.ReadFile(file); err != nil || string(text) != "x" {
		t.Error(err, text)
	}
}
