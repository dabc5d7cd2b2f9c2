package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	runs "winnow/run"
	"winnow/runtime/ortest"
)

// killsWanted asks TestCrash for so many kills, over as many runs as that takes.
const killsWanted = "WINNOW_TEST_KILLS"

// crashed is a run that is killed at instants drawn from a seed, again and
// again, and goes on each time.
type crashed struct {
	method         string
	random         *rand.Rand
	out            string
	kills, inWrite int
}

func (c *crashed) args(out string) []string {
	args := []string{"train", "--bundle", "mlp", "--data", "glyphs:train=640,test=64", "--epochs", "5", "--batch-size", "16",
		"--crop-pad", "1", "--seed", "3", "--prune", c.method, "--prune-window", "3", "--device", "cpu", "--threads", "1", "--save-every", "1e,7s", "--out", out}
	if strings.HasPrefix(c.method, "das") {
		args = append(args, "--prune-reference", "holdout:0.05")
	}
	return args
}

// attempt starts or goes on, and kills the program after a while if it still
// runs. It reports whether the run came to its end.
func (c *crashed) attempt(t *testing.T) bool {
	t.Helper()
	cmd := program(append(c.args(c.out), "--resume", "auto", "--workers", strconv.Itoa(1+c.random.IntN(3)))...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		return true
	case <-time.After(time.Duration(100+c.random.IntN(700)) * time.Millisecond):
		_ = cmd.Process.Kill() // it may have ended meanwhile
		if err := <-done; err == nil {
			return true
		}
	}
	c.kills++
	if left, _ := filepath.Glob(filepath.Join(c.out, runs.CheckpointDir, "*.winnow-new")); len(left) > 0 {
		c.inWrite++
	}
	return false
}

// finishes goes on until the run has ended, and holds it against one that was
// never killed.
func (c *crashed) finishes(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	c.out = filepath.Join(dir, "crashed")
	winnow(t, c.args(whole)...).succeeds(t)
	for attempts := 0; !c.attempt(t); attempts++ {
		if attempts == 30 { // slow machines get on as well, a checkpoint at a time
			winnow(t, append(c.args(c.out), "--resume", "auto")...).succeeds(t)
			break
		}
	}
	last := filepath.Join(runs.CheckpointDir, "5-0")
	for _, name := range []string{"model.onnx", filepath.Join(last, "state.safetensors"), filepath.Join(last, "pruner")} {
		want, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(c.out, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s after %d kills: %s is not that of a run that never was: %v", c.method, c.kills, name, err)
		}
	}
	for _, name := range []string{"metrics.jsonl", "summary.json"} {
		if got, want := timeless(t, filepath.Join(c.out, name)), timeless(t, filepath.Join(whole, name)); got != want {
			t.Errorf("%s after %d kills: %s\n%s\nwant\n%s", c.method, c.kills, name, got, want)
		}
	}
}

// timeless is a file of JSON values without what no seed repeats.
func timeless(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for in := json.NewDecoder(bytes.NewReader(data)); in.More(); {
		var v map[string]any
		if err := in.Decode(&v); err != nil {
			t.Fatal(err)
		}
		for k := range v {
			if strings.HasSuffix(k, "_seconds") {
				delete(v, k)
			}
		}
		if c, ok := v["config"].(map[string]any); ok {
			delete(c, "workers")
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	return b.String()
}

// A run that is killed and goes on ends as one that never was: under every
// scorer and policy, and with make test-crash until 50 kills have been.
func TestCrash(t *testing.T) {
	ortest.CPU(t, 1)
	methods := []string{"none", "random", "static", "infobatch", "bls-seta", "das-seta", "epsilon-greedy", "ucb", "bls-repb"}
	wanted, _ := strconv.Atoi(os.Getenv(killsWanted))
	kills, inWrite, trained := 0, 0, 0
	for round := 0; round == 0 || kills < wanted; round++ {
		for i, method := range methods {
			c := &crashed{method: method, random: rand.New(rand.NewPCG(uint64(round), uint64(i)))}
			t.Run(method, c.finishes)
			kills, inWrite, trained = kills+c.kills, inWrite+c.inWrite, trained+1
			if wanted > 0 && kills >= wanted || t.Failed() {
				break
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d kills, %d of them inside a write of a checkpoint, over %d runs: every run ended as one that was never killed", kills, inWrite, trained)
	if kills == 0 {
		t.Error("no run was killed")
	}
}
