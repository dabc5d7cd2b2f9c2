package autodiff

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/infer"
)

// attrs is shorthand for the attributes of an emitted node.
type attrs = map[string]onnx.Attr

// emitter appends nodes to a graph. Each node's types are inferred as it is
// added, so rules can ask for the shape of anything that exists; a node equal
// to an earlier one is not added again. The first error sticks.
type emitter struct {
	graph  *onnx.Graph
	inf    *infer.Inference
	taken  map[string]bool
	shared map[string][]string // node identity -> outputs
	part   string              // of the graph, and
	owner  string              // the node of the model that nodes are emitted for; both go into their names
	batch  string              // float32 scalar: samples in the batch
	stats  map[*onnx.Node]batchStats
	blocks blocks
	serial int
	err    error
}

func newEmitter(g *onnx.Graph, inf *infer.Inference) *emitter {
	e := &emitter{graph: g, inf: inf, taken: map[string]bool{}, shared: map[string][]string{}, stats: map[*onnx.Node]batchStats{}}
	for _, v := range g.Inputs {
		e.taken[v.Name] = true
	}
	for name := range g.Initializers {
		e.taken[name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			e.taken[o] = true
		}
	}
	return e
}

// unique returns want, or want with a number behind it if the name is taken, and takes it.
func (e *emitter) unique(want string) string {
	name := want
	for i := 1; e.taken[name]; i++ {
		name = fmt.Sprintf("%s.%d", want, i)
	}
	e.taken[name] = true
	return name
}

func (e *emitter) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("autodiff: "+format, args...)
	}
}

// fresh makes a name for a new value.
func (e *emitter) fresh(op string) string {
	e.serial++
	return e.unique(bundle.NodeName(e.part, e.owner, op, e.serial))
}

// op emits a node with one output and returns the output's name.
func (e *emitter) op(op string, a attrs, inputs ...string) string {
	return e.ops(op, 1, a, inputs...)[0]
}

// ops emits a node with n outputs.
func (e *emitter) ops(op string, n int, a attrs, inputs ...string) []string {
	if blocked := e.blockedOperands(op, inputs); blocked != nil {
		return []string{e.blockOut(e.opsIn("", op, n, a, e.levelled(op, blocked)...)[0])}
	}
	return e.opsIn("", op, n, a, e.levelled(op, inputs)...)
}

// broadcasts lists operators that spread their operands to one shape.
var broadcasts = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Pow": true, "Max": true, "Min": true, "Sum": true, "Mean": true,
	"Where": true, "Equal": true, "Greater": true, "GreaterOrEqual": true, "Less": true, "LessOrEqual": true,
}

// levelled gives single numbers as many dimensions as the values beside them
// if those end in a dimension of 1, as the filters of 1x1 convolutions do.
// Without, ONNX Runtime's CPU kernels go through them element by element,
// twenty times as long for 2048x512x1x1 (BenchmarkNumberBesideFilter).
func (e *emitter) levelled(op string, inputs []string) []string {
	single := func(s onnx.Shape) bool { return s != nil && len(s) == 0 || len(s) == 1 && s[0] == onnx.Const(1) }
	rank := 0
	for _, in := range inputs {
		switch s := e.shape(in); {
		case single(s):
		case len(s) > 1 && s[len(s)-1] == onnx.Const(1):
			rank = max(rank, len(s))
		default:
			return inputs
		}
	}
	if rank == 0 || !broadcasts[op] {
		return inputs
	}
	ones := slices.Repeat([]int64{1}, rank)
	inputs = slices.Clone(inputs)
	for i, in := range inputs {
		if !single(e.shape(in)) {
			continue
		}
		if t := e.graph.Initializers[in]; t != nil {
			inputs[i] = e.constant(&onnx.Tensor{DType: t.DType, Dims: ones, Data: t.Data})
		} else {
			inputs[i] = e.flat(in, ones...)
		}
	}
	return inputs
}

// opsIn emits a node of another domain.
func (e *emitter) opsIn(domain, op string, n int, a attrs, inputs ...string) []string {
	key := identity(domain+op, n, a, inputs)
	if out, ok := e.shared[key]; ok {
		return out
	}
	out := make([]string, n)
	for i := range out {
		out[i] = e.fresh(op)
	}
	e.add(&onnx.Node{Name: out[0], Op: op, Domain: domain, Inputs: inputs, Outputs: out, Attrs: a})
	e.shared[key] = out
	return out
}

// named emits a node whose single output has a given, free name.
func (e *emitter) named(name, op string, a attrs, inputs ...string) string {
	e.add(&onnx.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{name}, Attrs: a})
	return name
}

// rename gives the value emitted last another, free name.
func (e *emitter) rename(value, name string) string {
	if e.err != nil {
		return name
	}
	last := e.graph.Nodes[len(e.graph.Nodes)-1]
	if len(last.Outputs) != 1 || last.Outputs[0] != value {
		return e.named(name, "Identity", nil, value)
	}
	delete(e.shared, identity(last.Domain+last.Op, 1, last.Attrs, last.Inputs))
	v, _ := e.inf.Type(value)
	v.Name, last.Name, last.Outputs = name, name, []string{name}
	e.inf.Set(v)
	return name
}

func (e *emitter) add(n *onnx.Node) {
	if e.err != nil {
		return
	}
	if err := e.inf.Node(n); err != nil {
		e.fail("%w", err)
		return
	}
	e.graph.Nodes = append(e.graph.Nodes, n)
}

// either is what then emits where cond, a boolean of one element, holds, else
// what other emits. Only the one that is taken is computed.
func (e *emitter) either(cond string, then, other func() string) string {
	branch := func(emit func() string) onnx.Attr {
		out, nodes := e.inside(emit)
		return onnx.Attr{Kind: onnx.AttrGraph, G: &onnx.Graph{Name: "branch", Nodes: nodes, Outputs: []onnx.Value{out}}}
	}
	return e.op("If", attrs{"then_branch": branch(then), "else_branch": branch(other)}, cond)
}

// inside is the value that emit gives and the nodes it takes, for a graph within this one.
func (e *emitter) inside(emit func() string) (onnx.Value, []*onnx.Node) {
	nodes, shared := e.graph.Nodes, e.shared
	e.graph.Nodes, e.shared = nil, maps.Clone(shared)
	out, _ := e.inf.Type(emit())
	inner := e.graph.Nodes
	e.graph.Nodes, e.shared = nodes, shared
	return out, inner
}

// identity spells out a node so that equal nodes have equal spellings.
func identity(op string, n int, a attrs, inputs []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%d", op, n)
	for _, in := range inputs {
		b.WriteByte(0)
		b.WriteString(in)
	}
	names := make([]string, 0, len(a))
	for name := range a {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&b, "\x01%s=%v", name, a[name])
	}
	return b.String()
}

// constant adds t as an initializer, once for equal content.
func (e *emitter) constant(t *onnx.Tensor) string {
	key := fmt.Sprintf("const/%v/%v/%x", t.DType, t.Dims, sha256.Sum256(t.Data))
	if out, ok := e.shared[key]; ok {
		return out[0]
	}
	name := e.fresh("const")
	e.graph.Initializers[name] = t
	e.inf.SetTensor(name, t)
	e.shared[key] = []string{name}
	return name
}

func (e *emitter) scalar(v float64) string {
	return e.constant(onnx.FromFloat32([]float32{float32(v)}))
}

func (e *emitter) floats(v []float32, dims ...int64) string {
	return e.constant(onnx.FromFloat32(v, dims...))
}

func (e *emitter) ints(v ...int64) string {
	return e.constant(onnx.FromInt64(v, int64(len(v))))
}

// always is a true scalar condition: Where with it spreads a value.
func (e *emitter) always() string {
	t := onnx.NewTensor(onnx.Bool)
	t.Data[0] = 1
	return e.constant(t)
}

// shape returns what is known of a value's shape, nil for an unknown rank.
func (e *emitter) shape(name string) onnx.Shape {
	v, _ := e.inf.Type(name)
	return v.Shape
}

func (e *emitter) dtype(name string) onnx.DType {
	v, _ := e.inf.Type(name)
	return v.DType
}

// Shorthands for the operators that rules use most.
func (e *emitter) addOp(a, b string) string { return e.op("Add", nil, a, b) }
func (e *emitter) sub(a, b string) string   { return e.op("Sub", nil, a, b) }
func (e *emitter) mul(a, b string) string   { return e.op("Mul", nil, a, b) }
func (e *emitter) div(a, b string) string   { return e.op("Div", nil, a, b) }
func (e *emitter) neg(a string) string      { return e.op("Neg", nil, a) }

func (e *emitter) cast(a string, to onnx.DType) string {
	return e.op("Cast", attrs{"to": onnx.IntAttr(int64(to))}, a)
}

// number is a scalar constant of the element type of like.
func (e *emitter) number(v float64, like string) string {
	switch e.dtype(like) {
	case onnx.Float64:
		t := onnx.NewTensor(onnx.Float64)
		bits := math.Float64bits(v)
		for i := range t.Data {
			t.Data[i] = byte(bits >> (8 * i))
		}
		return e.constant(t)
	default:
		return e.scalar(v)
	}
}

func (e *emitter) transpose(x string, perm ...int64) string {
	for i, p := range perm {
		if int64(i) != p {
			return e.op("Transpose", attrs{"perm": onnx.IntsAttr(perm...)}, x)
		}
	}
	return x
}

// sum reduces over axes; keep leaves them in place with size 1.
func (e *emitter) sum(x string, keep bool, axes ...int64) string {
	if len(axes) == 0 {
		return x
	}
	k := int64(0)
	if keep {
		k = 1
	}
	return e.op("ReduceSum", attrs{"keepdims": onnx.IntAttr(k)}, x, e.ints(axes...))
}

// reshape gives x the target shape, in which one dimension may be symbolic.
func (e *emitter) reshape(x string, target onnx.Shape) string {
	if e.shape(x).Equal(target) {
		return x
	}
	dims := make([]int64, len(target))
	free := 0
	from := e.shape(x)
	for i, d := range target {
		switch {
		case d.IsConst():
			dims[i] = d.N
		case i < len(from) && from[i] == d:
			dims[i] = 0
		default:
			dims[i] = -1
			free++
		}
	}
	if free > 1 {
		e.fail("reshape of %q from %v to %v, of which more than one dimension depends on the batch: %w", x, from, target, ErrModel)
	}
	return e.op("Reshape", nil, x, e.ints(dims...))
}

// size is how long x is along an axis, int64 [1].
func (e *emitter) size(x string, axis int) string {
	if d := e.shape(x)[axis]; d.IsConst() {
		return e.ints(d.N)
	}
	return e.op("Shape", attrs{"start": onnx.IntAttr(int64(axis)), "end": onnx.IntAttr(int64(axis + 1))}, x)
}

// flat reshapes to literal dimensions, with 0 and -1 as Reshape defines them.
func (e *emitter) flat(x string, dims ...int64) string {
	return e.op("Reshape", nil, x, e.ints(dims...))
}

// broadcast spreads x to the shape of like.
func (e *emitter) broadcast(x, like string) string {
	if e.shape(x).Equal(e.shape(like)) {
		return x
	}
	return e.op("Where", nil, e.always(), x, like)
}

// zerosLike makes zeros of the shape and type of x, whatever x holds.
func (e *emitter) zerosLike(x string) string {
	return e.op("Where", nil, e.always(), e.number(0, x), x)
}

// slice takes [start, end) by step along axes.
func (e *emitter) slice(x string, starts, ends, axes, steps []int64) string {
	return e.op("Slice", nil, x, e.ints(starts...), e.ints(ends...), e.ints(axes...), e.ints(steps...))
}
