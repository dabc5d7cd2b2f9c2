package eval

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"winnow/internal/printable"
	"winnow/run"
)

// Row is one run of a comparison. Ratios and differences are against the
// baseline, the first run.
type Row struct {
	Name         string  `json:"name"`
	Method       string  `json:"method"`
	Accuracy     float64 `json:"test_accuracy"`
	BestAccuracy float64 `json:"best_test_accuracy"`
	Difference   float64 `json:"accuracy_difference"`
	Epochs       int     `json:"epochs"`
	SamplesUsed  int64   `json:"train_samples_used"`
	SamplesSaved float64 `json:"samples_saved"` // 1 - used / the baseline's used
	Seconds      float64 `json:"wall_seconds"`
	SecondsSaved float64 `json:"seconds_saved"` // 1 - seconds / the baseline's seconds
	TrainSeconds float64 `json:"train_seconds"` // without evaluation
	Interrupted  bool    `json:"interrupted,omitempty"`
}

// Comparison sets runs side by side.
type Comparison struct {
	Rows  []Row    `json:"runs"`
	Notes []string `json:"notes,omitempty"` // what makes the runs hard to compare
	runs  []run.Run
}

// Compare compares runs with the first of them.
func Compare(runs []run.Run) (*Comparison, error) {
	if len(runs) == 0 {
		return nil, errors.New("eval: compare: no runs")
	}
	c := &Comparison{runs: runs}
	base := &runs[0].Summary
	for i := range runs {
		s := &runs[i].Summary
		c.Rows = append(c.Rows, Row{
			Name: runs[i].Name, Method: method(s), Accuracy: s.TestAccuracy, BestAccuracy: s.BestTestAccuracy,
			Difference: s.TestAccuracy - base.TestAccuracy, Epochs: s.Epochs,
			SamplesUsed: s.TrainSamplesUsed, SamplesSaved: less(float64(s.TrainSamplesUsed), float64(base.TrainSamplesUsed)),
			Seconds: s.WallSeconds, SecondsSaved: less(s.WallSeconds, base.WallSeconds),
			TrainSeconds: s.WallSeconds - s.EvalSeconds, Interrupted: s.Interrupted,
		})
		c.note(&runs[i], base, i == 0)
	}
	return c, nil
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

func (c *Comparison) note(r *run.Run, base *run.Summary, first bool) {
	s := &r.Summary
	add := func(format string, args ...any) {
		c.Notes = append(c.Notes, r.Name+": "+fmt.Sprintf(format, args...))
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
		if d.a != d.b {
			add("%s %s, the first run has %s", d.what, d.a, d.b)
		}
	}
}

// WriteText writes the comparison as a table, texts from the runs made fit for
// a terminal.
func (c *Comparison) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "run\tpruning\taccuracy\tdifference\tsamples used\tsamples saved\tseconds\tseconds saved\t")
	for i, r := range c.Rows {
		diff, samples, seconds := "", "", ""
		if i > 0 {
			diff = fmt.Sprintf("%+.2f pts", 100*r.Difference)
			samples, seconds = percent(r.SamplesSaved), percent(r.SecondsSaved)
		}
		accuracy := percent(r.Accuracy)
		if r.Epochs == 0 {
			accuracy = "-"
		}
		if r.Epochs == 0 || c.Rows[0].Epochs == 0 {
			diff = ""
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%s\t\n", printable.Text(r.Name), printable.Text(r.Method), accuracy, diff,
			thousands(r.SamplesUsed), samples, r.Seconds, seconds)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("eval: table: %w", err)
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
