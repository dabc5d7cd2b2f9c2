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

// Categories of flags in --help, in the order of their first letters.
const (
	flagsData    = "Data and model"
	flagsMachine = "Machine"
	flagsOutput  = "Output"
	flagsPrune   = "Pruning"
	flagsRecipe  = "Recipe"
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
			Usage: "`auto|cpu|cuda[:N]`; auto takes CUDA where it starts, else the CPU, and says which"},
		&cli.IntFlag{Name: "threads", Destination: &o.Threads, Category: flagsMachine, DefaultText: "physical cores",
			Usage: "threads `N` of a training step"},
		&cli.BoolFlag{Name: "strict-device", Destination: &o.Strict, Category: flagsMachine,
			Usage: "fail where a node would fall back from CUDA to the CPU"},
		&cli.StringSliceFlag{Name: "cuda-option", Destination: &o.CUDA, Category: flagsMachine,
			Usage: "option `KEY=VALUE` of the CUDA provider, by its own name (gpu_mem_limit=8589934592)"},
		&cli.BoolFlag{Name: "tf32", Value: true, Category: flagsMachine,
			Action: func(_ *cli.Context, on bool) error { o.TF32 = &on; return nil },
			Usage:  "let CUDA round factors to TF32, the provider's use_tf32; --tf32=false to compare with the CPU"},
		&cli.BoolFlag{Name: "cuda-graph", Destination: &o.Graph, Category: flagsMachine,
			Usage: "record the work of a full batch's step once and replay it on CUDA"},
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
		Usage: "ONNX Runtime's shared library `FILE`, instead of the one that winnow setup installed"}
}

func jsonFlag(dst *bool) cli.Flag {
	return &cli.BoolFlag{Name: "json", Destination: dst, Category: flagsOutput, Usage: "print JSON"}
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
	Precision     string
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

func (o *graphOptions) flags() []cli.Flag {
	l, u := &o.Loss, &o.Optimizer
	return []cli.Flag{
		&cli.StringFlag{Name: "loss", Value: bundle.CrossEntropy, Destination: &l.Name, Category: flagsRecipe,
			Usage: "loss `NAME`: " + strings.Join(autodiff.Losses(), ", ")},
		&cli.Float64Flag{Name: "smoothing", Destination: &l.Smoothing, Category: flagsRecipe, DefaultText: "0",
			Usage: "label smoothing `S` in [0, 1)"},
		&cli.Float64Flag{Name: "huber-delta", Destination: &l.Delta, Category: flagsRecipe, DefaultText: "1",
			Usage: "where huber's square ends, `D`"},
		&cli.StringFlag{Name: "opt", Value: bundle.SGD, Destination: &u.Name, Category: flagsRecipe,
			Usage: "optimizer `NAME`: " + strings.Join(optimizers, ", ")},
		&cli.Float64Flag{Name: "momentum", Value: unset, Destination: &u.Momentum, Category: flagsRecipe,
			DefaultText: "0.9 for sgd and lars, else 0", Usage: "momentum `M` in [0, 1)"},
		&cli.BoolFlag{Name: "nesterov", Destination: &u.Nesterov, Category: flagsRecipe,
			Usage: "take Nesterov's form of momentum"},
		&cli.Float64SliceFlag{Name: "opt-betas", Destination: &o.Betas, Category: flagsRecipe, DefaultText: "0.9,0.999",
			Usage: "betas `B,B` of adam, adamw and lamb"},
		&cli.Float64Flag{Name: "opt-eps", Destination: &u.Eps, Category: flagsRecipe, DefaultText: "the optimizer's",
			Usage: "epsilon `E` of adam, adamw, rmsprop and lamb"},
		&cli.Float64Flag{Name: "rmsprop-alpha", Destination: &u.Alpha, Category: flagsRecipe, DefaultText: "0.99",
			Usage: "share `A` of the mean square that stays"},
		&cli.BoolFlag{Name: "rmsprop-centered", Destination: &u.Centered, Category: flagsRecipe,
			Usage: "take the mean gradient off rmsprop's mean square"},
		&cli.Float64Flag{Name: "lars-trust", Destination: &u.Trust, Category: flagsRecipe, DefaultText: "0.001",
			Usage: "trust coefficient `T` of lars"},
		&cli.Float64Flag{Name: "weight-decay", Value: autodiff.DefaultWeightDecay, Destination: &u.WeightDecay, Category: flagsRecipe,
			Usage: "weight decay `D`"},
		&cli.BoolFlag{Name: "no-decay-norm-bias", Destination: &u.NoDecayNormBias, Category: flagsRecipe,
			Usage: "no decay on biases and norms"},
		&cli.Float64Flag{Name: "clip-grad", Destination: &u.Clip, Category: flagsRecipe, DefaultText: "off",
			Usage: "largest norm `C` of all gradients together"},
		&cli.Float64Flag{Name: "model-ema", Destination: &u.EMA, Category: flagsRecipe, DefaultText: "off",
			Usage: "evaluate and export a running average of the weights, of decay `D`"},
		&cli.StringFlag{Name: "amp", Destination: &o.Precision, Category: flagsRecipe, DefaultText: "off",
			Usage: "mixed precision `float16|bfloat16`: products in it, weights in float32; made for GPUs, and bfloat16 (products of matrices only) runs on CUDA alone"},
		&cli.BoolFlag{Name: "batch-loss-only", Destination: &o.BatchLossOnly, Category: flagsRecipe,
			Usage: "leave per-sample losses, logits and sample weights out of the graph"},
		&cli.StringFlag{Name: "freeze", Destination: &o.Freeze, Category: flagsRecipe,
			Usage: "keep parameters whose name matches `REGEX` as they are, and statistics of batch normalisations that match or whose scale and shift do"},
		&cli.StringFlag{Name: "train", Destination: &o.Train, Category: flagsRecipe,
			Usage: "train tensors whose name matches `REGEX`, whatever their role; winnow inspect lists them. --freeze goes first"},
		&cli.BoolFlag{Name: "freeze-norm-stats", Destination: &o.FreezeNorms, Category: flagsRecipe,
			Usage: "keep statistics, scales and shifts of batch normalisations over images as they are (timm's freeze_batch_norm_2d)"},
	}
}

// apply writes the options into those of a build; validate has looked at the patterns.
func (o *graphOptions) apply(b *autodiff.Options) {
	b.FreezeNorms = o.FreezeNorms
	b.Freeze, b.Train = pattern(o.Freeze), pattern(o.Train)
	b.Loss, b.Optimizer, b.Precision, b.BatchLossOnly = o.Loss, o.Optimizer, o.Precision, o.BatchLossOnly
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
	if o.Precision != "" {
		if err := oneOf("--amp", o.Precision, autodiff.Float16, autodiff.BFloat16); err != nil {
			return err
		}
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

// graphFlagNames are the flags that cannot change a bundle that is already made.
func graphFlagNames() []string {
	var names []string
	for _, f := range new(graphOptions).flags() {
		names = append(names, f.Names()[0])
	}
	return names
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
