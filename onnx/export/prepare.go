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
	image      onnx.Value   // the input that takes images
	label      onnx.Value   // the input that takes labels, of a model that holds its loss
	more       []onnx.Value // its other targets
	loss       onnx.Value   // that loss, [] or [1] or [N]
	scalars    []onnx.Value // further outputs like it, of numbers of any type
	scores     onnx.Value   // what the loss takes, [N, K] or, of every pixel, [N, K, H, W]
	logits     onnx.Value   // the class scores that are evaluated, of that shape: scores, or what they are an activation of
	shape      [3]int64     // C, H, W of an image
	nhwc       bool         // the model takes images channels last
	params     []string     // trained initializers, by first use
	buffers    []string     // running statistics, by first use
	tensors    []Tensor     // what is said of each float32 tensor of the file, by first use
	hasNorm    bool
	convBiased bool // a convolution with a bias and no normalisation behind it
}

// preparation is a model between the file and what is trained.
type preparation struct {
	m      *onnx.Model
	o      *Options
	f      *forward
	inf    *infer.Inference
	named  map[string]bool // initializers that may be trained
	others []Tensor
}

// prepare makes a model ready, which it takes over, in four stages; each relies
// on what those before it leave.
func prepare(m *onnx.Model, o *Options) (*forward, error) {
	p := &preparation{m: m, o: o, f: &forward{}}
	for _, stage := range []func() error{p.normalise, p.findTask, p.optimise, p.findState} {
		if err := stage(); err != nil {
			return nil, err
		}
	}
	return p.f, nil
}

// normalise makes of whatever the file holds one graph of opset 18 and float32,
// of operators that have rules, with the last layer and the batch that are asked for.
func (p *preparation) normalise() error {
	if twice := opset.Rename(p.m); len(twice) > 0 {
		p.o.Warn(RenamedNotice(twice))
	}
	if err := standardise(p.m); err != nil {
		return err
	}
	if err := takeBytes(p.m, p.o); err != nil {
		return err
	}
	settleSize(p.m.Graph, p.o.Images.Shape)
	if p.o.DynamicBatch {
		openBatch(p.m.Graph)
	}
	if err := p.newHead(); err != nil {
		return err
	}
	if p.o.Loss.Name == bundle.NoLoss {
		shareBatch(p.m.Graph)
	}
	p.named, p.others = p.o.candidates(p.m.Graph)
	split := newUnsharing(p.m.Graph, p.named)
	err := infer.Fold(p.m, infer.FoldOptions{Keep: func(name string) bool { return p.named[name] }, KeepDropout: true})
	if err != nil {
		return err
	}
	for _, text := range split.do() {
		p.o.Warn(text)
	}
	if err := autodiff.ControlFlow(p.m.Graph.Nodes); err != nil {
		return err
	}
	if _, err := infer.Model(p.m); err != nil {
		return err
	}
	if err := autodiff.CheckQuantised(p.m.Graph); err != nil {
		return err
	}
	if err := autodiff.Compose(p.m.Graph); err != nil {
		return err
	}
	p.inf, err = infer.Model(p.m)
	return err
}

// newHead replaces the last layer, where classes are asked for.
func (p *preparation) newHead() error {
	if p.o.Weights.Classes == 0 {
		return nil
	}
	if err := onlyOutput(p.m, p.o); err != nil {
		return err
	}
	layer, err := replaceHead(p.m.Graph, p.o.Weights.Classes, p.o.Weights.Seed)
	if err != nil {
		return err
	}
	p.o.Warn(fmt.Sprintf("the last layer, node %q, is replaced by one of %d classes with new weights", layer, p.o.Weights.Classes))
	return nil
}

// findTask finds images, scores and loss, and decides from the graph as it is
// written which tensors are trained.
func (p *preparation) findTask() error {
	f := p.f
	f.graph = p.m.Graph
	found, err := ownLosses(f.graph, p.inf)
	if err != nil {
		return err
	}
	if found { // what reads a loss has a type only now
		if p.inf, err = infer.Model(p.m); err != nil {
			return err
		}
	}
	if p.o.Loss.Name == bundle.NoLoss {
		if err := f.findOwnLoss(p.inf, p.o); err != nil {
			return err
		}
	}
	if err := f.findImages(p.o); err != nil {
		return err
	}
	if p.o.DynamicBatch {
		if p.inf, err = freeBatch(p.m, f.image, p.o.Warn); err != nil {
			return err
		}
	}
	if f.flatEnd(p.inf, p.o) {
		if p.inf, err = infer.Model(p.m); err != nil {
			return err
		}
	}
	if err := f.findScores(p.inf, p.named, p.o); err != nil {
		return err
	}
	f.graph.Outputs = []onnx.Value{f.scores}
	if f.loss.Name != "" {
		f.graph.Outputs = append(append(f.graph.Outputs, f.loss), f.scalars...)
	}
	if f.logits.Name != f.scores.Name {
		f.graph.Outputs = append(f.graph.Outputs, f.logits)
	}
	f.decide(p.named, p.o)
	return nil
}

// optimise rewrites what ONNX Runtime computes slowly, on the CPU or wrongly,
// and drops what leads to no output.
func (p *preparation) optimise() error {
	f := p.f
	if err := f.expandOverBatch(p.inf); err != nil {
		return err
	}
	if err := f.sidestep(p.inf); err != nil {
		return err
	}
	emit.Sweep(f.graph)
	if err := checkMasks(f.graph.Nodes); err != nil {
		return err
	}
	poolFirst(f.graph)
	return nil
}

// findState tells parameters and running statistics from constants.
func (p *preparation) findState() error {
	f := p.f
	if err := f.findState(p.inf, p.others, p.o); err != nil {
		return err
	}
	if len(f.params) == 0 {
		return fmt.Errorf("export: the model has no float32 initializer on the way to %q, so nothing to train; "+
			"export it with its weights inside: %w", f.scores.Name, emit.ErrModel)
	}
	if p.o.Weights.Reinit {
		f.reinit(p.o.Weights.Seed)
	}
	return f.checkState()
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

// masks is whether every pixel has scores.
func (f *forward) masks() bool { return f.loss.Name == "" && len(f.scores.Shape) == 4 }

// classes is the number of scores that a sample, or a pixel, gets.
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
