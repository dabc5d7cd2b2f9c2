package emit

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
)

// Encode writes a graph as a model of the opset and IR version that ONNX
// Runtime 1.24 and later have kernels for on every provider; domains are others
// than ONNX's that it may have operators of.
func Encode(g *onnx.Graph, domains ...string) ([]byte, error) {
	Sweep(g)
	m := &onnx.Model{IRVersion: 8, Opset: 18, Producer: onnx.Producer, Graph: g}
	for _, domain := range domains {
		if slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return n.Domain == domain }) {
			if m.Domains == nil {
				m.Domains = map[string]int64{}
			}
			m.Domains[domain] = 1
		}
	}
	if err := opset.Check(m, domains...); err != nil {
		return nil, fmt.Errorf("emit: the graph written does not pass the checker: %w", err)
	}
	return wire.Encode(m)
}

// Sweep drops nodes and initializers that lead to no output.
func Sweep(g *onnx.Graph) {
	live := map[string]bool{}
	for _, o := range g.Outputs {
		live[o.Name] = true
	}
	keep := make([]*onnx.Node, 0, len(g.Nodes))
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return live[o] }) {
			continue
		}
		keep = append(keep, n)
		for _, in := range onnx.Uses(n) {
			live[in] = true
		}
	}
	slices.Reverse(keep)
	g.Nodes = keep
	maps.DeleteFunc(g.Initializers, func(name string, _ *onnx.Tensor) bool { return !live[name] })
	maps.DeleteFunc(g.Values, func(name string, _ onnx.Value) bool { return !live[name] })
}
