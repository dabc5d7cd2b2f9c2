package eval

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"winnow/internal/printable"
	"winnow/run"
)

// Ends of a metric's name that say which way is better, where the name does not.
const (
	wantMost  = "=max"
	wantLeast = "=min"
)

// Directed parts a metric's name from what follows it: "=max" or "=min". said is
// whether either does, and less whether it is "=min".
func Directed(text string) (name string, less, said bool) {
	if name, ok := strings.CutSuffix(text, wantMost); ok {
		return name, false, true
	}
	name, least := strings.CutSuffix(text, wantLeast)
	return name, least, least
}

// errors of a model, of which less is better.
var lessIsBetter = []string{LossMetric, meanAbsolute, rootSquared}

// criterion is the number of a run that a comparison is about.
type criterion struct {
	name string // "" is the main metric of a task, which stands in the place of the accuracy
	main string // that one's name
	less bool   // less of it is better
	raw  bool   // it is no share of 1, and shown as it is
}

// newCriterion finds a metric in all runs: the one that is asked for, or the loss
// where all are measured by that of the model itself.
func newCriterion(runs []run.Run, asked string) (c criterion, err error) {
	main := mainMetric(&runs[0].Summary)
	c.main = main
	if asked == "" {
		for i := range runs {
			if m := mainMetric(&runs[i].Summary); m != main {
				return c, fmt.Errorf("eval: compare: %w: %s is measured by %s, %s by %s: compare runs of one of them, or by --metric %s", ErrMetric,
					runs[i].Name, m, runs[0].Name, main, LossMetric)
			}
		}
		if main != OwnScore {
			return c, nil
		}
		asked = LossMetric
	}
	less, said := false, false
	if c.name, less, said = Directed(asked); c.name == main && c.name != R2 {
		c.name = ""
	}
	scalar := slices.Contains(runs[0].Summary.Scalars, c.name)
	c.raw = scalar || c.name == R2 || slices.Contains(lessIsBetter, c.name)
	c.less = scalar || slices.Contains(lessIsBetter, c.name)
	if said {
		c.less = less
	}
	for i := range runs {
		s := &runs[i].Summary
		if _, ok := c.of(s.Measures()); !ok || c.name == "" && mainMetric(s) != main {
			return c, fmt.Errorf("eval: compare: %w: %s has no %q: its test samples are measured by %s", ErrMetric,
				runs[i].Name, printable.Text(cmp.Or(c.name, main)), strings.Join(measuresOf(s), ", "))
		}
	}
	return c, nil
}

// HasMetric is an error that wraps ErrMetric where a run has not what is asked for,
// as Options name it.
func HasMetric(r *run.Run, asked string) error {
	_, err := newCriterion([]run.Run{*r}, asked)
	return err
}

// mainMetric names what stands in the place of a run's accuracy.
func mainMetric(s *run.Summary) string { return cmp.Or(s.Metric, Accuracy) }

// measuresOf names what the test samples of a run are measured by.
func measuresOf(s *run.Summary) []string {
	names := append([]string{mainMetric(s), LossMetric}, slices.Sorted(maps.Keys(s.TestMetrics))...)
	seen := map[string]bool{}
	return slices.DeleteFunc(names, func(n string) bool { was := seen[n]; seen[n] = true; return was })
}

// of is the number.
func (c criterion) of(m run.Measures) (float64, bool) {
	switch c.name {
	case "":
		return m.Accuracy, true
	case LossMetric:
		return m.Loss, true
	}
	x, ok := m.Metrics[c.name]
	return x, ok
}

// value is the number of a run that has it.
func (c criterion) value(s *run.Summary) float64 {
	x, _ := c.of(s.Measures())
	return x
}

// best is the best number of a run's epochs.
func (c criterion) best(r *run.Run) float64 {
	if c.name == "" {
		return r.Summary.BestTestAccuracy
	}
	best := c.value(&r.Summary)
	for i := range r.Epochs {
		if x, ok := c.of(r.Epochs[i].Measures()); ok && (c.less && x < best || !c.less && x > best) {
			best = x
		}
	}
	return best
}

// gains is a difference as one of which more is better.
func (c criterion) gains(d *Difference) *Difference {
	if !c.less {
		return d
	}
	turned := *d
	turned.Mean = -d.Mean
	if d.Low != nil {
		low, high := -*d.High, -*d.Low
		turned.Low, turned.High = &low, &high
	}
	return &turned
}

// scale is what a chart multiplies the number by.
func (c criterion) scale() float64 {
	if c.raw {
		return 1
	}
	return 100
}

// head is the name of the number in a table.
func (c criterion) head() string {
	return cmp.Or(c.name, c.main)
}

// text is a number as a percentage, or as it is; format is that of a number.
func (c criterion) text(format string, x float64) string {
	if c.raw {
		return fmt.Sprintf(strings.Replace(format, ".2", ".4", 1), x)
	}
	return fmt.Sprintf(format, 100*x)
}
