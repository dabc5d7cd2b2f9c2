package export

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
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
	b.Forward, err = emit.Encode(g)
	return err
}

// load is the opposite of save.
func load(b *bundle.Bundle) (*forward, error) {
	if b.Forward == nil {
		return nil, fmt.Errorf("export: bundle %q holds no %s to build from; export its model again: %w", b.Manifest.Name, bundle.ForwardFile, emit.ErrModel)
	}
	m, err := wire.Decode(b.Forward, "")
	if err != nil {
		return nil, fmt.Errorf("export: %s: %w", bundle.ForwardFile, err)
	}
	f, err := loaded(m, b)
	if err != nil {
		return nil, fmt.Errorf("export: %s: %w", bundle.ForwardFile, err)
	}
	return f, nil
}

func loaded(m *onnx.Model, b *bundle.Bundle) (*forward, error) {
	if err := opset.Check(m); err != nil {
		return nil, err
	}
	if err := autodiff.CheckArity(m.Graph.Nodes); err != nil {
		return nil, err
	}
	if err := autodiff.ControlFlow(m.Graph.Nodes); err != nil {
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
			return nil, fmt.Errorf("input %q is not what %s holds: %w", in.Name, b.Manifest.Weights, emit.ErrModel)
		}
		f.graph.Initializers[in.Name] = t
		known++
	}
	if known != len(f.params)+len(f.buffers) || len(f.params) == 0 {
		return nil, fmt.Errorf("%d inputs are state, and the bundle has %d: %w", known, len(f.params)+len(f.buffers), emit.ErrModel)
	}
	inf, err := infer.Model(m)
	if err != nil {
		return nil, err
	}
	o := Options{Images: ImageOptions{Shape: b.Manifest.ImageShape}, Loss: b.Manifest.Loss, Warn: func(string) {}}
	if b.Manifest.Loss.Name == bundle.NoLoss {
		if err := f.findOwnLoss(inf, &o); err != nil {
			return nil, err
		}
	}
	if err := f.findImages(&o); err != nil {
		return nil, err
	}
	if err := f.readScores(inf); err != nil {
		return nil, err
	}
	return f, checkMasks(f.graph.Nodes)
}

// Rebuild makes a bundle anew from the model that b was made from, with the
// same values of its state and the options that its manifest records. Of with,
// only Blocks, Warn, and Lowering and Tune of Forms are read; where they are
// what b was made with, the result equals b.
func Rebuild(b *bundle.Bundle, with Options) (*bundle.Bundle, error) {
	m := &b.Manifest
	f, err := load(b)
	if err != nil {
		return nil, err
	}
	o := Options{
		Name: m.Name, Source: m.Source, ClassNames: m.ClassNames,
		Loss: m.Loss, Optimizer: m.Optimizer, Precision: m.Precision, BatchLossOnly: m.Train.LossScale != nil,
		Images: ImageOptions{Normalize: m.Normalize, Float: m.Train.Images.DType == onnx.Float32.String()},
		Forms:  Forms{Lowering: with.Forms.Lowering, Tuned: m.Tuned, Tune: with.Forms.Tune},
		Blocks: with.Blocks, Warn: with.Warn,
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
		return nil, fmt.Errorf("export: the bundle rebuilt contradicts its weights: %w", err)
	}
	return built, nil
}
