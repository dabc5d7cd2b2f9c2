package export

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
)

// forward is a model made ready: functions inlined, opset 18, shapes folded,
// its parameters and buffers told apart from constants.
type forward struct {
	graph      *onnx.Graph
	image      onnx.Value // the input that takes images
	label      onnx.Value // the input that takes labels, of a model that holds its loss
	loss       onnx.Value // that loss, [] or [1] or [N]
	scores     onnx.Value // what the loss takes, [N, K]
	logits     onnx.Value // the class scores that are evaluated, [N, K]: scores, or what they are an activation of
	shape      [3]int64   // C, H, W of an image
	nhwc       bool       // the model takes images channels last
	params     []string   // trained initializers, by first use
	buffers    []string   // running statistics, by first use
	tensors    []Tensor   // what is said of each float32 tensor of the file, by first use
	hasNorm    bool
	convBiased bool // a convolution with a bias and no normalisation behind it
}

// prepare takes ownership of m.
func prepare(m *onnx.Model, o *Options) (*forward, error) {
	if twice := opset.Rename(m); len(twice) > 0 {
		o.Warn(RenamedNotice(twice))
	}
	if err := standardise(m); err != nil {
		return nil, err
	}
	if err := takeBytes(m, o); err != nil {
		return nil, err
	}
	if o.DynamicBatch {
		openBatch(m.Graph)
	}
	if o.Classes > 0 {
		if err := onlyOutput(m, o); err != nil {
			return nil, err
		}
		layer, err := replaceHead(m.Graph, o.Classes, o.Seed)
		if err != nil {
			return nil, err
		}
		o.Warn(fmt.Sprintf("the last layer, node %q, is replaced by one of %d classes with new weights", layer, o.Classes))
	}
	if o.Loss.Name == bundle.NoLoss {
		shareBatch(m.Graph)
	}
	named, others := o.candidates(m.Graph)
	split := newUnsharing(m.Graph, named)
	err := infer.Fold(m, infer.FoldOptions{Keep: func(name string) bool { return named[name] }, KeepDropout: true})
	if err != nil {
		return nil, err
	}
	for _, text := range split.do() {
		o.Warn(text)
	}
	if err := autodiff.ControlFlow(m.Graph.Nodes); err != nil {
		return nil, err
	}
	if _, err := infer.Model(m); err != nil {
		return nil, err
	}
	if err := autodiff.CheckQuantised(m.Graph); err != nil {
		return nil, err
	}
	if err := autodiff.Compose(m.Graph); err != nil {
		return nil, err
	}
	inf, err := infer.Model(m)
	if err != nil {
		return nil, err
	}
	f := &forward{graph: m.Graph}
	if err := ownLosses(f.graph, inf); err != nil {
		return nil, err
	}
	if o.Loss.Name == bundle.NoLoss {
		if err := f.findOwnLoss(inf); err != nil {
			return nil, err
		}
	}
	if err := f.findImages(o); err != nil {
		return nil, err
	}
	if o.DynamicBatch {
		if inf, err = freeBatch(m, f.image, o.Warn); err != nil {
			return nil, err
		}
	}
	if err := f.findScores(inf, named, o); err != nil {
		return nil, err
	}
	f.graph.Outputs = []onnx.Value{f.scores}
	if f.loss.Name != "" {
		f.graph.Outputs = append(f.graph.Outputs, f.loss)
	}
	if f.logits.Name != f.scores.Name {
		f.graph.Outputs = append(f.graph.Outputs, f.logits)
	}
	f.decide(named, o)
	if err := f.spread(inf); err != nil {
		return nil, err
	}
	if err := f.sidestep(inf); err != nil {
		return nil, err
	}
	emit.Sweep(f.graph)
	if err := checkMasks(f.graph.Nodes); err != nil {
		return nil, err
	}
	poolFirst(f.graph)
	if err := f.findState(inf, others, o); err != nil {
		return nil, err
	}
	if len(f.params) == 0 {
		return nil, fmt.Errorf("export: the model has no float32 initializer on the way to %q, so nothing to train; "+
			"export it with its weights inside: %w", f.scores.Name, emit.ErrModel)
	}
	if o.Reinit {
		f.reinit(o.Seed)
	}
	return f, f.checkState()
}

// standardise makes a model one of float32 and opset 18 without functions, and
// refuses what is no such model.
func standardise(m *onnx.Model) error {
	if err := opset.Inline(m); err != nil {
		return err
	}
	if err := opset.To18(m); err != nil {
		return err
	}
	if err := opset.Check(m, onnx.LaterDomain); err != nil {
		return err
	}
	if err := autodiff.CheckArity(m.Graph.Nodes); err != nil {
		return err
	}
	if err := widen(m); err != nil {
		return err
	}
	return opset.CheckFinite(m.Graph)
}

// checkState refuses parameters and running statistics that are not finite.
func (f *forward) checkState() error {
	for _, name := range slices.Concat(f.params, f.buffers) {
		if i, _ := f.graph.Initializers[name].NotFinite(); i >= 0 {
			return fmt.Errorf("export: parameter %q: element %d: %w; if it is a mask, --freeze keeps it as it is: %w", name, i, onnx.ErrNotFinite, emit.ErrModel)
		}
	}
	return nil
}

// poolFirst swaps a Relu and the MaxPool that alone reads it: the maximum of
// what is positive is what is positive of the maximum, and the elements that
// get a gradient are the same; but the Relu, and its mask, shrink by the stride.
func poolFirst(g *onnx.Graph) {
	readers := map[string]int{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			readers[in]++
		}
	}
	for _, o := range g.Outputs {
		readers[o.Name]++
	}
	relus := map[string]*onnx.Node{}
	for _, n := range g.Nodes {
		if n.Op == "Relu" && readers[n.Outputs[0]] == 1 {
			relus[n.Outputs[0]] = n
		}
		relu := relus[n.Input(0)]
		if n.Op != "MaxPool" || relu == nil || len(n.Outputs) > 1 {
			continue
		}
		// The Relu's node becomes the pooling, and the pooling's the Relu.
		relu.Name, n.Name = n.Name, relu.Name
		relu.Op, n.Op = n.Op, relu.Op
		relu.Attrs, n.Attrs = n.Attrs, nil
	}
}

// end is the value whose adjoint the backward walk starts from.
func (f *forward) end() string {
	if f.loss.Name != "" {
		return f.loss.Name
	}
	return f.scores.Name
}

// classes is the number of scores a sample gets.
func (f *forward) classes() int64 { return f.scores.Shape[1].N }

// warnings says what is odd about a forward model for training.
func (f *forward) warnings() []string {
	var w []string
	if f.convBiased && !f.hasNorm {
		w = append(w, "the convolutions have biases and no normalisation follows them: if the model had batch normalisation, "+
			"the exporter folded it away; to train with it, export with torch.onnx.export(..., optimize=False), "+
			"or with dynamo=False, training=TrainingMode.PRESERVE, do_constant_folding=False")
	}
	return w
}
