package runtime

import (
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// copier holds device memory and moves bytes in and out of it. ONNX Runtime
// copies between devices when a graph's input and output are bound in
// different memories, so a graph of Identity nodes is the copy.
type copier struct {
	device    *Device
	memory    memory
	allocator allocator
	sessions  map[DType]*ort.DynamicAdvancedSession
}

// newCopier takes memory by ONNX Runtime's name for it. The first session it
// makes owns the allocator, and shows that the provider starts at all.
func newCopier(d *Device, name string, index int) (_ *copier, err error) {
	c := &copier{device: d, sessions: map[DType]*ort.DynamicAdvancedSession{}}
	session, err := c.session(Float32)
	if err != nil {
		return nil, err
	}
	if c.memory, err = d.memory(name, index); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if c.allocator, err = c.memory.allocator(session); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// close releases the allocator before the session it belongs to.
func (c *copier) close() error {
	c.allocator.close()
	c.memory.close()
	var errs []error
	for _, s := range c.sessions {
		errs = append(errs, s.Destroy())
	}
	c.sessions = nil
	return errors.Join(errs...)
}

func (c *copier) session(dtype DType) (*ort.DynamicAdvancedSession, error) {
	if s := c.sessions[dtype]; s != nil {
		return s, nil
	}
	s, err := c.device.session(nodesModel("", "Identity", dtype), sessionOptions{})
	if err != nil {
		return nil, err
	}
	c.sessions[dtype] = s
	return s, nil
}

// upload fills a device value from host bytes, download the reverse.
func (c *copier) upload(v *value, dtype DType, shape []int64, src []byte) error {
	return c.move(v, dtype, shape, src, true)
}

func (c *copier) download(v *value, dtype DType, shape []int64, dst []byte) error {
	return c.move(v, dtype, shape, dst, false)
}

func (c *copier) move(v *value, dtype DType, shape []int64, host []byte, up bool) (err error) {
	session, err := c.session(dtype)
	if err != nil {
		return err
	}
	var pin goruntime.Pinner
	defer pin.Unpin()
	pin.Pin(&host[0])
	h, err := c.device.host.over(unsafe.Pointer(&host[0]), len(host), dtype, shape)
	if err != nil {
		return err
	}
	defer h.close()
	binding, err := session.CreateIoBinding()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, binding.Destroy()) }()
	from, to := v, h
	if up {
		from, to = h, v
	}
	if err := binding.BindInput(nodesInput(0), from); err != nil {
		return err
	}
	if err := binding.BindOutput(nodesOutput(0), to); err != nil {
		return err
	}
	return c.device.run(session, binding, nil)
}

// hostBuffer is CPU memory that ONNX Runtime may keep an address of.
type hostBuffer struct {
	bytes []byte
	pin   goruntime.Pinner
}

func newHostBuffer(size int) (*hostBuffer, error) {
	if size <= 0 || size > math.MaxInt-alignment {
		return nil, fmt.Errorf("a buffer of %d bytes cannot be made", size)
	}
	raw := make([]byte, size+alignment)
	skip := (alignment - int(uintptr(unsafe.Pointer(&raw[0]))%alignment)) % alignment
	b := &hostBuffer{bytes: raw[skip : skip+size : skip+size]}
	b.pin.Pin(&raw[0])
	return b, nil
}

// alignment suits the widest vector loads and a cache line.
const alignment = 64

func (b *hostBuffer) close() {
	if b != nil {
		b.pin.Unpin()
	}
}

// as views the buffer as elements of another type.
func as[T int64 | float32](b []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(zero)))
}
