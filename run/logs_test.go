package run

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"winnow/internal/tfevents"
)

// What is logged epoch by epoch, over a break too, is what metrics.jsonl has; a
// file that no run wrote stays.
func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	began := time.Unix(1700000000, 0)
	epoch := func(k int) Epoch {
		e := Epoch{Epoch: k, TrainLoss: 2 / float64(k), TestAccuracy: 0.1 * float64(k), SamplesUsed: 10 * k, WrongUsed: k, ScoreQuantiles: []float32{1, 2}}
		e.WallSeconds, e.StepSeconds = 2, 1.5
		e.TestMetrics = map[string]float64{"miou": 0.5 / float64(k), "dice": 0.25}
		return e
	}
	log := func(f *Folder, k int) {
		t.Helper()
		if err := errors.Join(f.AppendEpoch(epoch(k)), f.Log(epoch(k), true, began.Add(time.Duration(2*k)*time.Second))); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(dir, "", false)
	if err != nil {
		t.Fatal(err)
	}
	log(f, 1)
	log(f, 2)
	f.Release()
	f = &Folder{held: f.held, disk: realDisk{}, dir: dir} // goes on
	log(f, 3)

	text, err := os.ReadFile(filepath.Join(dir, CSVFile))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatal(err, rows)
	}
	for k := 1; k <= 3; k++ {
		got := map[string]float64{}
		for i, name := range rows[0] {
			if got[name], err = strconv.ParseFloat(rows[k][i], 64); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]float64{"epoch": float64(k), "train_loss": 2 / float64(k), "test_accuracy": 0.1 * float64(k), "samples_used": float64(10 * k),
			"wrong_labels_used": float64(k), "wall_seconds": 2, "step_seconds": 1.5, "eval_seconds": 0, "miou": 0.5 / float64(k), "dice": 0.25}
		for name, x := range want {
			if y, ok := got[name]; !ok || x != y {
				t.Errorf("epoch %d: %s is %v, want %v", k, name, y, x)
			}
		}
	}

	want := tfevents.AppendVersion(nil, 1700000000)
	for k := 1; k <= 3; k++ {
		e := epoch(k)
		want = appendScalars(want, &e, 1700000000+2*float64(k))
	}
	if got, err := os.ReadFile(filepath.Join(dir, EventsFile)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, %d bytes of events, want %d", err, len(got), len(want))
	}
	if names, err := earlierRun(dir); err != nil || len(names) != 3 {
		t.Errorf("of the run: %q, %v", names, err)
	}

	if err := os.WriteFile(filepath.Join(dir, CSVFile), []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	f = &Folder{held: f.held, disk: realDisk{}, dir: dir}
	if err := f.Log(epoch(3), false, began); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, CSVFile)); err != nil || string(text) != "mine" {
		t.Error(err, string(text))
	}
	if _, err := earlierRun(dir); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
}
