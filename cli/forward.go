package cli

import (
	"slices"

	"github.com/urfave/cli/v2"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

// forwardOptions say how a forward model is read, by every command that makes
// a training graph of one.
type forwardOptions struct {
	Output       string
	DynamicBatch bool
	Classes      int64
	InputSize    string

	given []string // names of these flags that were given
	data  [3]int64 // C, H, W of the images at hand, for models of flat vectors
}

func (o *forwardOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: flagInputSize, Destination: &o.InputSize, Category: flagsModel, DefaultText: "the model's own",
			Usage: "image size `CxHxW` of a model that leaves height and width open, or takes flat vectors"},
		scoresFlag(&o.Output),
		&cli.BoolFlag{Name: "dynamic-batch", Destination: &o.DynamicBatch, Category: flagsModel,
			Usage: "of an .onnx file: open a batch size that was fixed at export, where all that fixes it is known"},
		&cli.Int64Flag{Name: flagClasses, Destination: &o.Classes, Category: flagsModel, DefaultText: "the model's own",
			Usage: "of an .onnx file or a shipped model: replace the last layer by a new one of `N` classes, to fine-tune"},
	}
}

func scoresFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "output", Destination: dst, Category: flagsModel, DefaultText: "the one that all parameters lead to",
		Usage: "of an .onnx file with several outputs: `NAME` of the one with the class scores"}
}

func (o *forwardOptions) apply(b *export.Options) (err error) {
	if o.InputSize != "" {
		if b.Images.Shape, err = parseImageShape(o.InputSize); err != nil {
			return err
		}
	}
	b.Output, b.DynamicBatch, b.Weights.Classes, b.Images.DataShape = o.Output, o.DynamicBatch, o.Classes, o.data
	return nil
}

// fits refuses a bundle that takes images of another size than was asked for.
func (o *forwardOptions) fits(b *bundle.Bundle) error {
	if o.InputSize == "" {
		return nil
	}
	want, err := parseImageShape(o.InputSize)
	if has := b.Manifest.ImageShape; err == nil && has != want {
		return usagef("--%s %s: bundle %q takes images of %s; export its model for that size", flagInputSize, o.InputSize, b.Manifest.Name, shapeText(has[:]))
	}
	return err
}

const (
	flagInputSize = "input-size"
	flagClasses   = "num-classes"
)

// set notes which of the flags were given: those that cannot change a bundle
// that is already made.
func (o *forwardOptions) set(c *cli.Context) {
	o.given = slices.DeleteFunc(given(c, new(forwardOptions).flags()), func(name string) bool { return name == flagInputSize }) // which any bundle may agree with
}
