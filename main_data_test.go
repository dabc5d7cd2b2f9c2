package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	runs "winnow/run"
	"winnow/runtime/ortest"
)

func TestDataConvert(t *testing.T) {
	t.Setenv("WINNOW_CACHE", t.TempDir())
	dir := filepath.Join(t.TempDir(), "new")
	o := winnow(t, "data", "convert", "glyphs:train=6,test=4", "tar:"+dir).succeeds(t)
	if !strings.Contains(o.stdout, "6 train, 4 test") || !strings.Contains(o.stdout, "--data tar:"+dir) {
		t.Errorf("%s", o.stdout)
	}
	winnow(t, "data", "check", "tar:"+dir).succeeds(t)
	winnow(t, "data", "convert", "glyphs:train=6,test=4", "folder:"+dir).fails(t, exitUsage, "not an empty folder")
	winnow(t, "data", "convert", "glyphs:noise=0.1", "folder:"+dir+"2").fails(t, exitUsage, "noise")
	winnow(t, "data", "convert", "glyphs").fails(t, exitUsage, "KIND:DIR")
}

// TestEvalTellsNoise: accuracy on changed and on unchanged training labels, which
// add up to that on all.
func TestEvalTellsNoise(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	winnow(t, "train", "--bundle", "mlp", "--data", "glyphs:train=256,test=64,noise=instance:0.4", "--epochs", "3", "--batch-size", "16", "--device", "cpu", "--threads", "1", "--out", out).succeeds(t)
	type part struct{ Samples, Correct int }
	var r struct {
		Samples int
		Top1    float64
		Noise   *struct{ Changed, Unchanged part } `json:"label_noise"`
	}
	read := func(split string) {
		r.Noise = nil
		if err := json.Unmarshal([]byte(winnow(t, "eval", out, "--split", split, "--device", "cpu", "--json").succeeds(t).stdout), &r); err != nil {
			t.Fatal(err)
		}
	}
	read("train")
	n := r.Noise
	if n == nil || n.Changed.Samples+n.Unchanged.Samples != 256 || n.Changed.Samples < 60 || n.Changed.Samples > 145 ||
		n.Changed.Correct+n.Unchanged.Correct != int(r.Top1*256+0.5) {
		t.Errorf("%+v of %+v", n, r)
	}
	if o := winnow(t, "eval", out, "--split", "train", "--device", "cpu").succeeds(t); !strings.Contains(o.stdout, "labels changed by noise") {
		t.Error(o.stdout)
	}
	if read("test"); r.Noise != nil {
		t.Error("test labels have no noise")
	}
}

// TestEvalTellsLimit: a run that had fewer samples of a split than its data has is
// judged by all of them, which is said, with the flag that takes as many.
func TestEvalTellsLimit(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	winnow(t, trainMLP(out, "--limit-train", "200", "--limit-test", "24", "-q")...).succeeds(t)
	r, err := runs.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args    []string
		samples int
		said    string
	}{
		{nil, 64, "first 24 test samples, here all 64 are taken; --limit 24 "},
		{[]string{"--split", "train"}, 256, "first 200 train samples, here all 256 are taken; --limit 200 "},
		{[]string{"--limit", "24"}, 24, ""},
		{[]string{"--limit", "40"}, 40, ""},
		{[]string{"--data", tinyData}, 64, ""},
	} {
		o := winnow(t, append([]string{"eval", out, "--device", "cpu", "--json"}, c.args...)...).succeeds(t)
		if said := strings.Contains(o.stderr, "the run had"); said != (c.said != "") || !strings.Contains(o.stderr, c.said) {
			t.Errorf("%v: %s", c.args, o.stderr)
		}
		var got struct {
			Samples int
			Top1    float64
		}
		if err := json.Unmarshal([]byte(o.stdout), &got); err != nil {
			t.Fatal(err)
		}
		if got.Samples != c.samples || c.samples == 24 && got.Top1 != r.Summary.TestAccuracy {
			t.Errorf("%v: %+v, the run had %v", c.args, got, r.Summary.TestAccuracy)
		}
	}
}
