package cli

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/eval"
	"winnow/run"
)

type compareOptions struct {
	Runs []string
	JSON bool
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
of test accuracy over the samples or the seconds used.`,
			[]int{0, 1, 2, 3},
			"winnow compare runs/full runs/pruned",
			"winnow compare runs/full runs/pruned --plot compare.svg --axis seconds"),
		Flags: []cli.Flag{
			jsonFlag(&o.JSON),
			&cli.StringFlag{Name: "plot", Destination: &o.Plot, Category: flagsOutput, TakesFile: true,
				Usage: "also draw a chart to `FILE`, .svg or .png; replaces an older chart, never another file"},
			&cli.StringFlag{Name: "axis", Value: string(eval.AxisSamples), Destination: &o.Axis, Category: flagsOutput,
				Usage: "`samples|seconds`: x axis of the chart"},
		},
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
		if err := charts[format].replaceable(o.Plot); err != nil {
			return err
		}
	}
	if err := oneOf("--axis", o.Axis, string(eval.AxisSamples), string(eval.AxisSeconds)); err != nil {
		return err
	}
	var runs []run.Run
	for _, dir := range o.Runs {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := run.Read(dir)
		if err != nil {
			return err
		}
		runs = append(runs, *r)
	}
	c, err := eval.Compare(runs)
	if err != nil {
		return err
	}
	if o.Plot != "" {
		draw := func(w io.Writer) error { return c.WriteChart(w, format, eval.Axis(o.Axis)) }
		if err := charts[format].write(o.Plot, draw); err != nil {
			return err
		}
	}
	if o.JSON {
		return out.printJSON(c)
	}
	if err := c.WriteText(out.stdout); err != nil {
		return err
	}
	if o.Plot != "" {
		out.printf("chart %s\n", o.Plot)
	}
	return nil
}
