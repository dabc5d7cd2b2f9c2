package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

// peer is a program that stands in for a Python with torch.
func peer(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/usr/bin/env bash\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every part runs on the CPU, and the file holds what each found.
func TestReport(t *testing.T) {
	ortest.CPU(t, 0)
	o := options{Device: "cpu", Parity: []string{"mlp", "lenet"}, Speed: []string{"lenet"},
		Python: peer(t, `[ "$WINNOW_DEVICE $WINNOW_BATCH $2 $3" = "cpu 32 time lenet" ] && echo '{"batch":32,"median_ms":8,"version":"PyTorch"}'`)}
	r, err := run(context.Background(), o, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "results", "cuda.json")
	if err := write(path, r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Provider != ortrun.CPUProvider || got.LibraryVersion == "" || got.CPU == "" || len(got.Failures) != 0 {
		t.Errorf("the report is %s", text)
	}
	if len(got.Models) != 2 || len(got.Speed) != 2 || got.Speed[0].Tuned || !got.Speed[1].Tuned {
		t.Fatalf("the report is %s", text)
	}
	for _, c := range got.Models {
		if c.StateMemory != "Cpu" || c.StateTensors == 0 || len(c.Losses) != paritySteps || !(c.Losses[9] < c.Losses[0]) || c.Worst > 1e-5 {
			t.Errorf("%+v", c)
		}
	}
	if s := got.Speed[0]; s.PeerImage != 4000 || math.Abs(s.Images-32e3/s.MedianMS) > 1e-6*s.Images || s.Ratio != s.Images/4000 {
		t.Errorf("%+v", s)
	}

	o.Parity, o.Python = nil, peer(t, "echo no torch >&2; exit 3")
	if r, err := run(context.Background(), o, io.Discard); err != nil || len(r.Failures) != 1 || len(r.Speed) != 2 || r.Speed[0].Ratio != 0 {
		t.Errorf("a peer that fails: %+v, %v", r, err)
	}
}

func TestProblemsAreFound(t *testing.T) {
	good := check{StrictDevice: true, StateMemory: "Cuda"}
	for want, change := range map[string]func(*check){
		"":              func(*check) {},
		"in Cpu memory": func(c *check) { c.StateMemory = "Cpu" },
		"copies 3":      func(c *check) { c.StateCopies = 3 },
		"fell back":     func(c *check) { c.StrictDevice = false },
		"losses differ": func(c *check) { c.Worst = 0.01 },
		"NaN":           func(c *check) { c.Worst = math.NaN() },
	} {
		c := good
		change(&c)
		got := strings.Join(c.problems(ortrun.CUDAProvider), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMissingDeviceIsAnError(t *testing.T) {
	ortest.CPU(t, 0) // the library is there
	_, err := run(context.Background(), options{Device: "cuda:1000"}, io.Discard)
	if !errors.Is(err, ortrun.ErrNoDevice) {
		t.Errorf("got %v", err)
	}
}
