package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
)

type exportOptions struct {
	Model     string
	Out       string
	Name      string
	Overwrite bool
	Layout    string
	Tune      bool
	Tuning    timingOptions
	Reinit    bool
	InitSeed  uint64 // of new weights
	Forward   forwardOptions
	Graph     graphOptions
	Images    imageOptions

	tuner func([]autodiff.Case) (*bundle.Tuned, error) // nil leaves forms to their shapes
}

func newExportCommand(out *output) *cli.Command {
	var o exportOptions
	flags := []cli.Flag{
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
			DefaultText: "the model's name", Usage: "folder `DIR` to write the bundle to"},
		&cli.StringFlag{Name: "name", Destination: &o.Name, Category: flagsOutput, DefaultText: "the file's name",
			Usage: "the bundle's `NAME`"},
		overwriteFlag(&o.Overwrite, "the bundle at --out; other files there are kept"),
		&cli.BoolFlag{Name: "reinit", Destination: &o.Reinit, Category: flagsModel,
			Usage: "draw all weights at random, to train from scratch"},
		&cli.Uint64Flag{Name: "init-seed", Destination: &o.InitSeed, Category: flagsModel, DefaultText: "0",
			Usage: "random seed `N` of --reinit"},
		layoutFlag(&o.Layout, fileLayouts, "auto adds a second training graph in the block layout of this CPU where it can; nchwc fails where it cannot; portable leaves it out"),
		&cli.BoolFlag{Name: "tune", Destination: &o.Tune, Category: flagsMachine,
			Usage: "time the ways to compute each gradient on the device, and keep the fastest"},
	}
	return &cli.Command{
		Name:      "export",
		Usage:     "make a training bundle from a forward ONNX model",
		ArgsUsage: "MODEL.onnx",
		Description: about(`Adds the loss, the backward pass and the optimizer to MODEL.onnx as standard ONNX
operators, and writes a training bundle, which winnow train takes. Export the
model from your framework in training mode, so that batch normalisation stays in,
and with a dynamic batch size (or give --dynamic-batch). A last Softmax,
LogSoftmax or Sigmoid may stay; the loss accounts for it.

With --tune, the ways to compute each gradient are timed on the device and the
fastest is kept. winnow tune does the same for a finished bundle.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow export lenet.onnx -o lenet-bundle",
			"winnow export resnet18.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --smoothing 0.1",
			"winnow export resnet18.onnx --amp -o resnet18-half",
			"winnow export resnet18.onnx --tune --batch-size 64 --device cpu --threads 2",
			"winnow export vit.onnx --freeze '^patch_embed' --name vit-head"),
		Flags: slices.Concat(flags, o.Forward.flags(), o.Tuning.flags(), o.Graph.flags(flagsRecipe), o.Images.flags()),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "the model to export")
			if err != nil {
				return err
			}
			o.Model = args[0]
			if err := checkDependents(c); err != nil {
				return err
			}
			if err := o.Graph.set(c); err != nil {
				return err
			}
			if c.IsSet("init-seed") && !o.Reinit {
				return usagef("--init-seed: only with --reinit")
			}
			for _, name := range timingFlagNames() {
				if c.IsSet(name) && !o.Tune {
					return usagef("--%s: only with --tune", name)
				}
			}
			if err := o.Graph.set(c); err != nil {
				return err
			}
			return runExport(c.Context, o, out)
		},
	}
}

func runExport(ctx context.Context, o exportOptions, out *output) error {
	if o.Out == "" {
		o.Out = strings.TrimSuffix(filepath.Base(o.Model), filepath.Ext(o.Model))
		if o.Out == filepath.Base(o.Model) {
			o.Out += "-bundle"
		}
	}
	if err := o.Graph.validate(); err != nil {
		return err
	}
	if err := o.Images.validate(); err != nil {
		return err
	}
	if err := oneOf("--layout", o.Layout, fileLayouts...); err != nil {
		return err
	}
	if o.Layout == bundle.LayoutNCHWC && o.Graph.Mixed {
		return usagef("--layout %s: the CPU's layout has no half precision; leave out --amp", o.Layout)
	}
	if err := o.Tuning.validate(); err != nil {
		return err
	}
	if err := freeBundle(o.Out, o.Model, o.Overwrite); err != nil {
		return err
	}
	layout := o.Layout
	if o.Graph.Mixed {
		layout = bundle.LayoutPortable
	}
	var err error
	if o.Graph.Blocks, err = blocksHere(layout, o.Tuning.Device.Library, true); err != nil {
		return err
	}
	if o.Tune {
		o.tuner = o.Tuning.tuner(ctx, layout, out)
	}
	b, err := exportBundle(ctx, o, func(text string) { out.notef("note: %s", text) })
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.Save(o.Out); err != nil {
		return fmt.Errorf("write bundle %q: %w", o.Out, err)
	}
	m := &b.Manifest
	out.printf("bundle %s: %s, images %s, %d classes, %s, %s, %s, %s\n",
		o.Out, m.Name, shapeText(m.ImageShape[:]), m.Classes, trainedText(m), lossText(m.Loss), optimizerText(m.Optimizer), precisionText(m.Precision))
	if m.Tuned != nil {
		out.printf("%s\n", tunedText(m.Tuned))
		printChoices(out, m.Tuned)
	}
	out.printf("train it with: winnow train --bundle %s --data DATA\n", o.Out)
	return nil
}

// exportBundle makes the bundle in memory; train uses it too, for an .onnx file.
func exportBundle(ctx context.Context, o exportOptions, warn func(string)) (*bundle.Bundle, error) {
	build := export.Options{Name: o.Name, Source: bundle.Source{File: filepath.Base(o.Model)}}
	o.Graph.apply(&build)
	if err := o.Forward.apply(&build); err != nil {
		return nil, err
	}
	build.Forms.Tune = o.tuner
	build.Weights.Reinit, build.Weights.Seed = o.Reinit, o.InitSeed
	build.Images.Float, build.Warn = o.Images.FloatInput, warn
	build.Images.Normalize = o.Images.normalize()
	if build.Name == "" {
		build.Name = strings.TrimSuffix(build.Source.File, filepath.Ext(build.Source.File))
	}
	var err error
	if build.Source.SHA256, err = fileSHA256(o.Model); err != nil {
		return nil, err
	}
	model, err := wire.Read(o.Model)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := export.Build(model, build)
	if err != nil && !errors.Is(err, export.ErrOptions) {
		return nil, fmt.Errorf("%q: %w", o.Model, err)
	}
	return b, err
}
