package runtime

import (
	"errors"
	"fmt"
)

// Function runs a graph that keeps no state, with inputs and outputs of fixed shapes.
type Function struct {
	*runner
	inputs, outputs []*port
}

// NewFunction makes the session for a graph. inputs names all of the graph's
// inputs, outputs those of its outputs that are wanted; no shape has a batch
// dimension.
func (d *Device) NewFunction(model []byte, inputs, outputs []Slot) (_ *Function, err error) {
	r, err := d.newRunner(model, 1, sessionOptions{})
	if err != nil {
		return nil, fmt.Errorf("runtime: graph: %w", err)
	}
	f := &Function{runner: r}
	defer func() {
		if err != nil {
			err = fmt.Errorf("runtime: graph: %w", errors.Join(err, r.close()))
		}
	}()
	for kind, slots := range [2][]Slot{inputs, outputs} {
		for _, s := range slots {
			if s.batched() {
				return nil, fmt.Errorf("%q: shape %v: must be fixed", s.Name, s.Shape)
			}
			p, err := r.port(s, kind == 1)
			if err != nil {
				return nil, err
			}
			if kind == 0 {
				f.inputs = append(f.inputs, p)
			} else {
				f.outputs = append(f.outputs, p)
			}
		}
	}
	if err := r.bind(); err != nil {
		return nil, err
	}
	return f, d.own(f)
}

// Run takes and gives little-endian row-major bytes in the order of the slots;
// what it gives is valid until the next Run.
func (f *Function) Run(inputs ...[]byte) ([][]byte, error) {
	if f.session == nil {
		return nil, fmt.Errorf("runtime: run: %w", ErrClosed)
	}
	if len(inputs) != len(f.inputs) {
		return nil, fmt.Errorf("runtime: run: %d inputs given, the graph has %d", len(inputs), len(f.inputs))
	}
	for i, p := range f.inputs {
		if len(inputs[i]) != len(p.buffer.bytes) {
			return nil, fmt.Errorf("runtime: run: %q: %d bytes given, %d needed", p.slot.Name, len(inputs[i]), len(p.buffer.bytes))
		}
		copy(p.buffer.bytes, inputs[i])
	}
	if err := f.Repeat(); err != nil {
		return nil, err
	}
	out := make([][]byte, len(f.outputs))
	for i, p := range f.outputs {
		out[i] = p.buffer.bytes
	}
	return out, nil
}

// Repeat runs once more on the inputs of the last Run, whose outputs it writes
// over; it copies nothing.
func (f *Function) Repeat() error {
	if f.session == nil {
		return fmt.Errorf("runtime: run: %w", ErrClosed)
	}
	if err := f.run(0, 1); err != nil {
		return fmt.Errorf("runtime: run: %w", err)
	}
	return nil
}

// Close frees the session and its buffers.
func (f *Function) Close() error {
	f.device.disown(f)
	return f.runner.close()
}
