package main

import (
	_ "embed"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"

	"winnow/prune"
)

//go:embed das-study.md.tmpl
var dasPage string

const (
	dasSamples = 20000
	dasEpochs  = 40
	dasNoisy   = 0.2 // share of wrong labels
	dasHard    = 0.2 // share of right but hard labels
	dasSeed    = 20260407
)

// crowd is a population of loss trajectories.
type crowd struct {
	noisy []bool
	loss  [][]float32 // by epoch, then sample
}

// newCrowd draws trajectories. Clean losses fall, each at its own rate; hard
// ones begin as high as the noisy and fall late. Those of wrong labels rise
// while the model learns the right ones, then fall as it memorises them, each
// at its own time. jitter is the deviation of one observation, relative to the
// loss, which augmentation and the changing model make large.
func newCrowd(jitter float64) crowd {
	rnd := rand.New(rand.NewPCG(dasSeed, 1))
	c := crowd{noisy: make([]bool, dasSamples), loss: make([][]float32, dasEpochs+1)}
	for t := range c.loss {
		c.loss[t] = make([]float32, dasSamples)
	}
	for i := range dasSamples {
		u := rnd.Float64()
		c.noisy[i] = u < dasNoisy
		hard := !c.noisy[i] && u < dasNoisy+dasHard
		start := 2.3 * math.Exp(0.15*rnd.NormFloat64())
		rate := 0.12 * math.Exp(0.6*rnd.NormFloat64())
		delay, floor, rise := 0.0, 0.05*rnd.ExpFloat64(), 0.0
		if hard {
			rate, floor = 0.03*math.Exp(0.4*rnd.NormFloat64()), 0.3*rnd.ExpFloat64()
		}
		if c.noisy[i] {
			delay, rise = 10+15*rnd.Float64(), 0.06*math.Exp(0.5*rnd.NormFloat64())
		}
		for t := 1; t <= dasEpochs; t++ {
			e := float64(t)
			x := start * math.Exp(-rate*max(0, e-delay))
			if c.noisy[i] {
				x = start * (1 + rise*min(e, delay)) * math.Exp(-rate*max(0, e-delay))
			}
			x = max(0, floor+x*(1+jitter*rnd.NormFloat64()))
			c.loss[t][i] = float32(x)
		}
	}
	return c
}

// reference draws size samples, a share wrong of them with wrong labels.
// size 0 is the population.
func (c crowd) reference(size int, wrong float64) []int {
	rnd := rand.New(rand.NewPCG(dasSeed, 2))
	bad := int(math.Round(wrong * float64(size)))
	var out []int
	for _, i := range rnd.Perm(dasSamples) {
		switch {
		case c.noisy[i] && bad > 0:
			bad--
			out = append(out, i)
		case !c.noisy[i] && len(out)+bad < size:
			out = append(out, i)
		}
	}
	return out
}

// dasRun is one scorer on one crowd.
type dasRun struct {
	window  int
	size    int // samples in the reference; 0 is the population
	wrong   float64
	pseudo  bool
	skipped float64 // share of observations that pruning takes away at random
}

// measure gives, by epoch, the area under the ROC curve of calling low DAS
// noisy. Samples without a score are neither.
func (r dasRun) measure(c crowd, at []int) (map[int]float64, error) {
	o := prune.Options{Samples: dasSamples, Epochs: dasEpochs, Scorer: prune.ScorerDAS, Window: r.window, Reference: prune.ReferenceOutside}
	switch {
	case r.pseudo:
		o.Reference, o.Label = prune.ReferencePseudo, func(i uint32) int { return int(i % 10) }
	case r.size == 0:
		o.Reference = prune.ReferencePopulation
	}
	p, err := prune.New(o)
	if err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(dasSeed, 3))
	ref := c.reference(r.size, r.wrong)
	out := map[int]float64{}
	var scores []float32
	for t := 1; t <= dasEpochs; t++ {
		if _, err := p.Plan(t); err != nil {
			return nil, err
		}
		var idx []uint32
		var loss []float32
		for i := range dasSamples {
			if rnd.Float64() >= r.skipped {
				idx, loss = append(idx, uint32(i)), append(loss, c.loss[t][i])
			}
		}
		if err := p.ObserveSamples(idx, loss); err != nil {
			return nil, err
		}
		if o.Reference == prune.ReferenceOutside {
			sum := 0.0
			for _, i := range ref {
				sum += float64(c.loss[t][i])
			}
			if err := p.ObserveReference(t, sum/float64(len(ref))); err != nil {
				return nil, err
			}
		}
		if err := p.EndEpoch(t); err != nil {
			return nil, err
		}
		for _, e := range at {
			if e == t && t >= r.window {
				scores = p.Scores(scores)
				var v []float64
				var noisy []bool
				for i, s := range scores {
					if s == s {
						v, noisy = append(v, -float64(s)), append(noisy, c.noisy[i])
					}
				}
				out[t] = auc(v, noisy)
			}
		}
	}
	return out, nil
}

// dasEpochsAt are the epochs at which rankings are measured.
var dasEpochsAt = []int{5, 10, 15, 20, 30, 40}

// lastLoss is the ranking that DAS is measured against: high is noisy.
func (c crowd) lastLoss() map[int]float64 {
	out := map[int]float64{}
	for _, t := range dasEpochsAt {
		v := make([]float64, dasSamples)
		for i, l := range c.loss[t] {
			v[i] = float64(l)
		}
		out[t] = auc(v, c.noisy)
	}
	return out
}

// ranking is a row of a table and a curve of a plot.
func ranking(name string, at map[int]float64) ([]string, curve) {
	row, k := []string{name}, curve{name: name, connectPoints: true}
	for _, t := range dasEpochsAt {
		a, ok := at[t]
		if !ok {
			row = append(row, "-")
			continue
		}
		row = append(row, num(a))
		k.x, k.y = append(k.x, float64(t)), append(k.y, a)
	}
	return row, k
}

// compare sets runs beside the last loss, on one crowd.
func (c crowd) compare(runs []dasRun, name func(dasRun) string) (text string, curves []curve, err error) {
	head := []string{"ranking"}
	for _, t := range dasEpochsAt {
		head = append(head, fmt.Sprintf("t=%d", t))
	}
	row, k := ranking("last loss, high is noisy", c.lastLoss())
	k.name = "last loss"
	rows, curves := [][]string{row}, []curve{k}
	for _, r := range runs {
		m, err := r.measure(c, dasEpochsAt)
		if err != nil {
			return "", nil, err
		}
		row, k := ranking(name(r), m)
		rows, curves = append(rows, row), append(curves, k)
	}
	return table(head, rows), curves, nil
}

func windowName(r dasRun) string { return fmt.Sprintf("DAS, W=%d", r.window) }

func referenceName(r dasRun) string {
	switch {
	case r.pseudo:
		return "DAS, pseudo reference, 1% of each class"
	case r.size == 0:
		return "DAS, population"
	case r.wrong > 0:
		return fmt.Sprintf("DAS, %d samples, %.0f%% of them wrong", r.size, 100*r.wrong)
	case r.skipped > 0:
		return fmt.Sprintf("DAS, %d samples, %.0f%% of observations skipped", r.size, 100*r.skipped)
	}
	return fmt.Sprintf("DAS, %d samples (%.2g%%)", r.size, 100*float64(r.size)/dasSamples)
}

func studyDAS(out string) error {
	const full = dasSamples / 100
	windows := []dasRun{{window: 3, size: full}, {window: 5, size: full}, {window: 10, size: full}, {window: 20, size: full}}
	references := []dasRun{{window: 10, size: 5}, {window: 10, size: 20}, {window: 10, size: 200}, {window: 10, size: 2000},
		{window: 10, size: 200, wrong: 0.1}, {window: 10, size: 200, wrong: 0.3}, {window: 10, pseudo: true}, {window: 10},
		{window: 10, size: 200, skipped: 0.3}}
	page := map[string]any{"Samples": dasSamples, "Noisy": 100 * dasNoisy, "Hard": 100 * dasHard}
	for _, s := range []struct {
		key    string
		jitter float64
		runs   []dasRun
		name   func(dasRun) string
		plot   bool
	}{
		{"Windows", 0.15, windows, windowName, true},
		{"References", 0.15, references, referenceName, false},
		{"Jitter", 0.5, windows, windowName, false},
	} {
		text, curves, err := newCrowd(s.jitter).compare(s.runs, s.name)
		if err != nil {
			return err
		}
		page[s.key] = text
		if s.plot {
			if err := savePlot(filepath.Join(out, "das-study.svg"), "Finding wrong labels: DAS against the last loss", "epochs", "area under the ROC curve", false, curves); err != nil {
				return err
			}
		}
	}
	return writePage(out, "das-study.md", dasPage, page)
}
