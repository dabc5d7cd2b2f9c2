package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
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

	local, beside int // of a job of MPI: this process's number on the machine, and how many there are
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
	r := ortrun.Options{Library: o.Library, Device: o.Device, Threads: o.Threads, StrictDevice: o.Strict, CUDAGraph: o.Graph, Log: log,
		Index: o.local, Beside: o.beside}
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

// layoutFlag chooses among the training graphs of a bundle.
func layoutFlag(dst *string, layouts []string, usage string) cli.Flag {
	return &cli.StringFlag{Name: "layout", Value: bundle.LayoutAuto, Destination: dst, Category: flagsMachine,
		Usage: "`" + strings.Join(layouts, "|") + "`: " + usage}
}

var (
	fileLayouts = []string{bundle.LayoutAuto, bundle.LayoutPortable, bundle.LayoutNCHWC} // of graphs in a bundle
	runLayouts  = append(slices.Clone(fileLayouts), bundle.LayoutKernels)                // of those that a command runs
)

// openDevice opens the device; log hears of auto settling for the CPU, and of
// graphs that take long to prepare, which the end of ctx ends.
func openDevice(ctx context.Context, o deviceOptions, log func(string)) (*ortrun.Device, error) {
	r, err := o.resolve(func(format string, args ...any) { log(fmt.Sprintf(format, args...)) })
	if err != nil {
		return nil, err
	}
	r.Context = ctx
	r.Preparing = func(nodes int) { log(preparingText(nodes)) }
	return ortrun.Open(r)
}

func preparingText(nodes int) string {
	return fmt.Sprintf("ONNX Runtime is preparing a graph of %s nodes; that takes long for deep graphs, and Ctrl-C ends it", countText(int64(nodes)))
}

// blocksHere is the blocked graph that this machine's CPU provider takes, none
// where the layout asked for is the portable one. Kernels are for a graph that
// is run, not kept.
func blocksHere(layout, library string, kept bool) (export.Blocks, error) {
	blocks := export.Blocks{Insist: layout == bundle.LayoutNCHWC || layout == bundle.LayoutKernels}
	if layout == bundle.LayoutPortable {
		return blocks, nil
	}
	device, err := ortrun.Open(ortrun.Options{Device: "cpu", Library: library})
	switch {
	case err != nil && layout == bundle.LayoutAuto:
		return blocks, nil
	case err != nil:
		return blocks, err
	}
	blocks.Size = int64(device.ConvBlock())
	blocks.Kernels = blocks.Size != 0 && !kept && layout != bundle.LayoutNCHWC && device.Kernels()
	if err := device.Close(); err != nil {
		return blocks, err
	}
	if blocks.Insist && (blocks.Size == 0 || layout == bundle.LayoutKernels && !blocks.Kernels) {
		return blocks, fmt.Errorf("--layout %s: %w: the CPU provider of this machine has no such layout", layout, ortrun.ErrNoDevice)
	}
	return blocks, nil
}
