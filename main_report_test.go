package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	runs "winnow/run"
	"winnow/runtime/ortest"
)

// With --log tensorboard a run has an event file, and it is taken for the run's;
// what goes on has its own epochs once.
func TestLogFiles(t *testing.T) {
	ortest.CPU(t, 1)
	run := filepath.Join(t.TempDir(), "run")
	winnow(t, trainMLP(run, "--log", "tensorboard", "-q")...).succeeds(t)
	winnow(t, "train", "--resume", run, "--epochs", "3", "-q").succeeds(t)
	text, err := os.ReadFile(filepath.Join(run, runs.CSVFile))
	if err != nil || strings.Count(string(text), "\n") != 4 || !strings.Contains(string(text), "\n3,") {
		t.Errorf("%v, %s", err, text)
	}
	events, err := os.ReadFile(filepath.Join(run, runs.EventsFile))
	if err != nil || strings.Count(string(events), "epoch/test_accuracy") != 3 {
		t.Errorf("%v, %d bytes of events", err, len(events))
	}
	winnow(t, trainMLP(run, "--overwrite", "-q")...).succeeds(t)
	if _, err := os.Stat(filepath.Join(run, runs.EventsFile)); !os.IsNotExist(err) {
		t.Error("the event file of the run before is there", err)
	}
	winnow(t, trainMLP(run, "--overwrite", "--log", "x", "-q")...).fails(t, exitUsage, "--log", "tensorboard")
}

// A run ends with its report, whose confusions are those of the model; the
// command writes the same page again.
func TestReport(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	page := filepath.Join(run, "report.html")
	out := winnow(t, trainMLP(run, "--epochs", "4", "--prune", "infobatch", "--prune-delta", "1")...).succeeds(t).stdout
	if !strings.Contains(out, "report "+page) {
		t.Error(out)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runs.Read(run)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for _, m := range regexp.MustCompile(`<td class="right"[^>]*>(\d+)</td>`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		right += n
	}
	if float64(right)/64 != r.Summary.TestAccuracy {
		t.Errorf("%d of 64 right on the diagonal, the run's accuracy is %v", right, r.Summary.TestAccuracy)
	}
	for _, title := range []string{"Scores", "Worst mistakes", "Pruned most", "Configuration"} {
		if !strings.Contains(string(text), title) {
			t.Errorf("no %s", title)
		}
	}
	if err := os.Remove(page); err != nil {
		t.Fatal(err)
	}
	winnow(t, "report", run, "--device", "cpu", "--threads", "1").succeeds(t)
	if again, err := os.ReadFile(page); err != nil || string(again) != string(text) {
		t.Error("the page written again differs", err)
	}

	// A run that gives way takes its report along; what is no report stays.
	winnow(t, trainMLP(run, "--overwrite", "--report=false", "-q")...).succeeds(t)
	if _, err := os.Stat(page); !os.IsNotExist(err) {
		t.Error("the report of the run before is there", err)
	}
	if err := os.WriteFile(page, []byte("<html>mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	winnow(t, "report", run).fails(t, exitUsage, page)
	winnow(t, trainMLP(run, "--overwrite", "-q")...).fails(t, exitUsage, "report.html")
	winnow(t, "report", run, "-o", filepath.Join(dir, "p.html"), "--data", "glyphs:train=99,test=64").fails(t, exitInput, "99", "256")
	winnow(t, "report", dir).fails(t, exitInput, dir)
}
