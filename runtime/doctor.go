package runtime

import (
	"bufio"
	"fmt"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
)

// Report is what Doctor found: the machine, the library, and whether CUDA can
// be started, with the reason where it cannot.
type Report struct {
	System       string   `json:"system"`        // such as linux/amd64
	CPU          string   `json:"cpu,omitempty"` // the processor's own name, where known
	LogicalCPUs  int      `json:"logical_cpus"`  // hardware threads of the machine
	Threads      int      `json:"threads"`       // what one operator will use
	Features     []string `json:"features"`      // vector extensions
	Library      string   `json:"library,omitempty"`
	Version      string   `json:"version,omitempty"`
	API          int      `json:"api,omitempty"` // the newest C API the library serves
	RequiredAPI  int      `json:"required_api"`  // the one that is used
	Providers    []string `json:"providers,omitempty"`
	CUDA         bool     `json:"cuda"` // a session runs on the CUDA provider
	CUDAReason   string   `json:"cuda_reason,omitempty"`
	CUDADriver   string   `json:"cuda_driver,omitempty"` // CUDA version of the driver
	GPUs         []GPU    `json:"gpus,omitempty"`
	DriverReason string   `json:"driver_reason,omitempty"` // why no GPU is listed
	// Err is why the library cannot be used, nil if it can.
	Err *Problem `json:"problem,omitempty"`
}

// Problem is an error that JSON shows as text.
type Problem struct{ error }

// Unwrap is the error.
func (p *Problem) Unwrap() error { return p.error }

// MarshalText is the error's text.
func (p *Problem) MarshalText() ([]byte, error) { return []byte(p.Error()), nil }

// Doctor looks at everything that Open needs and stops at nothing: what fails
// is part of the report. Options.Device chooses which GPU is tried, "cpu" none.
func Doctor(o Options) Report {
	r := Report{
		System:      goruntime.GOOS + "/" + goruntime.GOARCH,
		CPU:         cpuName(),
		LogicalCPUs: goruntime.NumCPU(),
		Threads:     o.Threads,
		Features:    cpuFeatures(),
		RequiredAPI: apiVersion,
	}
	if r.Threads == 0 {
		r.Threads = physicalCores()
	}
	var err error
	if r.GPUs, r.CUDADriver, err = gpus(driverFile); err != nil {
		r.DriverReason = err.Error()
	}
	fail := func(err error) Report {
		r.Err = &Problem{err}
		return r
	}
	lib, n, err := start(o.Library)
	if err != nil {
		return fail(err)
	}
	r.Library, r.Version = lib.path, lib.version
	r.API, _ = minorVersion(lib.version)
	if r.Providers, err = n.providers(); err != nil {
		return fail(fmt.Errorf("runtime: doctor: %w", err))
	}
	if !slices.Contains(r.Providers, CUDAProvider) {
		r.CUDAReason = "the library is built without the CUDA provider"
		return r
	}
	kind, index, err := parseDevice(o.Device)
	if err != nil {
		return fail(err)
	}
	if kind == "cpu" {
		r.CUDAReason = "not tried, the CPU was asked for"
		return r
	}
	o.Device, o.CUDA = fmt.Sprintf("cuda:%d", index), nil
	d, err := Open(o)
	if err != nil {
		r.CUDAReason = strings.TrimPrefix(err.Error(), fmt.Sprintf("runtime: device %q: %v: ", o.Device, ErrNoDevice))
		return r
	}
	r.CUDA = true
	if err := d.Close(); err != nil {
		return fail(err)
	}
	return r
}

// String is the report for people, one fact a line.
func (r Report) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("system", "%s", r.System)
	if r.CPU != "" {
		line("cpu", "%s", r.CPU)
	}
	line("cpu features", "%s", strings.Join(r.Features, " "))
	line("threads", "%d of %d logical CPUs", r.Threads, r.LogicalCPUs)
	if r.Library != "" {
		line("library", "%s", r.Library)
		line("version", "ONNX Runtime %s, API %d (%d is used)", r.Version, r.API, r.RequiredAPI)
	}
	if r.Err != nil {
		line("problem", "%v", r.Err)
	}
	if len(r.Providers) > 0 {
		line("providers", "%s", strings.Join(r.Providers, " "))
	}
	for i, g := range r.GPUs {
		line("gpu", "%d: %s, %d MiB, driver for CUDA %s", i, g.Name, g.MemoryBytes>>20, r.CUDADriver)
	}
	if r.DriverReason != "" {
		line("gpu", "none: %s", r.DriverReason)
	}
	if r.Library != "" {
		if r.CUDA {
			line("cuda", "usable")
		} else {
			line("cuda", "not usable: %s", r.CUDAReason)
		}
	}
	return b.String()
}

// cpuName is the processor's name, "" where the system does not tell it.
func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
