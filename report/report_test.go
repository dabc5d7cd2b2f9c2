package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"winnow/loader/raster"
	"winnow/prune"
	"winnow/run"
)

// sample is a report with everything in it.
func sample(t *testing.T, epochs, classes int) *Report {
	t.Helper()
	r := &run.Run{Name: `run <script>alert("1")</script>`}
	s := &r.Summary
	s.Bundle, s.Data, s.Scorer, s.Policy, s.Epochs = "lenet", "glyphs:noise=0.2", prune.ScorerDAS, "infobatch", epochs
	s.Config.Epochs, s.Config.Classes, s.Config.Prune.Window = epochs, int64(classes), 3
	s.Config.Command = &run.Command{LabelNoise: &run.LabelNoise{Kind: "symmetric", Rate: 0.2, Changed: 20}}
	s.WorstClass = run.ClassResult{Class: 1, Samples: 10, Correct: 6}
	for e := 1; e <= epochs; e++ {
		x := run.Epoch{Epoch: e, TrainLoss: 2 / float64(e), TestLoss: 2.5 / float64(e), TestAccuracy: 1 - 1/float64(e+1), LearningRate: 0.1 / float64(e),
			SamplesUsed: 100 - e%50, SamplesTotal: 100, WrongUsed: 20 - e%20}
		x.WallSeconds, x.StepSeconds, x.EvalSeconds, x.PruneSeconds = 2, 1, 0.5, 0.1
		for k := range run.ScoreParts + 1 {
			x.ScoreQuantiles = append(x.ScoreQuantiles, float32(k)/float32(e))
		}
		r.Epochs = append(r.Epochs, x)
	}
	c := &Confusion{Classes: classes, Count: map[[2]int]int{}}
	for k := range classes {
		c.Count[[2]int{k, k}] = 7
		c.Count[[2]int{k, (k + 1) % classes}] += 3
	}
	p := &Report{Run: r, Classes: []string{"a<b", "two"}, Confusion: c}
	for k := range 8 {
		m := &raster.Image{C: 1 + 2*(k%2), H: 20 + 40*(k%2), W: 30 + 60*(k%2)}
		m.Reset(m.C, m.H, m.W)
		for i := range m.Pix {
			m.Pix[i] = byte(i * (k + 1))
		}
		picture, err := NewPicture(m)
		if err != nil {
			t.Fatal(err)
		}
		card := Card{Picture: picture, Head: fmt.Sprintf("#%d", k), Lines: []Line{{"wrong", "as <b>"}}}
		p.Mistakes, p.Pruned, p.Kept = append(p.Mistakes, card), append(p.Pruned, card), append(p.Kept, card)
	}
	return p
}

func page1(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var address = regexp.MustCompile(`(?i)(\s(src|href|action|srcset)\s*=\s*["']?\s*[a-z/#]+:?|url\(|@import)`)

// void are elements without an end.
var void = regexp.MustCompile(`<(meta|img|br)([^>]*)>`)

// A further output of a model has a chart under its name.
func TestFurtherOutputs(t *testing.T) {
	r := sample(t, 5, 3)
	r.Run.Summary.Scalars = []string{"overlap <1>"}
	for i := range r.Run.Epochs {
		r.Run.Epochs[i].TestMetrics = map[string]float64{"overlap <1>": 0.25 + float64(i)}
		r.Run.Epochs[i].TrainMetrics = map[string]float64{"overlap <1>": 0.125 + float64(i)}
	}
	s := &r.Run.Summary
	s.Metric, s.TestMetrics = "mean IoU", map[string]float64{"mean IoU": 0.5, "pixel accuracy": 0.875, "overlap <1>": 7.5}
	text := page1(t, r)
	if strings.Contains(text, "test accuracy") || strings.Contains(text, "7.5<") {
		t.Error("the mean IoU is called an accuracy, or an output with a chart is told twice")
	}
	for _, want := range []string{"<h3>overlap &lt;1&gt;</h3>", "4.2500", "4.1250", "test mean IoU", "pixel accuracy", "0.875"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	wellFormed(t, text)
}

// The page has every section and chart, nothing that leads out of it, texts
// escaped, and its tags closed.
func TestReport(t *testing.T) {
	text := page1(t, sample(t, 12, 10))
	for _, s := range sections {
		if !strings.Contains(text, "<h2>"+s.title+"</h2>") {
			t.Errorf("no section %q", s.title)
		}
	}
	for _, title := range []string{"Accuracy", "Loss", "Learning rate", "Samples by epoch", "Scores", "Wrong labels", "Seconds by epoch"} {
		if !strings.Contains(text, "<h3>"+title+"</h3>") || !strings.Contains(text, `aria-label="`+title+`"`) {
			t.Errorf("no chart %q", title)
		}
	}
	if n := strings.Count(text, "<svg "); n != 7 {
		t.Errorf("%d charts", n)
	}
	if n := strings.Count(text, `<img src="data:image/`); n != 24 {
		t.Errorf("%d pictures", n)
	}
	if !strings.Contains(text, `http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline';`) {
		t.Error("no policy")
	}
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "NaN") {
		t.Error("a script of the run, a value that the template refused, or NaN")
	}
	for _, m := range address.FindAllString(text, -1) {
		if !strings.HasSuffix(m, `src="data:`) {
			t.Errorf("it leads out: %s", m)
		}
	}
	wellFormed(t, text)
	var g bytes.Buffer
	if err := WriteGallery(&g, &Gallery{Head: Head{Title: "<x>"}, Notes: []string{"a & b"}, Cards: sample(t, 1, 2).Mistakes}); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, g.String())
	if strings.Count(g.String(), "<img ") != 8 || strings.Contains(g.String(), "<x>") {
		t.Error("gallery without its pictures, or not escaped")
	}
}

// wellFormed holds the tags of a page against each other.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	text = void.ReplaceAllString(strings.Replace(strings.Replace(text, "<!doctype html>", "", 1), zoomScript, "", 1), "<$1$2/>")
	d := xml.NewDecoder(strings.NewReader(text))
	d.Entity = xml.HTMLEntity
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// However long a run and however many its classes, the page stays small; a run
// that tells little has what it tells.
func TestReportSizes(t *testing.T) {
	for _, c := range []struct{ epochs, classes int }{{1, 2}, {2, 24}, {40, 25}, {200, 10}, {3000, 1000}} {
		r := sample(t, c.epochs, c.classes)
		big := &raster.Image{}
		big.Reset(3, PictureSide, PictureSide)
		for i := range big.Pix {
			big.Pix[i] = byte(uint32(i) * 2654435761 >> 24) // noise, which hardly shrinks
		}
		picture, err := NewPicture(big)
		if err != nil {
			t.Fatal(err)
		}
		for range 48 {
			r.Mistakes = append(r.Mistakes, Card{Picture: picture, Head: "#"})
		}
		text := page1(t, r)
		if len(text) > MaxBytes || len(text) < 10000 {
			t.Errorf("%+v: %d bytes", c, len(text))
		}
		if left := strings.Contains(text, "pictures are left out"); !left {
			t.Errorf("%+v: no word of pictures left out", c)
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%+v: NaN or Inf in it", c)
		}
	}
	few := sample(t, 2, 3)
	few.Confusion.Classes = 1000 // of a model with more classes than the data
	if text := page1(t, few); strings.Count(text, `<td class="right"`) != 3 || strings.Count(text, "<h2>Confusion</h2>") != 1 {
		t.Error("a matrix of classes that no sample has")
	}
	bare := &Report{Run: &run.Run{Name: "bare"}}
	bare.Run.Summary.Config.Epochs, bare.Run.Summary.Interrupted = 3, true
	if text := page1(t, bare); strings.Contains(text, "<svg") || !strings.Contains(text, "interrupted") || !strings.Contains(text, "Configuration") {
		t.Error("a run without an epoch")
	}
	odd := sample(t, 3, 3)
	odd.Run.Epochs[1].TrainLoss, odd.Run.Epochs[1].TestLoss = math.NaN(), math.Inf(1)
	if text := page1(t, odd); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error("numbers that are none are drawn")
	}
}

// Shares of a histogram sum to one and lie where the quantiles say.
func TestShares(t *testing.T) {
	q := make([]float32, 41)
	for k := range q {
		q[k] = float32(k) / 40
	}
	bins := shares(q, 0, 1) // evenly from 0 to 1
	sum := 0.0
	for k, x := range bins {
		sum += x
		if math.Abs(x-1.0/heatBins) > 1e-6 {
			t.Errorf("bin %d has %v", k, x)
		}
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Error(sum)
	}
	for k := range q {
		q[k] = 0.5
	}
	if bins := shares(q, 0, 1); math.Abs(bins[heatBins/2]-1) > 1e-9 {
		t.Error(bins)
	}
}
