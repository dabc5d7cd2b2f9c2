package autodiff

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/infer"
)

// sidestep rewrites what ONNX Runtime's graph optimizer, and it alone, computes
// wrongly (1.29 to 1.32). It merges a Transpose into the product behind it even
// where the right operand is a vector, and then multiplies by the matrix as it
// was; and an identity Transpose into a Gemm as if it exchanged the axes
// (microsoft/onnxruntime issue 32228).
func (f *forward) sidestep(inf *infer.Inference) error {
	e := newEmitter(f.graph, inf)
	nodes := f.graph.Nodes
	f.graph.Nodes = nil
	for _, n := range nodes {
		e.within("sidestep", n)
		switch {
		case !isDefaultDomain(n.Domain):
		case n.Op == "MatMul" && len(e.shape(n.Input(0))) > 1 && len(e.shape(n.Input(1))) == 1:
			column := e.op("Unsqueeze", nil, n.Inputs[1], e.ints(1))
			product := e.matmul(n.Inputs[0], column)
			n = &onnx.Node{Name: n.Name, Op: "Squeeze", Inputs: []string{product, e.ints(-1)}, Outputs: n.Outputs}
		case n.Op == "Transpose" && slices.IsSorted(n.Ints("perm", []int64{1, 0})):
			n = &onnx.Node{Name: n.Name, Op: "Identity", Inputs: n.Inputs, Outputs: n.Outputs}
		}
		e.add(n)
	}
	return e.err
}
