package runtime

import (
	"fmt"
	"time"
)

// CopyTimes are how long a copy between host and device takes, the shortest of
// several, by the host's memory.
type CopyTimes struct {
	Bytes        int
	PinnedDown   time.Duration // from the device; 0 where the provider has no pinned memory
	PinnedUp     time.Duration
	PageableDown time.Duration
	PageableUp   time.Duration
}

// CopyTimes times copies of so many bytes of float32. A device whose memory is
// the host's has none.
func (d *Device) CopyTimes(bytes, repeats int) (t CopyTimes, err error) {
	t.Bytes = bytes
	if d.copies == nil {
		return t, nil
	}
	shape := []int64{int64(bytes / 4)}
	v, err := d.copies.allocator.tensor(Float32, shape)
	if err != nil {
		return t, fmt.Errorf("runtime: %d bytes on %s: %w", bytes, d.Name(), err)
	}
	defer v.close()
	pageable, err := newHostBuffer(bytes)
	if err != nil {
		return t, fmt.Errorf("runtime: %w", err)
	}
	defer pageable.close()
	best := func(to *time.Duration, f func(*value, DType, []int64, []byte) error, host []byte) error {
		for range repeats {
			began := time.Now()
			if err := f(v, Float32, shape, host); err != nil {
				return fmt.Errorf("runtime: a copy of %d bytes: %w", bytes, err)
			}
			if took := time.Since(began); *to == 0 || took < *to {
				*to = took
			}
		}
		return nil
	}
	if err := best(&t.PageableUp, d.copies.upload, pageable.bytes); err != nil {
		return t, err
	}
	if err := best(&t.PageableDown, d.copies.download, pageable.bytes); err != nil {
		return t, err
	}
	pinned, err := d.hostBuffer(bytes)
	if err != nil {
		return t, fmt.Errorf("runtime: %w", err)
	}
	defer pinned.close()
	if pinned.value == nil {
		return t, nil
	}
	if err := best(&t.PinnedUp, d.copies.upload, pinned.bytes); err != nil {
		return t, err
	}
	return t, best(&t.PinnedDown, d.copies.download, pinned.bytes)
}
