package infer

import (
	"maps"
	"slices"

	"winnow/onnx"
)

// branch is the branch of an If whose condition is known.
func (f *folder) branch(n *onnx.Node) *onnx.Graph {
	if n.Operator() != "If" {
		return nil
	}
	cond, ok := call{in: f.in, n: n}.ints(0)
	if !ok || len(cond) != 1 {
		return nil
	}
	name := "then_branch"
	if cond[0] == 0 {
		name = "else_branch"
	}
	g := n.Attrs[name].G
	if g == nil || len(g.Inputs) > 0 || len(g.Outputs) < len(n.Outputs) {
		return nil
	}
	return g
}

// inlineBranch puts a branch's nodes in the place of its If, under names that are new.
func (f *folder) inlineBranch(n *onnx.Node, g *onnx.Graph, depth int) {
	base := n.Name
	if base == "" {
		base = n.Output(0)
	}
	rename := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(g.Initializers)) {
		t := g.Initializers[name]
		own := f.names.Fresh(base + "/" + name)
		rename[name] = own
		f.trainable[own] = f.o.Keep != nil && (f.o.Keep(name) || f.o.Keep(own))
		f.g.Initializers[own] = t
		f.in.setTensor(own, t, !f.trainable[own])
	}
	for _, inner := range g.Nodes {
		inner = (&renaming{to: rename}).node(inner)
		for i, o := range inner.Outputs {
			if o != "" {
				own := f.names.Fresh(base + "/" + o)
				rename[o] = own
				f.uses[own] = 1 // by the branch, as far as is known
				inner.Outputs[i] = own
			}
		}
		f.node(inner, depth+1)
	}
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		from := g.Outputs[i].Name
		if own, ok := rename[from]; ok {
			from = own
		}
		f.node(&onnx.Node{Name: base + "/" + o, Op: "Identity", Inputs: []string{from}, Outputs: []string{o}}, depth+1)
	}
}

// renaming gives values other names; a subgraph's hides those it defines itself.
type renaming struct {
	to     map[string]string
	hidden map[string]bool
	outer  *renaming
}

func (r *renaming) name(name string) string {
	for ; r.outer != nil; r = r.outer {
		if r.hidden[name] {
			return name
		}
	}
	if t, ok := r.to[name]; ok {
		return t
	}
	return name
}

// node copies a node, with other names for the values that it and its subgraphs read.
func (r *renaming) node(n *onnx.Node) *onnx.Node {
	out := *n
	out.Inputs = make([]string, len(n.Inputs))
	for i, name := range n.Inputs {
		out.Inputs[i] = r.name(name)
	}
	out.Outputs = append([]string{}, n.Outputs...)
	cloned := false
	for name, a := range n.Attrs {
		if a.G == nil {
			continue
		}
		if !cloned {
			out.Attrs, cloned = maps.Clone(n.Attrs), true
		}
		a.G = r.graph(a.G)
		out.Attrs[name] = a
	}
	return &out
}

func (r *renaming) graph(g *onnx.Graph) *onnx.Graph {
	inner := &renaming{hidden: map[string]bool{}, outer: r}
	for _, v := range g.Inputs {
		inner.hidden[v.Name] = true
	}
	for name := range g.Initializers {
		inner.hidden[name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			inner.hidden[o] = true
		}
	}
	out := *g
	out.Nodes = make([]*onnx.Node, len(g.Nodes))
	for i, n := range g.Nodes {
		out.Nodes[i] = inner.node(n)
	}
	out.Outputs = append([]onnx.Value{}, g.Outputs...)
	for i := range out.Outputs {
		out.Outputs[i].Name = inner.name(out.Outputs[i].Name)
	}
	return &out
}

// countUses counts how often each value is read, by a node or its subgraphs.
func countUses(n *onnx.Node, count map[string]int) {
	for _, name := range n.Inputs {
		count[name]++
	}
	for _, a := range n.Attrs {
		if a.G == nil {
			continue
		}
		for _, inner := range a.G.Nodes {
			countUses(inner, count)
		}
		for _, v := range a.G.Outputs {
			count[v.Name]++
		}
	}
}

// removeDead removes nodes, initializers and claims that no output depends on.
func removeDead(g *onnx.Graph) {
	live := map[string]int{}
	for _, v := range g.Outputs {
		live[v.Name]++
	}
	kept := make([]*onnx.Node, 0, len(g.Nodes))
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		used := false
		for _, o := range n.Outputs {
			used = used || o != "" && live[o] > 0
		}
		if used {
			kept = append(kept, n)
			countUses(n, live)
		}
	}
	defined := map[string]bool{}
	for _, v := range g.Inputs {
		defined[v.Name] = true
	}
	for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	g.Nodes = kept
	for _, n := range kept {
		for _, o := range n.Outputs {
			defined[o] = true
		}
	}
	for name := range g.Initializers {
		if live[name] == 0 {
			delete(g.Initializers, name)
		}
	}
	for name := range g.Values {
		if !defined[name] {
			delete(g.Values, name)
		}
	}
}

func withoutAttr(attrs map[string]onnx.Attr, name string) map[string]onnx.Attr {
	out := maps.Clone(attrs)
	delete(out, name)
	return out
}
