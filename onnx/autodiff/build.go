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

// Names of the graph inputs and outputs that a bundle's graphs add to the
// model's own; a number is put behind one that the model already uses.
const (
	nameLabels       = "labels"
	nameWeights      = "sample_weights"
	nameLossScale    = "loss_scale"
	nameLearningRate = "learning_rate"
	nameLoss         = "loss"
	nameSampleLoss   = "per_sample_loss"
)

// Build makes a training bundle from a forward model, which it takes over and
// changes. The model needs one image input with a dynamic first axis, of float32
// or of bytes that it casts itself, and an output of class scores, [N, K].
func Build(m *onnx.Model, o Options) (*bundle.Bundle, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	f, err := prepare(m, &o)
	if err != nil {
		return nil, err
	}
	if err := o.fits(f); err != nil {
		return nil, err
	}
	for _, w := range f.warnings() {
		o.Warn(w)
	}
	return build(f, o)
}

// build makes the bundle of a model made ready.
func build(f *forward, o Options) (*bundle.Bundle, error) {
	o.Lowering.Forms = o.Tuned.Forms()
	if o.Tune != nil {
		cases, err := f.cases(&o)
		if err != nil {
			return nil, err
		}
		if o.Tuned, err = o.Tune(cases); err != nil {
			return nil, err
		}
		o.Lowering.Forms = o.Tuned.Forms()
	}
	b := &bundle.Bundle{
		Manifest: bundle.Manifest{
			Format: bundle.Format, Name: o.Name,
			Source:     bundle.Source{File: o.SourceFile, SHA256: o.SourceSHA256},
			ImageShape: f.shape, Classes: f.classes(), ClassNames: o.ClassNames,
			Loss: o.Loss, Optimizer: o.Optimizer, Precision: o.Precision, Normalize: o.Normalize, Weights: bundle.WeightsFile,
			Tuned: o.Tuned,
		},
		Init: map[string]*onnx.Tensor{},
	}
	portable := o
	portable.Lowering.Block = 0
	if err := buildTrain(f, portable, b); err != nil {
		return nil, err
	}
	if block := o.Lowering.Block; block != 0 && o.Precision == "" { // half precision is for other providers
		twin := scratch(o)
		switch err := buildTrain(f, o, twin); {
		case err == nil:
			b.Manifest.Blocked, b.Blocked = &bundle.Blocked{Block: block}, twin.Train
		default:
			if err := o.leaveBlocksOut(err); err != nil {
				return nil, err
			}
		}
	}
	if err := buildEval(f, o, b); err != nil {
		return nil, err
	}
	if err := f.save(b); err != nil {
		return nil, err
	}
	for _, t := range f.tensors {
		if t.State == StateFixed {
			b.Manifest.Fixed = append(b.Manifest.Fixed, bundle.Fixed{Name: t.Name, Shape: t.Shape, Role: t.Role, Why: t.Why})
		}
	}
	if o.Decided != nil {
		o.Decided(f.tensors)
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("autodiff: the bundle contradicts itself: %w", err)
	}
	return b, nil
}

// scratch is a bundle to build a further training graph into.
func scratch(o Options) *bundle.Bundle {
	return &bundle.Bundle{Manifest: bundle.Manifest{Optimizer: o.Optimizer}, Init: map[string]*onnx.Tensor{}}
}

// graphFor copies the forward graph's nodes into a new graph whose image input
// is o's; parameters and buffers become inputs, constants stay initializers.
func graphFor(f *forward, o Options) (*emitter, []*onnx.Node, bundle.Value) {
	g := &onnx.Graph{Name: f.graph.Name, Initializers: map[string]*onnx.Tensor{}}
	image := onnx.Value{Name: f.image.Name, DType: onnx.Uint8, Shape: onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}}
	if o.FloatImages {
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
	e := newEmitter(g, infer.New(g))
	for _, n := range f.graph.Nodes { // their names are taken, though they come later
		for _, out := range n.Outputs {
			e.taken[out] = true
		}
	}
	e.within(bundle.PartImages, nil)
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

// normalise emits what Normalize says, and a reshape where the model takes flat vectors.
func (e *emitter) normalise(x string, f *forward, o Options) string {
	if !o.FloatImages {
		x = e.cast(x, onnx.Float32)
	}
	scale, shift := make([]float32, f.shape[0]), make([]float32, f.shape[0])
	scaled, shifted := false, false
	for c := range scale {
		mean, std := channel(o.Normalize.Mean, c, 0), channel(o.Normalize.Std, c, 1)
		scale[c], shift[c] = float32(o.Normalize.Scale/std), float32(mean/std)
		scaled, shifted = scaled || scale[c] != 1, shifted || shift[c] != 0
	}
	if scaled {
		x = e.mul(x, e.floats(scale, f.shape[0], 1, 1))
	}
	if shifted {
		x = e.sub(x, e.floats(shift, f.shape[0], 1, 1))
	}
	if f.nhwc {
		x = e.transpose(x, 0, 2, 3, 1)
	}
	if len(f.image.Shape) == 2 {
		x = e.flat(x, 0, f.image.Shape[1].N)
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
func (e *emitter) input(want string, d onnx.DType, shape onnx.Shape) bundle.Value {
	v := onnx.Value{Name: e.unique(want), DType: d, Shape: shape}
	e.graph.Inputs = append(e.graph.Inputs, v)
	e.inf.Set(v)
	return manifestValue(v)
}

// output declares a graph output that exists as a value.
func (e *emitter) output(name string) bundle.Value {
	v, _ := e.inf.Type(name)
	v.Name = name
	e.graph.Outputs = append(e.graph.Outputs, v)
	return manifestValue(v)
}

// state declares that the tensor is read under its name as input and replaced by the value next.
func (e *emitter) state(b *bundle.Bundle, name, kind, next string, init *onnx.Tensor) {
	e.output(next)
	b.Manifest.State = append(b.Manifest.State, bundle.State{
		Name: name, Kind: kind, Input: name, Output: next, DType: init.DType.String(), Shape: init.Dims,
	})
	b.Init[name] = init
}

// nextName is the output that replaces a state tensor.
func (e *emitter) nextName(name string) string { return e.unique(name + ".next") }

// leaveBlocksOut goes on with the portable graph alone where the blocked one
// cannot be made, unless it is insisted on.
func (o *Options) leaveBlocksOut(cause error) error {
	if o.Lowering.Insist {
		return fmt.Errorf("%w; the model's graph in blocks of channels cannot be made, the portable one can", cause)
	}
	o.Lowering.Block = 0
	o.Warn(fmt.Sprintf("the bundle has the portable graph alone, on the CPU too; the one in blocks of channels cannot be made: %v", cause))
	return nil
}

func buildTrain(f *forward, o Options, b *bundle.Bundle) (err error) {
	e, nodes, images := graphFor(f, o)
	defer func() { // whatever a rule takes for granted, a file may lack
		if r := recover(); r != nil {
			err = fmt.Errorf("autodiff: nothing can be made of the shapes at %q: %v: %w", e.place(), r, ErrModel)
		}
	}()
	r := &b.Manifest.Train
	r.Images = images
	batch := onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}
	label := onnx.Value{Name: nameLabels, DType: onnx.Int64, Shape: batch}
	switch {
	case f.label.Name != "":
		label = f.label
	case o.Loss.SoftTargets:
		label.DType, label.Shape = onnx.Float32, onnx.Shape{batch[0], onnx.Const(f.classes())}
	}
	labels := e.input(label.Name, label.DType, label.Shape)
	r.Labels = &labels
	var weights, scale string
	if o.BatchLossOnly || f.lossIsMean() {
		v := e.input(nameLossScale, onnx.Float32, onnx.Shape{})
		r.LossScale, scale = &v, v.Name
	} else {
		v := e.input(nameWeights, onnx.Float32, batch)
		r.SampleWeights, weights = &v, v.Name
	}
	r.LearningRate = e.input(nameLearningRate, onnx.Float32, onnx.Shape{})
	var scaler *lossScaler
	if o.Precision == Float16 { // bfloat16 has the range of float32
		scaler, scale = e.lossScaler(o, scale)
	}

	e.within(bundle.PartBatch, nil)
	e.batch = e.samples(labels.Name, len(label.Shape) > 1)
	e.blockImages(o.Lowering.Block, labels.Name)

	next := map[string]string{} // buffer -> value that replaces it
	var walk []*onnx.Node
	for _, n := range nodes {
		e.within(bundle.PartForward, n)
		switch n.Op {
		case "BatchNormalization":
			if !f.runs(n) {
				n = inferenceNorm(n)
				break
			}
			running := *n // where a norm is used twice, the second use goes on from the first
			running.Inputs = slices.Clone(n.Inputs)
			for i := 3; i < 5; i++ {
				if v := next[n.Inputs[i]]; v != "" {
					running.Inputs[i] = v
				}
			}
			training, mean, variance, err := e.batchNorm(&running)
			if err != nil {
				return fmt.Errorf("autodiff: node %q (%s): %w", n.Name, n.Op, err)
			}
			next[n.Inputs[3]], next[n.Inputs[4]] = mean, variance
			if e.onlyImages(n.Inputs[0]) {
				b.Manifest.MinBatch = leastForVariance
			}
			n = training
		case "Dropout", "RandomUniformLike", "RandomUniform":
			replace := e.uniform
			if n.Op == "Dropout" {
				replace = e.dropout
			}
			random, out, err := replace(n, len(r.Random))
			if err != nil {
				return fmt.Errorf("autodiff: node %q (%s): %w", n.Name, n.Op, err)
			}
			if random != nil {
				r.Random = append(r.Random, *random)
			}
			n = out
		}
		e.forward(n)
		if e.err != nil {
			return e.err
		}
		walk = append(walk, n)
	}

	lossAt := len(e.graph.Nodes)
	e.within(bundle.PartLoss, nil)
	var loss, perSample, seed string
	if f.loss.Name != "" {
		loss, perSample, seed = e.ownLoss(f, weights, scale)
	} else {
		loss, perSample, seed = e.loss(f.scores.Name, labels.Name, weights, scale, o.Loss)
	}
	r.Loss = e.output(loss)
	if !o.BatchLossOnly && perSample != "" {
		v := e.output(perSample)
		r.PerSampleLoss = &v
	}
	if !o.BatchLossOnly && !f.lossIsMean() {
		v := e.output(f.scores.Name)
		r.Logits = &v
	}

	gradAt := len(e.graph.Nodes)
	e.within(bundle.PartGrad, nil)
	flow := forwardFlow(walk, e.inf, f.params)
	grads, err := backward(e, walk, flow, map[string]string{f.end(): seed}, o.Lowering)
	if err != nil {
		return err
	}

	if half, ok := halfTypes[o.Precision]; ok {
		keep := slices.Sorted(maps.Values(grads)) // in an order of its own: the graph's bytes must not depend on a map's
		keep = append(keep, slices.Sorted(maps.Values(next))...)
		scores := ""
		if f.loss.Name != "" {
			scores = f.scores.Name
		}
		e.halve(half, lossAt, gradAt, scores, keep)
	}

	e.within(bundle.PartUpdate, nil)
	e.optimize(b, f, grads, r.LearningRate.Name, scaler)
	for _, buf := range f.buffers {
		value, ok := next[buf]
		if !ok {
			return fmt.Errorf("autodiff: buffer %q belongs to no normalisation: %w", buf, ErrModel)
		}
		e.state(b, buf, bundle.KindBuffer, value, f.graph.Initializers[buf])
	}
	if e.err != nil {
		return e.err
	}
	b.Train, err = encode(e.graph)
	return err
}

func buildEval(f *forward, o Options, b *bundle.Bundle) error {
	e, nodes, images := graphFor(f, o)
	nodes, err := settle(e, nodes)
	if err != nil {
		return fmt.Errorf("autodiff: %w", err)
	}
	for _, n := range nodes {
		switch n.Op {
		case "BatchNormalization":
			n.Outputs = n.Outputs[:1]
			kept := attrs{"epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))}
			if m, ok := n.Attrs["momentum"]; ok && m.F != 0.9 { // the default; for training that goes on from the trained model
				kept["momentum"] = m
			}
			n.Attrs = kept
		case "Dropout": // passes its input on, and says where training that goes on drops
			n = &onnx.Node{Name: n.Name, Op: "Dropout", Inputs: n.Inputs[:min(2, len(n.Inputs))], Outputs: n.Outputs[:1]}
		}
		e.add(n)
	}
	if e.err != nil {
		return e.err
	}
	b.Manifest.Eval = bundle.EvalRoles{Images: images, Logits: e.output(f.logits.Name)}
	if f.logits.Name != f.scores.Name {
		v := e.output(f.scores.Name)
		b.Manifest.Eval.Output = &v
	}
	b.Eval, err = encode(e.graph)
	return err
}

// leastForVariance is how many samples have a variance.
const leastForVariance = 2

// onlyImages is whether nothing but the images gives a channel several elements: [N, C], or [N, C, 1, 1].
func (e *emitter) onlyImages(x string) bool {
	for _, d := range e.shape(x)[min(2, len(e.shape(x))):] {
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
		Attrs: attrs{"epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))},
	}
}

// encode writes a graph as a model of the opset and IR version that ONNX
// Runtime 1.24 and later have kernels for on every provider.
func encode(g *onnx.Graph) ([]byte, error) {
	sweep(g)
	m := &onnx.Model{IRVersion: 8, Opset: 18, Producer: onnx.Producer, Graph: g}
	if slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return n.Domain == blockedDomain }) {
		m.Domains = map[string]int64{blockedDomain: 1}
	}
	if err := opset.Check(m, blockedDomain); err != nil {
		return nil, fmt.Errorf("autodiff: the graph written does not pass the checker: %w", err)
	}
	return wire.Encode(m)
}

// sweep drops nodes and initializers that lead to no output.
func sweep(g *onnx.Graph) {
	live := map[string]bool{}
	for _, o := range g.Outputs {
		live[o.Name] = true
	}
	keep := make([]*onnx.Node, 0, len(g.Nodes))
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return live[o] }) {
			continue
		}
		keep = append(keep, n)
		for _, in := range onnx.Uses(n) {
			live[in] = true
		}
	}
	slices.Reverse(keep)
	g.Nodes = keep
	for name := range g.Initializers {
		if !live[name] {
			delete(g.Initializers, name)
		}
	}
}
