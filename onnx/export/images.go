package export

import (
	"errors"
	"fmt"
	"slices"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// maxColours is the most channels that an axis is taken to hold when it tells
// images with channels last, as Keras has them, from images with channels first.
const maxColours = 4

// imageShape is what an input takes: [N, C, H, W], [N, H, W, C] with few C, or
// [N, F], which is {1, 1, F}.
func imageShape(in onnx.Value) (shape [3]int64, nhwc bool, err error) {
	switch {
	case len(in.Shape) == 4 && in.Shape[1:].IsConst():
		copy(shape[:], in.Shape[1:].Ints())
		if nhwc = shape[2] <= maxColours && shape[0] > maxColours; nhwc {
			shape = [3]int64{shape[2], shape[0], shape[1]}
		}
	case len(in.Shape) == 2 && in.Shape[1].IsConst():
		shape = [3]int64{1, 1, in.Shape[1].N}
	default:
		return shape, false, fmt.Errorf("export: input %q has shape %v; [N, C, H, W] with fixed C, H and W, or [N, F], is needed; --input-size CxHxW fixes what is open: %w", in.Name, in.Shape, emit.ErrModel)
	}
	for _, d := range shape {
		if d < 1 || d > 1<<20 {
			return shape, false, fmt.Errorf("export: input %q takes images of %v: %w", in.Name, shape, emit.ErrModel)
		}
	}
	return shape, nhwc, nil
}

// settleSize gives the images of a graph the size that is asked for, where it
// leaves height, width or channels open, and drops what the exporter claims of
// the values behind them.
func settleSize(g *onnx.Graph, want [3]int64) {
	if want == [3]int64{} {
		return
	}
	for i, in := range g.Inputs {
		if len(in.Shape) != 4 || in.Shape[1:].IsConst() || in.DType != onnx.Float32 && in.DType != onnx.Uint8 {
			continue
		}
		sides := want[:]
		if in.Shape[3] == onnx.Const(want[0]) && !in.Shape[1].IsConst() {
			sides = []int64{want[1], want[2], want[0]} // channels last
		}
		shape := onnx.Shape{in.Shape[0]}
		for k, d := range in.Shape[1:] {
			if !d.IsConst() {
				d = onnx.Const(sides[k])
			}
			shape = append(shape, d)
		}
		g.Inputs[i].Shape, g.Values = shape, nil
		for k := range g.Outputs {
			g.Outputs[k].Shape = nil
		}
	}
}

// imageInput is the one input of a graph that takes images, labels aside.
func imageInput(g *onnx.Graph, targets []onnx.Value) (onnx.Value, error) {
	var images []onnx.Value
	for _, in := range g.Inputs {
		if !slices.ContainsFunc(targets, func(t onnx.Value) bool { return t.Name == in.Name }) {
			images = append(images, in)
		}
	}
	if len(images) != 1 {
		more := ""
		if len(images) > 1 {
			more = "; a model with its loss inside (--loss none) takes all others as targets of the sample"
		}
		return onnx.Value{}, fmt.Errorf("export: the model has %d inputs (%s), and one that takes images is needed%s: %w", len(images), listed(images), more, emit.ErrModel)
	}
	return images[0], nil
}

// findImages finds the image input and what it takes.
func (f *forward) findImages(o *Options) error {
	in, err := imageInput(f.graph, f.ownTargets())
	if err != nil {
		return err
	}
	f.image = in
	if in.DType != onnx.Float32 {
		return fmt.Errorf("export: input %q is %v, and images of float32, or of uint8 that the model casts, are needed: %w", in.Name, in.DType, emit.ErrModel)
	}
	if len(in.Shape) > 0 && in.Shape[0].IsConst() {
		return fmt.Errorf("export: input %q has a fixed batch of %v; give --dynamic-batch, or export the model with a dynamic first axis: %w", in.Name, in.Shape[0], emit.ErrModel)
	}
	if f.shape, f.nhwc, err = imageShape(in); err != nil {
		return err
	}
	if len(in.Shape) == 2 {
		return f.shapeFlat(o)
	}
	if want := o.Images.Shape; want != [3]int64{} && want != f.shape {
		return fmt.Errorf("export: input %q takes images of %v, not %v: %w", in.Name, f.shape, want, emit.ErrModel)
	}
	return nil
}

// shapeFlat says what images the vectors of a flat input are.
func (f *forward) shapeFlat(o *Options) error {
	values := f.shape[2]
	size := func(s [3]int64) int64 {
		n, _ := elements.Count(s[:])
		return n
	}
	switch {
	case o.Images.Shape != [3]int64{}:
		if size(o.Images.Shape) != values {
			return fmt.Errorf("export: input %q takes %d values, and an image of %v has %d: %w", f.image.Name, values, o.Images.Shape, size(o.Images.Shape), emit.ErrModel)
		}
		f.shape = o.Images.Shape
	case size(o.Images.DataShape) == values:
		f.shape = o.Images.DataShape
		o.Warn(fmt.Sprintf("input %q takes %d values: the data's images, %dx%dx%d, one after the other; winnow export --input-size CxHxW says otherwise",
			f.image.Name, values, f.shape[0], f.shape[1], f.shape[2]))
	default:
		o.Warn(fmt.Sprintf("input %q takes %d values, here for images of 1x1x%d; --input-size CxHxW says what images they are", f.image.Name, values, values))
	}
	return nil
}

// flatEnd gives an output of three dimensions those that a loss takes, under its
// own name, where it is asked for or nothing else could be the scores: one score
// a pixel, [N, H, W] of the images' size, is [N, 1, H, W], and quantities [N, A, B],
// such as points, are a vector [N, A*B].
func (f *forward) flatEnd(inf *infer.Inference, o *Options) bool {
	if f.loss.Name != "" {
		return false
	}
	at, shape := -1, onnx.Shape(nil)
	for i, out := range f.graph.Outputs {
		v, _ := inf.Type(out.Name)
		switch {
		case o.Output != "" && o.Output != out.Name || v.DType != onnx.Float32:
		case len(v.Shape) == 2 || len(v.Shape) == 4:
			return false
		case len(v.Shape) == 3 && isBatch(v.Shape[0]) && v.Shape[1:].IsConst():
			if at >= 0 {
				return false // one of several, of which none is told
			}
			at, shape = i, v.Shape
		}
	}
	pixels := at >= 0 && shape[1] == onnx.Const(f.shape[1]) && shape[2] == onnx.Const(f.shape[2])
	if at < 0 || !pixels && (!o.Loss.SoftTargets || lossOf(o.Loss.Name).several) {
		return false
	}
	name, e := f.graph.Outputs[at].Name, emit.New(f.graph, inf)
	inner := e.Unique(name + ".inner")
	for _, n := range f.graph.Nodes {
		for _, values := range [][]string{n.Inputs, n.Outputs} {
			for k := range values {
				if values[k] == name {
					values[k] = inner
				}
			}
		}
	}
	last := &onnx.Node{Name: name + ".end", Op: "Flatten", Inputs: []string{inner}, Outputs: []string{name}, Attrs: emit.Attrs{"axis": onnx.IntAttr(1)}}
	now, text := onnx.Shape{shape[0], onnx.Const(shape[1].N * shape[2].N)}, "is a vector of a sample"
	if pixels {
		last.Op, last.Inputs, last.Attrs = "Unsqueeze", append(last.Inputs, e.Int64s(1)), nil
		now, text = onnx.Shape{shape[0], onnx.Const(1), shape[1], shape[2]}, "has one score a pixel, which stands for class 1"
	}
	f.graph.Nodes, f.graph.Outputs[at].Shape = append(f.graph.Nodes, last), now
	o.Warn(fmt.Sprintf("output %q, %v, %s; training, evaluation and the trained model give it as %v", name, shape, text, now))
	return true
}

// findScores finds the class scores and what the model does to them at its end.
func (f *forward) findScores(inf *infer.Inference, named map[string]bool, o *Options) error {
	c := outputs{graph: f.graph, inf: inf, want: o.Output, loss: f.loss.Name, fits: isBatch, named: named, warn: o.Warn}
	if f.loss.Name != "" { // which trains what the scores do without
		c.warn = func(string) {}
	}
	out, err := c.choose()
	switch {
	case err != nil && o.Output != "" && errors.Is(err, emit.ErrModel):
		return f.explain(inf, err)
	case err != nil:
		return err
	case f.loss.Name != "" && len(out.Shape) != 2:
		if out, err = f.flatScores(inf, out); err != nil {
			return err
		}
	case out.Name == "":
		return f.explain(inf, fmt.Errorf("export: no output is a float32 [N, classes], or [N, classes, H, W] or [N, H, W] of every pixel; the model has %s: %w", listed(typed(inf, f.graph.Outputs)), emit.ErrModel))
	}
	return f.settleEnd(inf, out, o.Loss.Name, o.Warn)
}

// flatScores lays what a model with its own loss gives of an image out in a row:
// nothing but the loss says what it means. out is what could be scores, "" for none.
func (f *forward) flatScores(inf *infer.Inference, out onnx.Value) (onnx.Value, error) {
	for _, o := range f.graph.Outputs {
		v, _ := inf.Type(o.Name)
		if v.Name = o.Name; out.Name == "" && o.Name != f.loss.Name && v.DType == onnx.Float32 && len(v.Shape) > 1 && isBatch(v.Shape[0]) && v.Shape[1:].IsConst() {
			out = v
		}
	}
	if out.Name == "" {
		return out, fmt.Errorf("export: beside its loss %q the model gives no float32 [N, ...]; let it give what it predicts too: %w", f.loss.Name, emit.ErrModel)
	}
	e := emit.New(f.graph, inf)
	flat := e.Emit("Flatten", emit.Attrs{"axis": onnx.IntAttr(1)}, out.Name)
	v, _ := inf.Type(flat)
	v.Name = flat
	return v, e.Err
}

func isBatch(d onnx.Dim) bool { return d == onnx.Symbol(onnx.BatchSymbol) }

func typed(inf *infer.Inference, values []onnx.Value) []onnx.Value {
	all := make([]onnx.Value, len(values))
	for i, v := range values {
		all[i], _ = inf.Type(v.Name)
		all[i].Name = v.Name
	}
	return all
}

// explain gives the cause of an output that is not one of class scores: an
// operator that is not known, which hides the types behind it, or a node that
// fixes the number of images.
func (f *forward) explain(inf *infer.Inference, err error) error {
	missing := map[string][]string{}
	for _, n := range f.graph.Nodes {
		if !autodiff.IsDefaultDomain(n.Domain) || !autodiff.HasRule(n.Op) {
			missing[autodiff.Qualified(n)] = append(missing[autodiff.Qualified(n)], n.Name)
		}
	}
	if err := autodiff.NoRule(missing); err != nil {
		return err
	}
	if cause := fixesBatch(f.graph, inf, f.image); cause != nil {
		return cause
	}
	return err
}

// readScores finds the scores of a model that save wrote: its first output of
// class scores is the loss's, and a second one the evaluation's.
func (f *forward) readScores(inf *infer.Inference) error {
	for _, out := range f.graph.Outputs {
		v, _ := inf.Type(out.Name)
		v.Name = out.Name
		if v.Name == f.loss.Name || v.DType != onnx.Float32 || len(v.Shape) != 2 && len(v.Shape) != 4 || !isBatch(v.Shape[0]) || !v.Shape[1:].IsConst() {
			continue
		}
		if f.scores.Name == "" {
			f.scores = v
		}
		f.logits = v
	}
	if f.scores.Name == "" {
		return fmt.Errorf("export: no output is a float32 [N, classes], or [N, classes, H, W] or [N, H, W] of every pixel; the model has %s: %w", listed(typed(inf, f.graph.Outputs)), emit.ErrModel)
	}
	return nil
}

// onlyOutput leaves a graph the output of class scores alone, for what works
// from the outputs back before the graph is ready.
func onlyOutput(m *onnx.Model, o *Options) error {
	if len(m.Graph.Outputs) < 2 || o.Loss.Name == bundle.NoLoss {
		return nil
	}
	inf, _ := infer.Model(m) // what contradicts itself is reported once the graph is folded
	if inf == nil {
		return nil
	}
	named := map[string]bool{}
	for name, t := range m.Graph.Initializers {
		named[name] = t.DType == onnx.Float32 && len(t.Dims) > 0
	}
	c := outputs{graph: m.Graph, inf: inf, want: o.Output, fits: func(onnx.Dim) bool { return true }, named: named, warn: o.Warn}
	out, err := c.choose()
	if err != nil || out.Name == "" {
		return err
	}
	m.Graph.Outputs = []onnx.Value{out}
	return nil
}
