package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// Providers by ONNX Runtime's names.
const (
	CPUProvider  = "CPUExecutionProvider"
	CUDAProvider = "CUDAExecutionProvider"
)

// Device is one execution provider, ready to make sessions. Close it when all
// work is done; it closes what was made from it.
type Device struct {
	native
	lib      *library
	options  Options
	provider string
	index    int
	threads  int
	host     memory  // CPU memory, of every bound buffer
	copies   *copier // device memory; nil where state lies in plain CPU memory

	mu     sync.Mutex
	owned  []io.Closer
	closed bool
}

// Open loads ONNX Runtime, once per process, and takes the device asked for.
// The errors wrap ErrNoLibrary, ErrOldLibrary or ErrNoDevice. With "auto" the
// CPU is taken when no GPU can be used, and Options.Log is told why.
func Open(o Options) (*Device, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	lib, n, err := start(o.Library)
	if err != nil {
		return nil, err
	}
	kind, index, err := parseDevice(o.Device)
	if err != nil {
		return nil, err
	}
	if kind != "cpu" && !strings.Contains(o.Device, ":") && o.Index > 0 {
		index = o.Index
		if list, _, err := gpus(driverFile); err == nil && len(list) > 0 {
			index %= len(list)
		}
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.Preparing == nil {
		o.Preparing = func(int) {}
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	d := &Device{native: n, lib: lib, options: o, provider: CPUProvider, index: index, threads: o.Threads}
	if d.threads == 0 {
		d.threads = coresBeside(o.Beside)
	}
	if d.host, err = n.memory("Cpu", 0); err != nil {
		return nil, fmt.Errorf("runtime: device %q: %w", "cpu", err)
	}
	if kind != "cpu" {
		reason := d.openCUDA()
		if reason == nil {
			return d, nil
		}
		if kind == "cuda" {
			d.host.close()
			return nil, fmt.Errorf("runtime: device \"cuda:%d\": %w: %w", index, ErrNoDevice, reason)
		}
		o.Log("no CUDA device can be used, running on the CPU: %v", reason)
		d.provider, d.index = CPUProvider, 0
	}
	if o.deviceValues {
		if d.copies, err = newCopier(d, "Cpu", "Cpu", 0); err != nil {
			d.host.close()
			return nil, fmt.Errorf("runtime: device %q: %w", "cpu", err)
		}
	}
	return d, nil
}

// openCUDA settles on the CUDA provider if a first session runs on it.
func (d *Device) openCUDA() error {
	providers, err := d.providers()
	if err != nil {
		return err
	}
	if !slices.Contains(providers, CUDAProvider) {
		return fmt.Errorf("%q is built without the CUDA provider", d.lib.path)
	}
	d.provider = CUDAProvider
	copies, err := newCopier(d, "Cuda", "CudaPinned", d.index)
	if err != nil {
		return cudaReason(filepath.Dir(d.lib.path), d.index, err)
	}
	d.copies = copies
	return nil
}

// Provider is ONNX Runtime's name of the execution provider in use.
func (d *Device) Provider() string { return d.provider }

// Name is the device in the form that Options takes: "cpu", "cuda:0".
func (d *Device) Name() string {
	if d.provider == CUDAProvider {
		return "cuda:" + strconv.Itoa(d.index)
	}
	return "cpu"
}

// Hardware is the processor's or GPU's own name, the architecture where the
// system tells none.
func (d *Device) Hardware() string {
	name := goruntime.GOARCH
	if d.provider == CUDAProvider {
		if list, _, err := gpus(driverFile); err == nil && d.index < len(list) {
			name = list[d.index].Name
		}
	} else if cpu := cpuName(); cpu != "" {
		name = cpu
	}
	return name
}

// Threads is the number of threads one operator may use on the CPU.
func (d *Device) Threads() int { return d.threads }

// LibraryVersion is the version of the ONNX Runtime library, such as "1.29.0".
func (d *Device) LibraryVersion() string { return d.lib.version }

// LibraryPath is the file the library was loaded from.
func (d *Device) LibraryPath() string { return d.lib.path }

// Close closes what was made from the device and is still open, newest first,
// then the device. Closing twice is harmless.
func (d *Device) Close() error {
	d.mu.Lock()
	owned := d.owned
	d.owned = nil
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, c := range slices.Backward(owned) {
		errs = append(errs, c.Close())
	}
	if d.copies != nil {
		errs = append(errs, d.copies.close())
	}
	d.host.close()
	return errors.Join(errs...)
}

func (d *Device) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// own remembers something that must be closed before the device.
func (d *Device) own(c io.Closer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	d.owned = append(d.owned, c)
	return nil
}

func (d *Device) disown(c io.Closer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owned = slices.DeleteFunc(d.owned, func(o io.Closer) bool { return o == c })
}

func (d *Device) newSessionOptions(o sessionOptions) (_ *ort.SessionOptions, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			options.Destroy() //nolint:errcheck // the first error counts
		}
	}()
	entries := map[string]string{ // threads wait busily for the next operator: waking them costs more than a small one
		"session.intra_op.allow_spinning": "1",
		"session.force_spinning_stop":     "1", // between runs the cores are the loader's
	}
	if d.options.StrictDevice && d.provider != CPUProvider {
		entries["session.disable_cpu_ep_fallback"] = "1"
	}
	for key, v := range entries {
		if err := options.AddSessionConfigEntry(key, v); err != nil {
			return nil, err
		}
	}
	for _, err := range []error{
		options.SetExecutionMode(ort.ExecutionModeSequential),
		options.SetIntraOpNumThreads(d.threads),
		options.SetInterOpNumThreads(1),
		options.SetMemPattern(true),
	} {
		if err != nil {
			return nil, err
		}
	}
	if o.profile != "" {
		if err := options.EnableProfiling(o.profile); err != nil {
			return nil, nativeError(err.Error())
		}
	}
	if d.provider == CUDAProvider {
		if err := d.appendCUDA(options, o.capture); err != nil {
			return nil, err
		}
	}
	if d.Kernels() {
		if err := d.addOperators(options); err != nil {
			return nil, err
		}
	}
	return options, nil
}

func (d *Device) appendCUDA(options *ort.SessionOptions, capture bool) error {
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer cuda.Destroy() //nolint:errcheck // frees memory, cannot fail
	entries := map[string]string{"cudnn_conv_algo_search": DefaultConvSearch}
	maps.Copy(entries, d.options.CUDA)
	entries["device_id"] = strconv.Itoa(d.index)
	if capture {
		entries[cudaGraphOption] = "1"
	}
	if err := cuda.Update(entries); err != nil {
		return nativeError(err.Error())
	}
	if err := options.AppendExecutionProviderCUDA(cuda); err != nil {
		return nativeError(err.Error())
	}
	return nil
}
