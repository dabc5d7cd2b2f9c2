package cli

import (
	"github.com/urfave/cli/v2"

	"winnow/onnx/autodiff"
)

// forwardOptions say how a forward model is read, by every command that makes
// a training graph of one.
type forwardOptions struct {
	Output       string
	DynamicBatch bool

	given []string // names of these flags that were given
	data  [3]int64 // C, H, W of the images at hand, for models of flat vectors
}

func (o *forwardOptions) flags() []cli.Flag {
	return []cli.Flag{
		scoresFlag(&o.Output),
		&cli.BoolFlag{Name: "dynamic-batch", Destination: &o.DynamicBatch, Category: flagsData,
			Usage: "let a model exported for a fixed batch take any, where it is sure what fixes it"},
	}
}

func scoresFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "output", Destination: dst, Category: flagsData, DefaultText: "the one that holds every parameter",
		Usage: "the output `NAME` of class scores, of a model that has several"}
}

func (o *forwardOptions) apply(b *autodiff.Options) {
	b.Output, b.DynamicBatch, b.DataShape = o.Output, o.DynamicBatch, o.data
}

// set notes which of the flags were given: those that cannot change a bundle
// that is already made.
func (o *forwardOptions) set(c *cli.Context) {
	o.given = nil
	for _, f := range new(forwardOptions).flags() {
		if name := f.Names()[0]; c.IsSet(name) {
			o.given = append(o.given, name)
		}
	}
}
