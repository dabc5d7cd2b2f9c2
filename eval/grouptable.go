package eval

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"winnow/internal/printable"
	"winnow/run"
)

// groupColumns are those of the table of groups. Text, which has to fit a
// terminal, has the last ones under the table.
func (c *Comparison) groupColumns(f Format) []column[Group] {
	type G = Group
	overhead, wrong := "", ""
	if f == Markdown {
		overhead = "pruner"
		if c.noisy() {
			wrong = "wrong labels kept"
		}
	}
	spread := func(m Moments) string {
		if m.Deviation == nil {
			return c.by.text("%.2f", m.Mean)
		}
		return c.by.text("%.2f", m.Mean) + c.by.text(" ±%.2f", *m.Deviation)
	}
	share := func(x *float64) string {
		if x == nil {
			return ""
		}
		return fmt.Sprintf("%.1f%%", 100**x)
	}
	of := func(g *G, field func(*Difference) *float64) *float64 {
		if g.Difference == nil {
			return nil
		}
		return field(g.Difference)
	}
	mean := func(d *Difference) *float64 { return &d.Mean }
	return []column[G]{
		{"name", "pruning", func(g *G) string { return g.Name }, func(g *G) any { return g.Name }},
		{key: "method", value: func(g *G) any { return g.Method }},
		{key: "prune_ratio", value: func(g *G) any { return g.Ratio }},
		{key: "baseline", value: func(g *G) any { return g.Baseline }},
		{"seeds", "seeds", func(g *G) string { return fmt.Sprint(len(g.Seeds)) }, func(g *G) any { return len(g.Seeds) }},
		{key: "metric", value: func(*G) any { return c.Metric }},
		{"test_accuracy", c.Metric, func(g *G) string { return spread(g.Accuracy) }, func(g *G) any { return g.Accuracy.Mean }},
		{key: "test_accuracy_std", value: func(g *G) any { return g.Accuracy.Deviation }},
		{key: "pairs", value: func(g *G) any {
			if g.Difference == nil {
				return 0
			}
			return g.Difference.Pairs
		}},
		{"accuracy_difference", "diff", func(g *G) string {
			if g.Difference == nil {
				return ""
			}
			return c.by.text("%+.2f", g.Difference.Mean)
		}, func(g *G) any { return of(g, mean) }},
		{"difference_low", "95% interval", func(g *G) string {
			if g.Difference == nil || g.Difference.Low == nil {
				return ""
			}
			return c.by.text("%+.2f", *g.Difference.Low) + c.by.text(" to %+.2f", *g.Difference.High)
		}, func(g *G) any { return of(g, func(d *Difference) *float64 { return d.Low }) }},
		{key: "difference_high", value: func(g *G) any { return of(g, func(d *Difference) *float64 { return d.High }) }},
		{key: "difference_p", value: func(g *G) any { return of(g, func(d *Difference) *float64 { return d.P }) }},
		{"worst_class_accuracy", "worst", func(g *G) string {
			if g.Worst == nil {
				return ""
			}
			return fmt.Sprintf("%.2f", 100*g.Worst.Mean)
		}, func(g *G) any {
			if g.Worst == nil {
				return ""
			}
			return g.Worst.Mean
		}},
		{key: "train_samples_used", value: func(g *G) any { return g.SamplesUsed }},
		{"samples_saved", "samples", func(g *G) string { return share(g.SamplesSaved) }, func(g *G) any { return g.SamplesSaved }},
		{key: "wall_seconds", value: func(g *G) any { return g.Seconds }},
		{"seconds_saved", "seconds", func(g *G) string { return share(g.SecondsSaved) }, func(g *G) any { return g.SecondsSaved }},
		{key: "prune_seconds", value: func(g *G) any { return g.PruneSeconds }},
		{"prune_share", overhead, func(g *G) string { return share(&g.Overhead) }, func(g *G) any { return g.Overhead }},
		{"wrong_labels_kept", wrong, func(g *G) string { return share(g.WrongKept) }, func(g *G) any { return g.WrongKept }},
		{key: "no_loss", value: func(g *G) any { return g.NoLoss }},
		{key: "seeds_needed", value: func(g *G) any { return g.SeedsNeeded }},
		{key: "verdict", value: func(g *G) any { return g.Verdict }},
	}
}

// noisy is whether wrong labels are known of any group.
func (c *Comparison) noisy() bool {
	return slices.ContainsFunc(c.Groups, func(g Group) bool { return g.WrongKept != nil })
}

// remarks are the verdict on a group, and what has no column of text.
func (g *Group) remarks(f Format) (list []string) {
	if g.Verdict != "" {
		list = append(list, g.Verdict)
	}
	if f != Text {
		return list
	}
	if g.Baseline != "" {
		list = append(list, fmt.Sprintf("the pruner took %.1f%% of the training time", 100*g.Overhead))
	}
	if g.WrongKept != nil {
		list = append(list, fmt.Sprintf("%.1f%% of the kept labels are wrong", 100**g.WrongKept))
		if n := len(g.WrongByEpoch); n > 1 {
			lowest := slices.Min(g.WrongByEpoch)
			list[len(list)-1] += fmt.Sprintf(", %.1f%% in the best epoch (%d)", 100*lowest, slices.Index(g.WrongByEpoch, lowest)+1)
		}
	}
	return list
}

// to says what groups are compared with, after a comma.
func (c *Comparison) to() string {
	var names, methods []string
	for i := range c.Groups {
		name := c.Groups[i].Baseline
		if name == "" || slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		if k := slices.IndexFunc(c.Groups, func(g Group) bool { return g.Name == name }); k >= 0 && !slices.Contains(methods, c.Groups[k].Method) {
			methods = append(methods, c.Groups[k].Method)
		}
	}
	switch {
	case len(names) == 0:
		return ""
	case len(names) == 1:
		return ", to " + printable.Text(names[0])
	case len(methods) == 1:
		return ", to " + printable.Text(methods[0]) + " on the same data"
	}
	return ", to the first of the same data"
}

// WriteGroups writes the table of groups; for people, with what its columns
// mean and the verdicts.
func (c *Comparison) WriteGroups(w io.Writer, f Format) error {
	if len(c.Groups) == 0 {
		return fmt.Errorf("eval: table: %w: every run was interrupted", run.ErrNoRun)
	}
	if err := writeTable(w, f, c.groupColumns(f), c.Groups, 2); err != nil || f == CSV {
		return err
	}
	var b strings.Builder
	if f == Markdown {
		b.WriteString("\n")
	}
	what, unit, worst := "% of test samples", " in points", ""
	switch {
	case c.by.raw:
		what, unit = printable.Text(c.Metric)+" of the test samples", ""
	case c.Metric != Accuracy:
		what = printable.Text(c.Metric) + " of the test samples in percent"
	}
	if slices.ContainsFunc(c.Groups, func(g Group) bool { return g.Worst != nil }) {
		worst = " worst class;"
	}
	fmt.Fprintf(&b, "%s, mean ±standard deviation over seeds; diff%s, with the\ninterval of a paired t-test%s;%s\nshares of samples and seconds saved\n", what, unit, c.to(), worst)
	first := true
	for i := range c.Groups {
		g := &c.Groups[i]
		if len(g.remarks(f)) == 0 {
			continue
		}
		if first || f == Markdown {
			b.WriteString("\n")
		}
		first = false
		fmt.Fprintf(&b, "%s: %s\n", printable.Text(g.Name), strings.Join(g.remarks(f), "\n  "))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("eval: table: %w", err)
	}
	return nil
}
