package runtime

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// SplitSpec is a training step in two graphs: one adds the gradients of a batch
// to sums, the other moves the state by the sums of any number of batches.
type SplitSpec struct {
	Gradient TrainSpec // of the first graph; without a learning rate
	Update   []byte    // the second graph, an ONNX file
	Rate     Slot      // of Update: the learning rate
	Samples  Slot      // of Update: how many samples the sums are of
	Batch    Slot      // of Gradient: how many samples the batch has; no name where it takes none
	Scaled   bool      // Gradient takes Samples too, those that the step is to have
	Loss     string    // of Update, a float32 scalar: the step's loss; "" for none
	Sums     []Sum
	Running  []int // state, by index, that each batch moves; float32
	// Tail is how many numbers SplitTrainer.Block has beside the sums.
	Tail int
	// Direct is whether SplitTrainer.Sum gives the sums as they lie on the
	// device, to a DeviceSummer; else they go through the host's memory.
	Direct bool
}

// Sum is a float32 gradient summed over samples: the input of both graphs, and
// the output of the first that has a batch added to it.
type Sum struct {
	Input, Output string
	Shape         []int64
}

// SplitTrainer runs a training step in two halves over a State. Its sums lie in
// one block, so that those of several processes are added in one call.
type SplitTrainer struct {
	gradient batchRunner
	update   *runner
	rate     *port
	samples  *port
	batch    *port // nil where Gradient does not take it
	planned  *port // likewise
	loss     *port // nil where Update gives none
	state    *State
	sums     *State // the sums, then what Running is of
	running  []int
	count    int // of sums
	synced   int // state.moved, when the running statistics were taken over
	offsets  []int
	total    int // bytes of the block without its tail
	block    block
	first    [2]*value   // the sums alone, on a device
	clear    [2]*passage // makes them 0
	scratch  []byte
}

// NewSplitTrainer makes the sessions of both halves over st. Batches have 1 to
// maxBatch samples.
func (d *Device) NewSplitTrainer(spec SplitSpec, st *State, maxBatch int) (_ *SplitTrainer, err error) {
	if st == nil || st.closed || st.device != d {
		return nil, errors.New("runtime: split trainer: a state of the same device is needed")
	}
	t := &SplitTrainer{state: st, running: slices.Clone(spec.Running), count: len(spec.Sums), synced: st.moved - 1}
	defer func() {
		if err != nil {
			err = fmt.Errorf("runtime: split training graph: %w", errors.Join(err, t.release()))
		}
	}()
	slots := make([]StateSlot, 0, len(spec.Sums)+len(spec.Running))
	for _, s := range spec.Sums {
		slots = append(slots, StateSlot{Input: s.Input, Output: s.Output, DType: Float32, Shape: s.Shape})
	}
	for _, i := range spec.Running {
		if i < 0 || i >= len(st.slots) || st.slots[i].DType != Float32 {
			return nil, fmt.Errorf("state %d is not one of float32", i)
		}
		slots = append(slots, st.slots[i])
	}
	if t.sums, err = d.newState(slots, true, spec.Tail); err != nil {
		return nil, err
	}
	if t.offsets, t.total, err = t.sums.layout(); err != nil {
		return nil, err
	}
	t.block.direct = spec.Direct
	if n := t.sums.bytesBefore(t.offsets, t.count, t.total); d.copies != nil && n > 0 {
		for side := range t.first {
			if t.first[side], err = t.sums.part(side, 0, n, int64(n/4)); err != nil {
				return nil, err
			}
		}
		for side := range t.first {
			if t.clear[side], err = d.copies.clearing(t.first[side], t.first[1-side]); err != nil {
				return nil, err
			}
		}
	}
	if err := t.openGradient(d, spec, maxBatch); err != nil {
		return nil, err
	}
	if err := t.openUpdate(d, spec); err != nil {
		return nil, err
	}
	return t, d.own(t)
}

func (t *SplitTrainer) openGradient(d *Device, spec SplitSpec, maxBatch int) (err error) {
	if t.gradient.runner, err = d.newRunner(spec.Gradient.Model, maxBatch, sessionOptions{}); err != nil {
		return err
	}
	if err := t.gradient.addPorts(spec.Gradient); err != nil {
		return err
	}
	if spec.Batch.Name != "" {
		if t.batch, err = t.gradient.port(spec.Batch, false); err != nil {
			return err
		}
	}
	if spec.Scaled {
		if t.planned, err = t.gradient.port(spec.Samples, false); err != nil {
			return err
		}
	}
	names, err := d.names(t.gradient.session, false)
	if err != nil {
		return err
	}
	sums := stateNames{t.sums, map[string]int{}, map[string]int{}}
	for i, slot := range t.sums.slots {
		sums.outputs[slot.Output] = i
		if i < t.count || slices.Contains(names, slot.Input) {
			sums.inputs[slot.Input] = i
		}
	}
	state := stateNames{state: t.state, inputs: map[string]int{}}
	for i, slot := range t.state.slots {
		if slices.Contains(names, slot.Input) && !slices.Contains(t.running, i) {
			state.inputs[slot.Input] = i
		}
	}
	return t.gradient.bind(state, sums)
}

func (t *SplitTrainer) openUpdate(d *Device, spec SplitSpec) (err error) {
	if t.update, err = d.newRunner(spec.Update, 1, sessionOptions{}); err != nil {
		return err
	}
	if t.samples, err = t.update.port(spec.Samples, false); err != nil {
		return err
	}
	if spec.Loss != "" {
		if t.loss, err = t.update.port(Slot{Name: spec.Loss, DType: Float32}, true); err != nil {
			return err
		}
	}
	names, err := d.names(t.update.session, false)
	if err != nil {
		return err
	}
	if slices.Contains(names, spec.Rate.Name) {
		if t.rate, err = t.update.port(spec.Rate, false); err != nil {
			return err
		}
	}
	state := stateNames{t.state, map[string]int{}, map[string]int{}}
	sums := stateNames{state: t.sums, inputs: map[string]int{}}
	for i, slot := range t.state.slots {
		state.outputs[slot.Output] = i
		if slices.Contains(names, slot.Input) && !slices.Contains(t.running, i) {
			state.inputs[slot.Input] = i
		}
	}
	for i, slot := range t.sums.slots {
		sums.inputs[slot.Input] = i
	}
	return t.update.bind(state, sums)
}

// Begin starts a step of so many samples, as far as that is known: the sums are
// 0, and the running statistics those of the state.
func (t *SplitTrainer) Begin(samples int) error {
	if t.update == nil || t.state.closed {
		return fmt.Errorf("runtime: step: %w", ErrClosed)
	}
	if t.planned != nil {
		as[float32](t.planned.buffer.bytes)[0] = float32(max(samples, 1))
	}
	s := t.sums
	if s.device.copies == nil {
		clear(unsafe.Slice((*byte)(s.memory[s.side]), s.bytesBefore(t.offsets, t.count, t.total)))
	} else if t.count > 0 {
		if err := t.clear[s.side].run(); err != nil {
			return fmt.Errorf("runtime: step: %w", err)
		}
	}
	if t.synced == t.state.moved {
		return nil
	}
	for k, i := range t.running {
		value := t.buffer(t.state.bytes[i])
		if err := t.state.Read(i, value); err != nil {
			return err
		}
		if err := s.Write(t.count+k, value); err != nil {
			return err
		}
	}
	t.synced = t.state.moved
	return nil
}

// bytesBefore is where tensor i begins in a block of total bytes.
func (s *State) bytesBefore(offsets []int, i, total int) int {
	if i < len(offsets) {
		return offsets[i]
	}
	return total
}

func (t *SplitTrainer) buffer(n int) []byte {
	t.scratch = slices.Grow(t.scratch[:0], n)[:n]
	return t.scratch
}

// Add adds the gradients of a batch to the sums, moves the running statistics,
// and gives the batch's losses. When it fails the sums are as before.
func (t *SplitTrainer) Add(in *StepInput, out *StepOutput) error {
	if t.update == nil || t.state.closed {
		return fmt.Errorf("runtime: gradients: %w", ErrClosed)
	}
	if err := t.gradient.fill(in); err != nil {
		return fmt.Errorf("runtime: gradients: %w", err)
	}
	if t.batch != nil {
		as[float32](t.batch.buffer.bytes)[0] = float32(in.N)
	}
	if err := t.gradient.run(t.state.side|t.sums.side<<1, in.N); err != nil {
		return fmt.Errorf("runtime: gradients: %w", err)
	}
	t.sums.side = 1 - t.sums.side
	t.gradient.report(in.N, out)
	return nil
}

// BlockBytes is the size of the block that Block gives.
func (t *SplitTrainer) BlockBytes() int { return t.total + 4*t.sums.tail }

// Update moves the state by the sums, which are of so many samples.
func (t *SplitTrainer) Update(rate float32, samples int) error {
	if t.update == nil || t.state.closed {
		return fmt.Errorf("runtime: update: %w", ErrClosed)
	}
	if samples < 1 {
		return fmt.Errorf("runtime: update: the sums are of %d samples", samples)
	}
	if t.rate != nil {
		as[float32](t.rate.buffer.bytes)[0] = rate
	}
	as[float32](t.samples.buffer.bytes)[0] = float32(samples)
	if err := t.update.run(t.state.side|t.sums.side<<1, 1); err != nil {
		return fmt.Errorf("runtime: update: %w", err)
	}
	t.state.side = 1 - t.state.side
	return nil
}

// Loss is the loss of the last Update's step; ok is false where its graph gives none.
func (t *SplitTrainer) Loss() (loss float32, ok bool) {
	if t.loss == nil {
		return 0, false
	}
	return as[float32](t.loss.buffer.bytes)[0], true
}

// Close frees the sessions, their bindings and the sums, not the state.
func (t *SplitTrainer) Close() error {
	t.state.device.disown(t)
	return t.release()
}

func (t *SplitTrainer) release() error {
	errs := []error{t.update.close(), t.gradient.close()}
	t.update = nil
	errs = append(errs, t.block.close())
	for side, v := range t.first {
		errs = append(errs, t.clear[side].close())
		v.close()
	}
	if t.sums != nil {
		errs = append(errs, t.sums.Close())
	}
	return errors.Join(errs...)
}
