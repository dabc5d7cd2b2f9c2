package eval

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/run"
)

var update = flag.Bool("update", false, "rewrite golden files")

// made returns a run whose accuracy approaches top while each epoch uses a share of 60,000 samples.
func made(name, method string, top, share float64) run.Run {
	r := run.Run{Name: name}
	s := &r.Summary
	s.Bundle, s.Data, s.Device, s.Config.Epochs = "lenet", "glyphs", "cpu", 10
	s.Config.Prune.Method = method
	for e := 1; e <= 10; e++ {
		used := int64(60000 * share)
		if e == 1 || e > 8 {
			used = 60000
		}
		x := run.Epoch{Epoch: e, TestAccuracy: top - 0.3/float64(e*e), SamplesUsed: int(used), SamplesTotal: 60000, Seconds: run.Seconds{WallSeconds: float64(used)/12000 + 0.6}}
		r.Epochs = append(r.Epochs, x)
		s.TrainSamplesUsed += used
		s.TrainSamplesFull += 60000
		s.WallSeconds += x.WallSeconds
		s.EvalSeconds += 0.6
		s.TestAccuracy, s.BestTestAccuracy, s.Epochs = x.TestAccuracy, max(s.BestTestAccuracy, x.TestAccuracy), e
	}
	s.SavedRatio = 1 - float64(s.TrainSamplesUsed)/float64(s.TrainSamplesFull)
	return r
}

func three() []run.Run {
	auto := made("pruned", "auto", 0.911, 0.7)
	auto.Summary.Scorer, auto.Summary.Policy = "das", "infobatch"
	bls := made("bls", "bls-infobatch", 0.905, 0.75)
	bls.Summary.Data, bls.Summary.Interrupted, bls.Summary.Epochs = "fashion-mnist", true, 7
	return []run.Run{made("full", "none", 0.9123, 1), auto, bls}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; rewrite it with -update if that is meant. Got:\n%s", path, got)
	}
}

func TestCompare(t *testing.T) {
	c, err := Compare(three(), Options{Margin: DefaultMargin})
	if err != nil {
		t.Fatal(err)
	}
	var text, object bytes.Buffer
	if err := c.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.txt", text.Bytes())
	enc := json.NewEncoder(&object)
	enc.SetIndent("", "  ")
	if err := enc.Encode(c); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.json", object.Bytes())
	r := c.Rows[1]
	used := int64(3*60000 + 7*42000)
	if r.SamplesUsed != used || *r.SamplesSaved != 1-float64(used)/600000 {
		t.Errorf("row %+v, want %d samples used", r, used)
	}
	if _, err := Compare(nil, Options{Margin: DefaultMargin}); err == nil {
		t.Error("a comparison of nothing")
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      string
	}{
		{0, 612, "0 100 200 300 400 500 600"}, {59.2, 92.5, "60 65 70 75 80 85 90"},
		{0, 1, "0.0 0.2 0.4 0.6 0.8 1.0"}, {90.1, 90.5, "90.1 90.2 90.3 90.4 90.5"}, {3, 3, "3"},
	} {
		var got []string
		for _, tick := range (roundTicks{}).Ticks(c.low, c.high) {
			got = append(got, tick.Label)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v to %v: %s, want %s", c.low, c.high, s, c.want)
		}
	}
}

func TestChart(t *testing.T) {
	c, err := Compare(three(), Options{Margin: DefaultMargin})
	if err != nil {
		t.Fatal(err)
	}
	for _, axis := range []Axis{AxisSamples, AxisSeconds} {
		var svg, bitmap, again bytes.Buffer
		if err := errors.Join(c.WriteChart(&svg, FormatSVG, axis), c.WriteChart(&bitmap, FormatPNG, axis), c.WriteChart(&again, FormatSVG, axis)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(svg.Bytes(), again.Bytes()) {
			t.Error("two charts of the same runs differ")
		}
		for _, want := range []string{"test accuracy (%)", "full (none), 90.93%", "pruned (das-infobatch)", "Arial,Helvetica,sans-serif"} {
			if !strings.Contains(svg.String(), want) {
				t.Errorf("%s: the SVG lacks %q", axis, want)
			}
		}
		dec := xml.NewDecoder(&svg)
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		img, err := png.Decode(bytes.NewReader(bitmap.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if w := img.Bounds().Dx(); w < 900 {
			t.Errorf("PNG is %d wide", w)
		}
		if dir := os.Getenv("CHART_DIR"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, string(axis)+".png"), bitmap.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.WriteChart(io.Discard, "gif", AxisSamples); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if err := c.WriteChart(io.Discard, FormatSVG, "epochs"); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if c, err = Compare([]run.Run{{Name: "nothing"}}, Options{Margin: DefaultMargin}); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteChart(io.Discard, FormatSVG, AxisSamples); err == nil {
		t.Error("a chart of no epochs")
	}
}

// Data of two names that were read the same are the same, whatever pruned them;
// a run that is not finished saves nothing, nor does one beside it.
func TestCompareData(t *testing.T) {
	a, b, c, d := made("a", "none", 0.9, 1), made("b", "random", 0.8, 0.5), made("c", "random", 0.7, 0.5), made("d", "none", 0.6, 1)
	a.Summary.DataSum, b.Summary.DataSum, d.Summary.DataSum = "1", "1", "2"
	b.Summary.Data, c.Summary.Data, d.Summary.Data = "/glyphs", "/glyphs", "/other"
	got, err := Compare([]run.Run{a, b, c, d}, Options{Margin: DefaultMargin})
	want := []string{"b: data /glyphs is the same as glyphs of a", "c: data /glyphs, the first run has glyphs", "d: data /other, the first run has glyphs"}
	if err != nil || !slices.Equal(got.Notes, want) {
		t.Errorf("%v, %q", err, got.Notes)
	}
	if len(got.Groups) != 4 || got.Groups[1].Difference == nil || got.Groups[2].Difference != nil || b.Summary.Data != "/glyphs" {
		t.Errorf("%+v", got.Groups)
	}
	if got, err = Compare([]run.Run{a, b, d}, Options{Meant: []string{"data"}}); err != nil || len(got.Notes) != 1 {
		t.Errorf("%v, %q", err, got.Notes)
	}
	a.Summary.Interrupted, a.Summary.Epochs = true, 1
	for _, runs := range [][]run.Run{{a, b}, {b, a}} {
		if got, err = Compare(runs, Options{}); err != nil || got.Rows[1].SamplesSaved != nil || got.Rows[1].SecondsSaved != nil {
			t.Errorf("%v, %+v", err, got.Rows)
		}
	}
	if got, err = Compare([]run.Run{a}, Options{}); err != nil || !errors.Is(got.WriteGroups(io.Discard, CSV), run.ErrNoRun) || !errors.Is(got.WriteChart(io.Discard, FormatSVG, AxisSaved), run.ErrNoRun) {
		t.Errorf("groups of what is not finished: %v", err)
	}
}

// What else than pruning tells a run from the first one is noted, and numbers of
// two kinds are not compared.
func TestCompareUnlike(t *testing.T) {
	a, b, c := made("a", "none", 0.9, 1), made("b", "random", 0.9, 0.5), made("c", "random", 0.9, 0.5)
	b.Summary.Config.LearningRate, c.Summary.Config.LearningRate = 0.01, 0.01
	b.Summary.Config.Prune.Ratio = 0.3
	b.Summary.Config.Source.SHA256, c.Summary.Config.Source.SHA256 = "1", "2"
	c.Summary.Bundle = "mlp"
	got, err := Compare([]run.Run{a, b, c}, Options{})
	want := []string{"b and 1 more: lr 0.01, the first run has 0", "b: its bundle was made from another file than that of the first run", "c: bundle mlp, the first run has lenet"}
	if err != nil || !slices.Equal(got.Notes, want) {
		t.Errorf("%v, %q", err, got.Notes)
	}
	b.Summary.Metric, b.Summary.TestMetrics = R2, map[string]float64{R2: 0.5}
	for _, metric := range []string{"", Accuracy, R2} {
		if _, err := Compare([]run.Run{a, b}, Options{Metric: metric}); !errors.Is(err, ErrMetric) {
			t.Errorf("accuracy beside R2, by %q: %v", metric, err)
		}
	}
	if _, err := Compare([]run.Run{a, b}, Options{Metric: LossMetric}); err != nil {
		t.Error(err)
	}
	m := b
	m.Summary.Metric, m.Summary.TestMetrics = MeanIoU, map[string]float64{MeanIoU: 0.5, Accuracy: 0.25}
	if by, err := Compare([]run.Run{m}, Options{Metric: Accuracy}); err != nil || *by.Rows[0].Accuracy != 0.25 {
		t.Errorf("a further measure that has the name of classes' main one: %v, %v", by, err)
	}
}
