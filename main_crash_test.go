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

// killsPage is a page that gets a section with what TestCrash found.
const killsPage = "WINNOW_TEST_KILLS_PAGE"

// killsWanted asks TestCrash for so many kills, over as many runs as that takes.
const killsWanted = "WINNOW_TEST_KILLS"

// crashed is a run that is killed at instants drawn from a seed, again and
// again, and goes on each time.
type crashed struct {
	method         string
	most           int // kills
	random         *rand.Rand
	takes          time.Duration // a run that is not killed
	out            string
	kills, inWrite int
}

func (c *crashed) args(out string) []string {
	args := []string{"train", "--bundle", "mlp", "--data", "glyphs:train=320,test=32", "--epochs", "5", "--batch-size", "16",
		"--crop-pad", "1", "--seed", "3", "--prune", c.method, "--prune-window", "3", "--device", "cpu", "--threads", "1", "--save-every", "1e,9s", "--out", out}
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
	case <-time.After(time.Duration(c.random.Float64() * float64(c.takes))):
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
	began := time.Now()
	if text, err := program(c.args(whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	c.takes = time.Since(began)
	for !c.attempt(t) {
		if c.kills == c.most {
			winnow(t, append(c.args(c.out), "--resume", "auto")...).succeeds(t)
			break
		}
	}
	sameRun(t, fmt.Sprintf("%s after %d kills", c.method, c.kills), c.out, whole, 5)
}

// sameRun holds a run that was broken off against one that never was, both of so
// many epochs: all but times is equal to the bit.
func sameRun(t *testing.T, what, broken, whole string, epochs int) {
	t.Helper()
	last := filepath.Join(runs.CheckpointDir, fmt.Sprintf("%d-0", epochs))
	for _, name := range []string{"model.onnx", filepath.Join(last, "state.safetensors"), filepath.Join(last, "pruner")} {
		want, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(broken, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s is not that of a run that never was: %v", what, name, err)
		}
	}
	for _, name := range []string{"metrics.jsonl", "summary.json"} {
		if got, want := timeless(t, filepath.Join(broken, name)), timeless(t, filepath.Join(whole, name)); got != want {
			t.Errorf("%s: %s\n%s\nwant\n%s", what, name, got, want)
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

// A run that is killed and goes on ends as one that never was, under every
// scorer and policy; with make test-crash until 50 kills have been.
func TestCrash(t *testing.T) {
	ortest.CPU(t, 1)
	methods := []string{"none", "random", "static", "infobatch", "bls-seta", "das-seta", "epsilon-greedy", "ucb", "bls-repb"}
	wanted, most := 0, 3
	if text := os.Getenv(killsWanted); text != "" {
		var err error
		if wanted, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		most = 7
	}
	kills, inWrite, trained := 0, 0, 0
	for round := 0; round == 0 || kills < wanted; round++ {
		for i, method := range methods {
			c := &crashed{method: method, most: most, random: rand.New(rand.NewPCG(uint64(round), uint64(i)))}
			t.Run(method, c.finishes)
			kills, inWrite, trained = kills+c.kills, inWrite+c.inWrite, trained+1
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d kills, %d of them inside a write of a checkpoint, over %d runs: every run ended as one that was never killed", kills, inWrite, trained)
	if kills == 0 {
		t.Error("no run was killed")
	}
	if page := os.Getenv(killsPage); page != "" && !t.Failed() {
		writeKills(t, page, kills, inWrite, trained, methods)
	}
}

const killsHeading = "\n## Runs that are killed\n"

// writeKills puts the section with what was found at the end of a page.
func writeKills(t *testing.T, page string, kills, inWrite, trained int, methods []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := bytes.Cut(text, []byte(killsHeading))
	section := fmt.Sprintf(`%s
From %smake test-crash%s: %d runs of mlp, five epochs each, by %s,
were killed (SIGKILL) %d times at instants drawn from a seed, %d of them inside the
write of a checkpoint, and went on each time with one to three loader workers.
All %d ended with the parameters, the state of the optimizer and of the
pruner, the model, the metrics and the summary of a run that was never killed, to
the bit, but for times.
`, killsHeading, "`", "`", trained, strings.Join(methods, ", "), kills, inWrite, trained)
	write(t, page, append(before, section...))
}
