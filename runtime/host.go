package runtime

import (
	"fmt"
	"math"
	goruntime "runtime"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// pinned hands out host memory that the device reads and writes by itself: a
// copy from other memory goes through a buffer of the driver's. Its zero value
// has none.
type pinned struct {
	memory    memory
	allocator allocator
}

// pin takes pinned memory by ONNX Runtime's name for it, from a session's
// provider, which may keep one kind for all of its devices.
func (d *Device) pin(s *ort.DynamicAdvancedSession, name string, index int) (p pinned, err error) {
	for _, id := range []int{index, 0} {
		if p.memory, err = d.memory(name, id); err != nil {
			return pinned{}, err
		}
		if p.allocator, err = p.memory.allocator(s); err == nil {
			return p, nil
		}
		p.memory.close()
	}
	return pinned{}, err
}

func (p pinned) close() {
	if p.allocator.p != nil {
		p.allocator.close()
		p.memory.close()
	}
}

// hostBuffer is CPU memory that ONNX Runtime may keep an address of.
type hostBuffer struct {
	bytes []byte
	pin   goruntime.Pinner
	value *value // whose memory it is; nil where it is Go's
}

// hostBuffer is memory, of zeros, that the device reads and writes at its best.
func (d *Device) hostBuffer(size int) (*hostBuffer, error) {
	if d.copies == nil || d.copies.pinned.allocator.p == nil || size <= 0 {
		return newHostBuffer(size)
	}
	v, err := d.copies.pinned.allocator.tensor(Uint8, []int64{int64(size)})
	if err != nil {
		return nil, err
	}
	p, err := v.data()
	if err != nil {
		v.close()
		return nil, err
	}
	b := &hostBuffer{bytes: unsafe.Slice((*byte)(p), size), value: v}
	clear(b.bytes)
	return b, nil
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
		b.value.close()
	}
}

// as views the buffer as elements of another type.
func as[T int64 | float32](b []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(zero)))
}
