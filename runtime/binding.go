package runtime

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// port is one batch input or output: a buffer for the largest batch, and the
// tensors that show its first n samples. Two are kept: the largest batch, and
// the last other size, which is the last batch of an epoch.
type port struct {
	slot   Slot
	output bool
	buffer *hostBuffer
	full   *value
	fixed  *value // the largest batch in device memory, where runs are captured
	tail   *value
	tailN  int
}

func (d *Device) newPort(slot Slot, output bool, maxBatch int) (*port, error) {
	if err := slot.check(maxBatch); err != nil {
		return nil, err
	}
	slot.Shape = slices.Clone(slot.Shape)
	p := &port{slot: slot, output: output}
	size, err := byteSize(slot.Name, slot.DType, slot.sized(maxBatch))
	if err != nil {
		return nil, err
	}
	if p.buffer, err = d.hostBuffer(size); err != nil {
		return nil, fmt.Errorf("%q: %w", slot.Name, err)
	}
	p.full, err = p.make(d, maxBatch)
	return p, err
}

func (p *port) make(d *Device, n int) (*value, error) {
	shape := p.slot.sized(n)
	size, err := byteSize(p.slot.Name, p.slot.DType, shape)
	if err != nil {
		return nil, err
	}
	v, err := d.host.over(unsafe.Pointer(&p.buffer.bytes[0]), size, p.slot.DType, shape)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", p.slot.Name, err)
	}
	return v, nil
}

// value is the tensor for a batch of n.
func (p *port) value(d *Device, n, maxBatch int) (*value, error) {
	if n == maxBatch || !p.slot.batched() {
		return p.full, nil
	}
	if n != p.tailN {
		v, err := p.make(d, n)
		if err != nil {
			return nil, err
		}
		p.tail.close()
		p.tail, p.tailN = v, n
	}
	return p.tail, nil
}

// bytes is the part of the buffer that a batch of n uses.
func (p *port) bytes(n, maxBatch int) []byte {
	if !p.slot.batched() {
		return p.buffer.bytes
	}
	return p.buffer.bytes[:len(p.buffer.bytes)/maxBatch*n]
}

func (p *port) close() {
	if p == nil {
		return
	}
	p.full.close()
	p.fixed.close()
	p.tail.close()
	p.buffer.close()
}

// runner is a session with one binding for each side of the state. State is
// bound once; batch values are bound when the batch size changes, and inputs
// before every run where the device has a memory of its own, because a value
// from elsewhere is copied at the moment it is bound.
type runner struct {
	device   *Device
	session  *ort.DynamicAdvancedSession
	maxBatch int
	ports    []*port
	capture  *capture // nil where runs are not captured
	sides    []side   // by the sides of the states, a bit each
}

// side is a binding for one side of each state.
type side struct {
	binding *ort.IoBinding
	n       int // batch size that is bound; 0 before the first
	moved   []movedState
}

// stateNames gives the index of a state's tensor behind a graph's name.
type stateNames struct {
	state           *State
	inputs, outputs map[string]int
}

// movedState is a state tensor that the session wants in another memory.
type movedState struct {
	name  string
	value *value
}

func (d *Device) newRunner(model []byte, maxBatch int, o sessionOptions) (*runner, error) {
	if maxBatch < 1 {
		return nil, fmt.Errorf("batch size %d: must be positive", maxBatch)
	}
	if len(model) == 0 {
		return nil, errors.New("the graph is empty")
	}
	if d.isClosed() {
		return nil, fmt.Errorf("device: %w", ErrClosed)
	}
	session, err := d.session(model, o)
	if err != nil {
		return nil, err
	}
	return &runner{device: d, session: session, maxBatch: maxBatch}, nil
}

// port adds a batch input or output.
func (r *runner) port(slot Slot, output bool) (*port, error) {
	p, err := r.device.newPort(slot, output, r.maxBatch)
	if p != nil {
		r.ports = append(r.ports, p)
	}
	return p, err
}

// bind makes the bindings, one for each side of each state.
func (r *runner) bind(states ...stateNames) error {
	inputs, outputs := map[string]int{}, map[string]int{} // the state behind a name
	for k, st := range states {
		for name := range st.inputs {
			inputs[name] = k
		}
		for name := range st.outputs {
			outputs[name] = k
		}
	}
	names, err := r.checkNames(inputs, outputs)
	if err != nil {
		return err
	}
	var onCPU []bool
	if r.device.copies != nil {
		if onCPU, err = r.device.onCPU(r.session, false, len(names)); err != nil {
			return err
		}
	}
	r.sides = make([]side, 1<<len(states))
	for bits := range r.sides {
		s := &r.sides[bits]
		if s.binding, err = r.session.CreateIoBinding(); err != nil {
			return err
		}
		for at, name := range names {
			k, ok := inputs[name]
			if !ok {
				continue
			}
			v := states[k].state.values[bits>>k&1][states[k].inputs[name]]
			if err := s.binding.BindInput(name, v); err != nil {
				return fmt.Errorf("%q: %w", name, nativeError(err.Error()))
			}
			if onCPU != nil && (onCPU[at] || r.device.options.deviceValues) {
				s.moved = append(s.moved, movedState{name, v})
			}
		}
		for name, k := range outputs {
			if err := s.binding.BindOutput(name, states[k].state.values[1-bits>>k&1][states[k].outputs[name]]); err != nil {
				return fmt.Errorf("%q: %w", name, nativeError(err.Error()))
			}
		}
	}
	return nil
}

// checkNames confirms that every graph input is given and that every name that
// is given exists, and lists the graph's inputs.
func (r *runner) checkNames(inputs, outputs map[string]int) ([]string, error) {
	have := [2]map[string]bool{{}, {}}
	for name := range inputs {
		have[0][name] = true
	}
	for name := range outputs {
		have[1][name] = true
	}
	for _, p := range r.ports {
		kind := 0
		if p.output {
			kind = 1
		}
		if have[kind][p.slot.Name] {
			return nil, fmt.Errorf("%q is given twice", p.slot.Name)
		}
		have[kind][p.slot.Name] = true
	}
	var graphInputs []string
	var problems []string
	for kind, what := range []string{"input", "output"} {
		names, err := r.device.names(r.session, kind == 1)
		if err != nil {
			return nil, err
		}
		if kind == 0 {
			graphInputs = names
		}
		for _, name := range names {
			if kind == 0 && !have[kind][name] {
				problems = append(problems, fmt.Sprintf("graph input %q is not given", name))
			}
			delete(have[kind], name)
		}
		for _, name := range slices.Sorted(maps.Keys(have[kind])) {
			problems = append(problems, fmt.Sprintf("the graph has no %s %q", what, name))
		}
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	return graphInputs, nil
}

// cpuValues lists the graph's inputs and outputs that the session has in CPU memory.
func (r *runner) cpuValues() ([]string, error) {
	var names []string
	for _, outputs := range []bool{false, true} {
		list, err := r.device.names(r.session, outputs)
		if err != nil {
			return nil, err
		}
		onCPU, err := r.device.onCPU(r.session, outputs, len(list))
		if err != nil {
			return nil, err
		}
		for i, name := range list {
			if onCPU[i] {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// run executes one batch of n on a side.
func (r *runner) run(side, n int) error {
	if r.capture != nil {
		return r.capture.run(side, n)
	}
	return r.runBound(side, n, nil)
}

// runBound binds what has changed and runs.
func (r *runner) runBound(side, n int, options *runOptions) error {
	s := &r.sides[side]
	fresh := s.n != n
	copied := r.device.copies != nil
	if fresh {
		s.n = 0 // until every value is bound
	}
	for _, p := range r.ports {
		if !fresh && (p.output || !copied) {
			continue
		}
		v, err := p.value(r.device, n, r.maxBatch)
		if err != nil {
			return err
		}
		if p.output {
			err = s.binding.BindOutput(p.slot.Name, v)
		} else {
			err = s.binding.BindInput(p.slot.Name, v)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", p.slot.Name, nativeError(err.Error()))
		}
	}
	for _, m := range s.moved {
		if err := s.binding.BindInput(m.name, m.value); err != nil {
			return fmt.Errorf("%q: %w", m.name, nativeError(err.Error()))
		}
	}
	s.n = n
	return r.device.run(r.session, s.binding, options)
}

// checkBatch refuses a batch size that the buffers do not hold.
func (r *runner) checkBatch(n int) error {
	if n < 1 || n > r.maxBatch {
		return fmt.Errorf("a batch of %d samples: must be 1 to %d", n, r.maxBatch)
	}
	return nil
}

// close releases the bindings, then the values, then the session.
func (r *runner) close() error {
	if r == nil || r.session == nil {
		return nil
	}
	errs := []error{r.capture.close()}
	for side := range r.sides {
		if b := r.sides[side].binding; b != nil {
			errs = append(errs, b.Destroy())
		}
	}
	for _, p := range r.ports {
		p.close()
	}
	errs = append(errs, r.session.Destroy())
	r.session = nil
	return errors.Join(errs...)
}
