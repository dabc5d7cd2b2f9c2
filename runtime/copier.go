package runtime

import (
	"errors"
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
	pinned    pinned
	sessions  map[DType]*ort.DynamicAdvancedSession
	zero      *ort.DynamicAdvancedSession // fills with 0; nil until it is wanted
}

// newCopier takes memory by ONNX Runtime's name for it, and that of the host
// memory which the device reads and writes by itself. The first session it
// makes owns the allocators, and shows that the provider starts at all.
func newCopier(d *Device, name, pinned string, index int) (_ *copier, err error) {
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
	if c.pinned, err = d.pin(session, pinned, index); err != nil {
		d.options.Log("no pinned memory, so copies to and from the device go through pages: %v", err)
	}
	return c, nil
}

// close releases the allocators before the session they belong to.
func (c *copier) close() error {
	c.pinned.close()
	c.allocator.close()
	c.memory.close()
	var errs []error
	for _, s := range c.sessions {
		errs = append(errs, s.Destroy())
	}
	if c.zero != nil {
		errs = append(errs, c.zero.Destroy())
	}
	c.sessions, c.zero = nil, nil
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

func (c *copier) move(v *value, dtype DType, shape []int64, host []byte, up bool) error {
	var pin goruntime.Pinner
	defer pin.Unpin()
	pin.Pin(&host[0])
	h, err := c.device.host.over(unsafe.Pointer(&host[0]), len(host), dtype, shape)
	if err != nil {
		return err
	}
	defer h.close()
	if up {
		return c.copy(h, v, dtype)
	}
	return c.copy(v, h, dtype)
}

// copy makes the elements of one value those of another of the same shape.
func (c *copier) copy(from, to *value, dtype DType) (err error) {
	t, err := c.passage(from, to, dtype)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return t.run()
}

// passage is a session of one input and one output that is run again and again
// on the same two values, and allocates nothing.
type passage struct {
	device  *Device
	session *ort.DynamicAdvancedSession
	binding *ort.IoBinding
	from    *value
}

// passage copies from one value to another of the same shape.
func (c *copier) passage(from, to *value, dtype DType) (*passage, error) {
	session, err := c.session(dtype)
	if err != nil {
		return nil, err
	}
	return c.bind(session, from, to)
}

// clearing makes all elements of a value of float32 0 where it lies; like is any
// other value of its shape.
func (c *copier) clearing(v, like *value) (_ *passage, err error) {
	if c.zero == nil {
		if c.zero, err = c.device.session(zeroModel(), sessionOptions{}); err != nil {
			return nil, err
		}
	}
	return c.bind(c.zero, like, v)
}

func (c *copier) bind(session *ort.DynamicAdvancedSession, from, to *value) (*passage, error) {
	binding, err := session.CreateIoBinding()
	if err != nil {
		return nil, err
	}
	if err := binding.BindOutput(nodesOutput(0), to); err != nil {
		return nil, errors.Join(nativeError(err.Error()), binding.Destroy())
	}
	return &passage{c.device, session, binding, from}, nil
}

// passageInput is nodesInput(0), made once.
var passageInput = nodesInput(0)

// run runs, and waits for the end. What lies elsewhere is copied as it is bound.
func (t *passage) run() error {
	if err := t.binding.BindInput(passageInput, t.from); err != nil {
		return nativeError(err.Error())
	}
	return t.device.run(t.session, t.binding, nil)
}

func (t *passage) close() error {
	if t == nil {
		return nil
	}
	return t.binding.Destroy()
}
