package runtime

import (
	"fmt"
	"sync"
	"unsafe"

	"winnow/runtime/kernels"

	ort "github.com/yalue/onnxruntime_go"
)

// operators are those of package kernels, by the number of threads. They are
// never freed: a session may still be in the making when its device is closed.
var operators struct {
	mu sync.Mutex
	of map[int]kernels.Ops
}

// Kernels is whether sessions of the device run the operators of package
// kernels: on the CPU, where the processor has their instructions.
func (d *Device) Kernels() bool { return d.provider == CPUProvider && kernels.Supported() }

// addOperators lets a session use the operators of package kernels.
func (d *Device) addOperators(options *ort.SessionOptions) error {
	operators.mu.Lock()
	defer operators.mu.Unlock()
	ops, ok := operators.of[d.threads]
	if !ok {
		made, status := kernels.New(d.table(), d.threads)
		if err := d.err(status); err != nil {
			return fmt.Errorf("runtime: operators: %w", err)
		}
		if operators.of == nil {
			operators.of = map[int]kernels.Ops{}
		}
		ops, operators.of[d.threads] = made, made
	}
	pointer := *(*unsafe.Pointer)(unsafe.Pointer(options)) // its one field, see checkLayout
	if err := d.err(ops.AddTo(pointer)); err != nil {
		return fmt.Errorf("runtime: operators: %w", err)
	}
	return nil
}
