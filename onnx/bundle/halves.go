package bundle

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/infer"
	"winnow/onnx/wire"
)

// Halves are a training graph in two: the gradients of a batch are added to
// sums, and the sums of any number of batches move the state once. Together
// they compute what the whole graph does; roles keep its names.
type Halves struct {
	// Gradient takes images, targets, what weighs them, random numbers, the sums
	// and of the state what the model reads. It gives the losses, the sums with
	// the batch's samples added, and the next value of Running.
	Gradient []byte
	// Update takes the learning rate, Samples, the sums, and the state, Running
	// as Gradient left it. It gives the state.
	Update  []byte
	Sums    []Sum  // in the order in which the update reads them, that of the state
	Running []int  // state, by index, that each batch moves: running statistics
	Samples string // input of Update, a float32 scalar: how many samples the sums are of
	// Batch is an input of Gradient, a float32 scalar: how many samples the batch
	// has; "" where the loss is a mean over something else. The graph could count
	// them, but ONNX Runtime's CUDA provider leaves that to the CPU.
	Batch string
	// Loss is the output of Update that is the loss of the step, "" where that is the
	// mean of the batches' by their samples.
	Loss string
	// Scaled is whether Gradient takes Samples too, as far as they are known
	// before: half precision scales the loss for a whole step, not for a batch.
	Scaled bool
}

// Sum is a gradient of the objective, summed over samples: N times the gradient
// in a training graph, whose objective is a mean over N. A model's own loss may be
// a mean over something else that its batches count; then so are the gradients,
// and the count and the loss are sums too.
type Sum struct {
	Input  string // of both graphs
	Output string // of Gradient
	Shape  []int64
}

// Halves takes a layout's training graph apart where its update begins. A graph
// of another tool than onnx/export, whose nodes do not say that, is an error.
func (b *Bundle) Halves(layout string) (*Halves, error) {
	h, err := b.halve(b.Graph(layout))
	if err != nil {
		return nil, fmt.Errorf("bundle: %s: it cannot be taken apart into gradients and update: %w; winnow export makes a graph that can", GraphFile(layout), err)
	}
	return h, nil
}

func (b *Bundle) halve(data []byte) (*Halves, error) {
	m, err := wire.Decode(data, "")
	if err != nil {
		return nil, err
	}
	inf, err := infer.Model(m)
	if err != nil {
		return nil, err
	}
	next := map[string]bool{} // what replaces state has a name of its own
	for _, s := range b.Manifest.State {
		next[s.Output] = true
	}
	at := len(m.Graph.Nodes)
	for at > 0 {
		n := m.Graph.Nodes[at-1]
		if part, _ := ParseNodeName(n.Name); part != PartUpdate && !next[n.Output(0)] {
			break
		}
		at--
	}
	c := &cut{Halves: &Halves{}, b: b, g: m.Graph, inf: inf, at: at, made: map[string]bool{}}
	for _, n := range m.Graph.Nodes[:at] {
		for _, out := range n.Outputs {
			c.made[out] = true
		}
	}
	if err := c.find(); err != nil {
		return nil, err
	}
	if c.Gradient, err = encodeHalf(m, c.gradient()); err != nil {
		return nil, err
	}
	c.Update, err = encodeHalf(m, c.update())
	return c.Halves, err
}

// cut is a training graph that is taken apart.
type cut struct {
	*Halves
	b     *Bundle
	g     *onnx.Graph
	inf   *infer.Inference
	at    int             // where the update begins
	made  map[string]bool // values of the nodes before it
	sums  []string        // the gradients that Sums are of
	scale string          // state that scales the loss; "" for none
	over  divisor         // of the loss
	loss  string          // loss times that, of a batch
}

// find finds what crosses from the gradients to the update, and which state the
// batches move.
func (c *cut) find() error {
	if c.at == len(c.g.Nodes) {
		return fmt.Errorf("%w: no node is named as one of the update", ErrInvalid)
	}
	names := map[string]bool{}
	for _, n := range c.g.Nodes {
		for _, name := range slices.Concat(n.Inputs, n.Outputs) {
			names[name] = true
		}
	}
	free := func(name string) string {
		for names[name] {
			name += "_"
		}
		names[name] = true
		return name
	}
	seen := map[string]bool{}
	for _, n := range c.g.Nodes[c.at:] {
		for _, v := range onnx.Uses(n) {
			if !c.made[v] || seen[v] {
				continue
			}
			seen[v] = true
			t, ok := c.inf.Type(v)
			if !ok || t.DType != onnx.Float32 || t.Shape == nil || slices.ContainsFunc(t.Shape, func(d onnx.Dim) bool { return !d.IsConst() }) {
				return fmt.Errorf("%w: the update reads %q, which is no float32 of a fixed shape", ErrInvalid, v)
			}
			c.sums = append(c.sums, v)
			c.Sums = append(c.Sums, Sum{free(v + ".sum"), free(v + ".next_sum"), t.Shape.Ints()})
		}
	}
	reads := map[string]bool{}
	for _, n := range c.g.Nodes[:c.at] {
		for _, v := range onnx.Uses(n) {
			reads[v] = true
		}
	}
	for i, s := range c.b.Manifest.State {
		switch {
		case s.Kind == KindOptimizer && reads[s.Input]: // of an optimizer's state, gradients read the scale alone
			if c.scale != "" || len(s.Shape) > 0 {
				return fmt.Errorf("%w: the gradients read state %q of the optimizer", ErrInvalid, s.Name)
			}
			c.scale, c.Scaled = s.Input, true
		case !c.made[s.Output]:
		case seen[s.Output] || s.DType != onnx.Float32.String():
			return fmt.Errorf("%w: state %q is neither the update's nor a running statistic", ErrInvalid, s.Name)
		default:
			c.Running = append(c.Running, i)
		}
	}
	c.Samples = free("samples")
	var err error
	if c.over, err = c.divide(); err != nil {
		return err
	}
	if c.over.value == "" {
		c.Batch = free("batch.samples")
		return nil
	}
	c.Loss, c.loss = free("step.loss"), free("batch.loss")
	for _, v := range []string{c.over.count, c.loss} {
		shape := []int64{}
		if t, ok := c.inf.Type(v); ok {
			shape = t.Shape.Ints()
		}
		c.sums = append(c.sums, v)
		c.Sums = append(c.Sums, Sum{free(v + ".sum"), free(v + ".next_sum"), shape})
	}
	return nil
}

// gradient is the first half, with each gradient times the number of images
// added to its sum.
func (c *cut) gradient() *onnx.Graph {
	g := &onnx.Graph{Name: c.g.Name, Nodes: slices.Clone(c.g.Nodes[:c.at])}
	outputs := map[string]bool{}
	r := &c.b.Manifest.Train
	for _, v := range []*Value{&r.Loss, r.PerSampleLoss, r.Logits} {
		if v != nil {
			outputs[v.Name] = true
		}
	}
	for _, s := range r.Scalars {
		outputs[s.Output] = true
	}
	for _, i := range c.Running {
		outputs[c.b.Manifest.State[i].Output] = true
	}
	for _, out := range c.g.Outputs {
		if outputs[out.Name] {
			g.Outputs = append(g.Outputs, out)
		}
	}
	state := map[string]bool{r.LearningRate.Name: true}
	for _, s := range c.b.Manifest.State {
		state[s.Input] = true
	}
	c.inputs(g, func(name string) bool { return !state[name] })
	add := func(op, out string, in ...string) string {
		g.Nodes = append(g.Nodes, &onnx.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}})
		return out
	}
	sums := len(c.Sums)
	var n string
	if c.over.value != "" {
		sums -= 2 // the count and the loss, which are sums already
		n = add("Reshape", c.Samples+".count", c.over.value, c.Samples+".scalar")
		add("Mul", c.loss, r.Loss.Name, n)
	} else {
		n = c.Batch
		g.Inputs = append(g.Inputs, onnx.Value{Name: n, DType: onnx.Float32, Shape: onnx.Shape{}})
	}
	if c.scale != "" {
		n = c.spread(g, n)
	}
	for i, s := range c.Sums {
		of := c.sums[i]
		if i < sums {
			of = add("Mul", s.Output+".of_batch", of, n)
		}
		g.Inputs = append(g.Inputs, onnx.Value{Name: s.Input, DType: onnx.Float32, Shape: onnx.ShapeOf(s.Shape...)})
		add("Add", s.Output, s.Input, of)
		g.Outputs = append(g.Outputs, onnx.Value{Name: s.Output, DType: onnx.Float32, Shape: onnx.ShapeOf(s.Shape...)})
	}
	return g
}

// spread scales the loss of a batch of n by its share of the step, whose samples
// it declares and returns: what gradients are then to be multiplied by.
func (c *cut) spread(g *onnx.Graph, n string) string {
	share, scale := c.Samples+".share", c.Samples+".scale"
	for i, old := range g.Nodes {
		if slices.Contains(old.Inputs, c.scale) {
			node := *old
			node.Inputs = slices.Clone(old.Inputs)
			for k, in := range node.Inputs {
				if in == c.scale {
					node.Inputs[k] = scale
				}
			}
			g.Nodes[i] = &node
		}
	}
	g.Nodes = slices.Concat([]*onnx.Node{
		{Name: share, Op: "Div", Inputs: []string{n, c.Samples}, Outputs: []string{share}},
		{Name: scale, Op: "Mul", Inputs: []string{c.scale, share}, Outputs: []string{scale}},
	}, g.Nodes)
	g.Inputs = append(g.Inputs, onnx.Value{Name: c.Samples, DType: onnx.Float32, Shape: onnx.Shape{}})
	return c.Samples
}

// update is the second half: each gradient is its sum over the number of samples.
func (c *cut) update() *onnx.Graph {
	g := &onnx.Graph{Name: c.g.Name}
	n, sums := c.Samples, len(c.Sums)
	if c.over.value != "" {
		sums -= 2
		n = c.Samples + ".count"
		g.Nodes = append(g.Nodes, &onnx.Node{Name: c.over.count, Op: "Identity", Inputs: []string{c.Sums[sums].Input}, Outputs: []string{c.over.count}})
		g.Nodes = append(g.Nodes, c.over.chain...)
		g.Nodes = append(g.Nodes, &onnx.Node{Name: n, Op: "Reshape", Inputs: []string{c.over.value, c.Samples + ".scalar"}, Outputs: []string{n}},
			&onnx.Node{Name: c.Loss, Op: "Div", Inputs: []string{c.Sums[sums+1].Input, n}, Outputs: []string{c.Loss}})
		g.Outputs = append(g.Outputs, onnx.Value{Name: c.Loss, DType: onnx.Float32, Shape: onnx.Shape{}})
	}
	for i, s := range c.Sums[:sums] {
		g.Nodes = append(g.Nodes, &onnx.Node{Name: c.sums[i], Op: "Div", Inputs: []string{s.Input, n}, Outputs: []string{c.sums[i]}})
	}
	g.Nodes = append(g.Nodes, c.g.Nodes[c.at:]...)
	for _, i := range c.Running {
		s := c.b.Manifest.State[i]
		g.Nodes = append(g.Nodes, &onnx.Node{Name: s.Output, Op: "Identity", Inputs: []string{s.Input}, Outputs: []string{s.Output}})
	}
	for _, s := range c.b.Manifest.State {
		for _, out := range c.g.Outputs {
			if out.Name == s.Output {
				g.Outputs = append(g.Outputs, out)
			}
		}
	}
	c.inputs(g, func(string) bool { return false })
	for _, s := range c.Sums {
		g.Inputs = append(g.Inputs, onnx.Value{Name: s.Input, DType: onnx.Float32, Shape: onnx.ShapeOf(s.Shape...)})
	}
	g.Inputs = append(g.Inputs, onnx.Value{Name: c.Samples, DType: onnx.Float32, Shape: onnx.Shape{}})
	return g
}

// inputs gives a half those of the whole graph's inputs and constants that its
// nodes read, and the inputs that it has all the same.
func (c *cut) inputs(g *onnx.Graph, also func(name string) bool) {
	uses := map[string]bool{}
	for _, n := range g.Nodes {
		for _, v := range onnx.Uses(n) {
			uses[v] = true
		}
	}
	for _, in := range c.g.Inputs {
		if uses[in.Name] || also(in.Name) {
			g.Inputs = append(g.Inputs, in)
		}
	}
	g.Initializers = map[string]*onnx.Tensor{}
	if c.over.value != "" {
		g.Initializers[c.Samples+".scalar"] = onnx.FromInt64(nil, 0)
	}
	for name, t := range c.g.Initializers {
		if uses[name] {
			g.Initializers[name] = t
		}
	}
}

// encodeHalf writes a half as the whole was.
func encodeHalf(m *onnx.Model, g *onnx.Graph) ([]byte, error) {
	half := *m
	half.Graph = g
	half.Domains = nil
	for domain, version := range m.Domains {
		if slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return n.Domain == domain }) {
			if half.Domains == nil {
				half.Domains = map[string]int64{}
			}
			half.Domains[domain] = version
		}
	}
	if _, err := infer.Model(&half); err != nil {
		return nil, err
	}
	return wire.Encode(&half)
}
