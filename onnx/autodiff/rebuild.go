package autodiff

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
)

// save writes the model into b as Rebuild reads it: without the values of its
// state, which are inputs, and with what only training has, such as dropout.
func (f *forward) save(b *bundle.Bundle) error {
	g := &onnx.Graph{Name: f.graph.Name, Nodes: f.graph.Nodes, Outputs: f.graph.Outputs, Initializers: maps.Clone(f.graph.Initializers)}
	g.Inputs = slices.Clone(f.graph.Inputs)
	for _, name := range slices.Concat(f.params, f.buffers) {
		t := g.Initializers[name]
		g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: t.DType, Shape: onnx.ShapeOf(t.Dims...)})
		delete(g.Initializers, name)
	}
	var err error
	b.Forward, err = encode(g)
	return err
}

// load is the opposite of save.
func load(b *bundle.Bundle) (*forward, error) {
	if b.Forward == nil {
		return nil, fmt.Errorf("autodiff: bundle %q holds no %s to build from; export its model again: %w", b.Manifest.Name, bundle.ForwardFile, ErrModel)
	}
	m, err := wire.Decode(b.Forward, "")
	if err != nil {
		return nil, fmt.Errorf("autodiff: %s: %w", bundle.ForwardFile, err)
	}
	f, err := loaded(m, b)
	if err != nil {
		return nil, fmt.Errorf("autodiff: %s: %w", bundle.ForwardFile, err)
	}
	return f, nil
}

func loaded(m *onnx.Model, b *bundle.Bundle) (*forward, error) {
	if err := opset.Check(m); err != nil {
		return nil, err
	}
	if err := checkArity(m.Graph.Nodes); err != nil {
		return nil, err
	}
	if err := controlFlow(m.Graph.Nodes); err != nil {
		return nil, err
	}
	f := &forward{graph: m.Graph}
	init := map[string]*onnx.Tensor{}
	for _, s := range b.Manifest.State {
		switch s.Kind {
		case bundle.KindParameter:
			f.params = append(f.params, s.Input)
		case bundle.KindBuffer:
			f.buffers = append(f.buffers, s.Input)
		default:
			continue
		}
		init[s.Input] = b.Init[s.Name]
	}
	inputs := f.graph.Inputs
	f.graph.Inputs = nil
	known := 0
	for _, in := range inputs {
		t, state := init[in.Name]
		if !state {
			f.graph.Inputs = append(f.graph.Inputs, in)
			continue
		}
		if t == nil || t.DType != in.DType || !in.Shape.Equal(onnx.ShapeOf(t.Dims...)) {
			return nil, fmt.Errorf("input %q is not what %s holds: %w", in.Name, b.Manifest.Weights, ErrModel)
		}
		f.graph.Initializers[in.Name] = t
		known++
	}
	if known != len(f.params)+len(f.buffers) || len(f.params) == 0 {
		return nil, fmt.Errorf("%d inputs are state, and the bundle has %d: %w", known, len(f.params)+len(f.buffers), ErrModel)
	}
	inf, err := infer.Model(m)
	if err != nil {
		return nil, err
	}
	if b.Manifest.Loss.Name == bundle.NoLoss {
		if err := f.findOwnLoss(inf); err != nil {
			return nil, err
		}
	}
	o := Options{ImageShape: b.Manifest.ImageShape, Warn: func(string) {}}
	if err := f.findImages(&o); err != nil {
		return nil, err
	}
	if err := f.readScores(inf); err != nil {
		return nil, err
	}
	return f, checkMasks(f.graph.Nodes)
}

// Rebuild makes a bundle anew from the model that b was made from, with the
// same values of its state and the options that its manifest records, but with
// lowering, and tuned by tune unless that is nil: without a change of lowering
// or tuning the result equals b. warn takes warnings and notices; nil drops them.
func Rebuild(b *bundle.Bundle, lowering Lowering, tune func([]Case) (*bundle.Tuned, error), warn func(string)) (*bundle.Bundle, error) {
	m := &b.Manifest
	f, err := load(b)
	if err != nil {
		return nil, err
	}
	o := Options{
		Name: m.Name, SourceFile: m.Source.File, SourceSHA256: m.Source.SHA256, ClassNames: m.ClassNames,
		Loss: m.Loss, Optimizer: m.Optimizer, Normalize: m.Normalize, Precision: m.Precision,
		FloatImages: m.Train.Images.DType == onnx.Float32.String(), BatchLossOnly: m.Train.LossScale != nil,
		Lowering: lowering, Tuned: m.Tuned, Tune: tune, Warn: warn,
	}
	o.clearUnread()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := o.fits(f); err != nil {
		return nil, err
	}
	built, err := build(f, o)
	if err != nil {
		return nil, err
	}
	built.Manifest.Loss, built.Manifest.Optimizer = m.Loss, m.Optimizer
	built.Manifest.Weights, built.Manifest.Unknown, built.Manifest.Fixed = m.Weights, m.Unknown, m.Fixed
	built.Init = b.Init // optimizers may have been given values of their own
	if err := built.Validate(); err != nil {
		return nil, fmt.Errorf("autodiff: the bundle rebuilt contradicts its weights: %w", err)
	}
	return built, nil
}
