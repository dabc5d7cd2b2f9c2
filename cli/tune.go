package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/loader"
	"winnow/models"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
	"winnow/train"
	"winnow/train/tune"
)

// timingOptions say where and how the forms of gradients are timed.
type timingOptions struct {
	BatchSize int
	Cache     string
	Again     bool
	Device    deviceOptions
}

func (o *timingOptions) flags() []cli.Flag {
	return append([]cli.Flag{
		&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Value: train.DefaultBatchSize, Destination: &o.BatchSize, Category: flagsMachine,
			Usage: "batch size `N` that is timed"},
		&cli.StringFlag{Name: "tune-cache", Destination: &o.Cache, Category: flagsMachine, TakesFile: true,
			DefaultText: "tune.json in your cache folder", Usage: "cache measured times in `FILE`"},
		&cli.BoolFlag{Name: "retune", Destination: &o.Again, Category: flagsMachine,
			Usage: "ignore the cache and measure again"},
	}, o.Device.flags()...)
}

// timingFlagNames are the flags of export that mean nothing without --tune.
func timingFlagNames() []string {
	return slices.DeleteFunc(names(new(timingOptions).flags()), func(name string) bool { return name == "runtime-library" })
}

func (o *timingOptions) validate() error {
	if o.BatchSize < 1 || o.BatchSize > loader.MaxBatchSize {
		return usagef("--batch-size %d: give 1 to %d", o.BatchSize, loader.MaxBatchSize)
	}
	_, err := o.Device.resolve(nil)
	return err
}

// tuner is the function that a build asks for the forms of its gradients. It
// times those of the graph that the device trains with under the layout.
func (o *timingOptions) tuner(ctx context.Context, layout string, out *output) func([]autodiff.Case) (*bundle.Tuned, error) {
	return func(cases []autodiff.Case) (_ *bundle.Tuned, err error) {
		note := func(format string, args ...any) { out.notef("note: "+format, args...) }
		options, err := o.Device.resolve(note)
		if err != nil {
			return nil, err
		}
		options.Context = ctx
		options.Preparing = func(nodes int) { note("%s", preparingText(nodes)) }
		device, err := ortrun.Open(options)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, device.Close()) }()
		t := tune.Options{
			Device: device, BatchSize: o.BatchSize, Layout: bundle.LayoutPortable, Cache: o.Cache, Again: o.Again,
			Progress: countProgress(out, "tune"), Notice: func(text string) { note("%s", text) },
		}
		if layout != bundle.LayoutPortable {
			block := int64(device.ConvBlock())
			switch {
			case block != 0 && slices.ContainsFunc(cases, func(c autodiff.Case) bool { return c.Block == block }): // else there is no such graph
				t.Block, t.Layout = block, bundle.LayoutNCHWC
			case block == 0 && layout == bundle.LayoutNCHWC:
				return nil, fmt.Errorf("--layout %s: %w: %s has no such layout", layout, ortrun.ErrNoDevice, device.Name())
			}
		}
		if t.Cache == "" && len(options.CUDA) == 0 { // times under options of the provider hold for these alone
			if t.Cache, err = tune.CachePath(); err != nil {
				note("%v", err)
			}
		}
		return tune.Choose(ctx, cases, t)
	}
}

type tuneOptions struct {
	Bundle    string
	Out       string
	Overwrite bool
	Layout    string
	Tuning    timingOptions
}

func newTuneCommand(out *output) *cli.Command {
	var o tuneOptions
	return &cli.Command{
		Name:      "tune",
		Usage:     "time the ways to compute a bundle's gradients here, and keep the fastest",
		ArgsUsage: "BUNDLE",
		Description: about(`The gradient of a convolution or a max pooling can be computed in several ways.
For every distinct shape in the model, tune times each way on the device, and
rewrites the bundle with the fastest. bundle.json records the times and the
machine. On a CPU with AVX2, train's own operators go before what is chosen for
3x3 convolutions and poolings; --layout nchwc takes the choice. A training graph
in the block layout of this CPU is added as well. Weights and recipe stay as
they are.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow tune my-bundle --batch-size 128",
			"winnow tune resnet8 -o resnet8-tuned --device cpu --threads 2"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
				DefaultText: "the bundle's own", Usage: "folder `DIR` to write the tuned bundle to"},
			overwriteFlag(&o.Overwrite, "the bundle at --out"),
			layoutFlag(&o.Layout, fileLayouts, "training graph to tune; auto takes nchwc where the device has such a layout"),
		}, o.Tuning.flags()...),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "a bundle")
			if err != nil {
				return err
			}
			o.Bundle = args[0]
			return runTune(c.Context, o, out)
		},
	}
}

func runTune(ctx context.Context, o tuneOptions, out *output) error {
	if err := oneOf("--layout", o.Layout, fileLayouts...); err != nil {
		return err
	}
	if err := o.Tuning.validate(); err != nil {
		return err
	}
	if err := o.place(); err != nil {
		return err
	}
	b, err := openBundle(o.Bundle)
	if err != nil {
		return err
	}
	if err := b.Validate(); err != nil {
		return fmt.Errorf("bundle %q (winnow inspect lists its problems): %w", o.Bundle, err)
	}
	blocks, err := blocksHere(o.Layout, o.Tuning.Device.Library, true)
	if err != nil {
		return err
	}
	if blocks.Size == 0 && b.Manifest.Blocked != nil {
		blocks.Size = b.Manifest.Blocked.Block
	}
	tuned, err := export.Rebuild(b, export.Options{
		Blocks: blocks,
		Forms:  export.Forms{Tune: o.Tuning.tuner(ctx, o.Layout, out)},
		Warn:   func(text string) { out.notef("note: %s", text) },
	})
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tuned.Save(o.Out); err != nil {
		return fmt.Errorf("write bundle %q: %w", o.Out, err)
	}
	out.printf("bundle %s: %s\n", o.Out, tunedText(tuned.Manifest.Tuned))
	printChoices(out, tuned.Manifest.Tuned)
	return nil
}

// place settles on the folder that is written: the bundle's own, which only a
// folder can be, or --out.
func (o *tuneOptions) place() error {
	if o.Out != "" {
		return freeBundle(o.Out, "", o.Overwrite)
	}
	if slices.Contains(models.Names(), o.Bundle) {
		return usagef("tune: bundle %q ships with the program; say where to write the tuned one with --out", o.Bundle)
	}
	if info, err := os.Stat(o.Bundle); err == nil && !info.IsDir() {
		return usagef("tune: %q is a file, not a bundle's folder; say where to write the tuned one with --out", o.Bundle)
	}
	o.Out = o.Bundle
	return nil
}

// tunedText says where forms were timed.
func tunedText(t *bundle.Tuned) string {
	return fmt.Sprintf("%s tuned on %s (%s), %s, batches of %d, layout %s, ONNX Runtime %s",
		counted(len(t.Choices), "gradient"), strings.TrimSuffix(t.Provider, "ExecutionProvider"), t.Hardware, counted(t.Threads, "thread"), t.BatchSize, t.Layout, t.ONNXRuntime)
}

// printChoices lists the form that each gradient takes, and what its forms cost.
func printChoices(out *output, t *bundle.Tuned) {
	rows := make([][]any, 0, len(t.Choices))
	for _, c := range t.Choices {
		var times []string
		forms := slices.Sorted(maps.Keys(c.Milliseconds))
		slices.SortStableFunc(forms, func(a, b string) int {
			if c.Milliseconds[a] < c.Milliseconds[b] {
				return -1
			}
			return 1
		})
		for _, form := range forms {
			times = append(times, fmt.Sprintf("%s %.3g", form, c.Milliseconds[form]))
		}
		rows = append(rows, []any{c.Key, out.style(styleBold, c.Form), strings.Join(times, ", ") + " ms"})
	}
	out.styledTable(rows)
}
