package cli

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/eval"
	"winnow/experiment"
	"winnow/run"
)

type compareOptions struct {
	Runs []string
	Form forms
	Plot string
	Axis string
}

func newCompareCommand(out *output) *cli.Command {
	var o compareOptions
	return &cli.Command{
		Name:      "compare",
		Usage:     "compare runs: accuracy, samples and time saved",
		ArgsUsage: "RUN RUN...",
		Description: about(`Compares finished runs with the first of them: as a table, as JSON or as a chart
of test accuracy over the samples or the seconds used.

Runs of the same options are a group, and a group is compared with that of the
first run seed by seed: mean and standard deviation, the mean difference with its
95% interval by a paired t-test, and a verdict, which says "no loss" only where
the interval does. --csv and --markdown print the groups.`,
			[]int{0, 1, 2, 3},
			"winnow compare runs/full runs/pruned",
			"winnow compare runs/full runs/pruned --plot compare.svg --axis seconds",
			"winnow compare runs/full-s* runs/pruned-s* --margin 0.3"),
		Flags: append(o.Form.flags(),
			&cli.StringFlag{Name: "plot", Destination: &o.Plot, Category: flagsOutput, TakesFile: true,
				Usage: "also draw a chart to `FILE`, .svg or .png; replaces an older chart, never another file"},
			&cli.StringFlag{Name: "axis", Value: string(eval.AxisSamples), Destination: &o.Axis, Category: flagsOutput,
				Usage: "`samples|seconds|saved`: x axis of the chart; saved draws each group, its accuracy with the deviation over seeds against the samples that it saved"},
		),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, -1, "the folders of the runs")
			if err != nil {
				return err
			}
			o.Runs = args
			return runCompare(c.Context, o, out)
		},
	}
}

// charts are the kinds of files that a chart can be.
var charts = map[string]kind{eval.FormatSVG: svgFile, eval.FormatPNG: pngFile}

func runCompare(ctx context.Context, o compareOptions, out *output) error {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(o.Plot)), ".")
	if o.Plot != "" {
		if err := oneOf("--plot: file ending", format, eval.FormatSVG, eval.FormatPNG); err != nil {
			return err
		}
		if err := charts[format].placeable(o.Plot); err != nil {
			return err
		}
	}
	if err := oneOf("--axis", o.Axis, string(eval.AxisSamples), string(eval.AxisSeconds), string(eval.AxisSaved)); err != nil {
		return err
	}
	if err := o.Form.check(); err != nil {
		return err
	}
	var runs []run.Run
	for _, dir := range o.Runs {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := run.Read(dir)
		if err != nil {
			return notExperiment(dir, err)
		}
		runs = append(runs, *r)
	}
	c, err := eval.Compare(runs, o.Form.options())
	if err != nil {
		return err
	}
	if o.Plot != "" {
		draw := func(w io.Writer) error { return c.WriteChart(w, format, eval.Axis(o.Axis)) }
		if err := charts[format].write(o.Plot, draw); err != nil {
			return err
		}
	}
	if done, err := o.Form.write(c, out); done || err != nil {
		return err
	}
	if err := c.WriteText(out.stdout); err != nil {
		return err
	}
	if o.Plot != "" {
		out.printf("chart %s\n", o.Plot)
	}
	return nil
}

// notExperiment is the error of a folder that should have been a run's, which
// says so where it is an experiment's.
func notExperiment(dir string, err error) error {
	if exists(filepath.Join(dir, experiment.PlanFile)) && !run.Begun(dir) {
		return inputf("%q is an experiment: its runs are %s, and winnow experiment --resume %s goes on with it, or prints its table", dir, filepath.Join(dir, experiment.RunsDir, "*"), dir)
	}
	return err
}

// forms are the forms that a comparison can be printed in.
type forms struct {
	JSON, CSV, Markdown bool
	Margin              float64 // points
	Budget              bool
	Metric              string
}

func (f *forms) flags() []cli.Flag {
	return []cli.Flag{
		jsonFlag(&f.JSON),
		&cli.BoolFlag{Name: "csv", Destination: &f.CSV, Category: flagsOutput, Usage: "print the groups as CSV"},
		&cli.BoolFlag{Name: "markdown", Destination: &f.Markdown, Category: flagsOutput, Usage: "print the groups as a Markdown table"},
		&cli.Float64Flag{Name: "margin", Value: 100 * eval.DefaultMargin, Destination: &f.Margin, Category: flagsOutput,
			Usage: "loss of accuracy `X`, in points, that the verdicts are about; of losses and errors, in percent of the baseline's"},
		&cli.StringFlag{Name: "metric", Destination: &f.Metric, Category: flagsOutput, DefaultText: "the accuracy, the task's first metric, or the model's own loss",
			Usage: "compare by `METRIC` of the test samples: loss, one that winnow eval prints, or a further output of the model, NAME=max where more of it is better"},
		&cli.BoolFlag{Name: "budget", Destination: &f.Budget, Category: flagsRecipe,
			Usage: "compare with full training on as many samples, in fewer epochs, instead of on as many epochs"},
	}
}

// options are how runs are compared.
func (f *forms) options() eval.Options {
	return eval.Options{Margin: f.Margin / 100, Budget: f.Budget, Metric: f.Metric}
}

func (f *forms) check() error {
	if !(f.Margin > 0 && f.Margin <= 100) {
		return usagef("--margin %v: give points of accuracy, above 0 to 100", f.Margin)
	}
	n := 0
	for _, on := range []bool{f.JSON, f.CSV, f.Markdown} {
		if on {
			n++
		}
	}
	if n > 1 {
		return usagef("--json, --csv, --markdown: give one of them")
	}
	return nil
}

// write prints a comparison in the form that was asked for, if it is not text.
func (f *forms) write(c *eval.Comparison, out *output) (done bool, err error) {
	switch {
	case f.JSON:
		return true, out.printJSON(c)
	case f.CSV:
		return true, c.WriteGroups(out.stdout, eval.CSV)
	case f.Markdown:
		return true, c.WriteGroups(out.stdout, eval.Markdown)
	}
	return false, nil
}
