package train

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

// graphs are a bundle's graphs on a device, and the state they share.
type graphs struct {
	bundle    *bundle.Bundle
	state     *ortrun.State
	trainer   *ortrun.Trainer      // of whole steps
	halves    *ortrun.SplitTrainer // of steps in two halves, in its place
	measures  bool                 // whole steps measure samples, so both are there
	evaluator *ortrun.Evaluator
	inference *bundle.Inference
	evalSpec  ortrun.EvalSpec
	layout    string
	closers   []io.Closer
}

// open makes the sessions; tail is how many numbers processes exchange beside
// the gradients.
func (g *graphs) open(o *Options, maxTrain, maxEval, tail int) error {
	g.bundle = o.Bundle
	slots, err := step.StateSlots(o.Bundle)
	if err != nil {
		return err
	}
	if g.state, err = o.Device.NewState(slots); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	g.closers = append(g.closers, g.state)
	open := g.openWhole
	if o.splits() {
		open = func(o *Options, maxTrain int) error { return g.openSplit(o, maxTrain, tail) }
	}
	if err := open(o, maxTrain); err != nil {
		return err
	}
	if g.measures && g.trainer == nil {
		if err := g.openWhole(o, maxEval); err != nil {
			return err
		}
	}
	if g.inference, err = o.Bundle.Inference(); err != nil {
		return err
	}
	if g.evalSpec, err = step.EvalSpec(o.Bundle, g.inference, g.layout); err != nil {
		return err
	}
	if g.evaluator, err = o.Device.NewEvaluator(g.evalSpec, g.state, maxEval); err != nil {
		return fmt.Errorf("train: bundle %q: its evaluation graph: %w", o.Bundle.Where(), err)
	}
	g.closers = append(g.closers, g.evaluator)
	debug.FreeOSMemory() // what only the set-up took, of a large model several times its weights
	return nil
}

func (g *graphs) openWhole(o *Options, maxTrain int) error {
	spec, layout, err := step.TrainSpec(o.Bundle, o.Device, o.Layout)
	if err != nil {
		return err
	}
	g.layout = layout
	if g.trainer, err = o.Device.NewTrainer(spec, g.state, maxTrain); err != nil {
		return fmt.Errorf("train: bundle %q: %s: %w", o.Bundle.Where(), bundle.GraphFile(g.layout), err)
	}
	g.closers = append(g.closers, g.trainer)
	return nil
}

// openSplit makes the two halves of a step.
func (g *graphs) openSplit(o *Options, maxTrain, tail int) error {
	spec, layout, err := step.SplitSpec(o.Bundle, o.Device, o.Layout)
	if err != nil {
		return fmt.Errorf("train: bundle %q: %w", o.Bundle.Where(), err)
	}
	g.layout, spec.Tail, spec.Direct = layout, tail, o.Job.Direct
	if g.halves, err = o.Device.NewSplitTrainer(spec, g.state, maxTrain); err != nil {
		return fmt.Errorf("train: bundle %q: the halves of %s: %w", o.Bundle.Where(), bundle.GraphFile(g.layout), err)
	}
	g.closers = append(g.closers, g.halves)
	return nil
}

// close closes the sessions, the newest first.
func (g *graphs) close() (err error) {
	for i := len(g.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, g.closers[i].Close())
	}
	return err
}

// read copies the state, by name.
func (g *graphs) read() (map[string]*onnx.Tensor, error) { return step.ReadState(g.bundle, g.state) }

// fits is whether a state is of this bundle.
func (g *graphs) fits(state map[string]*onnx.Tensor) error {
	for _, s := range g.bundle.Manifest.State {
		t := state[s.Name]
		if t == nil || t.DType.String() != s.DType || !slices.Equal(t.Dims, s.Shape) {
			return fmt.Errorf("train: %w: state %q is not in the checkpoint as %s %v", ErrBadData, s.Name, s.DType, s.Shape)
		}
	}
	return nil
}

// write puts a state in the place of the current one.
func (g *graphs) write(state map[string]*onnx.Tensor) error {
	if err := g.fits(state); err != nil {
		return err
	}
	for i, s := range g.bundle.Manifest.State {
		if err := g.state.Write(i, state[s.Name].Data); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return nil
}

// model is the state as a model for inference.
func (g *graphs) model(state map[string]*onnx.Tensor) ([]byte, error) {
	m, err := g.inference.Model(state)
	if err != nil {
		return nil, err
	}
	m.Producer = onnx.Producer
	return wire.Encode(m)
}

// runner computes logits of a loader's images.
type runner struct {
	evaluator *ortrun.Evaluator
	pixels    step.Pixels
}

func (r *runner) Run(n int, images []byte) ([]float32, error) {
	return r.evaluator.Run(n, r.pixels.Convert(n, images))
}
