package export

import (
	"errors"
	"fmt"
	"maps"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
)

// Classifier is a model made ready to be evaluated, by the same rules by which
// Build makes it ready for training: the same images, the same output, and
// scores from before a last activation.
type Classifier struct {
	Model   *onnx.Model // whose output Logits are the class scores
	Images  onnx.Value  // [N, C, H, W], [N, H, W, C] or [N, F], uint8 or float32
	Logits  string
	Shape   [3]int64 // C, H, W; {1, 1, F} of flat vectors
	NHWC    bool
	Batch   int64 // images that a run takes, 0 for any number
	Classes int64
	Pixels  [2]int64 // height and width of scores of every pixel; zeros where an image has one score a class
	Inside  bool     // images are 0 to 255: what normalises them is in the model
}

// NewClassifier finds what a model takes and gives. It takes m over. output is
// the one of class scores, "" for the one whose graph holds every parameter.
// Operators without a gradient are no hindrance.
func NewClassifier(m *onnx.Model, output string, warn func(string)) (*Classifier, error) {
	if warn == nil {
		warn = func(string) {}
	}
	if twice := opset.Rename(m); len(twice) > 0 {
		warn(RenamedNotice(twice))
	}
	if err := opset.Check(m); err != nil {
		return nil, err
	}
	if err := opset.CheckFinite(m.Graph); err != nil {
		return nil, err
	}
	ready, inf, err := inferable(m)
	if err != nil {
		return nil, err
	}
	g := ready.Graph
	in, err := imageInput(g, nil)
	if err != nil {
		return nil, err
	}
	if in.DType != onnx.Uint8 && in.DType != onnx.Float32 {
		return nil, fmt.Errorf("export: input %q is %v, and images of uint8 or float32 are needed: %w", in.Name, in.DType, emit.ErrModel)
	}
	c := &Classifier{Model: ready, Images: in, Inside: normalisesItself(m, in)}
	if c.Shape, c.NHWC, err = imageShape(in); err != nil {
		return nil, err
	}
	out, err := scoresOf(ready, m, inf, output, warn)
	if err != nil {
		return nil, err
	}
	if out.Name == "" {
		return nil, fmt.Errorf("export: no output is a float32 [N, classes], or [N, classes, H, W] of every pixel; the model has %s: %w", listed(typed(inf, g.Outputs)), emit.ErrModel)
	}
	c.Classes = out.Shape[1].N
	if len(out.Shape) == 4 {
		c.Pixels = [2]int64{out.Shape[2].N, out.Shape[3].N}
	}
	for _, d := range []onnx.Dim{in.Shape[0], out.Shape[0]} {
		if d.IsConst() && c.Batch == 0 {
			c.Batch = d.N
		}
	}
	if c.Batch > maxFixedBatch {
		return nil, fmt.Errorf("export: the model takes %d images at a time, more than %d: %w", c.Batch, maxFixedBatch, emit.ErrModel)
	}
	return c, c.takeScores(inf, out, warn)
}

// maxFixedBatch bounds how many images a model of a fixed batch may take.
const maxFixedBatch = 1 << 16

// takeScores makes the scores before a last activation the model's output.
func (c *Classifier) takeScores(inf *infer.Inference, out onnx.Value, warn func(string)) error {
	g := c.Model.Graph
	end := findEnding(g, inf, out)
	if end.op != "" {
		e := emit.New(g, inf)
		out = end.before(e)
		if e.Err != nil {
			return e.Err
		}
		warn(fmt.Sprintf("the model ends in %s, node %q; the loss is that of the scores before it", end.op, end.node))
	}
	c.Logits = out.Name
	g.Outputs = []onnx.Value{out}
	emit.Sweep(g)
	return nil
}

// inferable is the model as preparation for training has it, and its types;
// where an operator or its opset is beyond that, the model as it came, of
// whose values only what the file says is known.
func inferable(m *onnx.Model) (*onnx.Model, *infer.Inference, error) {
	ready, inf, err := inferenceForm(m)
	if err == nil {
		return ready, inf, nil
	}
	for _, kind := range []error{infer.ErrShape, onnx.ErrTooLarge, onnx.ErrInvalid} {
		if errors.Is(err, kind) {
			return nil, nil, err
		}
	}
	inf = infer.New(m.Graph)
	for _, v := range m.Graph.Values {
		inf.Set(v)
	}
	for _, v := range m.Graph.Outputs {
		inf.Set(v)
	}
	return m, inf, nil
}

// inferenceForm is a copy of m, inlined, of opset 18 and in float32, that
// normalises by running statistics and drops nothing.
func inferenceForm(m *onnx.Model) (*onnx.Model, *infer.Inference, error) {
	file, err := wire.Encode(m)
	if err != nil {
		return nil, nil, err
	}
	c, err := wire.Decode(file, "")
	if err != nil {
		return nil, nil, err
	}
	c.Graph.Kinds = maps.Clone(m.Graph.Kinds)
	for _, step := range []func(*onnx.Model) error{opset.Inline, opset.To18, widen, evaluating} {
		if err := step(c); err != nil {
			return nil, nil, err
		}
	}
	if err := infer.Fold(c, infer.FoldOptions{}); err != nil {
		return nil, nil, err
	}
	inf, err := infer.Model(c)
	if err != nil {
		return nil, nil, err
	}
	for _, out := range c.Graph.Outputs {
		if v, _ := inf.Type(out.Name); v.Shape == nil {
			inf.Set(out)
		}
	}
	return c, inf, nil
}

// evaluating puts normalisation and dropout into evaluation mode.
func evaluating(m *onnx.Model) error {
	for _, n := range m.Graph.Nodes {
		switch n.Op {
		case "BatchNormalization":
			if n.Int("training_mode", 0) != 0 {
				n.Outputs = n.Outputs[:1]
				delete(n.Attrs, "training_mode")
			}
		case "Dropout":
			if len(n.Inputs) > 2 {
				n.Inputs = n.Inputs[:2]
			}
		}
	}
	return nil
}

// EndsInSigmoid is whether the class scores of a model, which is not changed,
// go through a last Sigmoid, so that bce is the loss of what it gives.
func EndsInSigmoid(m *onnx.Model, output string) bool {
	c, inf, err := inferenceForm(m)
	if err != nil {
		return false
	}
	out, err := scoresOf(c, m, inf, output, func(string) {})
	return err == nil && out.Name != "" && findEnding(c.Graph, inf, out).op == "Sigmoid"
}

// scoresOf chooses the output of class scores of a model in inference form, for
// any batch.
func scoresOf(c, source *onnx.Model, inf *infer.Inference, output string, warn func(string)) (onnx.Value, error) {
	named := map[string]bool{}
	for name, t := range c.Graph.Initializers {
		kind := source.Graph.Kinds[name]
		named[name] = t.DType.IsFloat() && (len(t.Dims) > 0 && kind == "" || kind == onnx.KindParameter)
	}
	find := outputs{graph: c.Graph, inf: inf, want: output, named: named, warn: warn, fits: func(onnx.Dim) bool { return true }}
	return find.choose()
}
