package export

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// sidestep rewrites what ONNX Runtime's graph optimizer, and it alone, computes
// wrongly (1.29 to 1.32). It merges a Transpose into the product behind it even
// where the right operand is a vector, and then multiplies by the matrix as it
// was; and an identity Transpose into a Gemm as if it exchanged the axes
// (microsoft/onnxruntime issue 32228).
func (f *forward) sidestep(inf *infer.Inference) error {
	e := emit.New(f.graph, inf)
	nodes := f.graph.Nodes
	f.graph.Nodes = nil
	for _, n := range nodes {
		e.Within("sidestep", n)
		switch {
		case !autodiff.IsDefaultDomain(n.Domain):
		case n.Op == "MatMul" && len(e.Shape(n.Input(0))) > 1 && len(e.Shape(n.Input(1))) == 1:
			column := e.Emit("Unsqueeze", nil, n.Inputs[1], e.Int64s(1))
			product := e.MatMul(n.Inputs[0], column)
			n = &onnx.Node{Name: n.Name, Op: "Squeeze", Inputs: []string{product, e.Int64s(-1)}, Outputs: n.Outputs}
		case n.Op == "Transpose" && slices.IsSorted(n.Ints("perm", []int64{1, 0})):
			n = &onnx.Node{Name: n.Name, Op: "Identity", Inputs: n.Inputs, Outputs: n.Outputs}
		}
		e.Append(n)
	}
	return e.Err
}
