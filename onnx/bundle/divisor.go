package bundle

import (
	"fmt"
	"slices"

	"winnow/onnx"
)

// divisor is what the loss of a model's own is divided by: a batch's sum is its
// loss times that. With value "" it is the number of samples.
type divisor struct {
	value string       // of the graph, a float32 of one element
	count string       // what adds up over batches, of which value is made
	chain []*onnx.Node // from count to value
}

// own reads a model's own loss from its end, to find what divides it.
type own struct {
	*cut
	producer map[string]*onnx.Node
	data     map[string]bool // values that follow from images, targets or chance
	weights  map[string]bool // those that follow from state
}

// divide finds what the loss is divided by. Winnow's own losses are means over
// samples; of a model's, one number for a batch, the nodes say what it is.
func (c *cut) divide() (divisor, error) {
	if c.b.Manifest.Loss.Name != NoLoss {
		return divisor{}, nil
	}
	o := &own{cut: c, producer: map[string]*onnx.Node{}, data: map[string]bool{}, weights: map[string]bool{}}
	r := &c.b.Manifest.Train
	for _, in := range c.g.Inputs {
		o.data[in.Name] = in.Name != r.LearningRate.Name && (r.LossScale == nil || in.Name != r.LossScale.Name)
	}
	for _, s := range c.b.Manifest.State {
		o.data[s.Input], o.weights[s.Input] = false, true
	}
	for _, n := range c.g.Nodes[:c.at] {
		uses := onnx.Uses(n)
		for _, out := range n.Outputs {
			o.producer[out] = n
			o.data[out] = slices.ContainsFunc(uses, func(v string) bool { return o.data[v] })
			o.weights[out] = slices.ContainsFunc(uses, func(v string) bool { return o.weights[v] })
		}
	}
	d, err := o.mean(r.Loss.Name)
	if err == nil && d == nil {
		d = &divisor{}
	}
	if err == nil && d.value != "" && c.scale != "" {
		err = o.refuse(o.producer[d.value], "divides the loss by what only the batch knows, and half precision scales the loss before")
	}
	if err != nil {
		return divisor{}, err
	}
	return *d, nil
}

func (o *own) refuse(n *onnx.Node, why string) error {
	if n == nil {
		return fmt.Errorf("%w: the loss %s, so batches do not add up to one", ErrInvalid, why)
	}
	return fmt.Errorf("%w: node %q (%s) of the loss %s, so batches do not add up to one", ErrInvalid, n.Name, n.Op, why)
}

// linear are operators of one value after which a sum is still one.
var linear = map[string]bool{"Identity": true, "Cast": true, "Neg": true, "Reshape": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true}

// mean is what a value, which has no axis of samples, is divided by: nil where
// data has no part in it.
func (o *own) mean(v string) (*divisor, error) {
	if !o.data[v] {
		return nil, nil
	}
	n := o.producer[v]
	if n == nil {
		return nil, o.refuse(nil, fmt.Sprintf("is the input %q", v))
	}
	switch {
	case linear[n.Op], (n.Op == "ReduceSum" || n.Op == "ReduceMean") && o.whole(n.Inputs[0]):
		return o.mean(n.Inputs[0])
	case n.Op == "ReduceMean" && o.batched(n.Inputs[0]):
		return &divisor{}, nil
	case n.Op == "ReduceMean":
		return nil, o.refuse(n, "is a mean over as many elements as the data has")
	case n.Op == "ReduceSum":
		return nil, o.refuse(n, "adds up over the samples and is divided by nothing")
	case n.Op == "Mul" && o.fixed(n) >= 0:
		return o.mean(n.Inputs[1-o.fixed(n)])
	case n.Op == "Div" && !o.data[n.Inputs[1]]:
		return o.mean(n.Inputs[0])
	case n.Op == "Div" && o.sum(n.Inputs[0]):
		return o.counted(n)
	case n.Op == "Add" || n.Op == "Sub" || n.Op == "Sum":
		return o.terms(n)
	}
	return nil, o.refuse(n, "is neither a mean over samples nor a sum over a count")
}

// terms is what the terms of a sum are all divided by.
func (o *own) terms(n *onnx.Node) (all *divisor, err error) {
	for _, in := range n.Inputs {
		d, err := o.mean(in)
		switch {
		case err != nil:
			return nil, err
		case d == nil:
		case all == nil:
			all = d
		case d.value != all.value:
			return nil, o.refuse(n, "adds terms that are divided by different numbers")
		}
	}
	return all, nil
}

// fixed is which of two inputs data has no part in, -1 for none.
func (o *own) fixed(n *onnx.Node) int {
	return slices.IndexFunc(n.Inputs, func(v string) bool { return !o.data[v] })
}

// whole is whether a value has no axis of samples, nor one whose length the data says.
func (o *own) whole(v string) bool {
	t, ok := o.inf.Type(v)
	return ok && t.Shape != nil && t.Shape.IsConst()
}

// batched is whether a value has so many elements for each sample.
func (o *own) batched(v string) bool {
	t, ok := o.inf.Type(v)
	if !ok || t.Shape == nil {
		return false
	}
	axes := 0
	for _, d := range t.Shape {
		if d.Sym == onnx.BatchSymbol {
			axes++
		} else if !d.IsConst() {
			return false
		}
	}
	return axes == 1
}

// sum is whether a value adds up over the samples of a batch.
func (o *own) sum(v string) bool {
	n := o.producer[v]
	if n == nil || !o.data[v] || !o.whole(v) {
		return false
	}
	switch {
	case linear[n.Op]:
		return o.sum(n.Inputs[0])
	case n.Op == "ReduceSum":
		return !o.whole(n.Inputs[0]) || o.sum(n.Inputs[0])
	case n.Op == "ReduceMean":
		return o.whole(n.Inputs[0]) && o.sum(n.Inputs[0])
	case n.Op == "Mul":
		k := o.fixed(n)
		return k >= 0 && o.sum(n.Inputs[1-k])
	case n.Op == "Div":
		return !o.data[n.Inputs[1]] && o.sum(n.Inputs[0])
	case n.Op == "Add" || n.Op == "Sub" || n.Op == "Sum":
		return !slices.ContainsFunc(n.Inputs, func(v string) bool { return !o.sum(v) })
	}
	return false
}

// counted is the divisor of a sum over what the batch's targets count, at least
// so many or a little more where the model says so.
func (o *own) counted(n *onnx.Node) (*divisor, error) {
	d := &divisor{value: n.Inputs[1]}
	if o.weights[d.value] {
		return nil, o.refuse(n, "divides by what follows from the weights")
	}
	if t, ok := o.inf.Type(d.value); !ok || t.DType != onnx.Float32 || t.Shape == nil || !t.Shape.IsConst() || product(t.Shape) != 1 {
		return nil, o.refuse(n, "divides by no single number")
	}
	for v := d.value; ; {
		if t, ok := o.inf.Type(v); ok && t.DType == onnx.Float32 && o.sum(v) {
			d.count = v
			slices.Reverse(d.chain)
			return d, nil
		}
		at := o.producer[v]
		if at == nil || !linear[at.Op] && at.Op != "Max" && at.Op != "Clip" && at.Op != "Add" && at.Op != "Mul" {
			return nil, o.refuse(n, "divides by what does not add up over the samples")
		}
		from := slices.IndexFunc(at.Inputs, func(v string) bool { return o.data[v] })
		for i, in := range at.Inputs {
			if i != from && (o.data[in] || o.producer[in] != nil) {
				return nil, o.refuse(at, "counts with more than constants")
			}
		}
		d.chain = append(d.chain, at)
		v = at.Inputs[from]
	}
}

func product(s onnx.Shape) int64 {
	n := int64(1)
	for _, d := range s {
		n *= d.N
	}
	return n
}
