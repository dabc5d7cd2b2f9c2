package emit

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

// Attrs is shorthand for the attributes of an emitted node.
type Attrs = map[string]onnx.Attr

// Builder appends nodes to a graph. Each node's types are inferred as it is
// added, so rules can ask for the shape of anything that exists; a node equal
// to an earlier one is not added again. The first error sticks.
type Builder struct {
	Graph  *onnx.Graph
	Inf    *infer.Inference
	names  onnx.Names
	shared map[string][]string // node identity -> outputs
	Part   string              // of the graph, and
	owner  string              // the node of the model that nodes are emitted for; both go into their names
	serial int
	Err    error

	Batch  string // float32 scalar: samples in the batch; "" where none is known
	CPU    bool   // whether the graph is for ONNX Runtime's CPU provider alone
	Layout Layout // nil: every value has its plain form alone
}

// Layout keeps images in another layout of memory, beside the plain form that
// rules read. Its methods give "" where a value has no other form.
type Layout interface {
	// Elementwise emits an operator that takes every element by itself.
	Elementwise(op string, a Attrs, inputs []string) string
	// ChannelSum reduces images over all axes but that of the channels.
	ChannelSum(x string) string
	// PositionSum reduces images to one position.
	PositionSum(x string) string
}

// New appends to g, of whose values inf knows the types.
func New(g *onnx.Graph, inf *infer.Inference) *Builder {
	e := &Builder{Graph: g, Inf: inf, shared: map[string][]string{}}
	for _, v := range g.Inputs {
		e.Take(v.Name)
	}
	for name := range g.Initializers {
		e.Take(name)
	}
	for _, n := range g.Nodes {
		e.Take(n.Outputs...)
	}
	return e
}

// Take marks names as used.
func (e *Builder) Take(names ...string) { e.names.Take(names...) }

// Unique returns want, or want with a number behind it if the name is taken, and takes it.
func (e *Builder) Unique(want string) string { return e.names.Numbered(want, ".", 1) }

// Forget lets go of the values that were emitted, but not of constants: what is
// emitted from here on is computed anew.
func (e *Builder) Forget() {
	maps.DeleteFunc(e.shared, func(key string, _ []string) bool { return !strings.HasPrefix(key, "const/") })
}

// Fail keeps an error, unless there is one already.
func (e *Builder) Fail(format string, args ...any) {
	if e.Err == nil {
		e.Err = fmt.Errorf("emit: "+format, args...)
	}
}

// Fresh makes a name for a new value.
func (e *Builder) Fresh(op string) string {
	e.serial++
	return e.Unique(bundle.NodeName(e.Part, e.owner, op, e.serial))
}

// Emit emits a node with one output and returns the output's name.
func (e *Builder) Emit(op string, a Attrs, inputs ...string) string {
	return e.EmitN(op, 1, a, inputs...)[0]
}

// EmitN emits a node with n outputs.
func (e *Builder) EmitN(op string, n int, a Attrs, inputs ...string) []string {
	if e.Layout != nil {
		if y := e.Layout.Elementwise(op, a, inputs); y != "" {
			return []string{y}
		}
	}
	return e.EmitIn("", op, n, a, inputs...)
}

// broadcasts lists operators that spread their operands to one shape.
var broadcasts = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Pow": true, "Max": true, "Min": true, "Sum": true, "Mean": true,
	"Where": true, "Equal": true, "Greater": true, "GreaterOrEqual": true, "Less": true, "LessOrEqual": true,
}

// withEqualRank gives single numbers as many dimensions as the values beside them
// if those end in a dimension of 1, as the filters of 1x1 convolutions do.
// Without, ONNX Runtime's CPU kernels go through them element by element,
// twenty times as long for 2048x512x1x1 (BenchmarkNumberBesideFilter).
func (e *Builder) withEqualRank(op string, inputs []string) []string {
	single := func(s onnx.Shape) bool { return s != nil && len(s) == 0 || len(s) == 1 && s[0] == onnx.Const(1) }
	rank := 0
	for _, in := range inputs {
		switch s := e.Shape(in); {
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
		if !single(e.Shape(in)) {
			continue
		}
		if t := e.Graph.Initializers[in]; t != nil {
			inputs[i] = e.Constant(&onnx.Tensor{DType: t.DType, Dims: ones, Data: t.Data})
		} else {
			inputs[i] = e.Flat(in, ones...)
		}
	}
	return inputs
}

// EmitIn emits a node of a domain, on the operands as they are named.
func (e *Builder) EmitIn(domain, op string, n int, a Attrs, inputs ...string) []string {
	if domain == "" {
		inputs = e.withEqualRank(op, inputs)
	}
	key := identity(domain+op, n, a, inputs)
	if out, ok := e.shared[key]; ok {
		return out
	}
	out := make([]string, n)
	for i := range out {
		out[i] = e.Fresh(op)
	}
	e.Append(&onnx.Node{Name: out[0], Op: op, Domain: domain, Inputs: inputs, Outputs: out, Attrs: a})
	e.shared[key] = out
	return out
}

// Named emits a node whose single output has a given, free name.
func (e *Builder) Named(name, op string, a Attrs, inputs ...string) string {
	e.Append(&onnx.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{name}, Attrs: a})
	return name
}

// Rename gives the value emitted last another, free name.
func (e *Builder) Rename(value, name string) string {
	if e.Err != nil {
		return name
	}
	last := e.Graph.Nodes[len(e.Graph.Nodes)-1]
	if len(last.Outputs) != 1 || last.Outputs[0] != value {
		return e.Named(name, "Identity", nil, value)
	}
	delete(e.shared, identity(last.Domain+last.Op, 1, last.Attrs, last.Inputs))
	v, _ := e.Inf.Type(value)
	v.Name, last.Name, last.Outputs = name, name, []string{name}
	e.Inf.Set(v)
	return name
}

// Append adds a node as it is, with the types of its outputs.
func (e *Builder) Append(n *onnx.Node) {
	if e.Err != nil {
		return
	}
	if err := e.Inf.Node(n); err != nil {
		e.Fail("%w", err)
		return
	}
	e.Graph.Nodes = append(e.Graph.Nodes, n)
}

// If is what then emits where cond, a boolean of one element, holds, else
// what other emits. Only the one that is taken is computed.
func (e *Builder) If(cond string, then, other func() string) string {
	branch := func(emit func() string) onnx.Attr {
		out, nodes := e.Inside(emit)
		return onnx.Attr{Kind: onnx.AttrGraph, G: &onnx.Graph{Name: "branch", Nodes: nodes, Outputs: []onnx.Value{out}}}
	}
	return e.Emit("If", Attrs{"then_branch": branch(then), "else_branch": branch(other)}, cond)
}

// Inside is the value that emit gives and the nodes it takes, for a graph within this one.
func (e *Builder) Inside(emit func() string) (onnx.Value, []*onnx.Node) {
	nodes, shared := e.Graph.Nodes, e.shared
	e.Graph.Nodes, e.shared = nil, maps.Clone(shared)
	out, _ := e.Inf.Type(emit())
	inner := e.Graph.Nodes
	e.Graph.Nodes, e.shared = nodes, shared
	return out, inner
}

// identity spells out a node so that equal nodes have equal spellings.
func identity(op string, n int, a Attrs, inputs []string) string {
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

// Constant adds t as an initializer, once for equal content.
func (e *Builder) Constant(t *onnx.Tensor) string {
	key := fmt.Sprintf("const/%v/%v/%x", t.DType, t.Dims, sha256.Sum256(t.Data))
	if out, ok := e.shared[key]; ok {
		return out[0]
	}
	name := e.Fresh("const")
	e.Graph.Initializers[name] = t
	e.Inf.SetTensor(name, t)
	e.shared[key] = []string{name}
	return name
}

// Scalar is a float32 constant without dimensions.
func (e *Builder) Scalar(v float64) string {
	return e.Constant(onnx.FromFloat32([]float32{float32(v)}))
}

// Float32s is a float32 constant.
func (e *Builder) Float32s(v []float32, dims ...int64) string {
	return e.Constant(onnx.FromFloat32(v, dims...))
}

// Int64s is an int64 constant of one dimension.
func (e *Builder) Int64s(v ...int64) string {
	return e.Constant(onnx.FromInt64(v, int64(len(v))))
}

// True is a true scalar condition: Where with it spreads a value.
func (e *Builder) True() string {
	t := onnx.NewTensor(onnx.Bool)
	t.Data[0] = 1
	return e.Constant(t)
}

// Shape returns what is known of a value's shape, nil for an unknown rank.
func (e *Builder) Shape(name string) onnx.Shape {
	v, _ := e.Inf.Type(name)
	return v.Shape
}

// DType is the element type of a value.
func (e *Builder) DType(name string) onnx.DType {
	v, _ := e.Inf.Type(name)
	return v.DType
}

// Number is a scalar constant of the element type of like.
func (e *Builder) Number(v float64, like string) string {
	switch e.DType(like) {
	case onnx.Float64:
		t := onnx.NewTensor(onnx.Float64)
		bits := math.Float64bits(v)
		for i := range t.Data {
			t.Data[i] = byte(bits >> (8 * i))
		}
		return e.Constant(t)
	default:
		return e.Scalar(v)
	}
}

// Transpose permutes the axes of x.
func (e *Builder) Transpose(x string, perm ...int64) string {
	for i, p := range perm {
		if int64(i) != p {
			return e.Emit("Transpose", Attrs{"perm": onnx.IntsAttr(perm...)}, x)
		}
	}
	return x
}

// Sum reduces over axes; keep leaves them in place with size 1.
func (e *Builder) Sum(x string, keep bool, axes ...int64) string {
	if len(axes) == 0 {
		return x
	}
	k := int64(0)
	if keep {
		k = 1
	}
	return e.Emit("ReduceSum", Attrs{"keepdims": onnx.IntAttr(k)}, x, e.Int64s(axes...))
}

// Reshape gives x the target shape, in which one dimension may be symbolic.
func (e *Builder) Reshape(x string, target onnx.Shape) string {
	if e.Shape(x).Equal(target) {
		return x
	}
	dims := make([]int64, len(target))
	free := 0
	from := e.Shape(x)
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
		e.Fail("reshape of %q from %v to %v, of which more than one dimension depends on the batch: %w", x, from, target, ErrModel)
	}
	return e.Emit("Reshape", nil, x, e.Int64s(dims...))
}

// Size is how long x is along an axis, int64 [1].
func (e *Builder) Size(x string, axis int) string {
	if d := e.Shape(x)[axis]; d.IsConst() {
		return e.Int64s(d.N)
	}
	return e.Emit("Shape", Attrs{"start": onnx.IntAttr(int64(axis)), "end": onnx.IntAttr(int64(axis + 1))}, x)
}

// Flat reshapes to literal dimensions, with 0 and -1 as Reshape defines them.
func (e *Builder) Flat(x string, dims ...int64) string {
	return e.Emit("Reshape", nil, x, e.Int64s(dims...))
}

// Broadcast spreads x to the shape of like.
func (e *Builder) Broadcast(x, like string) string {
	if e.Shape(x).Equal(e.Shape(like)) {
		return x
	}
	return e.Emit("Where", nil, e.True(), x, like)
}

// ZerosLike makes zeros of the shape and type of x, whatever x holds.
func (e *Builder) ZerosLike(x string) string {
	return e.Emit("Where", nil, e.True(), e.Number(0, x), x)
}

// Slice takes [start, end) by step along axes.
func (e *Builder) Slice(x string, starts, ends, axes, steps []int64) string {
	return e.Emit("Slice", nil, x, e.Int64s(starts...), e.Int64s(ends...), e.Int64s(axes...), e.Int64s(steps...))
}

// Within makes names of what is emitted from here on say its part of the graph
// and the node of the model, unless nil, on whose behalf it is emitted.
func (e *Builder) Within(part string, n *onnx.Node) {
	e.Part, e.owner = part, ""
	if n != nil {
		e.owner = n.Name
	}
}

// Place is where in the graph nodes are emitted, for errors.
func (e *Builder) Place() string {
	if e.owner == "" {
		return e.Part
	}
	return e.Part + "." + e.owner
}

// AddInput declares a graph input under a free name like want.
func (e *Builder) AddInput(want string, d onnx.DType, shape onnx.Shape) onnx.Value {
	v := onnx.Value{Name: e.Unique(want), DType: d, Shape: shape}
	e.Graph.Inputs = append(e.Graph.Inputs, v)
	e.Inf.Set(v)
	return v
}

// AddOutput declares a graph output that exists as a value.
func (e *Builder) AddOutput(name string) onnx.Value {
	v, _ := e.Inf.Type(name)
	v.Name = name
	e.Graph.Outputs = append(e.Graph.Outputs, v)
	return v
}

// NextName is the output that replaces a state tensor.
func (e *Builder) NextName(name string) string { return e.Unique(name + ".next") }
