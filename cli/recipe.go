package cli

import (
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
)

// graphOptions are what is written into a training graph. A bundle carries its
// own; the flags apply where a bundle is made: export, and train on a shipped
// name or an .onnx file.
type graphOptions struct {
	Loss          bundle.Loss
	Optimizer     bundle.Optimizer
	Betas         cli.Float64Slice
	Average       bool    // train with a moving average of the weights
	Decay         float64 // of the average
	Mixed         bool    // mixed precision
	Half          string  // its data type
	BatchLossOnly bool
	Freeze, Train string // patterns of names
	FreezeNorms   bool
	Block         int64 // channels to a block of the blocked graph; 0 makes none
	InsistOnBlock bool  // fail where the blocked graph cannot be made
}

// unset is the momentum that stands for the optimizer's default.
const unset = -1

var optimizers = []string{bundle.SGD, bundle.Adam, bundle.AdamW, bundle.RMSprop, bundle.LARS, bundle.LAMB}

// flags lists the flags, all of one group.
func (o *graphOptions) flags(group string) []cli.Flag {
	l, u := &o.Loss, &o.Optimizer
	return []cli.Flag{
		&cli.StringFlag{Name: "loss", Value: bundle.CrossEntropy, Destination: &l.Name, Category: group,
			Usage: "loss `NAME`: " + strings.Join(autodiff.Losses(), ", ")},
		&cli.Float64Flag{Name: "smoothing", Destination: &l.Smoothing, Category: group, DefaultText: "0",
			Usage: "label smoothing `S`"},
		&cli.Float64Flag{Name: "huber-delta", Destination: &l.Delta, Category: group, DefaultText: "1",
			Usage: "huber: quadratic for errors below `D`, linear above"},
		&cli.StringFlag{Name: "opt", Value: bundle.SGD, Destination: &u.Name, Category: group,
			Usage: "optimizer `NAME`: " + strings.Join(optimizers, ", ")},
		&cli.Float64Flag{Name: "momentum", Value: unset, Destination: &u.Momentum, Category: group,
			DefaultText: "0.9 for sgd and lars, else 0", Usage: "momentum `M`"},
		&cli.BoolFlag{Name: "nesterov", Destination: &u.Nesterov, Category: group,
			Usage: "use Nesterov momentum"},
		&cli.Float64SliceFlag{Name: "opt-betas", Destination: &o.Betas, Category: group, DefaultText: "0.9,0.999",
			Usage: "adam, adamw, lamb: decay rates `B1,B2` of the two moments"},
		&cli.Float64Flag{Name: "opt-eps", Destination: &u.Eps, Category: group, DefaultText: "the optimizer's",
			Usage: "adam, adamw, rmsprop, lamb: epsilon `E`"},
		&cli.Float64Flag{Name: "rmsprop-alpha", Destination: &u.Alpha, Category: group, DefaultText: "0.99",
			Usage: "rmsprop: smoothing constant `A`, PyTorch's alpha"},
		&cli.BoolFlag{Name: "rmsprop-centered", Destination: &u.Centered, Category: group,
			Usage: "rmsprop: use the centred form"},
		&cli.Float64Flag{Name: "lars-trust", Destination: &u.Trust, Category: group, DefaultText: "0.001",
			Usage: "lars: trust coefficient `T`"},
		&cli.Float64Flag{Name: "weight-decay", Value: autodiff.DefaultWeightDecay, Destination: &u.WeightDecay, Category: group,
			Usage: "weight decay `D`"},
		&cli.BoolFlag{Name: "no-decay-norm-bias", Destination: &u.NoDecayNormBias, Category: group,
			Usage: "no weight decay on biases and normalisation layers"},
		&cli.Float64Flag{Name: "clip-grad", Destination: &u.Clip, Category: group, DefaultText: "off",
			Usage: "clip the global gradient norm to `C`"},
		&cli.BoolFlag{Name: "model-ema", Destination: &o.Average, Category: group,
			Usage: "keep a moving average of the weights, and evaluate and export that"},
		&cli.Float64Flag{Name: flagDecay, Value: defaultDecay, Destination: &o.Decay, Category: group,
			Usage: "decay `D` of --model-ema at each step"},
		&cli.BoolFlag{Name: "amp", Destination: &o.Mixed, Category: group,
			Usage: "mixed precision: compute matrix products and convolutions in half precision, keep float32 weights; made for GPUs"},
		&cli.StringFlag{Name: flagPrecision, Value: autodiff.Float16, Destination: &o.Half, Category: group,
			Usage: "`float16|bfloat16`: half precision of --amp; bfloat16 needs CUDA and covers matrix products only"},
		&cli.BoolFlag{Name: "batch-loss-only", Destination: &o.BatchLossOnly, Category: group,
			Usage: "leave per-sample losses, logits and sample weights out of the graph"},
		&cli.StringFlag{Name: "freeze", Destination: &o.Freeze, Category: group,
			Usage: "do not train parameters whose name matches `REGEX`; a batch normalisation that matches, or whose scale and shift do, keeps its statistics"},
		&cli.StringFlag{Name: "train", Destination: &o.Train, Category: group,
			Usage: "train every tensor whose name matches `REGEX`, constants too; winnow inspect lists them; --freeze goes first"},
		&cli.BoolFlag{Name: "freeze-norm-stats", Destination: &o.FreezeNorms, Category: group,
			Usage: "freeze batch normalisations over images: statistics, scales and shifts (timm's freeze_batch_norm_2d)"},
	}
}

// Names of the flags that mean nothing without another.
const (
	flagDecay     = "model-ema-decay"
	flagPrecision = "amp-dtype"
)

const defaultDecay = 0.9998 // timm, --model-ema-decay

// apply writes the options into those of a build; validate has looked at the patterns.
func (o *graphOptions) apply(b *autodiff.Options) {
	b.FreezeNorms = o.FreezeNorms
	b.Freeze, b.Train = pattern(o.Freeze), pattern(o.Train)
	b.Loss, b.Optimizer, b.Precision, b.BatchLossOnly = o.Loss, o.Optimizer, o.precision(), o.BatchLossOnly
	if o.Average {
		b.Optimizer.EMA = o.Decay
	}
	b.Lowering.Block, b.Lowering.Insist = o.Block, o.InsistOnBlock
	if betas := o.Betas.Value(); len(betas) > 0 {
		b.Optimizer.Betas = betas
	}
	if b.Optimizer.Momentum == unset {
		b.Optimizer.Momentum = 0
		if b.Optimizer.Name == bundle.SGD || b.Optimizer.Name == bundle.LARS {
			b.Optimizer.Momentum = autodiff.DefaultMomentum
		}
	}
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
		if err := oneOf("--"+flagPrecision, o.Half, autodiff.Float16, autodiff.BFloat16); err != nil {
			return err
		}
	}
	if o.Average && !(o.Decay > 0 && o.Decay < 1) {
		return usagef("--%s %v: give a number between 0 and 1", flagDecay, o.Decay)
	}
	for _, f := range [][2]string{{"--freeze", o.Freeze}, {"--train", o.Train}} {
		if _, err := regexp.Compile(f[1]); err != nil {
			return usagef("%s: %w", f[0], err)
		}
	}
	var b autodiff.Options
	o.apply(&b)
	return b.Validate()
}
