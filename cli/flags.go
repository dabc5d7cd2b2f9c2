package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/onnx/autodiff"
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
}

func (o *deviceOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "device", Value: "auto", Destination: &o.Device, Category: flagsMachine,
			Usage: "`auto|cpu|cuda[:N]`; auto takes CUDA where it starts, else the CPU, and says which"},
		&cli.IntFlag{Name: "threads", Destination: &o.Threads, Category: flagsMachine, DefaultText: "physical cores",
			Usage: "threads of a training step"},
		&cli.BoolFlag{Name: "strict-device", Destination: &o.Strict, Category: flagsMachine,
			Usage: "fail where a node would fall back from CUDA to the CPU"},
		&cli.StringSliceFlag{Name: "cuda-option", Destination: &o.CUDA, Category: flagsMachine,
			Usage: "option `KEY=VALUE` of the CUDA provider, by its own name (use_tf32=0)"},
		libraryFlag(&o.Library),
	}
}

// resolve makes the runtime's options; log takes its notices.
func (o *deviceOptions) resolve(log func(string, ...any)) (ortrun.Options, error) {
	r := ortrun.Options{Library: o.Library, Device: o.Device, Threads: o.Threads, StrictDevice: o.Strict, Log: log}
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
		if r.CUDA == nil {
			r.CUDA = map[string]string{}
		}
		r.CUDA[key] = value
	}
	return r, nil
}

var devicePattern = regexp.MustCompile(`^(auto|cpu|cuda(:[0-9]{1,3})?)$`)

func libraryFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "runtime-library", Destination: dst, Category: flagsMachine, TakesFile: true,
		Usage: "ONNX Runtime's shared library `FILE`, instead of the one that make setup installed"}
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
	Loss          string
	Smoothing     float64
	Opt           string
	Momentum      float64
	Nesterov      bool
	WeightDecay   float64
	BatchLossOnly bool
}

func (o *graphOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "loss", Value: autodiff.CrossEntropy, Destination: &o.Loss, Category: flagsRecipe,
			Usage: "loss `NAME`: " + autodiff.CrossEntropy},
		&cli.Float64Flag{Name: "smoothing", Destination: &o.Smoothing, Category: flagsRecipe, DefaultText: "0",
			Usage: "label smoothing `S` in [0, 1)"},
		&cli.StringFlag{Name: "opt", Value: autodiff.SGD, Destination: &o.Opt, Category: flagsRecipe,
			Usage: "optimizer `NAME`: " + autodiff.SGD},
		&cli.Float64Flag{Name: "momentum", Value: autodiff.DefaultMomentum, Destination: &o.Momentum, Category: flagsRecipe,
			Usage: "momentum `M` in [0, 1)"},
		&cli.BoolFlag{Name: "nesterov", Destination: &o.Nesterov, Category: flagsRecipe,
			Usage: "take Nesterov's form of momentum"},
		&cli.Float64Flag{Name: "weight-decay", Value: autodiff.DefaultWeightDecay, Destination: &o.WeightDecay, Category: flagsRecipe,
			Usage: "weight decay `D`, added to the gradient"},
		&cli.BoolFlag{Name: "batch-loss-only", Destination: &o.BatchLossOnly, Category: flagsRecipe,
			Usage: "leave per-sample losses, logits and sample weights out of the graph"},
	}
}

// graphFlagNames are the flags that cannot change a bundle that is already made.
func graphFlagNames() []string {
	var names []string
	for _, f := range new(graphOptions).flags() {
		names = append(names, f.Names()[0])
	}
	return names
}

func (o *graphOptions) validate() error {
	switch {
	case o.Smoothing < 0 || o.Smoothing >= 1:
		return usagef("--smoothing %g: give a number in [0, 1)", o.Smoothing)
	case o.Momentum < 0 || o.Momentum >= 1:
		return usagef("--momentum %g: give a number in [0, 1)", o.Momentum)
	case o.WeightDecay < 0:
		return usagef("--weight-decay %g: give 0 or more", o.WeightDecay)
	case o.Nesterov && o.Momentum == 0:
		return usagef("--nesterov needs a momentum above 0")
	}
	return errors.Join(oneOf("--loss", o.Loss, autodiff.CrossEntropy), oneOf("--opt", o.Opt, autodiff.SGD))
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
