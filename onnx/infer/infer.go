package infer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"winnow/onnx"
)

// Bounds of what inference keeps: no model needs more, and a hostile one gets no further.
const (
	maxRank         = 64      // longest shape
	maxContent      = 1024    // elements of one value whose content is kept
	maxFloatContent = 64      // the same for floating-point values
	maxContentTotal = 1 << 22 // elements over the whole graph
)

// Inference knows the types of the values of one graph, and the content of
// the small integer ones. It grows node by node, in topological order, and is
// not safe for concurrent use.
type Inference struct {
	outer   *Inference // of the graph around a branch of If
	types   map[string]onnx.Value
	content map[string][]onnx.Dim   // also whole-numbered floats, which exporters use in shape arithmetic
	consts  map[string]*onnx.Tensor // small constants, whatever their type
	claims  map[string]onnx.Value   // the exporter's own value_info, assumed where nothing else is known
	keep    func(string) bool       // initializers whose elements may change
	symbols map[string]bool         // of the graph's inputs
	fresh   *int
	total   *int
}

// New seeds an inference with the graph's inputs and initializers.
// The graph is neither changed nor walked.
func New(g *onnx.Graph) *Inference { return newInference(g, nil, nil) }

func newInference(g *onnx.Graph, keep func(string) bool, outer *Inference) *Inference {
	in := &Inference{
		outer: outer, claims: g.Values, keep: keep,
		types:   make(map[string]onnx.Value, len(g.Inputs)+len(g.Initializers)+2*len(g.Nodes)),
		content: map[string][]onnx.Dim{}, consts: map[string]*onnx.Tensor{}, symbols: map[string]bool{},
	}
	if outer != nil {
		in.keep, in.fresh, in.total, in.symbols = outer.keep, outer.fresh, outer.total, outer.symbols
	} else {
		in.fresh, in.total = new(int), new(int)
	}
	for _, v := range g.Inputs {
		in.Set(v)
		for _, d := range v.Shape {
			if !d.IsConst() {
				in.symbols[d.Sym] = true
			}
		}
	}
	for name, t := range g.Initializers {
		in.setTensor(name, t, in.keep == nil || !in.keep(name))
	}
	return in
}

// Set declares a value, replacing what was known of its name.
func (in *Inference) Set(v onnx.Value) {
	if len(v.Shape) > maxRank {
		v.Shape = nil
	}
	in.types[v.Name] = v
	delete(in.content, v.Name)
	delete(in.consts, v.Name)
}

// SetTensor declares a constant: its type, and its content if that is small.
func (in *Inference) SetTensor(name string, t *onnx.Tensor) { in.setTensor(name, t, true) }

func (in *Inference) setTensor(name string, t *onnx.Tensor, known bool) {
	if t == nil {
		in.Set(onnx.Value{Name: name})
		return
	}
	n, ok := elementsOf(t)
	if !ok {
		in.Set(onnx.Value{Name: name, DType: t.DType})
		return
	}
	in.Set(onnx.Value{Name: name, DType: t.DType, Shape: onnx.ShapeOf(t.Dims...)})
	limit := int64(maxContent)
	if t.DType.IsFloat() {
		limit = maxFloatContent
	}
	if !known || n > limit || !in.spend(int(n)) {
		return
	}
	in.consts[name] = t
	if c, ok := tensorContent(t); ok {
		in.content[name] = c
	}
}

// spend takes n elements from the budget of contents.
func (in *Inference) spend(n int) bool {
	if *in.total+n > maxContentTotal {
		return false
	}
	*in.total += n
	return true
}

// Type returns what is known of a value; false if it was never declared.
func (in *Inference) Type(name string) (onnx.Value, bool) {
	for s := in; s != nil; s = s.outer {
		if v, ok := s.types[name]; ok {
			return v, true
		}
	}
	return onnx.Value{Name: name}, false
}

// Content returns the elements, row-major, of an integer or boolean value of
// at most 1024 elements, if they are known. An element whose symbol starts
// with "?" is unknown.
func (in *Inference) Content(name string) ([]onnx.Dim, bool) {
	c, ok := in.elements(name)
	if !ok {
		return nil, false
	}
	if v, _ := in.Type(name); v.DType.IsFloat() {
		return nil, false
	}
	return c, true
}

func (in *Inference) elements(name string) ([]onnx.Dim, bool) {
	for s := in; s != nil; s = s.outer {
		if _, ok := s.types[name]; ok {
			c, ok := s.content[name]
			return c, ok
		}
	}
	return nil, false
}

func (in *Inference) constant(name string) (*onnx.Tensor, bool) {
	for s := in; s != nil; s = s.outer {
		if _, ok := s.types[name]; ok {
			t, ok := s.consts[name]
			return t, ok
		}
	}
	return nil, false
}

// unknownDim makes a dimension nothing is known of but that it is not negative.
func (in *Inference) unknownDim() onnx.Dim {
	*in.fresh++
	return onnx.Symbol(onnx.UnknownSymbol + strconv.Itoa(*in.fresh))
}

// unknownElement makes an element nothing is known of.
func (in *Inference) unknownElement() onnx.Dim {
	*in.fresh++
	return onnx.Symbol(symbolElement + strconv.Itoa(*in.fresh))
}

func (in *Inference) unknownShape(rank int) onnx.Shape {
	s := make(onnx.Shape, rank)
	for i := range s {
		s[i] = in.unknownDim()
	}
	return s
}

// Node infers the outputs of one node, by the rules of opset 18, from what is
// known of its inputs. An operator without a rule gives unknown types. The
// error names the node, its operator and the shapes that contradict.
func (in *Inference) Node(n *onnx.Node) error {
	c := call{in: in, n: n}
	for _, o := range n.Outputs {
		if o != "" {
			in.Set(onnx.Value{Name: o})
		}
	}
	if rule := inferRules[n.Operator()]; rule != nil {
		if err := rule(c); err != nil {
			return c.wrap(err)
		}
		in.deduce(n)
	}
	for _, o := range n.Outputs {
		if o != "" {
			in.assume(o)
		}
	}
	return nil
}

// assume fills what is still unknown of a value from the exporter's claim.
func (in *Inference) assume(name string) {
	v := in.types[name]
	claim, ok := in.claims[name]
	if !ok || (v.DType != onnx.Undefined && v.Shape != nil) {
		return
	}
	if v.DType == onnx.Undefined {
		v.DType = claim.DType
	}
	if v.Shape == nil && claim.Shape != nil && len(claim.Shape) <= maxRank {
		v.Shape = make(onnx.Shape, len(claim.Shape))
		for i, d := range claim.Shape {
			if !d.IsConst() && !in.symbols[d.Sym] {
				d = in.unknownDim()
			}
			v.Shape[i] = d
		}
	}
	in.types[name] = v
}

// Model infers every value of a model. It first gives the batch dimension its
// name: a dynamic first dimension of a float or uint8 input becomes N. All
// errors are reported at once.
func Model(m *onnx.Model) (*Inference, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("infer: model: it has no graph: %w", onnx.ErrInvalid)
	}
	nameBatch(m.Graph)
	in := New(m.Graph)
	var errs []error
	for _, n := range m.Graph.Nodes {
		if err := in.Node(n); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, in.checkConstants(m.Graph))
	return in, errors.Join(errs...)
}

// nameBatch renames the batch symbol to N in inputs, outputs and claims.
func nameBatch(g *onnx.Graph) {
	rename := map[string]string{}
	taken := false
	for _, v := range g.Inputs {
		if (v.DType.IsFloat() || v.DType == onnx.Uint8) && len(v.Shape) > 0 && !v.Shape[0].IsConst() {
			rename[v.Shape[0].Sym] = onnx.BatchSymbol
		}
		for _, d := range v.Shape {
			taken = taken || d.Sym == onnx.BatchSymbol
		}
	}
	if len(rename) == 0 {
		return
	}
	if _, ok := rename[onnx.BatchSymbol]; taken && !ok {
		rename[onnx.BatchSymbol] = onnx.BatchSymbol + "_"
	}
	apply := func(s onnx.Shape) onnx.Shape {
		if s == nil {
			return nil
		}
		t := make(onnx.Shape, len(s))
		for i, d := range s {
			if to, ok := rename[d.Sym]; ok && d.Sym != "" {
				d.Sym = to
			}
			t[i] = d
		}
		return t
	}
	for i := range g.Inputs {
		g.Inputs[i].Shape = apply(g.Inputs[i].Shape)
	}
	for i := range g.Outputs {
		g.Outputs[i].Shape = apply(g.Outputs[i].Shape)
	}
	for name, v := range g.Values {
		v.Shape = apply(v.Shape)
		g.Values[name] = v
	}
}

// inferRule infers the outputs of one node.
type inferRule func(c call) error

// inferRules has one entry per operator; the tables are in the infer_*.go files.
var inferRules map[string]inferRule

func init() {
	inferRules = map[string]inferRule{}
	for _, table := range []map[string]inferRule{elementwiseRules, shapeRules, indexRules, windowRules, kernelRules, reduceRules, miscRules, recurrentRules, gridRules} {
		for op, rule := range table {
			inferRules[op] = rule
		}
	}
}

// call is one node being inferred.
type call struct {
	in *Inference
	n  *onnx.Node
}

func (c call) has(i int) bool { return c.n.Input(i) != "" }

func (c call) value(i int) onnx.Value {
	v, _ := c.in.Type(c.n.Input(i))
	return v
}

func (c call) shape(i int) onnx.Shape { return c.value(i).Shape }

func (c call) dtype(i int) onnx.DType { return c.value(i).DType }

// content returns an input's elements; false if it is left out or not known.
func (c call) content(i int) ([]onnx.Dim, bool) {
	if !c.has(i) {
		return nil, false
	}
	return c.in.elements(c.n.Input(i))
}

// ints returns an input's elements if all are known numbers.
func (c call) ints(i int) ([]int64, bool) {
	d, ok := c.content(i)
	if !ok {
		return nil, false
	}
	return constInts(d)
}

// floats returns a float32 input's elements if it is a small constant.
func (c call) floats(i int) ([]float32, bool) {
	if !c.has(i) {
		return nil, false
	}
	t, ok := c.in.constant(c.n.Input(i))
	if !ok || t.DType != onnx.Float32 {
		return nil, false
	}
	return t.Float32s(), true
}

// set declares an output; an output the node leaves out is ignored.
func (c call) set(i int, d onnx.DType, s onnx.Shape) {
	if name := c.n.Output(i); name != "" {
		c.in.Set(onnx.Value{Name: name, DType: d, Shape: s})
	}
}

// axis reads an axis attribute and counts it from the front.
func (c call) axis(def int64, rank int) (int, error) {
	return normAxis(c.n.Int("axis", def), rank)
}

func (c call) wrap(err error) error {
	shapes := make([]string, 0, len(c.n.Inputs))
	for i := range c.n.Inputs {
		if len(shapes) == 8 {
			shapes = append(shapes, "...")
			break
		}
		if c.has(i) {
			shapes = append(shapes, c.n.Inputs[i]+" "+c.shape(i).String())
		}
	}
	return fmt.Errorf("infer: %s of %s: %w", c.n.Describe(), strings.Join(shapes, ", "), err)
}

func shapeErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrShape, fmt.Sprintf(format, args...))
}
