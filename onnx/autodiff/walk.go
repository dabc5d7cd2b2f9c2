package autodiff

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
)

// Node is what a rule sees: one forward node, the adjoints of its outputs,
// and which of its inputs want one. It emits through the embedded emitter.
type Node struct {
	*emit.Builder
	*onnx.Node
	Dy   []string // adjoint of each output, "" where nothing flows back
	Want []bool   // by input
	Walk *Walk
}

// Walk says what backward goes by beside the plain rules; its zero value is
// nothing else.
type Walk struct {
	Lowering Lowering
	Record   func(Case)                // told of each gradient that has several forms; nil drops it
	Stats    map[*onnx.Node]BatchStats // of batch normalisations by statistics of the batch
	Layout   Layout                    // of images that have another form; nil for none
}

// Layout is a layout of images that has rules of its own.
type Layout interface {
	Block() int64              // channels to a block
	Blocked(value string) bool // whether a value has a form in this layout
	Rule(op string) Rule       // goes before the plain rule; nil for none
}

// ruleOf is the rule that an operator takes.
func (w *Walk) ruleOf(op string) Rule {
	if w.Layout != nil {
		if r := w.Layout.Rule(op); r != nil {
			return r
		}
	}
	return Rules[op]
}

// Rule emits the adjoints of a node's inputs, in order; "" where none flows.
type Rule func(n *Node) ([]string, error)

// flow is one graph's dependence on its sources.
type flow struct {
	sources []string
	needs   map[string]bool // depends on a source through floating point values
}

// forwardFlow marks every value that depends on a source through floating point values.
func forwardFlow(nodes []*onnx.Node, inf *infer.Inference, sources []string) flow {
	f := flow{sources: sources, needs: map[string]bool{}}
	for _, s := range sources {
		f.needs[s] = true
	}
	for _, n := range nodes {
		if stopsGradient[n.Op] {
			continue
		}
		depends := false
		for _, in := range n.Inputs {
			depends = depends || f.needs[in]
		}
		if !depends {
			continue
		}
		for _, out := range n.Outputs {
			if v, ok := inf.Type(out); out != "" && (!ok || v.DType == onnx.Undefined || v.DType.IsFloat() || n.Op == "QuantizeLinear") {
				f.needs[out] = true
			}
		}
	}
	return f
}

// stopsGradient lists operators whose derivative is zero wherever it exists,
// or whose output is no function of values but of shapes.
var stopsGradient = map[string]bool{
	"Shape": true, "Size": true, "ArgMax": true, "ArgMin": true, "Floor": true, "Ceil": true,
	"Round": true, "Sign": true, "Equal": true, "Less": true, "LessOrEqual": true, "Greater": true,
	"GreaterOrEqual": true, "Not": true, "And": true, "Or": true, "OneHot": true, "Range": true,
	"ConstantOfShape": true, "RandomUniform": true, "RandomUniformLike": true, "NonZero": true, "IsNaN": true, "IsInf": true, "EyeLike": true,
	"Hardmax": true, "Xor": true, "BitShift": true, "BitwiseAnd": true, "BitwiseOr": true, "BitwiseXor": true, "BitwiseNot": true,
}

// Backward emits the gradients of nodes by the sources. seeds holds the adjoints
// to start from, by value; the result has the adjoint of every source that the
// seeded values depend on. Names of what a node's gradient takes start with the
// emitter's part and the node's name.
func Backward(e *emit.Builder, nodes []*onnx.Node, sources []string, seeds map[string]string, w Walk) (map[string]string, error) {
	f := forwardFlow(nodes, e.Inf, sources)
	parts := map[string][]string{} // contributions to each value's adjoint
	for v, dy := range seeds {
		parts[v] = append(parts[v], dy)
	}
	if err := missingRules(nodes, f, seeds); err != nil {
		return nil, err
	}
	part := e.Part
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		if stopsGradient[n.Op] {
			continue
		}
		e.Within(part, n)
		ctx := &Node{Builder: e, Node: n, Walk: &w, Dy: make([]string, len(n.Outputs)), Want: make([]bool, len(n.Inputs))}
		flows, wanted := false, false
		for k, out := range n.Outputs {
			if f.needs[out] && len(parts[out]) > 0 {
				ctx.Dy[k] = emit.SumOf(e, parts[out])
				flows = true
			}
		}
		for k, in := range n.Inputs {
			ctx.Want[k] = in != "" && f.needs[in]
			wanted = wanted || ctx.Want[k]
		}
		if !flows || !wanted {
			continue
		}
		dx, err := w.ruleOf(n.Op)(ctx)
		if err == nil {
			err = e.Err
		}
		if err != nil {
			return nil, fmt.Errorf("autodiff: gradient of node %q (%s): %w", n.Name, n.Op, err)
		}
		for k, in := range n.Inputs {
			if !ctx.Want[k] {
				continue
			}
			if k >= len(dx) || dx[k] == "" {
				return nil, fmt.Errorf("autodiff: %w for input %d of node %q (%s), %q", ErrNoRule, k, n.Name, n.Op, in)
			}
			part, err := unbroadcast(e, dx[k], in)
			if err != nil {
				return nil, fmt.Errorf("autodiff: gradient of node %q (%s), input %d: %w", n.Name, n.Op, k, err)
			}
			parts[in] = append(parts[in], part)
		}
	}
	e.Within(part, nil)
	grads := map[string]string{}
	for _, source := range f.sources {
		if len(parts[source]) > 0 {
			grads[source] = emit.SumOf(e, parts[source])
		}
	}
	return grads, e.Err
}

// unbroadcast sums an adjoint over the axes along which its value was spread.
func unbroadcast(e *emit.Builder, dy, value string) (string, error) {
	from, to := e.Shape(dy), e.Shape(value)
	if from == nil || to == nil {
		return "", fmt.Errorf("the shape of %q is unknown: %w", value, emit.ErrModel)
	}
	if from.Equal(to) {
		return dy, nil
	}
	if e.Layout != nil && len(from) == 4 && emit.OnePosition(to) && from[0] == to[0] && from[1] == to[1] {
		if sum := e.Layout.PositionSum(dy); sum != "" {
			return sum, e.Err
		}
	}
	lead := len(from) - len(to)
	if lead < 0 {
		return "", unlikeShapes(value, from, to)
	}
	var axes, kept []int64
	for i := 0; i < lead; i++ {
		axes = append(axes, int64(i))
	}
	for i, d := range to {
		if f := from[lead+i]; f != d {
			if d != onnx.Const(1) {
				return "", unlikeShapes(value, from, to)
			}
			kept = append(kept, int64(lead+i))
		}
	}
	if axes = append(axes, kept...); len(axes) == len(from) && len(from) > 2 {
		// All in one, ONNX Runtime's CPU adds up one after the other: by parts the error is a twentieth.
		dy, axes = e.Sum(dy, false, axes[2:]...), axes[:2]
	}
	return e.Reshape(e.Sum(dy, false, axes...), to), e.Err
}

// unlikeShapes is the error of a gradient that no sum makes fit its value:
// shape inference has lost how one of the two follows from the batch.
func unlikeShapes(value string, from, to onnx.Shape) error {
	return fmt.Errorf("%q is %v and its gradient %v, and how one follows from the other is not known; "+
		"export the model with sizes that depend on the number of images alone: %w", value, to, from, emit.ErrModel)
}

// missingRules lists every operator between the sources and the seeds that has no rule.
func missingRules(nodes []*onnx.Node, f flow, seeds map[string]string) error {
	live := map[string]bool{}
	for v := range seeds {
		live[v] = true
	}
	missing := map[string][]string{}
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		reached := false
		for _, o := range n.Outputs {
			reached = reached || live[o] && f.needs[o]
		}
		if !reached {
			continue
		}
		for _, in := range n.Inputs {
			live[in] = true
		}
		if _, ok := Rules[n.Op]; !ok || !IsDefaultDomain(n.Domain) {
			missing[Qualified(n)] = append(missing[Qualified(n)], n.Name)
		}
	}
	return NoRule(missing)
}

// HasRule reports whether gradients can be taken through an operator of the default domain,
// if need be once it is rewritten, or whether none flows through it by its nature.
func HasRule(op string) bool {
	return Rules[op] != nil || hasComposition(op) || stopsGradient[op] || op == "Dropout" || opset.Rewritten(op)
}

// Gradients emits the adjoints of one node's inputs, from those of its outputs,
// as its rule gives them.
func Gradients(e *emit.Builder, n *onnx.Node, dy []string, want []bool, w Walk) ([]string, error) {
	return w.ruleOf(n.Op)(&Node{Builder: e, Node: n, Dy: dy, Want: want, Walk: &w})
}

// Dependent are the values that depend on a source through floating point values.
func Dependent(nodes []*onnx.Node, inf *infer.Inference, sources []string) map[string]bool {
	return forwardFlow(nodes, inf, sources).needs
}
