package export

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// ending is what a model does to its class scores at its end.
type ending struct {
	op     string // Softmax, LogSoftmax or Sigmoid; "" for none
	node   string // that does it
	origin string // the value before it, or the output itself, behind what only changes its shape
	behind []*onnx.Node
	odd    string // a node that is such an activation, but not over the classes
}

// findEnding looks for a last Softmax or LogSoftmax over the classes or a last
// Sigmoid of an output [N, K] or [N, K, H, W], also written out, and also with nodes behind it
// that change no more than shape and type.
func findEnding(g *onnx.Graph, inf *infer.Inference, out onnx.Value) ending {
	producer := producers(g)
	p := pattern{g: g, inf: inf, producer: producer}
	end := ending{origin: out.Name}
	for {
		n := producer[end.origin]
		if n == nil {
			return end
		}
		if keepsElements(n, inf) {
			end.behind = append(end.behind, n)
			end.origin = n.Inputs[0]
			continue
		}
		op, scores := p.activation(n)
		name := n.Name
		if name == "" {
			name = n.Outputs[0]
		}
		switch {
		case op == "":
		case p.overClasses(n, op, scores, out.Shape):
			end.op, end.node, end.origin = op, name, scores
		default:
			end.odd = name
		}
		return end
	}
}

// producers is the node that makes each value.
func producers(g *onnx.Graph) map[string]*onnx.Node {
	m := make(map[string]*onnx.Node, len(g.Nodes))
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				m[o] = n
			}
		}
	}
	return m
}

// keepsElements is whether a node gives its first input's elements in their
// order, in another shape or another type of floating point.
func keepsElements(n *onnx.Node, inf *infer.Inference) bool {
	if len(n.Inputs) == 0 || !autodiff.IsDefaultDomain(n.Domain) {
		return false
	}
	switch n.Op {
	case "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		return true
	case "Gather": // the only one along an axis
		v, _ := inf.Type(n.Inputs[0])
		axis, err := emit.Axis(n.Int("axis", 0), len(v.Shape))
		at, _ := inf.Type(n.Input(1))
		return err == nil && v.Shape[axis] == onnx.Const(1) && len(at.Shape) == 0 && at.DType != onnx.Undefined
	case "Cast":
		from, _ := inf.Type(n.Inputs[0])
		return from.DType.IsFloat() && onnx.DType(n.Int("to", 0)).IsFloat()
	}
	return false
}

// pattern recognises activations by the nodes they are written as.
type pattern struct {
	g        *onnx.Graph
	inf      *infer.Inference
	producer map[string]*onnx.Node
}

// activation is the one whose last node is n, and the value that it is taken of.
func (p *pattern) activation(n *onnx.Node) (op, scores string) {
	if !autodiff.IsDefaultDomain(n.Domain) || len(n.Inputs) == 0 {
		return "", ""
	}
	switch n.Op {
	case "Softmax", "LogSoftmax", "Sigmoid":
		return n.Op, n.Inputs[0]
	case "Log": // of a Softmax
		if s := p.producer[n.Inputs[0]]; s != nil && s.Op == "Softmax" {
			return "LogSoftmax", s.Inputs[0]
		}
	case "Reciprocal": // 1/(1 + exp(-x))
		return p.logistic(n.Inputs[0])
	case "Div":
		if p.isOne(n.Inputs[0]) {
			return p.logistic(n.Inputs[1])
		}
		exp, sum := p.producer[n.Inputs[0]], p.producer[n.Inputs[1]] // exp(x)/sum(exp(x))
		if exp != nil && sum != nil && exp.Op == "Exp" && sum.Op == "ReduceSum" && sum.Inputs[0] == n.Inputs[0] && p.sumsLast(sum) {
			return "Softmax", p.unshifted(exp.Inputs[0])
		}
	}
	return "", ""
}

// unshifted is x of x less its largest, which keeps exp(x) finite.
func (p *pattern) unshifted(x string) string {
	if sub := p.producer[x]; sub != nil && sub.Op == "Sub" {
		if top := p.producer[sub.Inputs[1]]; top != nil && top.Op == "ReduceMax" && top.Inputs[0] == sub.Inputs[0] {
			return sub.Inputs[0]
		}
	}
	return x
}

// logistic takes the divisor 1 + exp(-x) for the x of a Sigmoid.
func (p *pattern) logistic(divisor string) (op, scores string) {
	add := p.producer[divisor]
	if add == nil || add.Op != "Add" {
		return "", ""
	}
	for i := range 2 {
		exp := p.producer[add.Inputs[i]]
		if exp == nil || exp.Op != "Exp" || !p.isOne(add.Inputs[1-i]) {
			continue
		}
		if neg := p.producer[exp.Inputs[0]]; neg != nil && neg.Op == "Neg" {
			return "Sigmoid", neg.Inputs[0]
		}
	}
	return "", ""
}

func (p *pattern) isOne(name string) bool {
	t := p.g.Initializers[name]
	return t != nil && t.DType == onnx.Float32 && t.Len() == 1 && t.Float32s()[0] == 1
}

// sumsLast is whether a sum keeps its dimensions and runs over the last of two.
func (p *pattern) sumsLast(n *onnx.Node) bool {
	t := p.g.Initializers[n.Input(1)]
	v, _ := p.inf.Type(n.Inputs[0])
	return t != nil && t.DType == onnx.Int64 && t.Len() == 1 && n.Int("keepdims", 1) == 1 &&
		len(v.Shape) == 2 && (t.Int64s()[0] == 1 || t.Int64s()[0] == -1)
}

// overClasses is whether an activation of [N, ...] goes over the K classes of
// scores [N, K], or [N, K, H, W].
func (p *pattern) overClasses(n *onnx.Node, op, scores string, of onnx.Shape) bool {
	v, _ := p.inf.Type(scores)
	out, _ := p.inf.Type(n.Outputs[0])
	if v.DType != onnx.Float32 || len(v.Shape) < 2 || !v.Shape[1:].IsConst() || !v.Shape.Equal(out.Shape) {
		return false
	}
	classes := of[1]
	if sizeOf(v.Shape[1:]) != sizeOf(of[1:]) {
		return false
	}
	if len(of) == 4 { // of every pixel
		axis, err := emit.Axis(n.Int("axis", -1), len(v.Shape))
		return op == "Sigmoid" || v.Shape.Equal(of) && n.Op == op && err == nil && axis == 1
	}
	if op == "Sigmoid" || n.Op == "Div" {
		return true
	}
	act := n
	if n.Op == "Log" {
		act = p.producer[n.Inputs[0]]
	}
	axis, err := emit.Axis(act.Int("axis", -1), len(v.Shape))
	return err == nil && axis > 0 && v.Shape[axis] == classes
}

// sizeOf is how many elements a shape without a symbol has.
func sizeOf(s onnx.Shape) int64 {
	n := int64(1)
	for _, d := range s {
		n *= d.N
	}
	return n
}

// before emits what the model gives without the activation: its scores through
// the nodes that stood behind it.
func (end *ending) before(e *emit.Builder) onnx.Value {
	value := end.origin
	for _, n := range slices.Backward(end.behind) {
		c := *n
		c.Name = n.Name + ".scores"
		c.Inputs = slices.Clone(n.Inputs)
		c.Inputs[0] = value
		value = e.Unique(n.Outputs[0] + ".scores")
		c.Outputs = []string{value}
		e.Append(&c)
	}
	v, _ := e.Inf.Type(value)
	v.Name = value
	return v
}

// endRule is what a loss takes of a model that ends in an activation, so that it
// is the loss of the model as it is written: the cross-entropy of probabilities
// p is -log p, of logarithms their negative, and binary cross-entropy is that of
// probabilities that are each by themselves.
type endRule int

const (
	takeBefore endRule = iota // the loss is one of scores, and contains the activation
	asWritten                 // the loss is of what the model gives
	refuseEnd                 // the loss of what the model gives is none that is offered
)

// settleEnd decides what the loss and an evaluation take of a model whose
// output is out: f.scores and f.logits.
func (f *forward) settleEnd(inf *infer.Inference, out onnx.Value, loss string, warn func(string)) error {
	f.scores, f.logits = out, out
	end := findEnding(f.graph, inf, out)
	if end.odd != "" {
		warn(fmt.Sprintf("the activation at the end, node %q, does not go over the %v classes; what it gives is taken for scores", end.odd, out.Shape[1]))
	}
	if end.op == "" {
		return nil
	}
	where := fmt.Sprintf("the model ends in %s, node %q", end.op, end.node)
	rule := lossOf(loss).ends[end.op]
	if rule == refuseEnd {
		fit := bundle.CrossEntropy
		if end.op == "Sigmoid" {
			fit = bundle.BCE
		}
		return optionError("loss", "%s is no loss of what the model gives: %s; take --loss %s", loss, where, fit)
	}
	e := emit.New(f.graph, inf)
	f.logits = end.before(e)
	if e.Err != nil {
		return e.Err
	}
	if rule == asWritten {
		warn(fmt.Sprintf("%s; the loss, %s, is of what it gives, as the model is written; evaluation takes the scores before it", where, loss))
		return nil
	}
	f.scores = f.logits
	warn(where + "; training, evaluation and the trained model take the scores before it")
	return nil
}
