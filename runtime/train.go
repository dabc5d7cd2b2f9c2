package runtime

import (
	"errors"
	"fmt"
)

// TrainSpec is a training graph and the roles of its inputs and outputs. What
// the graph does not have is nil or "".
type TrainSpec struct {
	Model         []byte   // an ONNX file
	Images        Slot     // uint8 or float32 [N, C, H, W]
	Labels        *Slot    // int64 [N] or float32 [N, K]
	Targets       []Slot   // further ones, of any type and shape
	SampleWeights *Slot    // float32 [N]
	LossScale     *Slot    // float32 scalar
	LearningRate  Slot     // float32 scalar; none in a half that takes gradients alone
	Random        []Slot   // float32, uniform in [0,1)
	Loss          string   // float32 scalar: the mean over the batch
	PerSampleLoss string   // float32 [N]
	Logits        *Slot    // float32 [N, K]
	Scalars       []string // float32 scalars
}

// StepInput is one batch. Its slices are read during Step and not kept.
type StepInput struct {
	N            int       // samples, 1 to the Trainer's largest batch
	Images       []byte    // N images in the type and layout of TrainSpec.Images
	Labels       []int64   // N, where labels are int64
	LabelsFloat  []float32 // N*K, where labels are float32
	Targets      [][]byte  // of each TrainSpec.Targets, N samples in its type
	Weights      []float32 // N, or nil for 1 each
	LearningRate float32
	LossScale    float32
	// Random fills dst with uniforms in [0,1) for TrainSpec.Random[slot].
	Random func(slot int, dst []float32)
}

// StepOutput is what a step reports. The slices are valid until the next Step.
type StepOutput struct {
	Loss      float32
	PerSample []float32 // N; nil where the graph has none
	Logits    []float32 // N*K; nil where the graph has none
	Scalars   []float32 // of each TrainSpec.Scalars
}

// Trainer runs a training graph step by step over a State.
type Trainer struct {
	batchRunner
	state *State
}

// batchRunner runs a graph on batches of a StepInput.
type batchRunner struct {
	*runner
	images    *port
	labels    *port
	targets   []*port
	weights   *port
	lossScale *port
	rate      *port
	random    []*port
	loss      *port
	perSample *port
	logits    *port
	scalars   []*port
}

// NewTrainer makes the session for a training graph, whose state inputs and
// outputs are those of st, and binds both sides of st. Steps take 1 to
// maxBatch samples.
func (d *Device) NewTrainer(spec TrainSpec, st *State, maxBatch int) (*Trainer, error) {
	return d.newTrainer(spec, st, maxBatch, "")
}

func (d *Device) newTrainer(spec TrainSpec, st *State, maxBatch int, profile string) (_ *Trainer, err error) {
	if st == nil || st.closed || st.device != d {
		return nil, errors.New("runtime: trainer: a state of the same device is needed")
	}
	r, err := d.newRunner(spec.Model, maxBatch, sessionOptions{profile: profile, capture: d.options.CUDAGraph})
	if err != nil {
		return nil, fmt.Errorf("runtime: training graph: %w", err)
	}
	t := &Trainer{batchRunner: batchRunner{runner: r}, state: st}
	defer func() {
		if err != nil {
			err = fmt.Errorf("runtime: training graph: %w", errors.Join(err, r.close()))
		}
	}()
	if err := t.addPorts(spec); err != nil {
		return nil, err
	}
	inputs, outputs := map[string]int{}, map[string]int{}
	for i, slot := range st.slots {
		inputs[slot.Input], outputs[slot.Output] = i, i
	}
	if err := r.bind(stateNames{st, inputs, outputs}); err != nil {
		return nil, err
	}
	if d.options.CUDAGraph && d.copies != nil {
		if err := r.newCapture(st, inputs, outputs); err != nil {
			return nil, err
		}
	}
	return t, d.own(t)
}

func (t *batchRunner) addPorts(spec TrainSpec) error {
	var errs []error
	add := func(slot Slot, output bool, types ...DType) *port {
		for _, dtype := range types {
			if slot.DType == dtype {
				p, err := t.port(slot, output)
				errs = append(errs, err)
				return p
			}
		}
		errs = append(errs, fmt.Errorf("%q: element type %d: must be one of %v", slot.Name, slot.DType, types))
		return nil
	}
	t.images = add(spec.Images, false, Uint8, Float32)
	if spec.LearningRate.Name != "" {
		t.rate = add(spec.LearningRate, false, Float32)
	}
	t.loss = add(Slot{Name: spec.Loss, DType: Float32}, true, Float32)
	if spec.Labels != nil {
		t.labels = add(*spec.Labels, false, Int64, Float32)
	}
	for _, slot := range spec.Targets {
		t.targets = append(t.targets, add(slot, false, Float32, Int64, Int32, Uint8))
	}
	if spec.SampleWeights != nil {
		t.weights = add(*spec.SampleWeights, false, Float32)
	}
	if spec.LossScale != nil {
		t.lossScale = add(*spec.LossScale, false, Float32)
	}
	for _, slot := range spec.Random {
		t.random = append(t.random, add(slot, false, Float32))
	}
	if spec.PerSampleLoss != "" {
		t.perSample = add(Slot{Name: spec.PerSampleLoss, DType: Float32, Shape: []int64{-1}}, true, Float32)
	}
	if spec.Logits != nil {
		t.logits = add(*spec.Logits, true, Float32)
	}
	for _, name := range spec.Scalars {
		t.scalars = append(t.scalars, add(Slot{Name: name, DType: Float32}, true, Float32))
	}
	return errors.Join(errs...)
}

// Step trains on one batch: the state moves to its other side, and out gets
// the losses. When it fails the state is as it was before. A step of the size
// of the one before it allocates nothing.
func (t *Trainer) Step(in *StepInput, out *StepOutput) error {
	if t.session == nil || t.state.closed {
		return fmt.Errorf("runtime: step: %w", ErrClosed)
	}
	if err := t.fill(in); err != nil {
		return fmt.Errorf("runtime: step: %w", err)
	}
	if err := t.run(t.state.side, in.N); err != nil {
		return fmt.Errorf("runtime: step: %w", err)
	}
	t.state.side = 1 - t.state.side
	t.report(in.N, out)
	return nil
}

// report gives what a batch of n had.
func (t *batchRunner) report(n int, out *StepOutput) {
	out.Loss = as[float32](t.loss.buffer.bytes)[0]
	out.PerSample, out.Logits = nil, nil
	if t.perSample != nil {
		out.PerSample = as[float32](t.perSample.bytes(n, t.maxBatch))
	}
	if t.logits != nil {
		out.Logits = as[float32](t.logits.bytes(n, t.maxBatch))
	}
	if out.Scalars = out.Scalars[:0]; len(t.scalars) > 0 {
		for _, p := range t.scalars {
			out.Scalars = append(out.Scalars, as[float32](p.buffer.bytes)[0])
		}
	}
}

// StateCopies is the number of state tensors that each step copies between
// memories, because a node on the CPU reads or writes them; it should be 0.
func (t *Trainer) StateCopies() (int, error) {
	if t.session == nil || t.state.closed {
		return 0, fmt.Errorf("runtime: trainer: %w", ErrClosed)
	}
	if t.device.provider == CPUProvider {
		return 0, nil
	}
	states := map[string]bool{}
	for _, slot := range t.state.slots {
		states[slot.Input], states[slot.Output] = true, true
	}
	names, err := t.cpuValues()
	if err != nil {
		return 0, fmt.Errorf("runtime: trainer: %w", err)
	}
	count := 0
	for _, name := range names {
		if states[name] {
			count++
		}
	}
	return count, nil
}

// fill copies a batch into the bound buffers.
func (t *batchRunner) fill(in *StepInput) error {
	if err := t.checkBatch(in.N); err != nil {
		return err
	}
	images := t.images.bytes(in.N, t.maxBatch)
	if len(in.Images) != len(images) {
		return fmt.Errorf("%q: %d bytes given, %d samples have %d", t.images.slot.Name, len(in.Images), in.N, len(images))
	}
	copy(images, in.Images)
	if t.labels != nil {
		var err error
		if t.labels.slot.DType == Int64 {
			err = fillPort(t, t.labels, in.Labels, in.N)
		} else {
			err = fillPort(t, t.labels, in.LabelsFloat, in.N)
		}
		if err != nil {
			return err
		}
	}
	if len(in.Targets) != len(t.targets) {
		return fmt.Errorf("%d targets given, the graph takes %d beside its labels", len(in.Targets), len(t.targets))
	}
	for i, p := range t.targets {
		dst := p.bytes(in.N, t.maxBatch)
		if len(in.Targets[i]) != len(dst) {
			return fmt.Errorf("%q: %d bytes given, %d samples have %d", p.slot.Name, len(in.Targets[i]), in.N, len(dst))
		}
		copy(dst, in.Targets[i])
	}
	switch {
	case t.weights != nil && in.Weights != nil:
		if err := fillPort(t, t.weights, in.Weights, in.N); err != nil {
			return err
		}
	case t.weights != nil:
		ones := as[float32](t.weights.bytes(in.N, t.maxBatch))
		for i := range ones {
			ones[i] = 1
		}
	case in.Weights != nil:
		return errors.New("sample weights are given, the graph takes none")
	}
	if t.lossScale != nil {
		as[float32](t.lossScale.buffer.bytes)[0] = in.LossScale
	}
	if t.rate != nil {
		as[float32](t.rate.buffer.bytes)[0] = in.LearningRate
	}
	if len(t.random) > 0 && in.Random == nil {
		return errors.New("the graph takes random numbers, none are given")
	}
	for i, p := range t.random {
		in.Random(i, as[float32](p.bytes(in.N, t.maxBatch)))
	}
	return nil
}

func fillPort[T int64 | float32](t *batchRunner, p *port, src []T, n int) error {
	dst := as[T](p.bytes(n, t.maxBatch))
	if len(src) != len(dst) {
		return fmt.Errorf("%q: %d values given, %d samples have %d", p.slot.Name, len(src), n, len(dst))
	}
	copy(dst, src)
	return nil
}

// Close frees the session and its bindings, not the state.
func (t *Trainer) Close() error {
	t.device.disown(t)
	return t.runner.close()
}
