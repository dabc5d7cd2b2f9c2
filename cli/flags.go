package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
)

// deviceOptions say where the graphs run.
type deviceOptions struct {
	Library string
	Device  string
	Threads int
	Strict  bool
	CUDA    cli.StringSlice
	TF32    *bool // nil where it is not said
	Graph   bool
}

func (o *deviceOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "device", Value: "auto", Destination: &o.Device, Category: flagsMachine,
			Usage: "`auto|cpu|cuda[:N]`: where to run; auto takes CUDA where it works, else the CPU, and says why"},
		&cli.IntFlag{Name: "threads", Destination: &o.Threads, Category: flagsMachine, DefaultText: "physical cores",
			Usage: "CPU threads `N` of a training step"},
		&cli.BoolFlag{Name: "strict-device", Destination: &o.Strict, Category: flagsMachine,
			Usage: "fail if any node of the graph would run on the CPU instead of CUDA"},
		&cli.StringSliceFlag{Name: "cuda-option", Destination: &o.CUDA, Category: flagsMachine,
			Usage: "set an option `KEY=VALUE` of ONNX Runtime's CUDA provider, such as gpu_mem_limit=8589934592; may be repeated"},
		&cli.BoolFlag{Name: "tf32", Value: true, Category: flagsMachine,
			Action: func(_ *cli.Context, on bool) error { o.TF32 = &on; return nil },
			Usage:  "allow TF32 matrix products on CUDA; --tf32=false for full float32"},
		&cli.BoolFlag{Name: "cuda-graph", Destination: &o.Graph, Category: flagsMachine,
			Usage: "record the training step as a CUDA graph and replay it"},
		libraryFlag(&o.Library),
	}
}

// resolve makes the runtime's options; log takes its notices.
func (o *deviceOptions) resolve(log func(string, ...any)) (ortrun.Options, error) {
	r := ortrun.Options{Library: o.Library, Device: o.Device, Threads: o.Threads, StrictDevice: o.Strict, CUDAGraph: o.Graph, Log: log}
	if o.Threads < 0 {
		return r, usagef("--threads %d: give 0 (physical cores) or more", o.Threads)
	}
	if !devicePattern.MatchString(o.Device) {
		return r, usagef("--device %q: give auto, cpu, cuda or cuda:N", o.Device)
	}
	for _, kv := range o.CUDA.Value() {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return r, usagef("--cuda-option %q: give KEY=VALUE", kv)
		}
		if _, twice := r.CUDA[key]; twice {
			return r, usagef("--cuda-option %q: %s is given twice", kv, key)
		}
		if r.CUDA == nil {
			r.CUDA = map[string]string{}
		}
		r.CUDA[key] = value
	}
	if o.TF32 != nil {
		const key = "use_tf32"
		if _, twice := r.CUDA[key]; twice {
			return r, usagef("--tf32 and --cuda-option %s: give one of the two", key)
		}
		if r.CUDA == nil {
			r.CUDA = map[string]string{}
		}
		r.CUDA[key] = map[bool]string{false: "0", true: "1"}[*o.TF32]
	}
	return r, r.Validate()
}

var devicePattern = regexp.MustCompile(`^(auto|cpu|cuda(:[0-9]{1,3})?)$`)

func libraryFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "runtime-library", Destination: dst, Category: flagsMachine, TakesFile: true,
		Usage: "load ONNX Runtime from `FILE` instead of the library that winnow setup installed"}
}

func jsonFlag(dst *bool) cli.Flag {
	return &cli.BoolFlag{Name: "json", Destination: dst, Category: flagsOutput, Usage: "print the result as JSON"}
}

func overwriteFlag(dst *bool, what string) cli.Flag {
	return &cli.BoolFlag{Name: "overwrite", Destination: dst, Category: flagsOutput, Usage: "replace " + what}
}

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

// layoutFlag chooses among the training graphs of a bundle.
func layoutFlag(dst *string, usage string) cli.Flag {
	return &cli.StringFlag{Name: "layout", Value: bundle.LayoutAuto, Destination: dst, Category: flagsMachine,
		Usage: "`auto|portable|nchwc`: " + usage}
}

func checkLayout(layout string) error {
	return oneOf("--layout", layout, bundle.LayoutAuto, bundle.LayoutPortable, bundle.LayoutNCHWC)
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

// dependents are flags that mean nothing without another one.
var dependents = [][2]string{{flagDecay, "model-ema"}, {flagPrecision, "amp"}}

// checkDependents refuses a flag that is given without the one it belongs to.
func checkDependents(c *cli.Context) error {
	for _, d := range dependents {
		if c.IsSet(d[0]) && !c.Bool(d[1]) {
			return usagef("--%s: only with --%s", d[0], d[1])
		}
	}
	return nil
}

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

// names lists the long names of flags.
func names(flags []cli.Flag) []string {
	list := make([]string, len(flags))
	for i, f := range flags {
		list[i] = f.Names()[0]
	}
	return list
}

// given lists those of the flags that are on the command line.
func given(c *cli.Context, flags []cli.Flag) []string {
	return slices.DeleteFunc(names(flags), func(name string) bool { return !c.IsSet(name) })
}

// oneOf refuses a value that is not among the known ones.
func oneOf(flag, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return usagef("%s %q: give one of %s", flag, value, strings.Join(known, ", "))
}

// parseImageShape reads "3x32x32" as channels, height, width.
func parseImageShape(s string) (shape [3]int64, err error) {
	parts := strings.Split(s, "x")
	if len(parts) != len(shape) {
		return shape, usagef("--input-size %q: give CxHxW, such as 3x224x224", s)
	}
	for i, p := range parts {
		if shape[i], err = strconv.ParseInt(p, 10, 32); err != nil || shape[i] < 1 {
			return shape, usagef("--input-size %q: %q is no size", s, p)
		}
	}
	return shape, nil
}

// bytesText writes a size for people: 312 KB, 4.1 MB.
func bytesText(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n)/unit, "KMGT"
	for value >= unit && len(suffix) > 1 {
		value, suffix = value/unit, suffix[1:]
	}
	return fmt.Sprintf("%.3g %cB", value, suffix[0])
}

// countText groups digits: 1,281,167.
func countText(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
