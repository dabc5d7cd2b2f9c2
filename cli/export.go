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
	Reinit    int64
	Forward   forwardOptions
	Graph     graphOptions
	Images    imageOptions

	tuner func([]autodiff.Case) (*bundle.Tuned, error) // nil leaves forms to their shapes
}

// keepWeights is the seed that stands for no new weights.
const keepWeights = -1

// imageOptions are the arithmetic on images that is written into the graphs.
type imageOptions struct {
	Mean, Std  cli.Float64Slice
	Scale      float64
	FloatInput bool
}

func (o *imageOptions) flags() []cli.Flag {
	return append(o.normalizeFlags(),
		&cli.BoolFlag{Name: "float-input", Destination: &o.FloatInput, Category: flagsData,
			Usage: "take float32 images, 0 to 255, instead of bytes"})
}

func (o *imageOptions) normalizeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.Float64SliceFlag{Name: "mean", Destination: &o.Mean, Category: flagsData,
			Usage: "mean `M,M,M` by channel, taken off after scaling"},
		&cli.Float64SliceFlag{Name: "std", Destination: &o.Std, Category: flagsData,
			Usage: "standard deviation `S,S,S` by channel, divided by after the mean"},
		&cli.Float64Flag{Name: "scale", Value: autodiff.DefaultScale, Destination: &o.Scale, Category: flagsData, DefaultText: "1/255",
			Usage: "factor `F` on the bytes of an image"},
	}
}

// validate refuses what would make every image the same.
func (o *imageOptions) validate() error {
	if o.Scale == 0 {
		return usagef("--scale 0: give another factor")
	}
	return nil
}

func newExportCommand(out *output) *cli.Command {
	var o exportOptions
	flags := []cli.Flag{
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
			DefaultText: "the model's name", Usage: "folder `DIR` to write the bundle to"},
		&cli.StringFlag{Name: "name", Destination: &o.Name, Category: flagsOutput, DefaultText: "the file's name",
			Usage: "the bundle's `NAME`"},
		overwriteFlag(&o.Overwrite, "a bundle that is there; other files beside it stay"),
		&cli.StringFlag{Name: "input-size", Destination: &o.InputSize, Category: flagsData, DefaultText: "the model's own",
			Usage: "image size `CxHxW` for a model that takes flat vectors"},
		&cli.Int64Flag{Name: "classes", Destination: &o.Classes, Category: flagsRecipe, DefaultText: "the model's own",
			Usage: "put a new last layer of `N` classes in place, to fine-tune"},
		&cli.Int64Flag{Name: "reinit", Value: keepWeights, Destination: &o.Reinit, Category: flagsRecipe, DefaultText: "off",
			Usage: "draw all weights anew from `SEED`, to train from scratch"},
		layoutFlag(&o.Layout, "auto adds a graph in the block layout of this machine's CPU, where ONNX Runtime is here and the model has one; nchwc insists on it"),
		&cli.BoolFlag{Name: "tune", Destination: &o.Tune, Category: flagsMachine,
			Usage: "time the forms of the model's gradients on the device and keep the fastest"},
	}
	return &cli.Command{
		Name:      "export",
		Usage:     "make a training bundle from a forward ONNX model",
		ArgsUsage: "MODEL.onnx",
		Description: examples(`Adds the loss, the backward pass and the optimizer to MODEL.onnx as standard
operators, and writes the training bundle that winnow train takes. Export the
model in training mode, with its batch normalisation left in and the number of
images left open (or give --dynamic-batch). A last Softmax, LogSoftmax or Sigmoid
may stay: the loss is that of the model as it is written.

With --tune: times the ways to compute each gradient on the device, and keeps the
fastest. winnow tune does it for a bundle that is already made.`,
			"winnow export lenet.onnx -o lenet-bundle",
			"winnow export resnet18.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --smoothing 0.1",
			"winnow export resnet18.onnx --amp float16 -o resnet18-half",
			"winnow export resnet18.onnx --tune --batch-size 64 --device cpu --threads 2",
			"winnow export vit.onnx --freeze '^patch_embed' --name vit-head"),
		Flags: slices.Concat(flags, o.Forward.flags(), o.Tuning.flags(), o.Graph.flags(), o.Images.flags()),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "the model to export")
			if err != nil {
				return err
			}
			o.Model = args[0]
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
	if o.Layout == bundle.LayoutNCHWC && o.Graph.Precision != "" {
		return usagef("--layout %s: the CPU's layout has no half precision; leave out --amp", o.Layout)
	}
	if err := o.Tuning.validate(); err != nil {
		return err
	}
	if o.Reinit < keepWeights {
		return usagef("--reinit %d: give a seed from 0 up", o.Reinit)
	}
	if err := freeBundle(o.Out, o.Model, o.Overwrite); err != nil {
		return err
	}
	layout := o.Layout
	if o.Graph.Precision != "" {
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
	if o.Reinit != keepWeights {
		build.Reinit, build.Seed = true, uint64(o.Reinit)
	}
	build.FloatImages, build.Warn = o.Images.FloatInput, warn
	build.Normalize = bundle.Normalize{Scale: o.Images.Scale, Mean: o.Images.Mean.Value(), Std: o.Images.Std.Value()}
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
