package export

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// writer writes one of a bundle's graphs.
type writer struct{ *emit.Builder }

// graphFor copies the forward graph's nodes into a new graph whose image input
// is o's; parameters and buffers become inputs, constants stay initializers.
func graphFor(f *forward, o Options) (*writer, []*onnx.Node, bundle.Value) {
	g := &onnx.Graph{Name: f.graph.Name, Initializers: map[string]*onnx.Tensor{}}
	image := onnx.Value{Name: f.image.Name, DType: onnx.Uint8, Shape: onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}}
	if o.Images.Float {
		image.DType = onnx.Float32
	}
	image.Shape = append(image.Shape, onnx.ShapeOf(f.shape[:]...)...)
	g.Inputs = append(g.Inputs, image)
	state := slices.Concat(f.params, f.buffers)
	for _, name := range state {
		t := f.graph.Initializers[name]
		g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: t.DType, Shape: onnx.ShapeOf(t.Dims...)})
	}
	for name, t := range f.graph.Initializers {
		if !slices.Contains(state, name) {
			g.Initializers[name] = t
		}
	}
	e := &writer{emit.New(g, infer.New(g))}
	for _, n := range f.graph.Nodes { // their names are taken, though they come later
		e.Take(n.Outputs...)
	}
	e.Within(bundle.PartImages, nil)
	x := e.normalise(image.Name, f, o)
	var nodes []*onnx.Node
	for _, n := range f.graph.Nodes {
		c := *n
		c.Inputs, c.Outputs = slices.Clone(n.Inputs), slices.Clone(n.Outputs)
		for i, in := range c.Inputs {
			if in == image.Name {
				c.Inputs[i] = x
			}
		}
		if c.Name == "" {
			c.Name = c.Outputs[0]
		}
		nodes = append(nodes, &c)
	}
	return e, nodes, manifestValue(image)
}

// recovered makes a panic an error: whatever a rule takes for granted, a file may lack.
func (e *writer) recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("export: nothing can be made of the shapes at %q: %v: %w", e.Place(), r, emit.ErrModel)
	}
}

// normalise emits what Normalize says, and a reshape where the model takes flat vectors.
func (e *writer) normalise(x string, f *forward, o Options) string {
	if !o.Images.Float {
		x = e.Cast(x, onnx.Float32)
	}
	scale, shift := make([]float32, f.shape[0]), make([]float32, f.shape[0])
	scaled, shifted := false, false
	for c := range scale {
		mean, std := channel(o.Images.Normalize.Mean, c, 0), channel(o.Images.Normalize.Std, c, 1)
		scale[c], shift[c] = float32(o.Images.Normalize.Scale/std), float32(mean/std)
		scaled, shifted = scaled || scale[c] != 1, shifted || shift[c] != 0
	}
	if scaled {
		x = e.Mul(x, e.Float32s(scale, f.shape[0], 1, 1))
	}
	if shifted {
		x = e.Sub(x, e.Float32s(shift, f.shape[0], 1, 1))
	}
	if f.nhwc {
		x = e.Transpose(x, 0, 2, 3, 1)
	}
	if len(f.image.Shape) == 2 {
		x = e.Flat(x, 0, f.image.Shape[1].N)
	}
	return x
}

// channel is the c-th of one value a channel, or of one for all, or def.
func channel(v []float64, c int, def float64) float64 {
	switch {
	case len(v) == 0:
		return def
	case len(v) == 1:
		return v[0]
	}
	return v[c]
}

func manifestValue(v onnx.Value) bundle.Value {
	return bundle.Value{Name: v.Name, DType: v.DType.String(), Shape: bundle.Dims(v.Shape)}
}

// input declares a graph input under a free name like want.
func (e *writer) input(want string, d onnx.DType, shape onnx.Shape) bundle.Value {
	return manifestValue(e.Builder.AddInput(want, d, shape))
}

// output declares a graph output that exists as a value.
func (e *writer) output(name string) bundle.Value { return manifestValue(e.Builder.AddOutput(name)) }

// state declares that the tensor is read under its name as input and replaced by the value next.
func (e *writer) state(b *bundle.Bundle, name, kind, next string, init *onnx.Tensor) {
	e.output(next)
	b.Manifest.State = append(b.Manifest.State, bundle.State{
		Name: name, Kind: kind, Input: name, Output: next, DType: init.DType.String(), Shape: init.Dims,
	})
	b.Init[name] = init
}
