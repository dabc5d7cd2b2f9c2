package infer

import (
	"errors"
	"fmt"
	"slices"

	"winnow/internal/elements"
	"winnow/onnx"
)

// errNotEvaluated is why a node keeps its place: its operator or types are not
// evaluated here, its result would be too large, or its inputs make no sense.
var errNotEvaluated = errors.New("not evaluated")

// evaluator computes one node whose inputs are all known.
type evaluator struct {
	n     *onnx.Node
	in    []*onnx.Tensor // nil for inputs left out
	limit int64          // bytes of all outputs together
}

type evalRule func(e *evaluator) ([]*onnx.Tensor, error)

// evalRules has the operators that can be evaluated: those that move elements
// and those that compute with them.
var evalRules map[string]evalRule

func init() {
	evalRules = map[string]evalRule{}
	for _, table := range []map[string]evalRule{moveRules, mathRules} {
		for op, rule := range table {
			evalRules[op] = rule
		}
	}
}

// evalNode computes a node's outputs, of at most limit bytes together.
func evalNode(n *onnx.Node, in []*onnx.Tensor, limit int64) ([]*onnx.Tensor, error) {
	rule := evalRules[n.Operator()]
	if rule == nil {
		return nil, errNotEvaluated
	}
	for _, t := range in {
		if t == nil {
			continue
		}
		if _, ok := elementsOf(t); !ok || t.DType.Size() == 0 || len(t.Dims) > maxRank || !emptyIsSmall(t.Dims) {
			return nil, errNotEvaluated
		}
	}
	e := &evaluator{n: n, in: in, limit: limit}
	out, err := rule(e)
	if err != nil {
		return nil, err
	}
	if len(out) < len(n.Outputs) {
		return nil, errNotEvaluated
	}
	return out, nil
}

// emptyIsSmall refuses shapes like [0, 1<<40], whose parts take long to walk
// though there is nothing to walk over.
func emptyIsSmall(dims []int64) bool {
	if !slices.Contains(dims, 0) {
		return true
	}
	n := int64(1)
	for _, d := range dims {
		var ok bool
		if n, ok = mul64(n, max(d, 1)); !ok || n > maxContent {
			return false
		}
	}
	return true
}

// arg returns the i-th input, nil if it is left out.
func (e *evaluator) arg(i int) *onnx.Tensor {
	if i < len(e.in) {
		return e.in[i]
	}
	return nil
}

// need returns the i-th input or an error.
func (e *evaluator) need(i int) (*onnx.Tensor, error) {
	if t := e.arg(i); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: input %d is missing", errNotEvaluated, i)
}

// ints returns an integer input's elements; nil if it is left out or no integer.
func (e *evaluator) ints(i int) []int64 {
	if t := e.arg(i); t != nil {
		return t.Int64s()
	}
	return nil
}

// alloc makes a zeroed tensor within the limit.
func (e *evaluator) alloc(d onnx.DType, dims []int64) (*onnx.Tensor, error) {
	n, ok := elements.Count(dims)
	size := int64(d.Size())
	if !ok || size == 0 || n > e.limit/size || len(dims) > maxRank || !emptyIsSmall(dims) {
		return nil, fmt.Errorf("%w: %v elements", errNotEvaluated, dims)
	}
	e.limit -= n * size
	return onnx.NewTensor(d, dims...), nil
}

// axesOf reads axes as call.axes does.
func (e *evaluator) axesOf(i int) (axes []int64, given bool) {
	if a, ok := e.n.Attrs["axes"]; ok && a.Kind == onnx.AttrInts {
		return a.Ints, true
	}
	if e.arg(i) == nil {
		return nil, false
	}
	return e.ints(i), true
}

// infer applies the operator's shape rule to the known inputs, so that the
// shape algebra is written once.
func (e *evaluator) infer() ([]onnx.Value, error) {
	g := &onnx.Graph{}
	in := newInference(g, nil, nil)
	n := *e.n
	n.Inputs = make([]string, len(e.in))
	for i, t := range e.in {
		if t != nil {
			n.Inputs[i] = fmt.Sprint("i", i)
			in.setTensor(n.Inputs[i], t, true)
		}
	}
	n.Outputs = make([]string, max(1, len(e.n.Outputs)))
	for i := range n.Outputs {
		n.Outputs[i] = fmt.Sprint("o", i)
	}
	rule := inferRules[e.n.Operator()]
	if rule == nil {
		return nil, errNotEvaluated
	}
	if err := rule(call{in: in, n: &n}); err != nil {
		return nil, err
	}
	out := make([]onnx.Value, len(n.Outputs))
	for i, o := range n.Outputs {
		out[i], _ = in.Type(o)
		if !out[i].Shape.IsConst() {
			return nil, errNotEvaluated
		}
	}
	return out, nil
}

// strides of a row-major tensor.
func stridesOf(dims []int64) []int64 {
	s := make([]int64, len(dims))
	n := int64(1)
	for i := len(dims) - 1; i >= 0; i-- {
		s[i] = n
		n *= dims[i]
	}
	return s
}

// walk visits the elements of dims in order, with an offset that moves by
// strides; a stride of 0 repeats.
func walk(dims, strides []int64, offset int64, visit func(i int, at int64)) {
	n, ok := elements.Count(dims)
	if !ok {
		return
	}
	pos := make([]int64, len(dims))
	for i := range n {
		visit(int(i), offset)
		for k := len(dims) - 1; k >= 0; k-- {
			pos[k]++
			offset += strides[k]
			if pos[k] < dims[k] {
				break
			}
			offset -= strides[k] * dims[k]
			pos[k] = 0
		}
	}
}

// broadcastStrides are the strides that read a tensor of shape from as if it had shape to.
func broadcastStrides(from, to []int64) []int64 {
	s := make([]int64, len(to))
	own := stridesOf(from)
	for i, d := range from {
		if d != 1 {
			s[len(to)-len(from)+i] = own[i]
		}
	}
	return s
}
