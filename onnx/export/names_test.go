package export_test

import (
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
)

// What a node's gradient takes says so in its name: the gradient that a
// parameter's update reads comes from the one forward node that reads the
// parameter, by the graph's own edges. A batch's statistics belong to the
// normalisation that takes them.
func TestNamesSayTheForwardNode(t *testing.T) {
	for _, name := range []string{"mlp", "lenet", "resnet8"} {
		b := build(t, forward(t, name), export.Options{Optimizer: bundle.Optimizer{Momentum: 0.9, WeightDecay: 5e-4}})
		m, err := wire.Decode(b.Train, "")
		if err != nil {
			t.Fatal(err)
		}
		maker, readers, names := map[string]*onnx.Node{}, map[string][]*onnx.Node{}, map[string]bool{}
		for _, n := range m.Graph.Nodes {
			if names[n.Name] || n.Name == "" {
				t.Errorf("%s: two nodes are named %q", name, n.Name)
			}
			names[n.Name] = true
			for _, out := range n.Outputs {
				maker[out] = n
			}
			for _, in := range n.Inputs {
				readers[in] = append(readers[in], n)
			}
		}
		owners := map[string][]string{} // the forward nodes whose parameters have a gradient
		next := map[string]bool{}
		for _, s := range b.Manifest.State {
			next[s.Output] = true
		}
		for _, s := range b.Manifest.State {
			if s.Kind != bundle.KindParameter {
				continue
			}
			var owner *onnx.Node
			for _, n := range readers[s.Input] {
				if !emitted(n.Name) && !next[n.Name] {
					owner = n
				}
			}
			found := 0
			for from := []string{s.Output}; len(from) > 0; from = from[1:] {
				n := maker[from[0]]
				switch {
				case n == nil:
				case strings.HasPrefix(n.Name, "grad."):
					found++
					owners[n.Name] = append(owners[n.Name], owner.Name)
				case strings.HasPrefix(n.Name, "update.") || next[n.Name]:
					from = append(from, n.Inputs...)
				}
			}
			if found != 1 {
				t.Errorf("%s: the update of %q reads %d gradients", name, s.Name, found)
			}
		}
		for grad, of := range owners { // several where two gradients are one value
			if !slices.ContainsFunc(of, func(owner string) bool { return strings.HasPrefix(grad, "grad."+owner+".") }) {
				t.Errorf("%s: %q is the gradient of a parameter that %q reads", name, grad, of)
			}
		}
		for _, n := range m.Graph.Nodes {
			if n.Op != "BatchNormalization" || emitted(n.Name) {
				continue
			}
			for _, in := range n.Inputs[3:5] {
				if made := maker[in]; !strings.HasPrefix(made.Name, "forward."+n.Name+".") {
					t.Errorf("%s: statistics of %q are made by %q", name, n.Name, made.Name)
				}
			}
		}
	}
}

func emitted(name string) bool {
	for _, part := range []string{"images.", "batch.", "forward.", "loss.", "grad.", "update."} {
		if strings.HasPrefix(name, part) {
			return true
		}
	}
	return false
}

// A name of any length is in the file once, not once for each node of its gradient.
func TestLongNames(t *testing.T) {
	m := forward(t, "mlp")
	before := len(build(t, forward(t, "mlp"), export.Options{}).Train)
	const long = 1 << 16
	for _, n := range m.Graph.Nodes {
		if n.Op == "Gemm" {
			n.Name = strings.Repeat("x", long)
			break
		}
	}
	if after := len(build(t, m, export.Options{}).Train); after > before+2*long {
		t.Errorf("a name of %d bytes makes a graph of %d bytes one of %d", long, before, after)
	}
}
