package runtime

/*
#include <dlfcn.h>
#include <stddef.h>

// The driver's own calls: they need no CUDA toolkit and start no context.
static int winnow_cu_init(void *f) { return ((int (*)(unsigned))f)(0); }
static int winnow_cu_int(void *f, int *out) { return ((int (*)(int *))f)(out); }
static int winnow_cu_get(void *f, int *device, int i) { return ((int (*)(int *, int))f)(device, i); }
static int winnow_cu_name(void *f, char *name, int n, int device) { return ((int (*)(char *, int, int))f)(name, n, device); }
static int winnow_cu_retain(void *f, void **context, int device) { return ((int (*)(void **, int))f)(context, device); }
static int winnow_cu_current(void *f, void *context) { return ((int (*)(void *))f)(context); }
static int winnow_cu_mem(void *f, size_t *out, int device) { return ((int (*)(size_t *, int))f)(out, device); }
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"
)

// Files of the CUDA provider, which ONNX Runtime looks for beside itself, and
// of the NVIDIA driver.
const (
	sharedProviderFile = "libonnxruntime_providers_shared.so"
	cudaProviderFile   = "libonnxruntime_providers_cuda.so"
	driverFile         = "libcuda.so.1"
)

// GPU is one device the NVIDIA driver shows to this process.
type GPU struct {
	Name        string `json:"name"`
	MemoryBytes uint64 `json:"memory_bytes"`
}

// cudaReason says why the CUDA provider did not start. ONNX Runtime reports a
// provider that does not load without the loader's reason, so what it did is
// done again in order: its files, their libraries, the driver, the device.
// It must come after ONNX Runtime's own try: the provider's initialisers need
// a host that ONNX Runtime sets.
func cudaReason(dir string, index int, tried error) error {
	for _, file := range []string{sharedProviderFile, cudaProviderFile} {
		path := filepath.Join(dir, file)
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s is not in %s; run `winnow setup --cuda` or pass --runtime-library with a GPU build", file, dir)
		}
		if _, err := dlopen(path); err != nil {
			return loaderReason(err)
		}
	}
	gpus, _, err := gpus(driverFile)
	if err != nil {
		return fmt.Errorf("%w (%w)", err, tried)
	}
	if index >= len(gpus) {
		return fmt.Errorf("the driver shows %d devices, cuda:%d is not one of them (%w)", len(gpus), index, tried)
	}
	return tried
}

// loaderReason turns the loader's message about a provider into one that says
// what is missing: the driver, which comes with a GPU, or CUDA's libraries.
func loaderReason(err error) error {
	if strings.HasPrefix(err.Error(), driverFile) {
		return fmt.Errorf("no NVIDIA driver: %w", err)
	}
	return fmt.Errorf("%w; the CUDA and cuDNN libraries must be installed and on the loader's path", err)
}

// gpus asks the NVIDIA driver for its devices and its CUDA version.
func gpus(driver string) (list []GPU, version string, err error) {
	handle, err := dlopen(driver)
	if err != nil {
		return nil, "", fmt.Errorf("no NVIDIA driver: %w", err)
	}
	names := []string{"cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2"}
	f := make([]unsafe.Pointer, len(names))
	for i, name := range names {
		if f[i] = dlsym(handle, name); f[i] == nil {
			return nil, "", fmt.Errorf("NVIDIA driver: %s has no %s", driver, name)
		}
	}
	failed := func(what string, code C.int) error {
		if code == 0 {
			return nil
		}
		if code == 100 { // CUDA_ERROR_NO_DEVICE
			return errors.New("no CUDA device: the driver shows none")
		}
		return fmt.Errorf("NVIDIA driver: %s: error %d", what, code)
	}
	if err := failed(names[0], C.winnow_cu_init(f[0])); err != nil {
		return nil, "", err
	}
	var v, count C.int
	if err := failed(names[1], C.winnow_cu_int(f[1], &v)); err != nil {
		return nil, "", err
	}
	version = fmt.Sprintf("%d.%d", v/1000, v%1000/10)
	if err := failed(names[2], C.winnow_cu_int(f[2], &count)); err != nil {
		return nil, version, err
	}
	for i := range int(count) {
		var device C.int
		var name [256]C.char
		var memory C.size_t
		if err := errors.Join(
			failed(names[3], C.winnow_cu_get(f[3], &device, C.int(i))),
			failed(names[4], C.winnow_cu_name(f[4], &name[0], C.int(len(name)), device)),
			failed(names[5], C.winnow_cu_mem(f[5], &memory, device)),
		); err != nil {
			return list, version, err
		}
		list = append(list, GPU{Name: C.GoString(&name[0]), MemoryBytes: uint64(memory)})
	}
	return list, version, nil
}

// TakeThread makes the device that of the thread which calls it, for a library
// that works on what lies there: the context that ONNX Runtime shares.
func (d *Device) TakeThread() error {
	if d.provider != CUDAProvider {
		return nil
	}
	return takeThread(driverFile, d.index)
}

func takeThread(driver string, index int) error {
	handle, err := dlopen(driver)
	if err != nil {
		return fmt.Errorf("runtime: no NVIDIA driver: %w", err)
	}
	names := []string{"cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent"}
	f := make([]unsafe.Pointer, len(names))
	for i, name := range names {
		if f[i] = dlsym(handle, name); f[i] == nil {
			return fmt.Errorf("runtime: NVIDIA driver: %s has no %s", driver, name)
		}
	}
	var device C.int
	var context unsafe.Pointer
	for i, call := range []func() C.int{
		func() C.int { return C.winnow_cu_init(f[0]) },
		func() C.int { return C.winnow_cu_get(f[1], &device, C.int(index)) },
		func() C.int { return C.winnow_cu_retain(f[2], &context, device) },
		func() C.int { return C.winnow_cu_current(f[3], context) },
	} {
		if code := call(); code != 0 {
			return fmt.Errorf("runtime: NVIDIA driver: %s: error %d", names[i], code)
		}
	}
	return nil
}
