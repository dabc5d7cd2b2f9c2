package costs

import (
	"regexp"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// Part is a part of a training step.
type Part string

// The parts of a step. The loss goes with its own derivative, and what nothing
// is known of is other: nodes that ONNX Runtime adds, and graphs of other tools.
const (
	PartForward  Part = "forward"
	PartLoss     Part = "loss"
	PartBackward Part = "backward"
	PartUpdate   Part = "update"
	PartOther    Part = "other"
)

// Parts lists the parts in the order of a step.
func Parts() []Part { return []Part{PartForward, PartLoss, PartBackward, PartUpdate, PartOther} }

// owner says what a node of a training graph is for. The layer is the node of
// the model that it computes, or computes the gradient of; without one, the
// part in brackets.
type owner struct {
	part  Part
	layer string
}

func without(part Part) owner { return owner{part, "(" + string(part) + ")"} }

// owners knows the nodes of a training graph by the names that onnx/emit
// gives them.
type owners struct {
	nodes, values map[string]owner
	ops           map[string]string   // by layer
	parameters    map[string][]string // by layer
}

// ownerless says whose nodes those are that belong to a part of the graph and to
// no node of the model.
var ownerless = map[string]owner{
	bundle.PartImages: {PartForward, "(images)"}, bundle.PartForward: without(PartForward), bundle.PartBatch: without(PartLoss),
	bundle.PartLoss: without(PartLoss), bundle.PartGrad: without(PartBackward), bundle.PartUpdate: without(PartUpdate),
}

// newOwners reads a bundle's training graph.
func newOwners(b *bundle.Bundle, m *onnx.Model) *owners {
	o := &owners{map[string]owner{}, map[string]owner{}, map[string]string{}, map[string][]string{}}
	roles := map[string]owner{b.Manifest.Train.Loss.Name: without(PartLoss)}
	if v := b.Manifest.Train.PerSampleLoss; v != nil {
		roles[v.Name] = without(PartLoss)
	}
	parameters := map[string]string{}
	for _, s := range b.Manifest.State {
		roles[s.Output] = without(PartUpdate)
		if s.Kind == bundle.KindParameter {
			parameters[s.Input] = s.Name
		}
	}
	for _, n := range allNodes(m.Graph.Nodes) {
		w := owner{PartForward, n.Name}
		role, named := roles[n.Name]
		switch part, layer := bundle.ParseNodeName(n.Name); {
		case m.Producer != onnx.Producer:
			w = owner{PartOther, n.Name}
		case layer != "":
			w = owner{ownerless[part].part, layer}
		case named && slices.Contains(n.Outputs, n.Name):
			w = role
		case part != "":
			w = ownerless[part]
		}
		o.nodes[n.Name] = w
		for _, out := range n.Outputs {
			o.values[out] = w
		}
		if w.layer != n.Name {
			continue
		}
		o.ops[n.Name] = n.Op
		for _, in := range n.Inputs {
			if p := parameters[in]; p != "" && !slices.Contains(o.parameters[n.Name], p) {
				o.parameters[n.Name] = append(o.parameters[n.Name], p)
			}
		}
	}
	for name, w := range o.nodes { // the gradient of what is no layer itself, such as a loss that the model holds
		if of, ok := o.nodes[w.layer]; ok && of.layer != w.layer {
			o.nodes[name] = owner{w.part, of.layer}
		}
	}
	return o
}

// allNodes are nodes and those of their branches.
func allNodes(nodes []*onnx.Node) []*onnx.Node {
	all := slices.Clone(nodes)
	for _, n := range nodes {
		for _, a := range n.Attrs {
			if a.G != nil {
				all = append(all, allNodes(a.G.Nodes)...)
			}
		}
	}
	return all
}

// What ONNX Runtime's optimizer writes around the name of a node it replaces,
// or of the value that the node makes.
var (
	copySuffix    = regexp.MustCompile(`_token_[0-9]+$`)
	fusionSuffix  = regexp.MustCompile(`(/\w+Fusion/?)+$`)
	fusedPrefix   = "fused "
	blockedSuffix = "_nchwc"
)

// of finds the owner of a node of the optimized graph.
func (o *owners) of(name string) owner {
	if w, ok := o.nodes[name]; ok {
		return w
	}
	name = copySuffix.ReplaceAllString(name, "")
	if value, ok := strings.CutSuffix(name, blockedSuffix); ok {
		if w, ok := o.values[value]; ok {
			return w
		}
	}
	if w, ok := o.nodes[fusionSuffix.ReplaceAllString(strings.TrimPrefix(name, fusedPrefix), "")]; ok {
		return w
	}
	return without(PartOther)
}

// plainNames replaces, in names of nodes, what ONNX Runtime's profiler would
// write into JSON as it is. It reports whether there was any.
func plainNames(g *onnx.Graph) (changed bool) {
	plain := func(r rune) rune {
		if r < ' ' || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}
	for _, n := range allNodes(g.Nodes) {
		name := strings.Map(plain, n.Name)
		changed = changed || name != n.Name
		n.Name = name
	}
	return changed
}
