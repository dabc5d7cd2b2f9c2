package bundle

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
	"winnow/onnx/wire"
)

// OwnNormalisation marks, in the metadata of a trained model that takes float32
// images, that these are 0 to 255 and what normalises them is inside.
const OwnNormalisation = "winnow.normalisation-inside"

// Inference is a bundle's inference graph, decoded once, to make models of.
type Inference struct {
	b     *Bundle
	model *onnx.Model
	state map[string]int // index of the state tensor that an input takes, by the input's name
	kinds map[string]onnx.Kind
}

// Inference decodes the inference graph.
func (b *Bundle) Inference() (*Inference, error) {
	m, err := wire.Decode(b.Eval, "")
	if err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", EvalFile, err)
	}
	f := &Inference{b: b, model: m, state: map[string]int{}, kinds: map[string]onnx.Kind{}}
	for name, t := range m.Graph.Initializers {
		if t.DType.IsFloat() {
			f.kinds[name] = onnx.KindBuffer
		}
	}
	evaluated := b.Manifest.Evaluated()
	for _, in := range m.Graph.Inputs {
		if in.Name == b.Manifest.Eval.Images.Name {
			continue
		}
		i := slices.IndexFunc(b.Manifest.State, func(s State) bool { return s.Input == in.Name })
		if i < 0 {
			return nil, fmt.Errorf("bundle: %s: %w: input %q is no state", EvalFile, ErrInvalid, in.Name)
		}
		f.state[in.Name] = evaluated[i]
		f.kinds[in.Name] = onnx.KindBuffer
		if b.Manifest.State[i].Kind == KindParameter {
			f.kinds[in.Name] = onnx.KindParameter
		}
	}
	return f, nil
}

// State is the index of the state tensor that each input but the images takes:
// its running average where there is one.
func (f *Inference) State() map[string]int { return maps.Clone(f.state) }

// Model makes a plain model: images in, as the bundle takes them, class scores
// out, or what the model makes of them, with the state given, by name, as
// initializers; averaged weights where there are any. What was trained is said
// to be a parameter, and what was not a buffer, for training that goes on from
// the model. The models share their
// nodes, which must not be changed.
func (f *Inference) Model(state map[string]*onnx.Tensor) (*onnx.Model, error) {
	m, g := *f.model, *f.model.Graph
	m.Graph, g.Initializers, g.Kinds = &g, maps.Clone(g.Initializers), f.kinds
	if g.Initializers == nil {
		g.Initializers = map[string]*onnx.Tensor{}
	}
	g.Inputs = nil
	for _, in := range f.model.Graph.Inputs {
		i, ok := f.state[in.Name]
		if !ok {
			g.Inputs = append(g.Inputs, in)
			continue
		}
		name := f.b.Manifest.State[i].Name
		if state[name] == nil {
			return nil, fmt.Errorf("bundle: state %q is missing", name)
		}
		g.Initializers[in.Name] = state[name]
	}
	if out := f.b.Manifest.Eval.Output; out != nil {
		g.Outputs = slices.DeleteFunc(slices.Clone(g.Outputs), func(v onnx.Value) bool { return v.Name != out.Name })
	}
	if f.b.Manifest.Eval.Images.DType == onnx.Float32.String() {
		m.Metadata = map[string]string{OwnNormalisation: "1"}
	}
	return &m, nil
}
