package eval

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"winnow/internal/printable"
	"winnow/run"
)

// Row is one run of a comparison. Ratios and differences are against the first
// run, and nil where that is not of the baseline's method.
type Row struct {
	Name         string   `json:"name"`
	Method       string   `json:"method"`
	Accuracy     *float64 `json:"test_accuracy"` // of what the comparison is by; nil before the first epoch's end
	BestAccuracy *float64 `json:"best_test_accuracy"`
	Difference   *float64 `json:"accuracy_difference"` // nil where one of them has none
	Epochs       int      `json:"epochs"`
	SamplesUsed  int64    `json:"train_samples_used"`
	SamplesSaved *float64 `json:"samples_saved"` // 1 - used / the baseline's used; nil where one of them is not finished
	Seconds      float64  `json:"wall_seconds"`
	SecondsSaved *float64 `json:"seconds_saved"` // likewise
	TrainSeconds float64  `json:"train_seconds"` // without evaluation
	Interrupted  bool     `json:"interrupted,omitempty"`
}

// Comparison sets runs side by side.
type Comparison struct {
	Rows   []Row    `json:"runs"`
	Groups []Group  `json:"groups"`          // by configuration, in the order of their runs
	Margin float64  `json:"margin"`          // loss of accuracy that the verdicts are about
	Metric string   `json:"metric"`          // what the runs are compared by, under the names of the accuracy: accuracy, mAP, loss
	Notes  []string `json:"notes,omitempty"` // what makes the runs hard to compare
	runs   []run.Run
	noted  []noted
	by     criterion
	bases  map[string]*Group // the baseline of each data, nil where it has no finished run
}

// Options say how groups are compared.
type Options struct {
	Margin float64  // the loss of accuracy, as a share of 1, that the verdicts are about; of errors, a share of the baseline's
	Metric string   // what runs are compared by; "" is the accuracy, or the task's main metric, or the model's own loss
	Budget bool     // with full training on as many samples instead of as many epochs
	Meant  []string // in what runs differ on purpose, so that no note says it: data, epochs
	// Baseline is the method that others are compared with, finished or not; "" is
	// the configuration of the first run.
	Baseline string
}

// Compare compares runs with the first of them, and groups of runs that differ
// in their seeds with the first's group, or seed by seed with those runs in full
// that used about as many samples.
func Compare(runs []run.Run, o Options) (*Comparison, error) {
	if len(runs) == 0 {
		return nil, errors.New("eval: compare: no runs")
	}
	by, err := newCriterion(runs, o.Metric)
	if err != nil {
		return nil, err
	}
	c := &Comparison{runs: runs, by: by, Metric: by.head()}
	c.sameData()
	runs = c.runs
	base := &runs[0].Summary
	known := o.Baseline == "" || method(base) == o.Baseline
	for i := range runs {
		s := &runs[i].Summary
		row := Row{
			Name: runs[i].Name, Method: method(s), Epochs: s.Epochs, SamplesUsed: s.TrainSamplesUsed, Seconds: s.WallSeconds,
			TrainSeconds: s.WallSeconds - s.EvalSeconds, Interrupted: s.Interrupted,
		}
		if s.Epochs > 0 {
			value, best := by.value(s), by.best(&runs[i])
			row.Accuracy, row.BestAccuracy = &value, &best
			if known && base.Epochs > 0 {
				d := value - by.value(base)
				row.Difference = &d
			}
		}
		c.Rows = append(c.Rows, row)
		if known && !s.Interrupted && !base.Interrupted {
			samples, seconds := less(float64(s.TrainSamplesUsed), float64(base.TrainSamplesUsed)), less(s.WallSeconds, base.WallSeconds)
			c.Rows[i].SamplesSaved, c.Rows[i].SecondsSaved = &samples, &seconds
		}
		c.note(&runs[i], base, i == 0, o.Meant)
	}
	c.group(o)
	return c, nil
}

// sameData calls data that were read the same by the name that the first run of
// them gives: fashion-mnist, and the folder that it is in.
func (c *Comparison) sameData() {
	c.runs = slices.Clone(c.runs)
	for i := range c.runs {
		s := &c.runs[i].Summary
		first := slices.IndexFunc(c.runs[:i], func(r run.Run) bool { return s.DataSum != "" && r.Summary.DataSum == s.DataSum })
		if first < 0 || c.runs[first].Summary.Data == s.Data {
			continue
		}
		c.add(c.runs[i].Name, fmt.Sprintf("data %s is the same as %s of %s", s.Data, c.runs[first].Summary.Data, c.runs[first].Name))
		s.Data = c.runs[first].Summary.Data
	}
}

// less is the share that a saves of base.
func less(a, base float64) float64 {
	if base == 0 {
		return 0
	}
	return 1 - a/base
}

// method is the pruning in a word: what was asked for, and what auto took.
func method(s *run.Summary) string {
	m := s.Config.Prune.Method
	if m == "" || m == "auto" {
		if s.Scorer == "none" || s.Scorer == "" {
			return s.Policy
		}
		return s.Scorer + "-" + s.Policy
	}
	return m
}

func (c *Comparison) note(r *run.Run, base *run.Summary, first bool, meant []string) {
	s := &r.Summary
	add := func(format string, args ...any) {
		c.add(r.Name, fmt.Sprintf(format, args...))
	}
	if s.Interrupted {
		add("interrupted after %d of %d epochs", s.Epochs, s.Config.Epochs)
	}
	if first {
		return
	}
	for _, d := range []struct{ what, a, b string }{
		{"bundle", s.Bundle, base.Bundle}, {"data", s.Data, base.Data}, {"device", s.Device, base.Device},
		{"epochs", strconv.Itoa(s.Config.Epochs), strconv.Itoa(base.Config.Epochs)},
	} {
		if d.a != d.b && !slices.Contains(meant, d.what) {
			add("%s %s, the first run has %s", d.what, d.a, d.b)
		}
	}
	of, was := configuration(s), configuration(base)
	all := maps.Clone(of)
	maps.Copy(all, was)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch x, y := of[name], was[name]; {
		case x == y || ofMethod(name) || slices.Contains(saidAlready, name) || ofModel(name) && s.Bundle != base.Bundle:
		case name == modelSum:
			add("its bundle was made from another file than that of the first run")
		default:
			add("%s %s, the first run has %s", name, cmp.Or(x, "none"), cmp.Or(y, "none"))
		}
	}
}

// Fields of a configuration: those of note's table, and the sum of the model's file.
var saidAlready = []string{"bundle", "data", "epochs"}

const modelSum = "source.sha256"

// ofMethod is whether a field of a configuration is about pruning, which is what a comparison is of.
func ofMethod(field string) bool { return field == "method" || strings.HasPrefix(field, "prune.") }

// ofModel is whether a field of a configuration follows from the bundle.
func ofModel(field string) bool {
	return strings.HasPrefix(field, "source.") || strings.HasPrefix(field, "model.")
}

// add notes something of a run; what is the same of several is one note.
func (c *Comparison) add(name, text string) {
	for i, of := range c.noted {
		if of.text == text {
			c.noted[i].more++
			c.Notes[of.at] = fmt.Sprintf("%s and %d more: %s", of.name, of.more+1, text)
			return
		}
	}
	c.noted = append(c.noted, noted{len(c.Notes), name, text, 0})
	c.Notes = append(c.Notes, name+": "+text)
}

// noted is what was noted of a run, and of how many more.
type noted struct {
	at         int // in Notes
	name, text string
	more       int
}

// runColumns are those of the table of runs.
func (c *Comparison) runColumns() []column[Row] {
	base := &c.Rows[0]
	saved := func(x *float64) string {
		if x == nil {
			return ""
		}
		return percent(*x)
	}
	every := func(head string, text func(*Row) string) column[Row] { return column[Row]{head: head, text: text} }
	beside := func(head string, text func(*Row) string) column[Row] { // of all runs but the baseline
		return every(head, func(r *Row) string {
			if r == base {
				return ""
			}
			return text(r)
		})
	}
	return []column[Row]{
		every("run", func(r *Row) string { return r.Name }),
		every("pruning", func(r *Row) string { return r.Method }),
		every(c.Metric, func(r *Row) string {
			if r.Accuracy == nil {
				return "-"
			}
			if c.by.raw {
				return c.by.text("%.2f", *r.Accuracy)
			}
			return percent(*r.Accuracy)
		}),
		beside("difference", func(r *Row) string {
			if r.Difference == nil {
				return ""
			}
			if c.by.raw {
				return c.by.text("%+.2f", *r.Difference)
			}
			return fmt.Sprintf("%+.2f pts", 100**r.Difference)
		}),
		every("samples", func(r *Row) string { return thousands(r.SamplesUsed) }),
		beside("saved", func(r *Row) string { return saved(r.SamplesSaved) }),
		every("seconds", func(r *Row) string { return fmt.Sprintf("%.1f", r.Seconds) }),
		beside("saved", func(r *Row) string { return saved(r.SecondsSaved) }),
	}
}

// WriteText writes the comparison as a table of runs and, where seeds repeat a
// configuration, one of groups, texts from the runs made fit for a terminal.
func (c *Comparison) WriteText(w io.Writer) error {
	if err := writeTable(w, Text, c.runColumns(), c.Rows, 2); err != nil {
		return err
	}
	if slices.ContainsFunc(c.Groups, func(g Group) bool { return len(g.runs) > 1 }) {
		fmt.Fprintln(w)
		if err := c.WriteGroups(w, Text); err != nil {
			return err
		}
	}
	for _, n := range c.Notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", printable.Text(n)); err != nil {
			return fmt.Errorf("eval: table: %w", err)
		}
	}
	return nil
}

func percent(x float64) string {
	if s := fmt.Sprintf("%.2f%%", 100*x); s != "-0.00%" {
		return s
	}
	return "0.00%"
}

// thousands prints 1234567 as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
