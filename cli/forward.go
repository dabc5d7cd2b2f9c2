package cli

import (
	"github.com/urfave/cli/v2"

	"winnow/onnx/export"
)

// forwardOptions say how a forward model is read, by every command that makes
// a training graph of one.
type forwardOptions struct {
	Output       string
	DynamicBatch bool
	Classes      int64

	given []string // names of these flags that were given
	data  [3]int64 // C, H, W of the images at hand, for models of flat vectors
}

func (o *forwardOptions) flags() []cli.Flag {
	return []cli.Flag{
		scoresFlag(&o.Output),
		&cli.BoolFlag{Name: "dynamic-batch", Destination: &o.DynamicBatch, Category: flagsModel,
			Usage: "of an .onnx file: open a batch size that was fixed at export, where all that fixes it is known"},
		&cli.Int64Flag{Name: "num-classes", Destination: &o.Classes, Category: flagsModel, DefaultText: "the model's own",
			Usage: "of an .onnx file: replace the last layer by a new one of `N` classes, to fine-tune"},
	}
}

func scoresFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "output", Destination: dst, Category: flagsModel, DefaultText: "the one that all parameters lead to",
		Usage: "of an .onnx file with several outputs: `NAME` of the one with the class scores"}
}

func (o *forwardOptions) apply(b *export.Options) {
	b.Output, b.DynamicBatch, b.Weights.Classes, b.Images.DataShape = o.Output, o.DynamicBatch, o.Classes, o.data
}

// set notes which of the flags were given: those that cannot change a bundle
// that is already made.
func (o *forwardOptions) set(c *cli.Context) {
	o.given = given(c, new(forwardOptions).flags())
}
