package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"winnow/internal/files"
)

// Pipes in place of a run's files must not be waited for.
func TestRunOfPipes(t *testing.T) {
	for _, name := range []string{SummaryFile, MetricsFile} {
		dir := t.TempDir()
		if name == MetricsFile {
			if err := os.WriteFile(filepath.Join(dir, SummaryFile), []byte(`{"epochs":1,"config":{"epochs":1}}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); !errors.Is(err, ErrBadRun) || !errors.Is(err, files.ErrNotRegular) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What no run writes is refused, and named.
func TestRunsThatCannotBe(t *testing.T) {
	summary := `{"epochs":2,"test_accuracy":0.5,"best_test_accuracy":0.75,"train_samples_used":30,"train_samples_full":40,"wall_seconds":2,"config":{"epochs":2}}`
	metrics := `{"epoch":1,"test_accuracy":0.75,"samples_used":20,"samples_total":20,"wall_seconds":1}
{"epoch":2,"test_accuracy":0.5,"samples_used":10,"samples_total":20,"wall_seconds":1}
`
	read := func(t *testing.T, summary, metrics string) error {
		t.Helper()
		dir := t.TempDir()
		err := errors.Join(os.WriteFile(filepath.Join(dir, SummaryFile), []byte(summary), 0o600),
			os.WriteFile(filepath.Join(dir, MetricsFile), []byte(metrics), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Read(dir)
		return err
	}
	if err := read(t, summary, metrics); err != nil {
		t.Fatal(err)
	}
	interrupted := strings.Replace(strings.Replace(summary, `"train_samples_used":30`, `"train_samples_used":33`, 1), `{"epochs"`, `{"interrupted":true,"epochs"`, 1)
	if err := read(t, interrupted, metrics); err != nil {
		t.Errorf("the open epoch of an interrupted run: %v", err)
	}
	for _, c := range []struct{ file, from, to, want string }{
		{SummaryFile, `"test_accuracy":0.5`, `"test_accuracy":1.5`, "test_accuracy is 1.5"},
		{SummaryFile, `"test_accuracy":0.5`, `"test_accuracy":-1`, "test_accuracy is -1"},
		{SummaryFile, `"test_accuracy":0.5`, `"test_accuracy":1e999`, "test_accuracy"},
		{SummaryFile, `"test_accuracy":0.5`, `"test_accuracy":NaN`, SummaryFile},
		{SummaryFile, `"test_accuracy":0.5`, `"test_accuracy":0.25`, "says 0.25"},
		{SummaryFile, `"best_test_accuracy":0.75`, `"best_test_accuracy":2`, "best_test_accuracy is 2"},
		{SummaryFile, `"best_test_accuracy":0.75`, `"best_test_accuracy":0.9`, "says 0.9"},
		{SummaryFile, `"train_samples_used":30`, `"train_samples_used":-30`, "train_samples_used is -30"},
		{SummaryFile, `"train_samples_used":30`, `"train_samples_used":29`, "says 29"},
		{SummaryFile, `"wall_seconds":2`, `"wall_seconds":-2`, "wall_seconds is -2"},
		{SummaryFile, `"epochs":2,"test`, `"epochs":-2,"test`, "epochs is -2"},
		{SummaryFile, `"epochs":2,"test`, `"epochs":3,"test`, "has 2 epochs"},
		{MetricsFile, `"epoch":2`, `"epoch":7`, "epoch 2: epoch is 7"},
		{MetricsFile, `"test_accuracy":0.75`, `"test_accuracy":75`, "epoch 1: test_accuracy is 75"},
		{MetricsFile, `"samples_used":20`, `"samples_used":-20`, "samples_used is -20"},
		{MetricsFile, `"samples_used":20`, `"samples_used":21`, "sums to 31"},
		{MetricsFile, `"wall_seconds":1}`, `"wall_seconds":-1}`, "wall_seconds is -1"},
	} {
		s, m := summary, metrics
		if c.file == SummaryFile {
			s = strings.Replace(s, c.from, c.to, 1)
		} else {
			m = strings.Replace(m, c.from, c.to, 1)
		}
		if err := read(t, s, m); !errors.Is(err, ErrBadRun) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
			t.Errorf("%s with %s: %v", c.file, c.to, err)
		}
	}
}

func TestRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mine")
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Read(dir); !errors.Is(err, ErrNoRun) {
		t.Errorf("no folder: %v", err)
	}
	want := Run{Name: "mine", Epochs: []Epoch{{Epoch: 1, TestAccuracy: 0.5, SamplesUsed: 60}, {Epoch: 2, TestAccuracy: 0.75, SamplesUsed: 40}}}
	want.Summary.Config.Epochs, want.Summary.Epochs, want.Summary.TrainSamplesUsed = 2, 2, 100
	want.Summary.TestAccuracy, want.Summary.BestTestAccuracy = 0.75, 0.75
	summary, err := json.Marshal(want.Summary)
	if err != nil {
		t.Fatal(err)
	}
	lines := ""
	for _, e := range want.Epochs {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines += string(line) + "\n"
	}
	write(MetricsFile, lines)
	if _, err := Read(dir); !errors.Is(err, ErrNoRun) || !strings.Contains(err.Error(), SummaryFile) {
		t.Errorf("no summary: %v", err)
	}
	write(SummaryFile, string(summary))
	got, err := Read(dir + "/")
	if err != nil {
		t.Fatal(err)
	}
	want.Dir = dir + "/"
	if fmt.Sprint(*got) != fmt.Sprint(want) {
		t.Errorf("read %+v, want %+v", *got, want)
	}
	for name, text := range map[string]string{
		"not JSON": "{", "wrong type": `{"epoch":"one"}`, "long line": strings.Repeat(" ", maxLine+1) + "{}",
	} {
		write(MetricsFile, lines+text)
		if _, err := Read(dir); !errors.Is(err, ErrBadRun) {
			t.Errorf("metrics, %s: %v", name, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, MetricsFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ErrBadRun) {
		t.Errorf("no metrics of finished epochs: %v", err)
	}
	write(SummaryFile, "{}")
	if _, err := Read(dir); !errors.Is(err, ErrBadRun) {
		t.Errorf("summary of nothing: %v", err)
	}
	write(SummaryFile, "[]")
	if _, err := Read(dir); !errors.Is(err, ErrBadRun) {
		t.Errorf("summary that is a list: %v", err)
	}
}

// More lines than the summary has epochs are not read on: a file of millions
// would take their memory before it is refused.
func TestReadStops(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("{\"epoch\":1}\n\n{\"epoch\":2}\n{\"epoch\":3}\n"), iotest.ErrReader(errors.New("read on")))
	if _, err := parseMetrics(endless, 2); err == nil || !strings.Contains(err.Error(), "line 4: more than the 2 epochs") {
		t.Errorf("%v", err)
	}
	endless = io.MultiReader(strings.NewReader("{\"epoch\":1}\n{}\n"), iotest.ErrReader(errors.New("read on")))
	if _, err := parseMetrics(endless, 100); err == nil || !strings.Contains(err.Error(), "epoch 2: epoch is 0") {
		t.Errorf("%v", err)
	}
}
