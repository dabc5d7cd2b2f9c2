package export

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/fuse"
	"winnow/onnx/nchwc"
)

// training writes a training graph, the parts of a step one after the other.
type training struct {
	*writer
	f      *forward
	o      Options
	record func(autodiff.Case) // told of each gradient that has several forms; nil drops it
	b      *bundle.Bundle      // that roles and state go into
	roles  *bundle.TrainRoles
	nodes  []*onnx.Node // of the model

	blocks         *nchwc.Layout // nil in the portable graph
	weights, scale string        // inputs that weigh the samples and the loss; "" where there is none
	scaler         *lossScaler   // nil without loss scaling
	labels         onnx.Value

	walked []*onnx.Node // the model's nodes as they were emitted
	stats  map[*onnx.Node]autodiff.BatchStats
	next   map[string]string // buffer -> value that replaces it
}

// buildTrain writes a training graph into b, with the roles of its inputs and outputs.
func buildTrain(f *forward, o Options, record func(autodiff.Case), b *bundle.Bundle) (err error) {
	e, nodes, images := graphFor(f, o)
	s := &training{
		writer: e, f: f, o: o, record: record, b: b, roles: &b.Manifest.Train, nodes: nodes,
		stats: map[*onnx.Node]autodiff.BatchStats{}, next: map[string]string{},
	}
	defer e.recovered(&err)
	s.roles.Images = images
	s.inputs()
	if err := s.forward(); err != nil {
		return err
	}
	lossAt := len(e.Graph.Nodes)
	seed := s.loss()
	gradAt := len(e.Graph.Nodes)
	grads, err := s.gradients(seed)
	if err != nil {
		return err
	}
	s.lowerPrecision(lossAt, gradAt, grads)
	if err := s.update(grads); err != nil {
		return err
	}
	if s.blocks != nil && s.blocks.Kernels {
		fuse.Graph(e.Graph, e.Inf, s.o.Blocks.Size)
	}
	b.Train, err = emit.Encode(e.Graph, nchwc.Domain, onnx.KernelDomain)
	return err
}

// inputs declares what a step takes beside images and state.
func (s *training) inputs() {
	batch := onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}
	values := []onnx.Value{{Name: nameLabels, DType: onnx.Int64, Shape: batch}}
	switch {
	case s.f.loss.Name != "":
		values = s.f.ownTargets()
	case s.f.masks():
		values[0].DType, values[0].Shape = onnx.Uint8, append(batch[:1:1], s.f.scores.Shape[2:]...)
	case s.o.Loss.SoftTargets:
		values[0].DType, values[0].Shape = onnx.Float32, onnx.Shape{batch[0], onnx.Const(s.f.classes())}
	}
	s.targets(values)
	if s.o.BatchLossOnly || s.f.lossIsMean() {
		v := s.input(nameLossScale, onnx.Float32, onnx.Shape{})
		s.roles.LossScale, s.scale = &v, v.Name
	} else {
		v := s.input(nameWeights, onnx.Float32, batch)
		s.roles.SampleWeights, s.weights = &v, v.Name
	}
	s.roles.LearningRate = s.input(nameLearningRate, onnx.Float32, onnx.Shape{})
	if s.o.Precision == Float16 { // bfloat16 has the range of float32
		s.scaler, s.scale = s.lossScaler(s.o, s.scale)
	}
}

// targets declares the inputs of targets, of which the first is counted by.
func (s *training) targets(values []onnx.Value) {
	var targets []bundle.Target
	for i, v := range values {
		in := s.input(v.Name, v.DType, v.Shape)
		name := v.Name
		if s.f.loss.Name == "" {
			name = bundle.LabelTarget
			if s.f.masks() {
				name = bundle.MaskTarget
			}
		}
		t := bundle.TargetOf(name, in)
		if s.f.isMask(v) {
			t.Kind = bundle.TargetMask
		}
		if i == 0 {
			s.labels = v
			s.labels.Name = in.Name
			if t.Kind == bundle.TargetClass || t.Kind == bundle.TargetVector {
				s.roles.Labels = &in
			}
		}
		targets = append(targets, t)
	}
	if len(targets) > 1 || targets[0].Kind != bundle.TargetClass { // what a bundle names no target for is a class
		s.roles.Targets = targets
	}
}

// isMask is whether a target has a whole number for each pixel of the image.
func (f *forward) isMask(v onnx.Value) bool {
	return len(v.Shape) == 3 && v.DType != onnx.Float32 && v.Shape[1] == onnx.Const(f.shape[1]) && v.Shape[2] == onnx.Const(f.shape[2])
}

// forward emits the model's nodes as they train.
func (s *training) forward() error {
	s.Within(bundle.PartBatch, nil)
	s.Batch = s.samples(s.labels.Name)
	if block := s.o.Blocks.Size; block != 0 {
		s.blocks = nchwc.New(s.Builder, block, s.labels.Name)
		s.blocks.Lowering, s.blocks.Kernels = s.o.Forms.Lowering, s.o.Blocks.Kernels
	}
	for _, n := range s.nodes {
		s.Within(bundle.PartForward, n)
		trained, err := s.trained(n)
		if err != nil {
			return fmt.Errorf("export: node %q (%s): %w", n.Name, n.Op, err)
		}
		s.Within(bundle.PartForward, trained)
		if s.blocks == nil || !s.blocks.Forward(trained, s.stats[trained].Centred) {
			s.Append(trained)
		}
		if s.Err != nil {
			return s.Err
		}
		s.walked = append(s.walked, trained)
	}
	return nil
}

// trained is what a node of the model is while it trains: chance comes from
// inputs, and normalisations take the statistics of the batch.
func (s *training) trained(n *onnx.Node) (*onnx.Node, error) {
	switch n.Op {
	case "BatchNormalization":
		if !s.f.runs(n) {
			return inferenceNorm(n), nil
		}
		return s.trainedNorm(n)
	case "Dropout", "RandomUniformLike", "RandomUniform":
		replace := s.uniform
		if n.Op == "Dropout" {
			replace = s.dropout
		}
		random, out, err := replace(n, len(s.roles.Random))
		if random != nil {
			s.roles.Random = append(s.roles.Random, *random)
		}
		return out, err
	}
	return n, nil
}

// trainedNorm is a normalisation by the statistics of the batch. Where one is
// used twice, the running statistics of the second use go on from the first's.
func (s *training) trainedNorm(n *onnx.Node) (*onnx.Node, error) {
	running := *n
	running.Inputs = slices.Clone(n.Inputs)
	for i := 3; i < 5; i++ {
		if v := s.next[n.Inputs[i]]; v != "" {
			running.Inputs[i] = v
		}
	}
	var forms autodiff.NormForms
	if s.blocks != nil {
		forms = s.blocks.NormForms()
	}
	out, stats, mean, variance, err := autodiff.TrainingNorm(s.Builder, &running, forms)
	if err != nil {
		return nil, err
	}
	s.stats[out], s.next[n.Inputs[3]], s.next[n.Inputs[4]] = stats, mean, variance
	if s.onlyImages(n.Inputs[0]) {
		s.b.Manifest.MinBatch = leastForVariance
	}
	return out, nil
}

// loss emits the loss, and returns the adjoint that the walk back starts from.
func (s *training) loss() (seed string) {
	s.Within(bundle.PartLoss, nil)
	var loss, perSample string
	if s.f.loss.Name != "" {
		loss, perSample, seed = s.ownLoss(s.f, s.weights, s.scale)
	} else {
		loss, perSample, seed = s.writer.loss(s.f.scores.Name, s.labels.Name, s.weights, s.scale, s.o.Loss)
	}
	s.roles.Loss = s.output(loss)
	if !s.o.BatchLossOnly && perSample != "" {
		v := s.output(perSample)
		s.roles.PerSampleLoss = &v
	}
	if !s.o.BatchLossOnly && !s.f.lossIsMean() && !s.f.masks() { // scores of every pixel are many, and nobody asks for them
		v := s.output(s.f.scores.Name)
		s.roles.Logits = &v
	}
	s.scalars()
	return seed
}

// gradients emits the gradient of every parameter.
func (s *training) gradients(seed string) (map[string]string, error) {
	s.Within(bundle.PartGrad, nil)
	walk := autodiff.Walk{Lowering: s.o.Forms.Lowering, Record: s.record, Stats: s.stats}
	if s.blocks != nil {
		walk.Layout = s.blocks
	}
	return autodiff.Backward(s.Builder, s.walked, s.f.params, map[string]string{s.f.end(): seed}, walk)
}

// lowerPrecision runs what can be in half precision, where that is asked for.
func (s *training) lowerPrecision(lossAt, gradAt int, grads map[string]string) {
	half, ok := halfTypes[s.o.Precision]
	if !ok {
		return
	}
	keep := slices.Sorted(maps.Values(grads)) // in an order of its own: the graph's bytes must not depend on a map's
	keep = append(keep, slices.Sorted(maps.Values(s.next))...)
	scores := ""
	if s.f.loss.Name != "" {
		scores = s.f.scores.Name
	}
	halve(s.Builder, half, lossAt, gradAt, scores, keep)
}

// update emits what replaces the state.
func (s *training) update(grads map[string]string) error {
	s.Within(bundle.PartUpdate, nil)
	s.optimize(s.b, s.f, grads, s.roles.LearningRate.Name, s.scaler)
	for _, buf := range s.f.buffers {
		value, ok := s.next[buf]
		if !ok {
			return fmt.Errorf("export: buffer %q belongs to no normalisation: %w", buf, emit.ErrModel)
		}
		s.state(s.b, buf, bundle.KindBuffer, value, s.f.graph.Initializers[buf])
	}
	return s.Err
}

// leastForVariance is how many samples have a variance.
const leastForVariance = 2

// onlyImages is whether nothing but the images gives a channel several elements: [N, C], or [N, C, 1, 1].
func (e *writer) onlyImages(x string) bool {
	for _, d := range e.Shape(x)[min(2, len(e.Shape(x))):] {
		if d != onnx.Const(1) {
			return false
		}
	}
	return true
}

// inferenceNorm is a batch normalisation in evaluation mode.
func inferenceNorm(n *onnx.Node) *onnx.Node {
	return &onnx.Node{
		Name: n.Name, Op: n.Op, Inputs: n.Inputs, Outputs: n.Outputs[:1],
		Attrs: emit.Attrs{"epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))},
	}
}
