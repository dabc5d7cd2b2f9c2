package run

import (
	"bytes"
	"strings"
	"testing"
)

// Further outputs of a model are columns of metrics.csv and scalars of the event
// file, those of training under a name of their own.
func TestFurtherOutputsAreLogged(t *testing.T) {
	e := Epoch{Epoch: 1, TrainMetrics: map[string]float64{"overlap": 0.5}, Measured: Measured{Metric: "exp(-loss)", TestMetrics: map[string]float64{"overlap": 0.25}}}
	l := logs{extra: []string{"overlap"}, train: []string{"overlap"}}
	l.head()
	l.row(&e)
	lines := strings.Split(strings.TrimSpace(l.csv.String()), "\n")
	if !strings.HasSuffix(lines[0], ",overlap,train overlap") || !strings.HasSuffix(lines[1], ",0.25,0.5") || strings.Count(lines[0], ",") != strings.Count(lines[1], ",") {
		t.Errorf("metrics.csv: %q", lines)
	}
	events := appendScalars(nil, &e, 1)
	for _, tag := range []string{"metrics/overlap", "train/overlap"} {
		if !bytes.Contains(events, []byte(tag)) {
			t.Errorf("no scalar %q", tag)
		}
	}
}
