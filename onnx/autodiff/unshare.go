package autodiff

import (
	"fmt"
	"strings"

	"winnow/onnx"
)

// unshare undoes what exporters do to a fresh model: PyTorch's write tensors
// of equal values once, so that biases and running means, all zero, or all
// scales of one width, become a single initializer. Each use of a vector of
// equal elements gets its own, and so does each use of running statistics,
// which are nobody's weights. Tensors of different elements stay shared: they
// are tied. It returns how many it made, and adds their names to named.
func unshare(g *onnx.Graph, named map[string]bool) int {
	taken := map[string]bool{}
	for _, v := range g.Inputs {
		taken[v.Name] = true
	}
	for name := range g.Initializers {
		taken[name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			taken[o] = true
		}
	}
	uses := map[string]int{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			uses[in]++
		}
	}
	made := 0
	own := map[string]string{} // by initializer and use: the initializer it gets
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			if uses[in] < 2 || !named[in] {
				continue
			}
			t := g.Initializers[in]
			key := in + "\x00" + use(n, i, t)
			if own[key] == "" {
				name := in
				for k := 2; own[in] != "" && taken[name]; k++ {
					name = fmt.Sprintf("%s.%d", in, k)
				}
				if name != in {
					made++
				}
				own[in], own[key] = name, name // the first use keeps the name
				taken[name], named[name], g.Initializers[name] = true, true, t
			}
			n.Inputs[i] = own[key]
		}
	}
	return made
}

// use tells apart what may not share an initializer.
func use(n *onnx.Node, i int, t *onnx.Tensor) string {
	switch {
	case n.Op == "BatchNormalization" && i > 2: // statistics of nodes with the same weights are the same
		return fmt.Sprintf("%d of %q", i, n.Inputs[1:3])
	case !equalElements(t):
		return "tied"
	case strings.HasSuffix(n.Op, "Normalization"):
		return fmt.Sprintf("%d in %q", i, n.Outputs)
	}
	return fmt.Sprintf("in %q", n.Outputs)
}

// equalElements is whether all elements, more than one, are the same number.
func equalElements(t *onnx.Tensor) bool {
	const size = 4 // of a float32
	for i := range t.Data {
		if t.Data[i] != t.Data[i%size] {
			return false
		}
	}
	return len(t.Data) > size
}
