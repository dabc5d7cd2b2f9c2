package eval

import (
	"bytes"
	"encoding/csv"
	"errors"
	"strconv"
	"strings"
	"testing"

	"winnow/run"
)

// seeded are runs of one method, a seed each from first on.
func seeded(method string, ratio float64, first uint64, accuracies ...float64) (runs []run.Run) {
	for i, a := range accuracies {
		seed := first + uint64(i)
		share := 1 - ratio/2
		if method == "none" {
			share = 1
		}
		r := made(method+"-s"+strconv.FormatUint(seed, 10), method, a, share)
		s := &r.Summary
		s.Seed, s.Config.Seed, s.Config.Prune.Ratio, s.Policy = seed, seed, ratio, "infobatch"
		s.TestAccuracy = a
		if method == "none" {
			s.Policy = "full"
		}
		s.WorstClass = run.ClassResult{Class: 6, Samples: 100, Correct: 70 + i}
		s.Config.Command = &run.Command{InitSeed: &seed}
		runs = append(runs, r)
	}
	return runs
}

func grouped(t *testing.T, runs ...[]run.Run) *Comparison {
	t.Helper()
	var all []run.Run
	for _, r := range runs {
		all = append(all, r...)
	}
	c, err := Compare(all, Options{Margin: DefaultMargin})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func five() [][]run.Run {
	return [][]run.Run{
		seeded("none", 0.5, 0, 0.912, 0.914, 0.910, 0.913, 0.911),
		seeded("infobatch", 0.3, 0, 0.912, 0.913, 0.911, 0.912, 0.912),
		seeded("infobatch", 0.7, 0, 0.902, 0.903, 0.901, 0.904, 0.900),
		seeded("random", 0.5, 0, 0.915, 0.905, 0.914, 0.904, 0.912),
	}
}

func TestGroups(t *testing.T) {
	c := grouped(t, five()...)
	var names []string
	for _, g := range c.Groups {
		names = append(names, g.Name)
	}
	if got := strings.Join(names, ", "); got != "none, infobatch ratio=0.3, infobatch ratio=0.7, random" {
		t.Fatal(got)
	}
	if g := c.Groups[0]; g.Difference != nil || g.Verdict != "" || g.Worst == nil || !near(g.Worst.Mean, 0.72) {
		t.Errorf("baseline: %+v", g)
	}
	g := &c.Groups[1]
	want := Paired([]float64{0, -0.001, 0.001, -0.001, 0.001})
	if d := g.Difference; d.Pairs != 5 || !near(d.Mean, want.Mean) || !near(*d.Low, *want.Low) || !near(*d.High, *want.High) || !g.NoLoss {
		t.Errorf("%s: %+v, want %+v", g.Name, d, want)
	}
	if full, used := 600000.0, 3*60000+7*60000*0.85; !near(g.SamplesUsed, used) || !near(*g.SamplesSaved, 1-used/full) {
		t.Errorf("%s: %v used, %v saved", g.Name, g.SamplesUsed, *g.SamplesSaved)
	}
	for i, want := range []string{"", "no loss within 0.5 points", "not shown: it loses 0.88 to 1.12 points", "not shown: it would take about "} {
		if got := c.Groups[i].Verdict; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", c.Groups[i].Name, got)
		}
	}
	if len(c.Notes) > 0 {
		t.Error(c.Notes)
	}
	twice := &Comparison{}
	for _, name := range []string{"a", "b", "c"} {
		twice.add(name, "device x")
	}
	twice.add("d", "device y")
	if got := strings.Join(twice.Notes, "; "); got != "a and 2 more: device x; d: device y" {
		t.Error(got)
	}
	var text, comma, mark bytes.Buffer
	if err := c.WriteGroups(&text, Text); err != nil {
		t.Fatal(err)
	}
	golden(t, "groups.txt", text.Bytes())
	for line := range strings.Lines(text.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 90 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if err := c.WriteGroups(&mark, Markdown); err != nil {
		t.Fatal(err)
	}
	golden(t, "groups.md", mark.Bytes())
	if err := c.WriteGroups(&comma, CSV); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&comma).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Fatal(err, len(rows))
	}
	for k, head := range rows[0] {
		if x, err := strconv.ParseFloat(rows[2][k], 64); head == "difference_low" && (err != nil || x != *g.Difference.Low) {
			t.Errorf("%s: %s, %v", head, rows[2][k], err)
		}
	}
}

// Only seeds that both have are compared, and what is odd about a pair is said.
func TestGroupsUnpaired(t *testing.T) {
	other := uint64(9)
	odd := seeded("random", 0.5, 3, 0.91, 0.92, 0.90)
	odd[0].Summary.Config.Command.InitSeed = &other
	odd[2].Summary.Interrupted = true
	again := seeded("random", 0.5, 4, 0.5)
	c := grouped(t, seeded("none", 0.5, 2, 0.9, 0.93), odd, again)
	g := c.Groups[1]
	if len(g.Seeds) != 2 || g.Difference.Pairs != 1 || !near(g.Difference.Mean, -0.02) || g.NoLoss || g.Verdict != "not shown: one seed gives no interval" {
		t.Errorf("%+v %+v", g, g.Difference)
	}
	notes := strings.Join(c.Notes, "\n")
	for _, want := range []string{"random-s3: its first weights are those of seed 9", "random-s4: seed 4 has no run of none", "random-s4: seed 4 is there before", "random-s5: interrupted"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
	if c = grouped(t, seeded("none", 0.5, 0, 0.9), seeded("random", 0.5, 1, 0.9)); c.Groups[1].Difference != nil || c.Groups[1].NoLoss {
		t.Errorf("%+v", c.Groups[1])
	}
}

func TestWorstClass(t *testing.T) {
	r := Result{PerClass: []Class{{0, 0}, {10, 9}, {4, 2}, {2, 1}}}
	if w := r.Worst(); w.Class != 2 || w.Samples != 4 || w.Correct != 2 {
		t.Errorf("%+v", w)
	}
	if w := (&Result{}).Worst(); w.Samples != 0 {
		t.Errorf("%+v", w)
	}
}

// Groups of other data have a baseline of their own.
func TestGroupsOfNoise(t *testing.T) {
	noisy := func(share string, runs []run.Run) []run.Run {
		for i := range runs {
			runs[i].Summary.Data = "glyphs:noise=" + share
		}
		return runs
	}
	c := grouped(t, seeded("none", 0.5, 0, 0.9, 0.91), seeded("random", 0.5, 0, 0.89, 0.91),
		noisy("0.2", seeded("none", 0.5, 0, 0.8, 0.81)), noisy("0.2", seeded("random", 0.5, 0, 0.82, 0.80)), noisy("0.25", seeded("random", 0.5, 0, 0.7)))
	var got []string
	for _, g := range c.Groups {
		got = append(got, g.Name+" < "+g.Baseline)
	}
	want := "none < ; random < none; none noise=0.2 < ; random noise=0.2 < none noise=0.2; random noise=0.25 < "
	if strings.Join(got, "; ") != want {
		t.Errorf("%s, want %s", strings.Join(got, "; "), want)
	}
	if d := c.Groups[3].Difference; d == nil || !near(d.Mean, 0.005) {
		t.Errorf("%+v", d)
	}
}

// At an equal budget a run is compared with the one in full, of its seed, that
// used about as many samples, if there is one.
func TestGroupsBudget(t *testing.T) {
	short := seeded("none", 0.5, 0, 0.88, 0.89)
	for i := range short {
		s := &short[i].Summary
		s.Config.Epochs, s.Config.TrainSamples, s.TrainSamplesUsed = 5, 60000, 5*60000
	}
	pruned := seeded("random", 0.5, 0, 0.9, 0.895, 0.9)
	for i := range pruned {
		pruned[i].Summary.Config.TrainSamples, pruned[i].Summary.TrainSamplesUsed = 60000, 5*60000+29000
	}
	all := append(append(seeded("none", 0.5, 0, 0.91, 0.92), short...), pruned...)
	c, err := Compare(all, Options{Margin: DefaultMargin, Budget: true})
	if err != nil || len(c.Groups) != 3 {
		t.Fatal(err, c.Groups)
	}
	g := c.Groups[2]
	if c.Groups[1].Difference != nil || g.Difference == nil || g.Difference.Pairs != 2 || !near(g.Difference.Mean, (0.02+0.005)/2) || g.Baseline != "full training on as many samples" {
		t.Errorf("%+v, %+v", g, g.Difference)
	}
	if notes := strings.Join(c.Notes, "\n"); !strings.Contains(notes, "random-s2: no run in full of seed 2") {
		t.Error(notes)
	}
}

// A run in full of other options is none to compare with, whatever its samples, and
// where none is there a pruned group is still no baseline.
func TestGroupsBudgetOfOtherOptions(t *testing.T) {
	pruned := seeded("random", 0.5, 0, 0.9, 0.895)
	short := seeded("none", 0.5, 0, 0.6, 0.61)
	for i := range short {
		p, s := &pruned[i].Summary, &short[i].Summary
		p.Config.TrainSamples, p.TrainSamplesUsed = 60000, 5*60000
		s.Config.Epochs, s.Config.TrainSamples, s.TrainSamplesUsed = 5, 60000, 5*60000
	}
	compared := func(lr float64) Group {
		for i := range short {
			short[i].Summary.Config.LearningRate = lr
		}
		c, err := Compare(append(append([]run.Run{}, pruned...), short...), Options{Margin: DefaultMargin, Budget: true})
		if err != nil {
			t.Fatal(err)
		}
		return c.Groups[0]
	}
	if g := compared(pruned[0].Summary.Config.LearningRate); g.Difference == nil || g.Difference.Pairs != 2 || !near(g.Difference.Mean, 0.2925) {
		t.Errorf("the same options: %+v", g)
	}
	if g := compared(1e-4); g.Difference != nil || g.Verdict != "not shown: no seed in common" {
		t.Errorf("another rate: %+v", g)
	}
}

// The baseline is the method that was said, not the one whose runs are there.
func TestBaselineWithoutRuns(t *testing.T) {
	random := seeded("random", 0.5, 0, 0.8, 0.81)
	c, err := Compare(append(random, seeded("none", 0.5, 1, 0.9)...), Options{Margin: DefaultMargin, Baseline: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if r, n := c.Groups[0], c.Groups[1]; r.Baseline != "none" || r.Difference == nil || r.Difference.Pairs != 1 || !near(r.Difference.Mean, -0.09) || n.Difference != nil || n.Verdict != "" {
		t.Errorf("%+v, %+v", r, n)
	}
	if d := c.Rows[1].Difference; d != nil {
		t.Errorf("a run differs by %v from one that is no baseline", *d)
	}
	c, err = Compare(random, Options{Margin: DefaultMargin, Baseline: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if g := c.Groups[0]; g.Difference != nil || g.NoLoss || g.Verdict != "not shown: no run of the baseline is finished" {
		t.Errorf("%+v", g)
	}
	var text, chart bytes.Buffer
	if err := errors.Join(c.WriteGroups(&text, Text), c.WriteChart(&chart, FormatSVG, AxisSaved)); err != nil || strings.Contains(text.String(), "t-test, to") {
		t.Error(err, text.String())
	}
	// Without a method said it is the first run's configuration, which is not finished here.
	stopped := seeded("none", 0.5, 0, 0.9)
	stopped[0].Summary.Interrupted = true
	if g := grouped(t, stopped, random).Groups[0]; g.Difference != nil || g.Verdict != "not shown: no run of the baseline is finished" {
		t.Errorf("%+v", g)
	}
}

// The share of wrong labels among the kept ones, over all epochs and by epoch.
func TestGroupsWrong(t *testing.T) {
	runs := seeded("random", 0.5, 0, 0.9, 0.91)
	for i := range runs {
		runs[i].Summary.Config.Command.LabelNoise = &run.LabelNoise{Kind: "symmetric", Rate: 0.2}
		for e := range runs[i].Epochs {
			runs[i].Epochs[e].SamplesUsed, runs[i].Epochs[e].WrongUsed = 100, 10*(i+1)
		}
		runs[i].Epochs[1].SamplesUsed, runs[i].Epochs[1].WrongUsed = 300, 0
	}
	n := float64(len(runs[0].Epochs))
	g := grouped(t, runs).Groups[0]
	if want := 15 * (n - 1) / (100*(n-1) + 300); g.WrongKept == nil || !near(*g.WrongKept, want) || !near(g.WrongByEpoch[0], 0.15) || g.WrongByEpoch[1] != 0 {
		t.Errorf("%v, %v, want %v", *g.WrongKept, g.WrongByEpoch, want)
	}
	var text bytes.Buffer
	if err := grouped(t, runs).WriteGroups(&text, Text); err != nil || !strings.Contains(text.String(), "of the kept labels are wrong, 0.0% in the best epoch (2)") {
		t.Error(err, text.String())
	}
}

// A line of the chart joins the ratios of a method, not what differs otherwise.
func TestSeriesOfAChart(t *testing.T) {
	other := seeded("infobatch", 0.5, 0, 0.93, 0.92)
	for i := range other {
		other[i].Summary.Config.Prune.Rescale = "none"
	}
	c := grouped(t, append(five(), other)...)
	got := map[string]int{}
	for _, m := range c.panels()[0].methods {
		got[m.method] = len(m.XYs)
	}
	if len(got) != 3 || got["infobatch rescale="] != 2 || got["infobatch rescale=none"] != 1 || got["random"] != 1 {
		t.Error(got)
	}
}

func TestDataName(t *testing.T) {
	for _, c := range []struct{ specs, want string }{
		{"glyphs glyphs:noise=0.2", "|noise=0.2"},
		{"glyphs:noise=0.2 glyphs:noise=0.4", "noise=0.2|noise=0.4"},
		{"x:noise=symmetric:0.2 x:noise=symmetric:0.5", "noise=symmetric:0.2|noise=symmetric:0.5"},
		{"x:noise=symmetric:0.2 x:noise=instance:0.4", "noise=symmetric:0.2|noise=instance:0.4"},
		{"x:size=3,noise=a:0.2 x:size=3,noise=a:0.5", "noise=a:0.2|noise=a:0.5"},
		{"x:size=3,a=1 x:size=3,b=1", "a=1|b=1"},
		{"folder:/a folder:/b", "/a|/b"},
	} {
		var fields []map[string]string
		for spec := range strings.FieldsSeq(c.specs) {
			fields = append(fields, map[string]string{"data": spec})
		}
		var names []string
		for _, f := range fields {
			names = append(names, dataName(f["data"], fields))
		}
		if got := strings.Join(names, "|"); got != c.want {
			t.Errorf("%s: %s, want %s", c.specs, got, c.want)
		}
	}
}
