package export

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
)

// unsharing undoes what exporters do to a fresh model: PyTorch's write tensors
// of equal values once, so that biases and running means, all zero, or all
// scales of one width, become a single initializer. Each use of a vector of
// equal elements gets its own, and so does each use of running statistics,
// which are nobody's weights. A tensor that the author uses twice stays one:
// one of different elements, one whose node has the same weights in each use,
// and any in a file that holds equal tensors apart, whose exporter merged none.
type unsharing struct {
	g     *onnx.Graph
	named map[string]bool
	apart int // elements of the smallest two tensors that are equal and apart; 0 where nothing is merged
	made  int
	tied  map[string]bool
	parts map[string][]*parted // by tensor: the parameters that are read in parts
}

// newUnsharing looks at a graph before it is folded, and gives back the names
// that the TorchScript exporter keeps of the tensors it merges, each as that
// of an Identity.
func newUnsharing(g *onnx.Graph, named map[string]bool) *unsharing {
	u := &unsharing{g: g, named: named, apart: smallestPair(g, named), tied: map[string]bool{}, parts: map[string][]*parted{}}
	constants := slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return n.Op == "Constant" })
	if len(g.Kinds) > 0 && constants { // PyTorch's exporter by torch.export, without its optimizer, which lifts constants and merges
		u.apart = 0
	}
	u.rename()
	return u
}

// smallestPair is the number of elements, above 1, of the smallest tensor that
// another one equals; larger than any where there is none.
func smallestPair(g *onnx.Graph, named map[string]bool) int {
	const none = int(^uint(0) >> 1)
	smallest := none
	same := map[string][]*onnx.Tensor{}
	for name, t := range g.Initializers {
		if !named[name] || t.Len() < 2 || t.Len() >= smallest {
			continue
		}
		key := fmt.Sprint(t.Dims, t.Data[:8])
		if slices.ContainsFunc(same[key], func(o *onnx.Tensor) bool { return bytes.Equal(o.Data, t.Data) }) {
			smallest = t.Len()
		}
		same[key] = append(same[key], t)
	}
	return smallest
}

func (u *unsharing) rename() {
	outputs := map[string]bool{}
	for _, o := range u.g.Outputs {
		outputs[o.Name] = true
	}
	merged := func(n *onnx.Node) bool {
		t := u.g.Initializers[n.Input(0)]
		return n.Op == "Identity" && len(n.Inputs) == 1 && t != nil && u.named[n.Inputs[0]] && t.Len() < u.apart && !outputs[n.Outputs[0]] && ofModule(n.Outputs[0])
	}
	equal := slices.ContainsFunc(u.g.Nodes, func(n *onnx.Node) bool { return merged(n) && equalElements(u.g.Initializers[n.Inputs[0]]) })
	if !equal { // what is merged is what the author tied
		return
	}
	u.g.Nodes = slices.DeleteFunc(u.g.Nodes, func(n *onnx.Node) bool {
		if !merged(n) {
			return false
		}
		u.g.Initializers[n.Outputs[0]], u.named[n.Outputs[0]] = u.g.Initializers[n.Inputs[0]], true
		u.made++
		return true
	})
}

// do works on the folded graph and returns what there is to say.
func (u *unsharing) do() []string {
	g := u.g
	names, uses := onnx.NewNames(g), map[string]int{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			uses[in]++
		}
	}
	r := newRoles(g, onnx.Value{})
	own := map[string]string{} // by initializer and use: the initializer it gets
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			if uses[in] < 2 || !u.named[in] {
				continue
			}
			t := g.Initializers[in]
			key := in + "\x00" + u.use(r, n, i, t)
			if own[key] == "" {
				name := in
				if own[in] != "" {
					name = names.Numbered(in, ".", 2)
					u.made++
					delete(g.Kinds, in) // the kind is that of one of the tensors merged
				}
				own[in], own[key] = name, name // the first use keeps the name
				u.named[name], g.Initializers[name] = true, t
			}
			n.Inputs[i] = own[key]
		}
	}
	var say []string
	if u.made > 0 {
		say = append(say, fmt.Sprintf("the exporter wrote tensors of equal elements once for several uses; %d uses get their own", u.made))
	}
	if len(u.tied) > 0 {
		names := slices.Sorted(maps.Keys(u.tied))
		say = append(say, fmt.Sprintf("tensors of equal elements that are used with the same weights each time stay one parameter for all uses: %s", quoted(names)))
	}
	return say
}

// use tells apart what may not share an initializer.
func (u *unsharing) use(r *roles, n *onnx.Node, i int, t *onnx.Tensor) string {
	switch {
	case n.Op == "BatchNormalization" && i > 2: // statistics of nodes with the same weights are the same
		return fmt.Sprintf("%d of %q", i, n.Inputs[1:3])
	case !equalElements(t) || t.Len() >= u.apart:
		return "tied"
	}
	if part := u.part(n, i, t); part != "" {
		return part
	}
	if beside := u.beside(r, n); beside != "" {
		u.tied[n.Inputs[i]] = true
		return fmt.Sprintf("%d of %s %s", i, n.Op, beside)
	}
	return fmt.Sprintf("%d in %q", i, n.Outputs)
}

// beside names the weights that a node shares with another and where they
// stand, "" if it has none: its own, or those of the layer before or behind it.
func (u *unsharing) beside(r *roles, n *onnx.Node) string {
	if w := u.shared(r, n); w != "" {
		return w
	}
	value := u.operand(r, n)
	for up, hops := 0, 0; up < maxBeside && hops < 2*maxBeside; hops++ {
		p := r.producer[value]
		if p == nil || len(p.Inputs) == 0 {
			break
		}
		if !carriers[p.Op] {
			up++
		}
		if layers[p.Op] {
			if w := u.shared(r, p); w != "" {
				return fmt.Sprintf("%d behind %s", up, w)
			}
			break
		}
		value = p.Inputs[0]
		if u.g.Initializers[value] != nil && len(p.Inputs) > 1 {
			value = p.Inputs[1]
		}
	}
	return u.below(r, n.Outputs[0], 0)
}

// operand is what a tensor meets: the other side of the node that reads it, or
// of the one that reads what only hands it on.
func (u *unsharing) operand(r *roles, n *onnx.Node) string {
	for range maxBeside {
		other := slices.IndexFunc(n.Inputs, func(in string) bool { return r.dynamic[in] })
		if other >= 0 {
			return n.Inputs[other]
		}
		if !carriers[n.Op] || len(r.readers[n.Outputs[0]]) != 1 {
			break
		}
		n = r.readers[n.Outputs[0]][0].node
	}
	return n.Inputs[0]
}

// maxBeside is how many nodes off a layer's weights may be.
const maxBeside = 4

func (u *unsharing) below(r *roles, value string, depth int) string {
	if depth == maxBeside || len(r.readers[value]) == 0 {
		return ""
	}
	n := r.readers[value][0].node
	if layers[n.Op] {
		if w := u.shared(r, n); w != "" {
			return fmt.Sprintf("%d before %s", depth, w)
		}
		return ""
	}
	return u.below(r, n.Outputs[0], depth+1)
}

// shared is a weight of a layer that is certainly one for several layers.
func (u *unsharing) shared(r *roles, n *onnx.Node) string {
	if !layers[n.Op] {
		return ""
	}
	for _, in := range n.Inputs[:min(len(n.Inputs), 2)] {
		weight := in
		for p := r.producer[weight]; p != nil && carriers[p.Op] && !r.dynamic[weight]; p = r.producer[weight] {
			weight = p.Inputs[0]
		}
		t := u.g.Initializers[weight]
		if t == nil || t.DType != onnx.Float32 || t.Len() < 2 || equalElements(t) {
			continue
		}
		if len(r.readers[weight]) > 1 || in != weight && len(r.readers[in]) > 1 {
			return weight
		}
	}
	return ""
}
