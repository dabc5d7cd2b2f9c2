package runtime

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// StateSlot is one tensor of the state: the graph input that reads it, the
// output that replaces it, and its first value.
type StateSlot struct {
	Input, Output string
	DType         DType
	Shape         []int64 // no batch dimension
	Init          []byte  // little-endian; nil is zeros
}

// State is a set of tensors kept on the device in two sides. It is made once
// for a training run and shared by its Trainer and Evaluator.
type State struct {
	device *Device
	slots  []StateSlot
	bytes  []int
	values [2][]*value
	memory [2]unsafe.Pointer // one block a side, where state lies in CPU memory
	blocks [2]*value         // the same on a device, of float32, where one is asked for
	data   [2][][]byte       // the same, tensor by tensor
	tail   int               // float32 numbers of a block beside the tensors
	side   int               // the current side
	moved  int               // how often the values became others than a step's
	closed bool
}

// NewState allocates both sides on the device and fills the current one from
// the slots' first values.
func (d *Device) NewState(slots []StateSlot) (*State, error) { return d.newState(slots, false, 0) }

// newState makes a state whose sides, where block is set, are a block of float32
// each on a device too, with so many numbers behind the tensors.
func (d *Device) newState(slots []StateSlot, block bool, tail int) (_ *State, err error) {
	if d.isClosed() {
		return nil, fmt.Errorf("runtime: state: device: %w", ErrClosed)
	}
	s := &State{device: d, slots: slices.Clone(slots), bytes: make([]int, len(slots)), tail: tail}
	seen := map[string]bool{}
	for i := range s.slots {
		slot := &s.slots[i]
		slot.Shape = slices.Clone(slot.Shape)
		if slot.Input == "" || slot.Output == "" {
			return nil, fmt.Errorf("runtime: state %d: an input and an output name are needed", i)
		}
		if seen["i:"+slot.Input] || seen["o:"+slot.Output] {
			return nil, fmt.Errorf("runtime: state %q: its input or output is named twice", slot.Input)
		}
		seen["i:"+slot.Input], seen["o:"+slot.Output] = true, true
		if s.bytes[i], err = byteSize(slot.Input, slot.DType, slot.Shape); err != nil {
			return nil, fmt.Errorf("runtime: state %w", err)
		}
		if slot.Init != nil && len(slot.Init) != s.bytes[i] {
			return nil, fmt.Errorf("runtime: state %q: first value has %d bytes, shape %v needs %d",
				slot.Input, len(slot.Init), slot.Shape, s.bytes[i])
		}
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	for side := range s.values {
		if err := s.allocate(side, block); err != nil {
			return nil, fmt.Errorf("runtime: state: %w", err)
		}
	}
	for i := range s.slots {
		init := s.slots[i].Init
		if init == nil {
			init = make([]byte, s.bytes[i])
		}
		if err := s.Write(i, init); err != nil {
			return nil, err
		}
		s.slots[i].Init = nil // the caller's, and no longer wanted
	}
	return s, d.own(s)
}

func (s *State) allocate(side int, block bool) (err error) {
	s.values[side] = make([]*value, len(s.slots))
	if c := s.device.copies; c != nil {
		if block {
			return s.allocateBlock(side)
		}
		for i, slot := range s.slots {
			if s.values[side][i], err = c.allocator.tensor(slot.DType, slot.Shape); err != nil {
				return fmt.Errorf("%q: %w", slot.Input, err)
			}
		}
		return nil
	}
	offsets, total, err := s.layout()
	if err != nil {
		return err
	}
	if s.memory[side], err = alignedAlloc(total + 4*s.tail); err != nil {
		return err
	}
	s.data[side] = make([][]byte, len(s.slots))
	for i, slot := range s.slots {
		p := unsafe.Add(s.memory[side], offsets[i])
		s.data[side][i] = unsafe.Slice((*byte)(p), s.bytes[i])
		if s.values[side][i], err = s.device.host.over(p, s.bytes[i], slot.DType, slot.Shape); err != nil {
			return fmt.Errorf("%q: %w", slot.Input, err)
		}
	}
	return nil
}

// allocateBlock makes the tensors of a side parts of one on the device.
func (s *State) allocateBlock(side int) error {
	c := s.device.copies
	offsets, total, err := s.layout()
	if err != nil {
		return err
	}
	if s.blocks[side], err = c.allocator.tensor(Float32, []int64{int64(total/4 + s.tail)}); err != nil {
		return err
	}
	for i, slot := range s.slots {
		if s.values[side][i], err = s.part(side, offsets[i], s.bytes[i], slot.Shape...); err != nil {
			return fmt.Errorf("%q: %w", slot.Input, err)
		}
	}
	return nil
}

// part is a tensor of float32 over bytes of a side's block on the device.
func (s *State) part(side, offset, bytes int, shape ...int64) (*value, error) {
	p, err := s.blocks[side].data()
	if err != nil {
		return nil, err
	}
	return s.device.copies.memory.over(unsafe.Add(p, offset), bytes, Float32, shape)
}

// layout gives the place of each tensor in a block, and where the last ends.
func (s *State) layout() (offsets []int, total int, err error) {
	offsets = make([]int, len(s.slots))
	for i, n := range s.bytes {
		offsets[i] = total
		total += (n + alignment - 1) / alignment * alignment
		if total > maxStateBytes {
			return nil, 0, errors.New("too large")
		}
	}
	return offsets, total, nil
}

// Len is the number of tensors.
func (s *State) Len() int { return len(s.slots) }

// Bytes is the size of tensor i.
func (s *State) Bytes(i int) int { return s.bytes[i] }

// Memory is ONNX Runtime's name of the memory that both sides lie in: "Cpu",
// "Cuda". It is an error if not all of it lies in one.
func (s *State) Memory() (string, error) {
	var all string
	for _, side := range s.values {
		for i, v := range side {
			name, err := v.memory()
			if err != nil {
				return "", fmt.Errorf("runtime: state %q: %w", s.slots[i].Input, err)
			}
			if all != "" && name != all {
				return "", fmt.Errorf("runtime: state %q: lies in %s memory, others in %s", s.slots[i].Input, name, all)
			}
			all = name
		}
	}
	return all, nil
}

// Read copies the current value of tensor i, little-endian, into dst.
func (s *State) Read(i int, dst []byte) error {
	if err := s.check(i, len(dst)); err != nil {
		return err
	}
	if c := s.device.copies; c != nil {
		if err := c.download(s.values[s.side][i], s.slots[i].DType, s.slots[i].Shape, dst); err != nil {
			return fmt.Errorf("runtime: state %q: %w", s.slots[i].Input, err)
		}
		return nil
	}
	copy(dst, s.data[s.side][i])
	return nil
}

// Write replaces the current value of tensor i.
func (s *State) Write(i int, src []byte) error {
	if err := s.check(i, len(src)); err != nil {
		return err
	}
	s.moved++
	if c := s.device.copies; c != nil {
		if err := c.upload(s.values[s.side][i], s.slots[i].DType, s.slots[i].Shape, src); err != nil {
			return fmt.Errorf("runtime: state %q: %w", s.slots[i].Input, err)
		}
		return nil
	}
	copy(s.data[s.side][i], src)
	return nil
}

// Undo makes the values from before the last step current again. A second call
// brings those after it back.
func (s *State) Undo() {
	s.side = 1 - s.side
	s.moved++
}

func (s *State) check(i, length int) error {
	switch {
	case s.closed:
		return fmt.Errorf("runtime: state: %w", ErrClosed)
	case i < 0 || i >= len(s.slots):
		return fmt.Errorf("runtime: state %d: there are %d", i, len(s.slots))
	case length != s.bytes[i]:
		return fmt.Errorf("runtime: state %q: %d bytes given, it has %d", s.slots[i].Input, length, s.bytes[i])
	}
	return nil
}

// Close frees both sides. The Trainer and Evaluator that use them must be
// closed first.
func (s *State) Close() error {
	if s.closed {
		return nil
	}
	s.device.disown(s)
	s.release()
	return nil
}

func (s *State) release() {
	s.closed = true
	for side := range s.values {
		for _, v := range s.values[side] {
			v.close()
		}
		s.blocks[side].close()
		alignedFree(s.memory[side])
		s.values[side], s.data[side], s.memory[side] = nil, nil, nil
	}
}
