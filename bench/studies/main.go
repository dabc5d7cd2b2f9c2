// Command studies trains the experiments of docs/results.md, or with -tasks those of
// docs/tasks.md, and writes their tables.
//
//	go run ./bench/studies -winnow bin/winnow
//
// What is finished is never trained again, so a stopped study goes on. Each
// study ends as a JSON file of its comparison and a chart below -json, and as a
// table between its marks in -page.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"winnow/eval"
	"winnow/run"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("studies: ")
	var p program
	flag.StringVar(&p.winnow, "winnow", "bin/winnow", "the program")
	flag.StringVar(&p.runs, "runs", "runs/studies", "folder of the runs")
	tasks := flag.Bool("tasks", false, "the tasks that are no classes")
	flag.StringVar(&p.json, "json", "docs/results", "folder of the comparisons")
	flag.StringVar(&p.page, "page", "", "page with a place for each table (docs/results.md, of tasks docs/tasks.md)")
	flag.StringVar(&p.machine, "machine", "", "flags of winnow train that are about the machine alone, such as --threads=1")
	flag.IntVar(&p.jobs, "jobs", 1, "runs of an experiment at a time")
	only := flag.String("only", "", "studies, with commas between; all but the quick one and tasks if empty")
	quick := flag.Bool("quick", false, "the quick study alone")
	tables := flag.Bool("tables", false, "train nothing; write the tables of what is finished")
	list := flag.Bool("list", false, "print the studies and their commands")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen, err := choose(*only, *quick, *tasks)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range chosen {
		switch {
		case *list:
			fmt.Printf("%s: %s\n%s\n", s.name, s.title, p.commands(s))
			continue
		case !*tables:
			err = p.train(ctx, s)
		}
		if err == nil {
			err = p.write(ctx, s)
		}
		if err != nil {
			log.Fatalf("%s: %v", s.name, err)
		}
	}
	if *tasks && !*list && p.page == "" {
		if err := p.summarize(); err != nil {
			log.Fatal(err)
		}
	}
}

func choose(only string, quick, tasks bool) ([]study, error) {
	if only == "" {
		return slices.DeleteFunc(slices.Clone(studies), func(s study) bool { return s.quick != quick || (s.task != "") != tasks }), nil
	}
	var chosen []study
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(studies, func(s study) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no study %q; -list prints them", name)
		}
		chosen = append(chosen, studies[i])
	}
	return chosen, nil
}

// program is where a study finds and leaves things.
type program struct {
	winnow, runs, json, page, machine string
	jobs                              int
}

func (p *program) dir(s study, e plan) string { return filepath.Join(p.runs, s.name, e.name) }

// commands are those of a study, as a user types them.
func (p *program) commands(s study) string {
	var text strings.Builder
	for _, e := range s.experiments {
		fmt.Fprintf(&text, "winnow experiment %s --out %s\n", strings.Join(e.args, " "), filepath.ToSlash(p.dir(s, e)))
	}
	for _, e := range s.audits {
		fmt.Fprintf(&text, "winnow %s\n", strings.Join(p.audited(s, e), " "))
		for _, form := range p.audit(s, e) {
			fmt.Fprintf(&text, "winnow %s\n", strings.Join(form, " "))
		}
	}
	return text.String()
}

func (p *program) train(ctx context.Context, s study) error {
	for _, e := range s.experiments {
		log.Printf("%s/%s", s.name, e.name)
		args := slices.Concat([]string{"experiment"}, e.args, strings.Fields(p.machine),
			[]string{"--jobs", strconv.Itoa(p.jobs), "--out", p.dir(s, e)})
		if _, err := p.run(ctx, args...); err != nil { // its table is of one experiment alone; that of the study comes after
			return err
		}
	}
	for _, e := range s.audits {
		log.Printf("%s/%s", s.name, e.name)
		if _, err := p.run(ctx, slices.Concat(p.audited(s, e), strings.Fields(p.machine), []string{"--resume", "auto", "--quiet"})...); err != nil {
			return err
		}
		var reports []auditReport
		for _, form := range p.audit(s, e) {
			text, err := p.run(ctx, append(form, "--json", "--quiet")...)
			if err != nil {
				return err
			}
			var r auditReport
			if err := json.Unmarshal(text, &r); err != nil {
				return err
			}
			reports = append(reports, r)
		}
		text, err := json.MarshalIndent(reports, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.dir(s, e), auditsFile), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// run runs the program, and gives what it prints.
func (p *program) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.winnow, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

// write puts the comparison of what is finished into the folder, with a chart,
// and the page.
func (p *program) write(ctx context.Context, s study) error {
	if len(s.audits) > 0 {
		return p.writeAudits(s)
	}
	runs, equal, err := p.finished(s)
	if err != nil || len(runs) < 2 {
		return errors.Join(err, p.fill(s, "Not trained yet.\n"))
	}
	if err := os.MkdirAll(p.json, 0o755); err != nil {
		return err
	}
	chart := s.name + ".svg"
	form := []string{"compare", "--json"}
	if s.task == "" {
		form = append(form, "--axis", "saved", "--plot", filepath.Join(p.json, chart))
	}
	text, err := p.run(ctx, append(form, runs...)...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.json, s.name+".json"), text, 0o644); err != nil {
		return err
	}
	if s.task != "" {
		table, err := p.tasks(ctx, s, runs, equal, text)
		return errors.Join(err, p.fill(s, table))
	}
	table, err := tableOf(text, s)
	if err != nil {
		return err
	}
	folder, err := filepath.Rel(filepath.Dir(p.pageOf(s)), p.json)
	if err != nil {
		return err
	}
	beside, err := p.besideTable(s)
	if err != nil {
		return err
	}
	return p.fill(s, fmt.Sprintf("![%s: accuracy over the samples saved](%s)\n\n%s%s", s.title, filepath.ToSlash(filepath.Join(folder, chart)), table, beside))
}

// tableOf writes the groups of a comparison as Markdown, with the verdicts; with
// the seconds only where nothing ran beside them.
func tableOf(comparison []byte, s study) (string, error) {
	var c struct{ Groups []eval.Group }
	if err := json.Unmarshal(comparison, &c); err != nil {
		return "", err
	}
	full := map[string]bool{} // names of full training, which all others are compared with
	for _, g := range c.Groups {
		full[g.Name] = g.Method == "none"
	}
	c.Groups = slices.DeleteFunc(c.Groups, func(g eval.Group) bool { return !full[g.Name] && !full[g.Baseline] })
	noisy := slices.ContainsFunc(c.Groups, func(g eval.Group) bool { return g.WrongKept != nil })
	head := []string{"method", "seeds", "accuracy, %", "difference, points", "95% interval", "worst class, %", "samples saved"}
	if s.timed {
		head = append(head, "seconds", "seconds saved", "of them the pruner's own")
	}
	if noisy {
		head = append(head, "wrong labels among the kept")
	}
	var t strings.Builder
	row := func(cells []string) { fmt.Fprintf(&t, "| %s |\n", strings.Join(cells, " | ")) }
	row(append(head, "no loss within 0.5 points"))
	row(slices.Concat([]string{"---"}, slices.Repeat([]string{"---:"}, len(head)-1), []string{"---"}))
	for _, g := range c.Groups {
		cells := []string{g.Name, strconv.Itoa(len(g.Seeds)), moments(g.Accuracy), "", "", "", percent(g.SamplesSaved)}
		if d := g.Difference; d != nil && d.Low != nil && d.High != nil {
			cells[3], cells[4] = fmt.Sprintf("%+.2f", 100*d.Mean), fmt.Sprintf("%+.2f to %+.2f", 100**d.Low, 100**d.High)
		}
		if g.Worst != nil {
			cells[5] = fmt.Sprintf("%.1f", 100*g.Worst.Mean)
		}
		if s.timed {
			cells = append(cells, fmt.Sprintf("%.1f", g.Seconds), percent(g.SecondsSaved), fmt.Sprintf("%.2f", g.PruneSeconds))
		}
		if noisy {
			cells = append(cells, percent(g.WrongKept))
		}
		row(append(cells, strings.TrimSuffix(strings.Replace(g.Verdict, "no loss within 0.5 points", "shown", 1), " points")))
	}
	return t.String(), nil
}

func percent(share *float64) string {
	if share == nil {
		return ""
	}
	return fmt.Sprintf("%.1f%%", 100**share)
}

func moments(m eval.Moments) string {
	if m.Deviation == nil {
		return fmt.Sprintf("%.2f", 100*m.Mean)
	}
	return fmt.Sprintf("%.2f ± %.2f", 100*m.Mean, 100**m.Deviation)
}

// finished lists the runs of a study in the order of its experiments: full
// training first, since the first group of the same data is the baseline. Apart
// from them are those in full of as many samples as a pruned run.
func (p *program) finished(s study) (runs, equal []string, err error) {
	var pruned []string
	data, full := map[string]string{}, map[string]bool{} // of a run, and whether it has full training
	for _, e := range s.experiments {
		found, err := filepath.Glob(filepath.Join(p.dir(s, e), "runs", "*", "summary.json"))
		if err != nil {
			return nil, nil, err
		}
		for _, f := range found {
			dir := filepath.Dir(f)
			if r, err := run.Read(dir); err != nil {
				return nil, nil, err
			} else if r.Summary.Interrupted {
				continue
			} else {
				data[dir] = r.Summary.Data
			}
			switch name := filepath.Base(dir); {
			case !strings.HasPrefix(name, "none-"):
				pruned = append(pruned, dir)
			case strings.Contains(name, "-e"):
				equal = append(equal, dir)
			default:
				runs = append(runs, dir)
				full[data[dir]] = true
			}
		}
	}
	pruned = slices.DeleteFunc(pruned, func(dir string) bool { return !full[data[dir]] })
	return append(runs, pruned...), equal, nil
}

// pageOf is the page with the place of a study's table.
func (p *program) pageOf(s study) string {
	switch {
	case p.page != "":
		return p.page
	case s.task != "":
		return "docs/tasks.md"
	}
	return "docs/results.md"
}

// fill writes the commands of a study and what they give into its page.
func (p *program) fill(s study, body string) error {
	return replace(p.pageOf(s), s.name, fmt.Sprintf("\n```\n%s```\n\n%s", p.commands(s), body))
}

// replace puts a text between the marks of a name in a page.
func replace(page, name, body string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin, end := fmt.Sprintf("<!-- %s -->\n", name), fmt.Sprintf("<!-- end of %s -->\n", name)
	head, rest, ok := bytes.Cut(text, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %q and %q", page, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(page, slices.Concat(head, []byte(begin+body+end), tail), 0o644)
}
