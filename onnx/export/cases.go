package export

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	"winnow/onnx/nchwc"
)

// cases lists the gradients with several forms that building the training
// graphs meets, each key once, in the order backward; the portable graph's first.
// Where there can be no blocked graph, o is told.
func (f *forward) cases(told *Options) ([]autodiff.Case, error) {
	var list []autodiff.Case
	o := *told
	record := func(c autodiff.Case) {
		if !slices.ContainsFunc(list, func(x autodiff.Case) bool { return x.Key == c.Key }) {
			list = append(list, c)
		}
	}
	portable := o
	portable.Blocks.Size = 0
	if err := buildTrain(f, portable, record, scratch(o)); err != nil {
		return nil, err
	}
	if o.Blocks.Size == 0 {
		return list, nil
	}
	if err := buildTrain(f, o, record, scratch(o)); err != nil {
		list = slices.DeleteFunc(list, func(c autodiff.Case) bool { return c.Block != 0 })
		return list, told.leaveBlocksOut(err)
	}
	return list, nil
}

// CaseGraph writes one form of a case's gradient as a graph by itself, for
// batches of n images. Its float32 inputs are what the gradient takes: the image,
// or for a convolution's data gradient the filter, and the adjoint; blocked ones
// come as they lie in memory. Its outputs are what the gradient gives, and of a
// pooling the forward pass too, since a form may ask more of that.
func CaseGraph(c autodiff.Case, form string, n int64) (model []byte, inputs, outputs []onnx.Value, err error) {
	if !slices.Contains(c.FormsFor(n), form) {
		return nil, nil, nil, optionError("form", "%s has none called %q for batches of %d", c.Key, form, n)
	}
	g := &onnx.Graph{Name: "form", Initializers: map[string]*onnx.Tensor{}}
	t := &caseGraph{Builder: emit.New(g, infer.New(g)), c: c, walk: autodiff.Walk{Lowering: autodiff.Lowering{Data: form, Weight: form, Pool: form}}}
	if c.Block != 0 {
		t.blocks = nchwc.New(t.Builder, c.Block, "")
		t.walk.Layout = t.blocks
	}
	if err := t.write(n); err != nil {
		return nil, nil, nil, err
	}
	if model, err = emit.Encode(g, nchwc.Domain); err != nil {
		return nil, nil, nil, err
	}
	return model, g.Inputs, g.Outputs, nil
}

// caseGraph writes the graph of a case.
type caseGraph struct {
	*emit.Builder
	c      autodiff.Case
	walk   autodiff.Walk
	blocks *nchwc.Layout // nil for a plain one
}

func (t *caseGraph) write(n int64) error {
	w := t.c.Window
	in, out := slices.Concat([]int64{n, t.c.Channels}, w.In), slices.Concat([]int64{n, t.c.OutC}, w.Out)
	x, dy, want := "x", "", []bool{true, false}
	switch t.c.Gradient {
	case autodiff.ConvData:
		t.declare("x", in)
		dy = t.receive("dy", t.c.YBlocked, out)
		t.receive("filter", false, slices.Concat([]int64{t.c.OutC, t.c.Channels / t.c.Group}, w.Kernel))
	case autodiff.ConvFilter:
		x, want = t.receive("x", t.c.XBlocked, in), []bool{false, true}
		dy = t.receive("dy", t.c.YBlocked, out)
		t.declare("filter", slices.Concat([]int64{t.c.OutC, t.c.Channels / t.c.Group}, w.Kernel))
	default:
		x = t.receive("x", t.c.XBlocked, in)
		dy = t.receive("dy", t.c.YBlocked, out)
	}
	node := &onnx.Node{Name: "conv", Op: "Conv", Inputs: []string{x, "filter"}, Outputs: []string{"y"}, Attrs: emit.Attrs{
		"strides": onnx.IntsAttr(w.Stride...), "dilations": onnx.IntsAttr(w.Dilation...),
		"pads": onnx.IntsAttr(slices.Concat(w.Begin, w.End)...), "group": onnx.IntAttr(t.c.Group),
	}}
	t.Take("y")
	if t.c.Gradient == autodiff.PoolData {
		node = &onnx.Node{Name: "pool", Op: "MaxPool", Inputs: []string{x}, Outputs: []string{"y"}, Attrs: t.c.Attrs}
		t.Within(bundle.PartForward, node)
		if t.blocks == nil || !t.blocks.Forward(node, "") {
			t.Append(node)
		}
		t.give("y", t.c.YBlocked)
	} else {
		t.declare("y", out)
	}
	dx, err := autodiff.Gradients(t.Builder, node, []string{dy}, want, t.walk)
	if err != nil {
		return err
	}
	if want[0] {
		t.give(dx[0], t.c.XBlocked)
	} else {
		t.give(dx[1], false)
	}
	return t.Err
}

// declare says of what shape a value is that nothing computes.
func (t *caseGraph) declare(name string, dims []int64) {
	t.Builder.Take(name)
	t.Inf.Set(onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.ShapeOf(dims...)})
}

// receive declares an input. Of a blocked one the memory comes in the shape of a
// plain one.
func (t *caseGraph) receive(name string, blocked bool, dims []int64) string {
	t.declare(name, dims)
	t.Graph.Inputs = append(t.Graph.Inputs, onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.ShapeOf(dims...)})
	if blocked {
		return t.blocks.ToPlain(name)
	}
	return name
}

// give declares an output.
func (t *caseGraph) give(value string, blocked bool) {
	if blocked {
		value = t.blocks.ToBlocks(value)
	}
	t.AddOutput(value)
}
