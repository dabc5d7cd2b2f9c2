package fuse

import (
	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// Graph puts the project's own operators in the place of others in a graph whose
// types inf knows, for vectors of so many floats (8 or 16). Nodes that lead to
// nothing are dropped.
func Graph(g *onnx.Graph, inf *infer.Inference, vector int64) {
	emit.Sweep(g)
	columnSums(read(g, inf))
	emit.Sweep(g) // of the axes
	permutations(read(g, inf))
	chains(read(g, inf), vector)
}

// reader knows who makes and who reads what in a graph.
type reader struct {
	g      *onnx.Graph
	inf    *infer.Inference
	at     map[*onnx.Node]int
	maker  map[string]*onnx.Node
	users  map[string][]*onnx.Node
	result map[string]bool // outputs of the graph
}

func read(g *onnx.Graph, inf *infer.Inference) *reader {
	r := &reader{g: g, inf: inf, at: map[*onnx.Node]int{}, maker: map[string]*onnx.Node{}, users: map[string][]*onnx.Node{}, result: map[string]bool{}}
	for _, v := range g.Outputs {
		r.result[v.Name] = true
	}
	for i, n := range g.Nodes {
		r.at[n] = i
		for _, out := range n.Outputs {
			r.maker[out] = n
		}
		for _, in := range onnx.Uses(n) {
			r.users[in] = append(r.users[in], n)
		}
	}
	return r
}

// tell says the type of an output in the graph: ONNX Runtime infers none of the
// project's own operators, and plans memory by it.
func (r *reader) tell(name string) {
	v, ok := r.inf.Type(name)
	if !ok {
		return
	}
	if r.g.Values == nil {
		r.g.Values = map[string]onnx.Value{}
	}
	r.g.Values[name] = v
}

// floats is the shape of a tensor of float32 of at most maxRank dimensions.
func (r *reader) floats(name string) (onnx.Shape, bool) {
	v, ok := r.inf.Type(name)
	if !ok || v.DType != onnx.Float32 || v.Shape == nil || len(v.Shape) > maxRank {
		return nil, false
	}
	return v.Shape, true
}
