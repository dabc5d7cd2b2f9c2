package onnx

import (
	"slices"
	"strconv"
)

// Producer is the producer's name in models that this program writes.
const Producer = "winnow"

// LaterDomain is the domain of operators that a model of opset 18 has by a
// later definition, for whoever composes them of others.
const LaterDomain = "later"

// KernelDomain has the project's own operators (package runtime/kernels).
const KernelDomain = "winnow"

// Model is a graph with the operator sets it is written in.
type Model struct {
	IRVersion int64
	Opset     int64            // version of the default domain
	Domains   map[string]int64 // versions of other domains
	Producer  string
	Graph     *Graph
	Functions []*Function
	Metadata  map[string]string
}

// Function is a model-local function, inlined before anything else looks at the graph.
type Function struct {
	Name, Domain    string
	Inputs, Outputs []string
	Attrs           []string        // names of attributes without a default
	Defaults        map[string]Attr // attributes with one
	Nodes           []*Node
	Opset           int64
	Domains         map[string]int64
}

// Graph is a list of nodes in topological order.
type Graph struct {
	Name         string
	Inputs       []Value // without those that are initializers too
	Outputs      []Value
	Nodes        []*Node
	Initializers map[string]*Tensor
	Values       map[string]Value // value_info: what the exporter claims of inner values
	Kinds        map[string]Kind  // of initializers, where the file says them
}

// Kind is what a file says that an initializer is to the model's author.
type Kind string

// Kinds, as PyTorch's exporter by torch.export writes them.
const (
	KindParameter Kind = "PARAMETER"
	KindBuffer    Kind = "BUFFER"
	KindConstant  Kind = "CONSTANT_TENSOR"
)

// Value is a name with its type; Shape is nil where the rank is unknown.
type Value struct {
	Name  string
	DType DType
	Shape Shape
}

// Node is one operator. An empty name among Inputs or Outputs is an optional one left out.
type Node struct {
	Name, Op, Domain string
	Inputs, Outputs  []string
	Attrs            map[string]Attr
}

// AttrKind says which field of an Attr holds; the numbers are those of AttributeProto.AttributeType.
type AttrKind int32

// Attribute kinds.
const (
	AttrFloat   AttrKind = 1
	AttrInt     AttrKind = 2
	AttrString  AttrKind = 3
	AttrTensor  AttrKind = 4
	AttrGraph   AttrKind = 5
	AttrFloats  AttrKind = 6
	AttrInts    AttrKind = 7
	AttrStrings AttrKind = 8
)

// Attr is an attribute's value. Ref, if set, names the attribute of the
// enclosing function that it stands for.
type Attr struct {
	Kind    AttrKind
	F       float32
	I       int64
	S       string
	T       *Tensor
	G       *Graph
	Floats  []float32
	Ints    []int64
	Strings []string
	Ref     string
}

// IntAttr makes an integer attribute.
func IntAttr(v int64) Attr { return Attr{Kind: AttrInt, I: v} }

// IntsAttr makes an integer list attribute.
func IntsAttr(v ...int64) Attr { return Attr{Kind: AttrInts, Ints: v} }

// FloatAttr makes a float attribute.
func FloatAttr(v float32) Attr { return Attr{Kind: AttrFloat, F: v} }

// StringAttr makes a string attribute.
func StringAttr(v string) Attr { return Attr{Kind: AttrString, S: v} }

// TensorAttr makes a tensor attribute.
func TensorAttr(t *Tensor) Attr { return Attr{Kind: AttrTensor, T: t} }

// Int returns an integer attribute, or def if the node lacks it.
func (n *Node) Int(name string, def int64) int64 {
	if a, ok := n.Attrs[name]; ok && a.Kind == AttrInt {
		return a.I
	}
	return def
}

// Ints returns an integer list attribute, or def if the node lacks it.
func (n *Node) Ints(name string, def []int64) []int64 {
	if a, ok := n.Attrs[name]; ok && a.Kind == AttrInts {
		return a.Ints
	}
	return def
}

// Float returns a float attribute, or def if the node lacks it.
func (n *Node) Float(name string, def float32) float32 {
	if a, ok := n.Attrs[name]; ok && a.Kind == AttrFloat {
		return a.F
	}
	return def
}

// Str returns a string attribute, or def if the node lacks it.
func (n *Node) Str(name, def string) string {
	if a, ok := n.Attrs[name]; ok && a.Kind == AttrString {
		return a.S
	}
	return def
}

// Input returns the i-th input's name, "" if it is left out.
func (n *Node) Input(i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// Output returns the i-th output's name, "" if it is left out.
func (n *Node) Output(i int) string {
	if i < len(n.Outputs) {
		return n.Outputs[i]
	}
	return ""
}

// Operator is the operator's name, with its domain in front unless that is the standard one.
func (n *Node) Operator() string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// Describe names a node in errors: its own name, or that of its first output.
func (n *Node) Describe() string {
	op := n.Operator()
	if n.Name != "" {
		return "node " + strconv.Quote(n.Name) + " (" + op + ")"
	}
	for _, out := range n.Outputs {
		if out != "" {
			return "node of output " + strconv.Quote(out) + " (" + op + ")"
		}
	}
	return "unnamed node (" + op + ")"
}

// Uses lists the values a node reads, those of its subgraphs included.
func Uses(n *Node) []string {
	names := slices.Clone(n.Inputs)
	for _, a := range n.Attrs {
		if a.G != nil {
			for _, inner := range a.G.Nodes {
				names = append(names, Uses(inner)...)
			}
			for _, v := range a.G.Outputs {
				names = append(names, v.Name)
			}
		}
	}
	return names
}
