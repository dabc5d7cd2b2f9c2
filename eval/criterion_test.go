package eval

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"winnow/run"
)

// losses are runs of a model with its own loss: a seed each, with an output beside it.
func losses(method string, values ...float64) []run.Run {
	runs := seeded(method, 0.5, 0, values...)
	for i := range runs {
		s := &runs[i].Summary
		s.TestLoss, s.TestAccuracy, s.Metric = values[i], math.Exp(-values[i]), OwnScore
		s.TestMetrics, s.Scalars = map[string]float64{OwnScore: s.TestAccuracy, "overlap": 1 - values[i]/10}, []string{"overlap"}
		for k := range runs[i].Epochs {
			runs[i].Epochs[k].TestLoss, runs[i].Epochs[k].TestMetrics = values[i], s.TestMetrics
		}
	}
	return runs
}

// Less of a loss is better: the differences are 0.1, 0.2 and 0.3, whose interval
// by Student's t of two degrees is 0.2 +- 4.302653 * 0.1/sqrt(3).
func TestGroupsByLoss(t *testing.T) {
	all := append(losses("none", 2, 3, 4), losses("bls-infobatch", 2.1, 3.2, 4.3)...)
	for _, c := range []struct {
		metric, verdict string
		margin, mean    float64
	}{
		{"", "not shown: it would take", 0.1, 0.2},
		{"loss", "not shown: it loses 0.2000 on average", 0.05, 0.2},
		{"loss", "no loss within 20% of the baseline's", 0.2, 0.2},
		{"loss=max", "no loss within 5% of the baseline's", 0.05, 0.2},
		{"overlap", "no loss within 5% of the baseline's", 0.05, -0.02},
		{"overlap=max", "not shown: it would take", 0.03, -0.02},
	} {
		got, err := Compare(all, Options{Margin: c.margin, Metric: c.metric})
		if err != nil {
			t.Fatal(err)
		}
		g := got.Groups[1]
		if d := g.Difference; math.Abs(d.Mean-c.mean) > 1e-12 {
			t.Errorf("%q: differs by %v, want %v", c.metric, d.Mean, c.mean)
		}
		if half := 4.302653 * math.Abs(c.mean) / 2 / math.Sqrt(3); math.Abs(*g.Difference.High-*g.Difference.Low-2*half) > 1e-6 {
			t.Errorf("%q: interval %v to %v, want %v around %v", c.metric, *g.Difference.Low, *g.Difference.High, half, c.mean)
		}
		if !strings.HasPrefix(g.Verdict, c.verdict) {
			t.Errorf("%q, margin %v: %q, want %q", c.metric, c.margin, g.Verdict, c.verdict)
		}
	}
	got, err := Compare(all, Options{Margin: 0.2})
	if err != nil {
		t.Fatal(err)
	}
	var text, chart bytes.Buffer
	if err := errors.Join(got.WriteText(&text), got.WriteChart(&chart, FormatSVG, AxisSaved), got.WriteChart(&chart, FormatSVG, AxisSamples)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  loss ", "2.1000", "+0.2000", "-0.0484 to +0.4484", "loss of the test samples"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if _, err := Compare(all, Options{Margin: 0.2, Metric: "mAP"}); !errors.Is(err, ErrMetric) || !strings.Contains(err.Error(), "exp(-loss), loss, overlap") {
		t.Errorf("an unknown metric: %v", err)
	}
}
