package autodiff

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"winnow/onnx"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
)

// node is what a rule sees: one forward node, the adjoints of its outputs,
// and which of its inputs want one. It emits through the embedded emitter.
type node struct {
	*emitter
	*onnx.Node
	dy    []string // adjoint of each output, "" where nothing flows back
	want  []bool   // by input
	lower Lowering
}

// rule emits the adjoints of a node's inputs, in order; "" where none flows.
type rule func(n *node) ([]string, error)

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

// backward emits the gradients of nodes. seeds holds the adjoints to start
// from, by value; the result has the adjoint of every source that the seeded
// values depend on. Names of what a node's gradient takes start with the
// emitter's part and the node's name.
func backward(e *emitter, nodes []*onnx.Node, f flow, seeds map[string]string, lower Lowering) (map[string]string, error) {
	parts := map[string][]string{} // contributions to each value's adjoint
	for v, dy := range seeds {
		parts[v] = append(parts[v], dy)
	}
	if err := missingRules(nodes, f, seeds); err != nil {
		return nil, err
	}
	part := e.part
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		if stopsGradient[n.Op] {
			continue
		}
		e.within(part, n)
		ctx := &node{emitter: e, Node: n, lower: lower, dy: make([]string, len(n.Outputs)), want: make([]bool, len(n.Inputs))}
		flows, wanted := false, false
		for k, out := range n.Outputs {
			if f.needs[out] && len(parts[out]) > 0 {
				ctx.dy[k] = accumulate(e, parts[out])
				flows = true
			}
		}
		for k, in := range n.Inputs {
			ctx.want[k] = in != "" && f.needs[in]
			wanted = wanted || ctx.want[k]
		}
		if !flows || !wanted {
			continue
		}
		dx, err := rules[n.Op](ctx)
		if err == nil {
			err = e.err
		}
		if err != nil {
			return nil, fmt.Errorf("autodiff: gradient of node %q (%s): %w", n.Name, n.Op, err)
		}
		for k, in := range n.Inputs {
			if !ctx.want[k] {
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
	e.within(part, nil)
	grads := map[string]string{}
	for _, source := range f.sources {
		if len(parts[source]) > 0 {
			grads[source] = accumulate(e, parts[source])
		}
	}
	return grads, e.err
}

// within makes names of what is emitted from here on say its part of the graph
// and the node of the model, unless nil, on whose behalf it is emitted.
func (e *emitter) within(part string, n *onnx.Node) {
	e.part, e.owner = part, ""
	if n != nil {
		e.owner = n.Name
	}
}

// place is where in the graph nodes are emitted, for errors.
func (e *emitter) place() string {
	if e.owner == "" {
		return e.part
	}
	return e.part + "." + e.owner
}

// accumulate adds the contributions to one adjoint.
func accumulate(e *emitter, parts []string) string {
	switch len(parts) {
	case 1:
		return parts[0]
	case 2:
		return e.addOp(parts[0], parts[1])
	}
	return e.op("Sum", nil, parts...)
}

// unbroadcast sums an adjoint over the axes along which its value was spread.
func unbroadcast(e *emitter, dy, value string) (string, error) {
	from, to := e.shape(dy), e.shape(value)
	if from == nil || to == nil {
		return "", fmt.Errorf("the shape of %q is unknown: %w", value, ErrModel)
	}
	if from.Equal(to) {
		return dy, nil
	}
	if b := e.blocks.of[dy]; b != "" && onePosition(to) && from[0] == to[0] && from[1] == to[1] {
		return e.mul(e.blockedMean(b), e.scalar(float64(from[2].N*from[3].N))), e.err
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
		dy, axes = e.sum(dy, false, axes[2:]...), axes[:2]
	}
	return e.reshape(e.sum(dy, false, axes...), to), e.err
}

// unlikeShapes is the error of a gradient that no sum makes fit its value:
// shape inference has lost how one of the two follows from the batch.
func unlikeShapes(value string, from, to onnx.Shape) error {
	return fmt.Errorf("%q is %v and its gradient %v, and how one follows from the other is not known; "+
		"export the model with sizes that depend on the number of images alone: %w", value, to, from, ErrModel)
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
		if _, ok := rules[n.Op]; !ok || !isDefaultDomain(n.Domain) {
			missing[qualified(n)] = append(missing[qualified(n)], n.Name)
		}
	}
	return noRule(missing)
}

// qualified is an operator's name, with its domain unless that is the default one.
func qualified(n *onnx.Node) string {
	if isDefaultDomain(n.Domain) {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// noRule names operators without a rule, each with one of its nodes; nil if there are none.
func noRule(missing map[string][]string) error {
	if len(missing) == 0 {
		return nil
	}
	ops := make([]string, 0, len(missing))
	for op := range missing {
		ops = append(ops, op)
	}
	sort.Strings(ops)
	var list []string
	for _, op := range ops {
		at := missing[op]
		text := fmt.Sprintf("%s (node %q", op, at[len(at)-1])
		if len(at) > 1 {
			text += fmt.Sprintf(" and %d more", len(at)-1)
		}
		list = append(list, text+")")
	}
	return fmt.Errorf("autodiff: %w for %s", ErrNoRule, strings.Join(list, ", "))
}

func isDefaultDomain(d string) bool { return d == "" || d == "ai.onnx" }

// HasRule reports whether gradients can be taken through an operator of the default domain,
// if need be once it is rewritten, or whether none flows through it by its nature.
func HasRule(op string) bool {
	return rules[op] != nil || hasComposition(op) || stopsGradient[op] || op == "Dropout" || opset.Rewritten(op)
}

// Operators lists the operators that have a rule, sorted.
func Operators() []string { return slices.Sorted(maps.Keys(rules)) }
