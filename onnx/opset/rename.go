package opset

import (
	"slices"

	"winnow/onnx"
)

// Rename gives a name of its own to every value of the model's graph that a
// node makes under one that is taken. PyTorch's exporter writes such files:
// names of buffers and of nodes do not know of each other. In the order of the
// nodes a use means the last value of that name, as in PyTorch's program. It
// returns the names that were there twice, in the order of the nodes.
func Rename(m *onnx.Model) []string {
	g := m.Graph
	if g == nil {
		return nil
	}
	defined := map[string]bool{}
	for _, v := range g.Inputs {
		defined[v.Name] = true
	}
	for name := range g.Initializers {
		defined[name] = true
	}
	names := onnx.NewNames(g)
	now := map[string]string{} // what a name that was there twice means
	var twice []string
	for _, n := range g.Nodes {
		substitute(n, now)
		for i, out := range n.Outputs {
			if out == "" || !defined[out] {
				defined[out] = true
				continue
			}
			if !slices.Contains(twice, out) {
				twice = append(twice, out)
			}
			now[out] = names.Fresh(out)
			n.Outputs[i] = now[out]
			delete(g.Values, out) // a claim about which of them?
		}
	}
	for i, v := range g.Outputs {
		if to, ok := now[v.Name]; ok {
			g.Outputs[i].Name = to
		}
	}
	return twice
}

// substitute renames what a node and the graphs within it use from outside.
func substitute(n *onnx.Node, to map[string]string) {
	if len(to) == 0 {
		return
	}
	for i, in := range n.Inputs {
		if name, ok := to[in]; ok {
			n.Inputs[i] = name
		}
	}
	for _, a := range n.Attrs {
		if a.G == nil {
			continue
		}
		inner := make(map[string]string, len(to))
		for from, name := range to {
			if !definesValue(a.G, from) {
				inner[from] = name
			}
		}
		for _, n := range a.G.Nodes {
			substitute(n, inner)
		}
		for i, v := range a.G.Outputs {
			if name, ok := inner[v.Name]; ok {
				a.G.Outputs[i].Name = name
			}
		}
	}
}

// definesValue is whether a graph has an input, initializer or node output of that name.
func definesValue(g *onnx.Graph, name string) bool {
	return g.Initializers[name] != nil ||
		slices.ContainsFunc(g.Inputs, func(v onnx.Value) bool { return v.Name == name }) ||
		slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return slices.Contains(n.Outputs, name) })
}
