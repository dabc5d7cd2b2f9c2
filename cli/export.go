package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/internal/files"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

type exportOptions struct {
	Model     string
	Out       string
	Name      string
	Overwrite bool
	InputSize string
	Layout    string
	Tune      bool
	Tuning    tuneOptions
	Classes   int64
	Reinit    bool
	InitSeed  uint64 // of new weights
	Forward   forwardOptions
	Graph     graphOptions
	Images    imageOptions

	tuner func([]autodiff.Case) (*bundle.Tuned, error) // nil leaves forms to their shapes
}

// imageOptions are the arithmetic on images that is written into the graphs.
type imageOptions struct {
	Mean, Std  cli.Float64Slice
	Scale      float64
	FloatInput bool
}

func (o *imageOptions) flags() []cli.Flag {
	return append(o.normalizeFlags(flagsData),
		&cli.BoolFlag{Name: "float-input", Destination: &o.FloatInput, Category: flagsData,
			Usage: "make a training graph that takes images as float32, 0 to 255, instead of bytes"})
}

// normalizeFlags lists the flags of normalisation, all of one group.
func (o *imageOptions) normalizeFlags(group string) []cli.Flag {
	return []cli.Flag{
		&cli.Float64SliceFlag{Name: "mean", Destination: &o.Mean, Category: group, DefaultText: "0",
			Usage: "mean `M,M,M` of each channel, of pixels already scaled"},
		&cli.Float64SliceFlag{Name: "std", Destination: &o.Std, Category: group, DefaultText: "1",
			Usage: "standard deviation `S,S,S` of each channel, of pixels already scaled"},
		&cli.Float64Flag{Name: "pixel-scale", Value: autodiff.DefaultScale, Destination: &o.Scale, Category: group, DefaultText: "1/255",
			Usage: "multiply pixels, 0 to 255, by `F`; mean and std come after"},
	}
}

// validate refuses what would make every image the same.
func (o *imageOptions) validate() error {
	if o.Scale == 0 {
		return usagef("--pixel-scale 0: give another factor")
	}
	return nil
}

func (o *imageOptions) normalize() bundle.Normalize {
	return bundle.Normalize{Scale: o.Scale, Mean: o.Mean.Value(), Std: o.Std.Value()}
}

func newExportCommand(out *output) *cli.Command {
	var o exportOptions
	flags := []cli.Flag{
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
			DefaultText: "the model's name", Usage: "folder `DIR` to write the bundle to"},
		&cli.StringFlag{Name: "name", Destination: &o.Name, Category: flagsOutput, DefaultText: "the file's name",
			Usage: "the bundle's `NAME`"},
		overwriteFlag(&o.Overwrite, "the bundle at --out; other files there are kept"),
		&cli.StringFlag{Name: "input-size", Destination: &o.InputSize, Category: flagsModel, DefaultText: "the model's own",
			Usage: "image size `CxHxW` for a model that takes flat vectors"},
		&cli.Int64Flag{Name: "num-classes", Destination: &o.Classes, Category: flagsModel, DefaultText: "the model's own",
			Usage: "replace the last layer by a new one of `N` classes, to fine-tune"},
		&cli.BoolFlag{Name: "reinit", Destination: &o.Reinit, Category: flagsModel,
			Usage: "draw all weights at random, to train from scratch"},
		&cli.Uint64Flag{Name: "init-seed", Destination: &o.InitSeed, Category: flagsModel, DefaultText: "0",
			Usage: "random seed `N` of --reinit"},
		layoutFlag(&o.Layout, "auto adds a second training graph in the block layout of this CPU where it can; nchwc fails where it cannot; portable leaves it out"),
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
			if c.IsSet("init-seed") && !o.Reinit {
				return usagef("--init-seed: only with --reinit")
			}
			for _, name := range tuneFlagNames() {
				if c.IsSet(name) && !o.Tune {
					return usagef("--%s: only with --tune", name)
				}
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
	if err := checkLayout(o.Layout); err != nil {
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
	o.Graph.InsistOnBlock = layout == bundle.LayoutNCHWC
	if o.Graph.Block, err = blockHere(layout, o.Tuning.Device.Library); err != nil {
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

// blockHere is how many channels the CPU provider of this machine puts into a
// block, 0 where the layout asked for is the portable one.
func blockHere(layout, library string) (int64, error) {
	if layout == bundle.LayoutPortable {
		return 0, nil
	}
	device, err := ortrun.Open(ortrun.Options{Device: "cpu", Library: library})
	switch {
	case err != nil && layout == bundle.LayoutAuto:
		return 0, nil
	case err != nil:
		return 0, err
	}
	block := device.ConvBlock()
	if err := device.Close(); err != nil {
		return 0, err
	}
	if block == 0 && layout == bundle.LayoutNCHWC {
		return 0, fmt.Errorf("--layout %s: %w: the CPU provider of this machine has no such layout", layout, ortrun.ErrNoDevice)
	}
	return int64(block), nil
}

// exportBundle makes the bundle in memory; train uses it too, for an .onnx file.
func exportBundle(ctx context.Context, o exportOptions, warn func(string)) (*bundle.Bundle, error) {
	build := autodiff.Options{Name: o.Name, SourceFile: filepath.Base(o.Model)}
	o.Graph.apply(&build)
	o.Forward.apply(&build)
	build.Classes, build.Tune = o.Classes, o.tuner
	build.Reinit, build.Seed = o.Reinit, o.InitSeed
	build.FloatImages, build.Warn = o.Images.FloatInput, warn
	build.Normalize = o.Images.normalize()
	if build.Name == "" {
		build.Name = strings.TrimSuffix(build.SourceFile, filepath.Ext(build.SourceFile))
	}
	var err error
	if o.InputSize != "" {
		if build.ImageShape, err = parseImageShape(o.InputSize); err != nil {
			return nil, err
		}
	}
	if build.SourceSHA256, err = fileSHA256(o.Model); err != nil {
		return nil, err
	}
	model, err := wire.Read(o.Model)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := autodiff.Build(model, build)
	if err != nil && !errors.Is(err, autodiff.ErrOptions) {
		return nil, fmt.Errorf("%q: %w", o.Model, err)
	}
	return b, err
}

func fileSHA256(path string) (string, error) {
	f, _, err := files.Open(path)
	if err != nil {
		return "", inputf("model %q: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", inputf("read %q: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// parameters counts the trained numbers of a bundle.
func parameters(m *bundle.Manifest) (n int64) {
	for _, s := range m.State {
		if s.Kind == bundle.KindParameter {
			n += elements(s.Shape)
		}
	}
	return n
}

// trainedText counts what is trained and what is not.
func trainedText(m *bundle.Manifest) string {
	tensors, values := 0, int64(0)
	for _, s := range m.State {
		if s.Kind == bundle.KindParameter {
			tensors++
		}
	}
	text := fmt.Sprintf("%s parameters in %s", countText(parameters(m)), tensorsText(tensors))
	if len(m.Fixed) == 0 {
		return text
	}
	for _, f := range m.Fixed {
		values += elements(f.Shape)
	}
	return fmt.Sprintf("%s (%s of %s values stay as they are)", text, tensorsText(len(m.Fixed)), countText(values))
}

func tensorsText(n int) string {
	if n == 1 {
		return "1 tensor"
	}
	return countText(int64(n)) + " tensors"
}

func shapeText(shape []int64) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = fmt.Sprint(d)
	}
	return strings.Join(parts, "x")
}

func lossText(l bundle.Loss) string {
	if l.Smoothing > 0 {
		return fmt.Sprintf("%s (smoothing %g)", l.Name, l.Smoothing)
	}
	return l.Name
}

func precisionText(precision string) string {
	if precision == "" {
		return onnx.Float32.String()
	}
	return precision + " with float32 weights"
}

func optimizerText(o bundle.Optimizer) string {
	var extra []string
	add := func(name string, v float64) {
		if v > 0 {
			extra = append(extra, fmt.Sprintf("%s %g", name, v))
		}
	}
	add("momentum", o.Momentum)
	if o.Nesterov {
		extra = append(extra, "nesterov")
	}
	if len(o.Betas) == 2 {
		extra = append(extra, fmt.Sprintf("betas %g and %g", o.Betas[0], o.Betas[1]))
	}
	add("weight decay", o.WeightDecay)
	add("gradients clipped at", o.Clip)
	add("averaged with decay", o.EMA)
	if len(extra) == 0 {
		return o.Name
	}
	return fmt.Sprintf("%s (%s)", o.Name, strings.Join(extra, ", "))
}
