package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"winnow/eval"
)

// resultsPage has a short table of all tasks.
const resultsPage = "docs/results.md"

// tasks compares with full training on as many samples too, into the folder,
// and gives the table of both comparisons.
func (p *program) tasks(ctx context.Context, s study, runs, equal []string, epochs []byte) (string, error) {
	samples, err := p.run(ctx, slices.Concat([]string{"compare", "--json", "--budget"}, runs, equal)...)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(p.budgetFile(s), samples, 0o644); err != nil {
		return "", err
	}
	rows, err := taskRows(epochs, samples, s.task)
	return table(1, append([]string{"method", "seeds", s.task}, taskHead...), rows), err
}

func (p *program) budgetFile(s study) string { return filepath.Join(p.json, s.name+"-budget.json") }

// taskHead is what the tables of a task and of all have of the comparisons.
var taskHead = []string{"samples saved", "difference", "95% interval", "to full training on as many samples", "95% interval"}

// taskRows are a row for each group: shares as percentages, anything else as it is.
func taskRows(epochs, samples []byte, task string) ([][]string, error) {
	var c, equal struct{ Groups []eval.Group }
	if err := errors.Join(json.Unmarshal(epochs, &c), json.Unmarshal(samples, &equal)); err != nil {
		return nil, err
	}
	scale, digits := 1.0, 4
	if strings.HasSuffix(task, "%") {
		scale, digits = 100, 2
	}
	difference := func(d *eval.Difference) []string {
		if d == nil || d.Low == nil || d.High == nil {
			return []string{"", ""}
		}
		return []string{fmt.Sprintf("%+.*f", digits, scale*d.Mean), fmt.Sprintf("%+.*f to %+.*f", digits, scale**d.Low, digits, scale**d.High)}
	}
	var rows [][]string
	for _, g := range c.Groups {
		mean := fmt.Sprintf("%.*f", digits, scale*g.Accuracy.Mean)
		if g.Accuracy.Deviation != nil {
			mean += fmt.Sprintf(" ± %.*f", digits, scale**g.Accuracy.Deviation)
		}
		var other *eval.Difference
		if i := slices.IndexFunc(equal.Groups, func(e eval.Group) bool { return e.Name == g.Name && e.Method != "none" }); i >= 0 {
			other = equal.Groups[i].Difference
		}
		rows = append(rows, slices.Concat([]string{g.Name, strconv.Itoa(len(g.Seeds)), mean, percent(g.SamplesSaved)}, difference(g.Difference), difference(other)))
	}
	return rows, nil
}

// summarize writes the short table of the tasks that are trained.
func (p *program) summarize() error {
	var rows [][]string
	for _, s := range studies {
		if s.task == "" {
			continue
		}
		epochs, err := os.ReadFile(filepath.Join(p.json, s.name+".json"))
		samples, err2 := os.ReadFile(p.budgetFile(s))
		if err := errors.Join(err, err2); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		of, err := taskRows(epochs, samples, s.task)
		if err != nil {
			return err
		}
		for _, row := range of {
			rows = append(rows, append([]string{s.title + ": " + s.task}, row...))
		}
	}
	return replace(resultsPage, "tasks", "\n"+table(2, append([]string{"task", "method", "seeds", "result"}, taskHead...), rows))
}

// table is one of Markdown, whose first columns are text.
func table(texts int, head []string, rows [][]string) string {
	var t strings.Builder
	line := func(cells []string) { fmt.Fprintf(&t, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(append(slices.Repeat([]string{"---"}, texts), slices.Repeat([]string{"---:"}, len(head)-texts)...))
	for _, row := range rows {
		line(row)
	}
	return t.String()
}
