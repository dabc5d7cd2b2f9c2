package runtime

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"winnow/internal/option"
)

// Defaults of Options.
const (
	// DefaultDevice takes a GPU when one can be used.
	DefaultDevice = "auto"
	// DefaultConvSearch lets cuDNN choose convolution kernels by its own
	// heuristics, which gives the same choice in every run; EXHAUSTIVE times
	// the kernels and may choose otherwise the next time.
	DefaultConvSearch = "HEURISTIC"
)

// Options says which library and device to use.
type Options struct {
	// Library is the path of libonnxruntime; "" looks for it in the environment variable
	// LibraryEnv, where winnow setup installs it, and as the system loader does.
	Library string
	// Device is "auto", "cpu", "cuda" or "cuda:N"; "" is DefaultDevice.
	Device string
	// Index is the GPU that is taken where Device names none: this process's
	// number among several on the machine. Where fewer are visible, it begins anew.
	Index int
	// Threads of one operator on the CPU; 0 is the number of physical cores,
	// divided by Beside where all of the machine's are at hand.
	Threads int
	// Beside is how many processes like this one run on the machine; 0 is 1.
	Beside int
	// StrictDevice makes it an error if any node of a graph cannot run on the
	// device asked for; otherwise such nodes run on the CPU.
	StrictDevice bool
	// CUDA holds options of the CUDA provider by its own names: those that
	// CUDAOptions lists.
	CUDA map[string]string
	// CUDAGraph records a training step of the largest batch once for each
	// side of the state and replays it from then on; batches of other sizes
	// run as they do without. It takes no effect on the CPU.
	CUDAGraph bool
	// Log receives notices, such as "auto" settling for the CPU; nil drops them.
	Log func(format string, args ...any)
	// Context ends the wait for ONNX Runtime to prepare a graph, which takes
	// minutes for one of many thousand nodes; nil never does.
	Context context.Context
	// Preparing hears of a graph that takes longer than a moment; nil drops it.
	Preparing func(nodes int)

	// deviceValues makes the CPU provider take the path that CUDA takes: state
	// in values of the provider's allocator, inputs bound anew for each step.
	deviceValues bool
	// profile is where sessions write ONNX Runtime's profile when they close:
	// the beginning of a file name.
	profile string
}

// cudaGraphOption is the provider's name of what Options.CUDAGraph asks for.
const cudaGraphOption = "enable_cuda_graph"

// cudaSwitch are the values of an option that is on or off.
var cudaSwitch = []string{"0", "1"}

// cudaOptions are the options of the CUDA provider of ONNX Runtime 1.24 to 1.29
// and their values, nil for a number; those that take an address of this
// process are left out.
// (github.com/microsoft/onnxruntime, cuda_execution_provider_info.cc)
var cudaOptions = map[string][]string{
	"arena_extend_strategy":              {"kNextPowerOfTwo", "kSameAsRequested"},
	"cudnn_conv1d_pad_to_nc1d":           cudaSwitch,
	"cudnn_conv_algo_search":             {"EXHAUSTIVE", "HEURISTIC", "DEFAULT"},
	"cudnn_conv_use_max_workspace":       cudaSwitch,
	"device_id":                          nil,
	"do_copy_in_default_stream":          cudaSwitch,
	"enable_skip_layer_norm_strict_mode": cudaSwitch,
	"fuse_conv_bias":                     cudaSwitch,
	"gpu_mem_limit":                      nil,
	"prefer_nhwc":                        cudaSwitch,
	"sdpa_kernel":                        nil,
	"tunable_op_enable":                  cudaSwitch,
	"tunable_op_max_tuning_duration_ms":  nil,
	"tunable_op_tuning_enable":           cudaSwitch,
	"use_ep_level_unified_stream":        cudaSwitch,
	"use_tf32":                           cudaSwitch,
}

// CUDAOptions lists the names that Options.CUDA may hold, in order.
func CUDAOptions() []string { return slices.Sorted(maps.Keys(cudaOptions)) }

// Validate reports every option that cannot be used, all at once; errors wrap
// ErrOptions.
func (o Options) Validate() error {
	var errs []error
	add := func(name, format string, args ...any) {
		errs = append(errs, option.Errorf("runtime", name, format, args...))
	}
	kind, index, err := parseDevice(o.Device)
	if err != nil {
		errs = append(errs, err)
	}
	if o.Threads < 0 {
		add("threads", "%d, want 0 or more", o.Threads)
	}
	if kind == "cpu" && len(o.CUDA) > 0 {
		add("cuda-option", "CUDA options need a CUDA device, not %q", o.Device)
	}
	if kind == "cpu" && o.CUDAGraph && !o.deviceValues {
		add("cuda-graph", "a CUDA graph needs a CUDA device, not %q", o.Device)
	}
	for _, name := range slices.Sorted(maps.Keys(o.CUDA)) {
		value := o.CUDA[name]
		allowed, ok := cudaOptions[name]
		switch {
		case name == cudaGraphOption:
			add("cuda-option", "%q: take --cuda-graph, which keeps a graph for each side of the state", name)
		case !ok:
			add("cuda-option", "%q: there is none of that name; there are %s", name, strings.Join(CUDAOptions(), ", "))
		case allowed == nil && !isNumber(value):
			add("cuda-option", "%q: %q, want a number", name, value)
		case allowed != nil && !slices.Contains(allowed, value):
			add("cuda-option", "%q: %q, want %s", name, value, strings.Join(allowed, " or "))
		case name == "device_id" && kind == "cuda" && value != strconv.Itoa(index):
			add("cuda-option", "%q: %q, and the device is %q", name, value, o.Device)
		}
	}
	return errors.Join(errs...)
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}

// parseDevice splits a device name into "auto", "cpu" or "cuda" and an index.
func parseDevice(name string) (kind string, index int, err error) {
	switch name {
	case "", DefaultDevice:
		return DefaultDevice, 0, nil
	case "cpu", "cuda":
		return name, 0, nil
	}
	if number, ok := strings.CutPrefix(name, "cuda:"); ok {
		if index, err := strconv.Atoi(number); err == nil && index >= 0 && strconv.Itoa(index) == number {
			return "cuda", index, nil
		}
	}
	return "", 0, option.Errorf("runtime", "device", "%q, want auto, cpu, cuda or cuda:N", name)
}
