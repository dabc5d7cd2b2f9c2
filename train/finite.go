package train

import (
	"fmt"
	"math"
	"slices"

	"winnow/loader"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/infer"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

// shownIndices bounds how many sample indices an error spells out.
const shownIndices = 16

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// notFinite names the samples whose loss is not finite, all of the batch where
// only the batch's loss is known.
func (l *loop) notFinite(out *ortrun.StepOutput, epoch, step int, rate float64, b *loader.Batch) error {
	var bad []uint32
	for j, loss := range out.PerSample {
		if !finite(float64(loss)) {
			bad = append(bad, b.Indices[j])
		}
	}
	if bad == nil {
		bad = b.Indices
	}
	more := ""
	if len(bad) > shownIndices {
		more = fmt.Sprintf(" and %d more", len(bad)-shownIndices)
		bad = bad[:shownIndices]
	}
	return fmt.Errorf("train: epoch %d, step %d, learning rate %g: %w (%v): samples %v%s; first is %s; a lower --lr may help",
		epoch, step, rate, ErrNotFinite, out.Loss, bad, more, l.firstNotFinite(b))
}

// notFiniteIn names the first tensor of a state that holds NaN or an infinity,
// "" where none does.
func notFiniteIn(b *bundle.Bundle, state map[string]*onnx.Tensor) string {
	for _, s := range b.Manifest.State {
		if i, nan := state[s.Name].NotFinite(); i >= 0 {
			return fmt.Sprintf("%s %q, %s at element %d", s.Kind, s.Name, oddity(nan), i)
		}
	}
	return ""
}

func oddity(nan bool) string {
	if nan {
		return "NaN"
	}
	return "infinite"
}

// stateNotFinite is notFiniteIn of the current state, as the end of a sentence.
func (l *loop) stateNotFinite() string {
	state, err := l.graphs.read()
	if err != nil {
		return ""
	}
	if bad := notFiniteIn(l.o.Bundle, state); bad != "" {
		return ": " + bad
	}
	return ""
}

// firstNotFinite names the tensor in which the last step's loss stopped being
// finite: one of the state that it began with, else the first that the model
// computes from that on the batch, else the loss.
func (l *loop) firstNotFinite(b *loader.Batch) string {
	l.graphs.state.Undo()
	defer l.graphs.state.Undo()
	state, err := l.graphs.read()
	if err != nil {
		return "unknown: " + err.Error()
	}
	if bad := notFiniteIn(l.o.Bundle, state); bad != "" {
		return bad + ", of the step before"
	}
	if l.o.splits() {
		if b = l.split.odd; b == nil {
			return "in a batch of another process"
		}
	}
	name, err := l.firstValue(b)
	switch {
	case err != nil:
		return "unknown: " + err.Error()
	case name == "":
		return "the loss, or a value that only training has: with the running statistics every one is finite"
	}
	return fmt.Sprintf("value %q of the model", name)
}

// firstValue is the first value of the inference graph, in its order, that is
// not finite on a batch.
func (l *loop) firstValue(b *loader.Batch) (string, error) {
	spec := l.graphs.evalSpec
	m, err := wire.Decode(l.graphs.bundle.Eval, "") // of the model's own values, in any layout
	if err != nil {
		return "", err
	}
	names, err := probe(m, spec.Logits.Name)
	if err != nil || len(names) == 0 {
		return "", err
	}
	if spec.Model, err = wire.Encode(m); err != nil {
		return "", err
	}
	spec.Logits = ortrun.Slot{Name: probed, DType: ortrun.Float32, Shape: []int64{-1, int64(len(names))}}
	ev, err := l.o.Device.NewEvaluator(spec, l.graphs.state, b.N)
	if err != nil {
		return "", err
	}
	defer ev.Close()
	r := runner{ev, step.PixelsFor(l.o.Bundle.Manifest.Eval.Images)}
	flags, err := r.Run(b.N, b.Images)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(flags[:len(names)], func(f float32) bool { return f != 0 }); i >= 0 {
		return names[i], nil
	}
	return "", nil
}

// probed is the output of a probe: for each image a row of flags, one for each
// value, 1 where that has an element in the batch that is not finite.
const probed = "winnow.not_finite"

// probe gives an inference graph that output in place of its own, and returns
// the values that are flagged.
func probe(m *onnx.Model, logits string) ([]string, error) {
	inf, err := infer.Model(m)
	if err != nil {
		return nil, err
	}
	g := m.Graph
	var names, flags []string
	add := func(op, out string, a map[string]onnx.Attr, in ...string) string {
		out = probed + "." + out
		g.Nodes = append(g.Nodes, &onnx.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: a})
		return out
	}
	to := func(d onnx.DType) map[string]onnx.Attr {
		return map[string]onnx.Attr{"to": onnx.IntAttr(int64(d))}
	}
	number := func(name string, t *onnx.Tensor) string {
		g.Initializers[probed+"."+name] = t
		return probed + "." + name
	}
	for i, n := range slices.Clone(g.Nodes) {
		v, ok := inf.Type(n.Outputs[0])
		if !ok || v.DType != onnx.Float32 || n.Domain != "" {
			continue
		}
		at := func(name string) string { return fmt.Sprintf("%s%d", name, i) }
		odd := add("Or", at("or"), nil, add("IsNaN", at("nan"), nil, n.Outputs[0]), add("IsInf", at("inf"), nil, n.Outputs[0]))
		flag := add("ReduceMax", at("any"), map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}, add("Cast", at("flag"), to(onnx.Float32), odd))
		flags = append(flags, add("Reshape", at("one"), nil, flag, number(at("shape"), onnx.FromInt64([]int64{1, 1}, 2))))
		names = append(names, n.Outputs[0])
	}
	if len(names) == 0 {
		return nil, nil
	}
	row := add("Concat", "row", map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, flags...)
	// A false for each image, to which the row is added.
	if v, _ := inf.Type(logits); len(v.Shape) > 2 {
		logits = add("Flatten", "row0", nil, logits)
	}
	scores := add("Slice", "scores", nil, logits, number("start", onnx.FromInt64([]int64{0}, 1)),
		number("end", onnx.FromInt64([]int64{1}, 1)), number("axis", onnx.FromInt64([]int64{1}, 1)))
	zero := add("Cast", "zero", to(onnx.Float32), add("And", "never", nil, add("IsNaN", "scoresnan", nil, scores),
		number("false", onnx.NewTensor(onnx.Bool))))
	g.Nodes = append(g.Nodes, &onnx.Node{Name: probed, Op: "Add", Inputs: []string{zero, row}, Outputs: []string{probed}})
	g.Outputs = append(g.Outputs, onnx.Value{Name: probed, DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol(onnx.BatchSymbol), onnx.Const(int64(len(names)))}})
	return names, nil
}
