package cli

import (
	"regexp"
	"slices"

	"github.com/urfave/cli/v2"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

// graphOptions are what is written into a training graph. A bundle carries its
// own; the flags apply where a bundle is made: export, and train on a shipped
// name or an .onnx file.
type graphOptions struct {
	Loss          bundle.Loss
	Optimizer     bundle.Optimizer
	Ignore        *int64 // class of the pixels that are left out; nil is the default
	VectorTargets bool   // float32 [N, K] instead of classes
	Average       bool   // train with a moving average of the weights
	Mixed         bool   // mixed precision
	Half          string // its data type
	BatchLossOnly bool
	Freeze, Train string // patterns of names
	FreezeNorms   bool
	Blocks        export.Blocks // the blocked graph
}

// defaultGraphOptions are the options of a graph that no flag changes.
func defaultGraphOptions() graphOptions {
	return graphOptions{Loss: export.NewLoss(export.Losses()[0].Name), Optimizer: export.NewOptimizer(export.Optimizers()[0].Name)}
}

// flags lists the flags, all of one group.
func (o *graphOptions) flags(group string) []cli.Flag {
	losses, optimizers := export.Losses(), export.Optimizers()
	return slices.Concat([]cli.Flag{
		&cli.StringFlag{Name: flagLoss, Value: losses[0].Name, Category: group, Usage: "loss `NAME`: " + kindNames(losses)},
		&cli.StringFlag{Name: flagOptimizer, Value: optimizers[0].Name, Category: group, Usage: "optimizer `NAME`: " + kindNames(optimizers)},
	}, optionFlags(export.LossOptions(), group), optionFlags(export.OptimizerOptions(), group), []cli.Flag{
		&cli.IntFlag{Name: flagIgnore, Value: export.DefaultIgnore, Category: group,
			Usage: "masks: leave out pixels of class `I`"},
		&cli.BoolFlag{Name: flagVectors, Destination: &o.VectorTargets, Category: group,
			Usage: "targets are numbers [N, K], one for each output, instead of classes: soft labels, several labels, quantities; train takes this from the data"},
		&cli.BoolFlag{Name: "model-ema", Destination: &o.Average, Category: group,
			Usage: "keep a moving average of the weights, and evaluate and export that"},
		&cli.BoolFlag{Name: "amp", Destination: &o.Mixed, Category: group,
			Usage: "mixed precision: compute matrix products and convolutions in half precision, keep float32 weights; made for GPUs"},
		&cli.StringFlag{Name: flagPrecision, Value: export.Float16, Destination: &o.Half, Category: group,
			Usage: "`float16|bfloat16`: half precision of --amp; bfloat16 needs CUDA and covers matrix products only"},
		&cli.BoolFlag{Name: "batch-loss-only", Destination: &o.BatchLossOnly, Category: group,
			Usage: "leave per-sample losses, logits and sample weights out of the graph"},
		&cli.StringFlag{Name: "freeze", Destination: &o.Freeze, Category: group,
			Usage: "do not train parameters whose name matches `REGEX`; a batch normalisation that matches, or whose scale and shift do, keeps its statistics"},
		&cli.StringFlag{Name: "train", Destination: &o.Train, Category: group,
			Usage: "train every tensor whose name matches `REGEX`, constants too; winnow inspect lists them; --freeze goes first"},
		&cli.BoolFlag{Name: "freeze-norm-stats", Destination: &o.FreezeNorms, Category: group,
			Usage: "freeze batch normalisations over images: statistics, scales and shifts (timm's freeze_batch_norm_2d)"},
	})
}

// Flags that choose a row of a table, and flags that mean nothing without another.
const (
	flagLoss      = "loss"
	flagOptimizer = "opt"
	flagDecay     = export.DecayOption
	flagPrecision = "amp-dtype"
	flagVectors   = "vector-targets"
	flagIgnore    = "ignore-index"
)

// set takes loss and optimizer from the flags.
func (o *graphOptions) set(c *cli.Context) error {
	o.Loss, o.Optimizer = export.NewLoss(c.String(flagLoss)), export.NewOptimizer(c.String(flagOptimizer))
	if c.IsSet(flagIgnore) {
		ignore := int64(c.Int(flagIgnore))
		o.Ignore = &ignore
	}
	if o.Average {
		o.Optimizer.EMA = export.DefaultDecay
	}
	if err := setOptions(c, export.LossOptions(), &o.Loss); err != nil {
		return err
	}
	return setOptions(c, export.OptimizerOptions(), &o.Optimizer)
}

// apply writes the options into those of a build; validate has looked at the patterns.
func (o *graphOptions) apply(b *export.Options) {
	b.Selection.FreezeNorms = o.FreezeNorms
	b.Selection.Freeze, b.Selection.Train = pattern(o.Freeze), pattern(o.Train)
	b.Loss, b.Optimizer = o.Loss, o.Optimizer
	b.Loss.Ignore = o.Ignore
	b.Loss.SoftTargets = o.VectorTargets && o.Loss.Name != bundle.NoLoss
	b.Precision, b.BatchLossOnly = o.precision(), o.BatchLossOnly
	b.Blocks = o.Blocks
}

// precision is the data type of mixed precision, "" for float32 alone.
func (o *graphOptions) precision() string {
	if !o.Mixed {
		return ""
	}
	return o.Half
}

// pattern is nil for one that is empty or none.
func pattern(text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	r, err := regexp.Compile(text)
	if err != nil {
		return nil
	}
	return r
}

// validate refuses contradictions before anything is read.
func (o *graphOptions) validate() error {
	if o.Mixed {
		if err := oneOf("--"+flagPrecision, o.Half, export.Float16, export.BFloat16); err != nil {
			return err
		}
	}
	if o.Average && o.Optimizer.EMA == 0 {
		return usagef("--%s 0: give a number between 0 and 1", flagDecay)
	}
	for _, f := range [][2]string{{"--freeze", o.Freeze}, {"--train", o.Train}} {
		if _, err := regexp.Compile(f[1]); err != nil {
			return usagef("%s: %w", f[0], err)
		}
	}
	var b export.Options
	o.apply(&b)
	return b.Validate()
}
