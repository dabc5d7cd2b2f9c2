package runtime

import (
	"errors"
	"fmt"
	"unsafe"
)

// Summer adds numbers over processes.
type Summer interface {
	Sum(x []float32) error // every x becomes the sum of all
}

// DeviceSummer adds numbers where they lie, on a device too.
type DeviceSummer interface {
	SumAt(p unsafe.Pointer, n int) error // n of float32, as Summer
}

// block is what the host has of the sums that processes exchange: all of it, or
// where the sums stay on the device, what lies behind them.
type block struct {
	direct bool
	from   int // of the whole block, in numbers
	flat   []float32
	buffer *hostBuffer // of flat, and the same parts on the device; nil on the CPU
	value  *value
	at     [2]unsafe.Pointer // where the whole block lies, by side
	parts  [2]*value         // by side
	down   [2]*passage       // of a side from the device, and to it
	up     [2]*passage
}

// open makes the host's part of a block that lies on a device.
func (b *block) open(t *SplitTrainer) (err error) {
	s, at := t.sums, 0
	if b.direct {
		at = s.bytesBefore(t.offsets, t.count, t.total)
	}
	size := t.BlockBytes() - at
	b.from = at / 4
	for side := range b.at {
		if b.at[side], err = s.blocks[side].data(); err != nil {
			return err
		}
	}
	if size == 0 {
		return nil
	}
	if b.buffer, err = s.device.hostBuffer(size); err != nil {
		return err
	}
	b.flat = as[float32](b.buffer.bytes)
	if b.value, err = s.device.host.over(unsafe.Pointer(&b.buffer.bytes[0]), size, Float32, []int64{int64(size / 4)}); err != nil {
		return err
	}
	for side := range b.parts {
		if b.parts[side], err = s.part(side, at, size, int64(size/4)); err != nil {
			return err
		}
		if b.down[side], err = s.device.copies.passage(b.parts[side], b.value, Float32); err != nil {
			return err
		}
		if b.up[side], err = s.device.copies.passage(b.value, b.parts[side], Float32); err != nil {
			return err
		}
	}
	return nil
}

func (b *block) close() error {
	var errs []error
	for side := range b.parts {
		errs = append(errs, b.down[side].close(), b.up[side].close())
		b.parts[side].close()
	}
	b.value.close()
	b.buffer.close()
	return errors.Join(errs...)
}

// move runs a passage of the host's part of the block, where there is one.
func (*block) move(t *passage) error {
	if t == nil {
		return nil
	}
	if err := t.run(); err != nil {
		return fmt.Errorf("runtime: sums: %w", err)
	}
	return nil
}

// Block begins the exchange of what is added over processes: the sums, the
// running statistics times samples, which are this process's of the step, and
// SplitSpec.Tail numbers, which are given, whatever they were before. Sum adds
// them up, and PutBlock takes them up.
func (t *SplitTrainer) Block(samples int) (tail []float32, err error) {
	if t.update == nil || t.state.closed {
		return nil, fmt.Errorf("runtime: sums: %w", ErrClosed)
	}
	s, b := t.sums, &t.block
	if s.device.copies == nil {
		b.flat = unsafe.Slice((*float32)(s.memory[s.side]), t.BlockBytes()/4)
	} else {
		if b.buffer == nil {
			if err := b.open(t); err != nil {
				return nil, fmt.Errorf("runtime: sums: %w", err)
			}
		}
		if err := b.move(b.down[s.side]); err != nil {
			return nil, err
		}
	}
	times(t.statistics(), float32(samples))
	return b.flat[t.total/4-b.from:], nil
}

// statistics are the running statistics of the host's part of the block.
func (t *SplitTrainer) statistics() []float32 {
	from := t.sums.bytesBefore(t.offsets, t.count, t.total) / 4
	return t.block.flat[from-t.block.from : t.total/4-t.block.from]
}

// Sum adds the block up over processes, with so many numbers of its tail.
func (t *SplitTrainer) Sum(tail int, over Summer) error {
	s, b := t.sums, &t.block
	n := t.total/4 + tail
	if !b.direct {
		return over.Sum(b.flat[:n])
	}
	direct, ok := over.(DeviceSummer)
	if !ok {
		return fmt.Errorf("runtime: sums: %T adds nothing that lies on a device", over)
	}
	if s.device.copies == nil {
		return direct.SumAt(s.memory[s.side], n)
	}
	if err := b.move(b.up[s.side]); err != nil {
		return err
	}
	if err := direct.SumAt(b.at[s.side], n); err != nil {
		return err
	}
	return b.move(b.down[s.side])
}

// PutBlock takes up a block that Sum added up, which is of samples now: the
// running statistics become their mean.
func (t *SplitTrainer) PutBlock(samples int) error {
	times(t.statistics(), 1/float32(max(samples, 1)))
	return t.block.move(t.block.up[t.sums.side])
}

// times multiplies all numbers by a factor; by 0 they become 0, whatever they were.
func times(x []float32, factor float32) {
	if factor == 0 {
		clear(x)
		return
	}
	for i := range x {
		x[i] *= factor
	}
}
