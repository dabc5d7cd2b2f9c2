package runtime

import (
	"errors"
	"fmt"
	"maps"
)

// EvalSpec is an inference graph and the roles of its inputs and outputs.
type EvalSpec struct {
	Model  []byte         // an ONNX file
	Images Slot           // uint8 or float32 [N, C, H, W]
	Logits Slot           // float32 [N, K]
	State  map[string]int // graph input -> index in the State
}

// Evaluator runs an inference graph with the State's current values.
type Evaluator struct {
	*runner
	state  *State
	images *port
	logits *port
}

// NewEvaluator makes the session for an inference graph. It reads the side of
// st that is current at each Run, without copying; st may be nil for a graph
// that holds its own parameters.
func (d *Device) NewEvaluator(spec EvalSpec, st *State, maxBatch int) (_ *Evaluator, err error) {
	if st == nil && len(spec.State) > 0 {
		return nil, errors.New("runtime: evaluator: the graph needs a state")
	}
	if st != nil {
		if st.closed || st.device != d {
			return nil, errors.New("runtime: evaluator: a state of the same device is needed")
		}
		for name, i := range spec.State {
			if i < 0 || i >= len(st.slots) {
				return nil, fmt.Errorf("runtime: evaluator: %q: state %d: there are %d", name, i, len(st.slots))
			}
		}
	}
	r, err := d.newRunner(spec.Model, maxBatch, sessionOptions{})
	if err != nil {
		return nil, fmt.Errorf("runtime: inference graph: %w", err)
	}
	e := &Evaluator{runner: r, state: st}
	defer func() {
		if err != nil {
			err = fmt.Errorf("runtime: inference graph: %w", errors.Join(err, r.close()))
		}
	}()
	if spec.Logits.DType != Float32 {
		return nil, fmt.Errorf("%q: element type %d: must be float32", spec.Logits.Name, spec.Logits.DType)
	}
	if e.images, err = r.port(spec.Images, false); err != nil {
		return nil, err
	}
	if e.logits, err = r.port(spec.Logits, true); err != nil {
		return nil, err
	}
	var states []stateNames
	if st != nil {
		states = append(states, stateNames{state: st, inputs: maps.Clone(spec.State)})
	}
	if err := r.bind(states...); err != nil {
		return nil, err
	}
	return e, d.own(e)
}

// Run gives the logits, N*K row by row, of n images in the type and layout of
// EvalSpec.Images. They are valid until the next Run.
func (e *Evaluator) Run(n int, images []byte) (logits []float32, err error) {
	if e.session == nil || (e.state != nil && e.state.closed) {
		return nil, fmt.Errorf("runtime: evaluate: %w", ErrClosed)
	}
	if err := e.checkBatch(n); err != nil {
		return nil, fmt.Errorf("runtime: evaluate: %w", err)
	}
	dst := e.images.bytes(n, e.maxBatch)
	if len(images) != len(dst) {
		return nil, fmt.Errorf("runtime: evaluate: %q: %d bytes given, %d samples have %d",
			e.images.slot.Name, len(images), n, len(dst))
	}
	copy(dst, images)
	side := 0
	if e.state != nil {
		side = e.state.side
	}
	if err := e.run(side, n); err != nil {
		return nil, fmt.Errorf("runtime: evaluate: %w", err)
	}
	return as[float32](e.logits.bytes(n, e.maxBatch)), nil
}

// Close frees the session and its bindings, not the state.
func (e *Evaluator) Close() error {
	e.device.disown(e)
	return e.runner.close()
}
