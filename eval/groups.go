package eval

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"winnow/prune"
	"winnow/run"
)

// DefaultMargin is the loss of accuracy, as a share of 1, that a verdict is
// about: papers of the same methods differ by 0.3 points among themselves.
const DefaultMargin = 0.005

// Group is the runs of one configuration, which differ in their seeds. Its
// baseline is the group of the same data that the options say. Differences are to
// the runs of the baseline with the same seeds; shares saved are of what these used.
type Group struct {
	Name         string      `json:"name"` // the method, and what tells it from other groups of that method
	Method       string      `json:"method"`
	Ratio        *float64    `json:"prune_ratio"`        // nil for training in full
	Baseline     string      `json:"baseline,omitempty"` // its name; "" for one
	Seeds        []uint64    `json:"seeds"`
	Accuracy     Moments     `json:"test_accuracy"`
	Worst        *Moments    `json:"worst_class_accuracy"` // nil where a run does not tell
	Difference   *Difference `json:"accuracy_difference"`  // nil for the baseline, and where no seed is in both
	SamplesUsed  float64     `json:"train_samples_used"`   // mean
	SamplesSaved *float64    `json:"samples_saved"`        // of the pairs
	Seconds      float64     `json:"wall_seconds"`         // mean
	SecondsSaved *float64    `json:"seconds_saved"`        // of the pairs
	PruneSeconds float64     `json:"prune_seconds"`        // mean
	Overhead     float64     `json:"prune_share"`          // of the time without evaluation
	// WrongKept is the share of wrong labels among the kept samples, where they are
	// known, and by epoch; means over the runs.
	WrongKept    *float64  `json:"wrong_labels_kept,omitempty"`
	WrongByEpoch []float64 `json:"wrong_labels_kept_by_epoch,omitempty"`
	NoLoss       bool      `json:"no_loss"` // within the margin, as the interval shows
	SeedsNeeded  int       `json:"seeds_needed,omitempty"`
	Verdict      string    `json:"verdict,omitempty"`

	series string  // of a chart: groups that a line joins
	base   float64 // mean of the runs that it was compared with
	runs   []*run.Run
	by     criterion
}

// group collects the finished runs by configuration and compares each group
// with its baseline.
func (c *Comparison) group(o Options) {
	byKey := map[string]*Group{}
	var groups []*Group
	var fields []map[string]string
	for i := range c.runs {
		r := &c.runs[i]
		if r.Summary.Interrupted || r.Summary.Epochs == 0 {
			continue
		}
		f := configuration(&r.Summary)
		key := fmt.Sprint(f) // in the order of its keys
		g := byKey[key]
		if g == nil {
			g = &Group{Method: method(&r.Summary), by: c.by}
			if r.Summary.Policy != prune.PolicyFull {
				g.Ratio = &r.Summary.Config.Prune.Ratio
			}
			byKey[key] = g
			groups, fields = append(groups, g), append(fields, f)
		}
		if slices.Contains(g.Seeds, r.Summary.Seed) {
			c.Notes = append(c.Notes, fmt.Sprintf("%s: seed %d is there before with the same options; left out of the groups", r.Name, r.Summary.Seed))
			continue
		}
		g.Seeds, g.runs = append(g.Seeds, r.Summary.Seed), append(g.runs, r)
	}
	nameGroups(groups, fields)
	for _, g := range groups {
		g.measure()
	}
	c.bases = map[string]*Group{}
	for i, g := range groups {
		base := c.baseline(g, groups, byKey, o)
		c.bases[g.data()] = base
		switch {
		case o.Budget && !g.full():
			g.Baseline = asManySamples
			c.Notes = append(c.Notes, g.pair(equalSamples(groups, fields, fields[i]))...)
			g.judge(o.Margin)
		case o.Budget || base == g:
		case base == nil:
			g.Verdict = "not shown: no run of the baseline is finished"
		default:
			g.Baseline = base.Name
			c.Notes = append(c.Notes, g.pair(base.ofSeed)...)
			g.judge(o.Margin)
		}
		c.Groups = append(c.Groups, *g)
	}
	c.Margin = o.Margin
}

// baseline is what a group is compared with, nil where it has no finished run.
func (c *Comparison) baseline(g *Group, groups []*Group, byKey map[string]*Group, o Options) *Group {
	first := &c.runs[0].Summary
	if o.Baseline == "" && first.Data == g.data() {
		return byKey[fmt.Sprint(configuration(first))]
	}
	k := slices.IndexFunc(groups, func(b *Group) bool {
		return b.data() == g.data() && (o.Baseline == "" || b.Method == o.Baseline)
	})
	if k < 0 {
		return nil
	}
	return groups[k]
}

func (g *Group) data() string { return g.runs[0].Summary.Data }

// configuration is what may change the result of a run, but for its seeds.
func configuration(s *run.Summary) map[string]string {
	c := s.Config
	c.Seed, c.Workers, c.Prefetch, c.Command = 0, 0, 0, nil
	c.Source.File = ""
	if s.Policy == "full" {
		c.Prune = run.PruneConfig{Method: c.Prune.Method}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil
	}
	var tree map[string]any
	_ = json.Unmarshal(text, &tree) // of what was just written
	flat := map[string]string{"bundle": s.Bundle, "data": s.Data, "method": method(s)}
	flatten(flat, "", tree)
	return flat
}

func flatten(into map[string]string, prefix string, v any) {
	tree, ok := v.(map[string]any)
	if !ok {
		into[strings.TrimSuffix(prefix, ".")] = fmt.Sprint(v)
		return
	}
	for k, inner := range tree {
		flatten(into, prefix+k+".", inner)
	}
}

// nameGroups calls groups by their method, and those of one method by what
// differs between them too. A series is all but the data and the ratio.
func nameGroups(groups []*Group, fields []map[string]string) {
	for i, g := range groups {
		differ := map[string]bool{}
		for k, other := range groups {
			if other.Method != g.Method {
				continue
			}
			for name, value := range fields[k] {
				if was, ok := fields[i][name]; !ok || was != value {
					differ[name] = true
				}
			}
		}
		if differ["bundle"] { // what follows from it says no more
			maps.DeleteFunc(differ, func(name string, _ bool) bool { return ofModel(name) })
		}
		g.Name, g.series = g.Method, g.Method
		for _, name := range slices.Sorted(maps.Keys(differ)) {
			value, ok := fields[i][name]
			if name == "data" {
				if value = dataName(value, fields); value != "" {
					g.Name += " " + value
				}
			} else if ok {
				last := name[strings.LastIndex(name, ".")+1:]
				g.Name += " " + last + "=" + value
				if last != "ratio" {
					g.series += " " + last + "=" + value
				}
			}
		}
	}
}

// dataName is what of a data spec the others do not begin with: noise=0.2 of
// glyphs:noise=0.2 beside glyphs.
func dataName(spec string, fields []map[string]string) string {
	separates := func(s string, at int) bool { return at == len(s) || at == 0 || strings.ContainsRune(":,", rune(s[at])) }
	same := len(spec)
	for _, f := range fields {
		other := f["data"]
		for same > 0 && (same > len(other) || spec[:same] != other[:same] || !separates(spec, same) || !separates(other, same)) {
			same--
		}
	}
	if key := strings.LastIndexByte(spec[:same], '='); key >= 0 && same < len(spec) && spec[same] == ':' && !strings.Contains(spec[key:same], ",") {
		same = strings.LastIndexAny(spec[:key], ":,") + 1 // a value is not taken apart
	}
	return strings.TrimLeft(spec[same:], ":,")
}

// measure fills in what needs no baseline.
func (g *Group) measure() {
	var accuracy, worst, used, seconds, pruning, share []float64
	for _, r := range g.runs {
		s := &r.Summary
		accuracy, used = append(accuracy, g.by.value(s)), append(used, float64(s.TrainSamplesUsed))
		seconds, pruning = append(seconds, s.WallSeconds), append(pruning, s.PruneSeconds)
		share = append(share, s.PruneSeconds/max(s.WallSeconds-s.EvalSeconds, 1e-9))
		if w := s.WorstClass; w.Samples > 0 {
			worst = append(worst, float64(w.Correct)/float64(w.Samples))
		}
	}
	g.Accuracy, g.SamplesUsed = MomentsOf(accuracy), MomentsOf(used).Mean
	g.Seconds, g.PruneSeconds, g.Overhead = MomentsOf(seconds).Mean, MomentsOf(pruning).Mean, MomentsOf(share).Mean
	g.measureNoise()
	if len(worst) == len(g.runs) && g.by.name == "" {
		m := MomentsOf(worst)
		g.Worst = &m
	}
}

// measureNoise fills in the wrong labels among the kept samples.
func (g *Group) measureNoise() {
	all := 0.0
	var byEpoch []float64
	for _, r := range g.runs {
		if c := r.Summary.Config.Command; c == nil || c.LabelNoise == nil || len(r.Epochs) != len(g.runs[0].Epochs) {
			return
		}
		wrong, used := 0, 0
		for e, x := range r.Epochs {
			if byEpoch == nil {
				byEpoch = make([]float64, len(r.Epochs))
			}
			byEpoch[e] += float64(x.WrongUsed) / float64(max(x.SamplesUsed, 1)) / float64(len(g.runs))
			wrong, used = wrong+x.WrongUsed, used+x.SamplesUsed
		}
		all += float64(wrong) / float64(max(used, 1)) / float64(len(g.runs))
	}
	g.WrongKept, g.WrongByEpoch = &all, byEpoch
}

// whole is how many samples a run would have used in full.
func (g *Group) whole() float64 {
	var all []float64
	for _, r := range g.runs {
		all = append(all, float64(r.Summary.TrainSamplesFull))
	}
	return MomentsOf(all).Mean
}

// full is whether the group trains on everything.
func (g *Group) full() bool { return g.runs[0].Summary.Policy == prune.PolicyFull }

// ofSeed is the group's run with the seed of another, and what is to be said
// where there is none.
func (g *Group) ofSeed(r *run.Run) (*run.Run, string) {
	if k := slices.Index(g.Seeds, r.Summary.Seed); k >= 0 {
		return g.runs[k], ""
	}
	return nil, fmt.Sprintf("%s: seed %d has no run of %s to compare with", r.Name, r.Summary.Seed, g.Name)
}

// asManySamples is the baseline at an equal budget.
const asManySamples = "full training on as many samples"

// equalSamples finds the run in full of the same data, options and seed whose
// samples are as many as another's, give or take half an epoch.
func equalSamples(groups []*Group, fields []map[string]string, of map[string]string) func(*run.Run) (*run.Run, string) {
	recipe := func(f map[string]string) map[string]string {
		f = maps.Clone(f)
		maps.DeleteFunc(f, func(name string, _ string) bool {
			return ofMethod(name) || name == "epochs" || name == "train_samples" // fewer where some are held out
		})
		return f
	}
	want := recipe(of)
	return func(r *run.Run) (*run.Run, string) {
		s := &r.Summary
		best, least := (*run.Run)(nil), int64(s.Config.TrainSamples)/2+1
		for i, g := range groups {
			if !g.full() || !maps.Equal(recipe(fields[i]), want) {
				continue
			}
			if b, _ := g.ofSeed(r); b != nil {
				if d := b.Summary.TrainSamplesUsed - s.TrainSamplesUsed; max(d, -d) < least {
					best, least = b, max(d, -d)
				}
			}
		}
		if best == nil {
			return nil, fmt.Sprintf("%s: no run in full of seed %d with its options used about as many samples", r.Name, s.Seed)
		}
		return best, ""
	}
}

// pair compares a group with the baseline, seed by seed.
func (g *Group) pair(partner func(*run.Run) (*run.Run, string)) (notes []string) {
	var differences, base []float64
	var used, usedBase, seconds, secondsBase float64
	for _, r := range g.runs {
		other, note := partner(r)
		if other == nil {
			notes = append(notes, note)
			continue
		}
		s, b := &r.Summary, &other.Summary
		if x, y := initSeed(s), initSeed(b); x != y {
			notes = append(notes, fmt.Sprintf("%s: its first weights are those of seed %s, those of %s of seed %s", r.Name, x, other.Name, y))
		}
		differences, base = append(differences, g.by.value(s)-g.by.value(b)), append(base, g.by.value(b))
		used, usedBase = used+float64(s.TrainSamplesUsed), usedBase+float64(b.TrainSamplesUsed)
		seconds, secondsBase = seconds+s.WallSeconds, secondsBase+b.WallSeconds
	}
	if len(differences) == 0 {
		return notes
	}
	d := Paired(differences)
	samples, time := less(used, usedBase), less(seconds, secondsBase)
	g.Difference, g.SamplesSaved, g.SecondsSaved, g.base = &d, &samples, &time, MomentsOf(base).Mean
	return notes
}

func initSeed(s *run.Summary) string {
	if c := s.Config.Command; c != nil && c.InitSeed != nil {
		return fmt.Sprint(*c.InitSeed)
	}
	return "none"
}

// judge says what the interval shows of a loss.
func (g *Group) judge(margin float64) {
	if g.Difference == nil {
		g.Verdict = "not shown: no seed in common"
		return
	}
	d := g.by.gains(g.Difference)
	points := func(x float64) string { return g.by.text("%.2f", x) }
	unit := " points"
	within := fmt.Sprintf("no loss within %g points", 100*margin)
	if g.by.raw {
		unit, within = "", fmt.Sprintf("no loss within %g%% of the baseline's", 100*margin)
		margin *= math.Abs(g.base)
	}
	g.NoLoss, g.SeedsNeeded = d.Within(margin), d.Seeds(margin)
	switch {
	case g.NoLoss:
		g.Verdict = within
	case d.Pairs < 2:
		g.Verdict = "not shown: one seed gives no interval"
	case d.Low == nil:
		g.Verdict = "not shown: all pairs differ by the same, which gives no interval"
	case *d.High < 0:
		g.Verdict = fmt.Sprintf("not shown: it loses %s to %s%s", points(-*d.High), points(-*d.Low), unit)
	case d.Mean <= -margin:
		g.Verdict = fmt.Sprintf("not shown: it loses %s%s on average", points(-d.Mean), unit)
	case g.SeedsNeeded == 0:
		g.Verdict = fmt.Sprintf("not shown: it would take over %d seeds", maxSeeds)
	default:
		g.Verdict = fmt.Sprintf("not shown: it would take about %d seeds", g.SeedsNeeded)
	}
}
