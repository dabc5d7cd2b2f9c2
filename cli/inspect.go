package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/train"
)

type inspectOptions struct {
	Path      string
	JSON      bool
	BatchSize int
	Forward   forwardOptions
	WithCosts bool
	Costs     costOptions
}

func newInspectCommand(out *output) *cli.Command {
	var o inspectOptions
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what a model or a bundle contains, its problems, and what a step costs",
		ArgsUsage: "MODEL.onnx|BUNDLE",
		Description: about(`Of an .onnx model, shows inputs, outputs, parameters, operators, what would be
trained and why, and whether it can be exported for training. Of a bundle (a
folder or a zip file), shows inputs, outputs, state, optimizer and loss. Every
problem is listed at once; if there are any, the exit code is 3.

With --costs, runs training steps on random images under ONNX Runtime's profiler
and shows where the time goes: by operator and by layer, with forward, backward
and update apart. On a CPU a limit stands beside each: the least time at the peaks
of arithmetic and memory that ONNX Runtime's operators reach here. A MODEL.onnx
gets the default recipe of winnow export; the name of a shipped bundle works too.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow inspect model.onnx",
			"winnow inspect lenet-bundle --json",
			"winnow inspect resnet8 --costs --batch-size 128 --threads 2 --device cpu",
			"winnow inspect model.onnx --costs --top 20 --profile-out trace.json"),
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Value: train.DefaultBatchSize, Destination: &o.BatchSize, Category: flagsMachine,
				Usage: "batch size `N`, for the memory of activations and for --costs"},
			&cli.BoolFlag{Name: "costs", Destination: &o.WithCosts, Category: flagsOutput,
				Usage: "show where the time of a training step goes"},
			jsonFlag(&o.JSON),
		}, slices.Concat(o.Forward.flags(), o.Costs.flags())...),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "a model or a bundle")
			if err != nil {
				return err
			}
			o.Path = args[0]
			o.Forward.set(c)
			if o.BatchSize < 1 {
				return usagef("--batch-size %d: give 1 or more", o.BatchSize)
			}
			for _, name := range costFlagNames() {
				if c.IsSet(name) && !o.WithCosts {
					return usagef("--%s: only with --costs", name)
				}
			}
			return runInspect(c.Context, o, out)
		},
	}
}

func runInspect(ctx context.Context, o inspectOptions, out *output) error {
	if o.WithCosts {
		return inspectCosts(ctx, o, out)
	}
	b, err := openBundle(o.Path)
	if b == nil && isModelFile(o.Path) {
		return inspectModel(o, out)
	}
	if err != nil {
		return err
	}
	return inspectBundle(b, o, out)
}

func printProblems(out *output, list []string) {
	out.printf("\n%s\n", out.style(styleRed, "Problems"))
	for _, p := range list[:min(len(list), maxListed)] {
		out.printf("  - %s\n", p)
	}
	if n := len(list) - maxListed; n > 0 {
		out.printf("  and %d more, all in --json\n", n)
	}
}

// maxListed is how many problems are listed for people.
const maxListed = 100

func faults(path string, n int) error {
	switch n {
	case 0:
		return nil
	case 1:
		return inputf("inspect %q: 1 problem, listed above", path)
	}
	return inputf("inspect %q: %d problems, listed above", path, n)
}

// problems takes a joined error apart, one text for each.
func problems(err error) []string {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && strings.Contains(err.Error(), "\n") {
		var list []string
		for _, e := range joined.Unwrap() {
			list = append(list, problems(e)...)
		}
		return list
	}
	return slices.DeleteFunc(strings.Split(err.Error(), "\n"), func(s string) bool { return strings.TrimSpace(s) == "" })
}
