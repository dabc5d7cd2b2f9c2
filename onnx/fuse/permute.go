package fuse

import (
	"winnow/onnx"
	"winnow/onnx/infer"
)

// permutations puts the operator Permute in the place of Transpose, but where ONNX
// Runtime makes one with a product of matrices out of both.
func permutations(r *reader) {
	for i, n := range r.g.Nodes {
		if n.Op != "Transpose" || n.Domain != "" {
			continue
		}
		shape, ok := r.floats(n.Inputs[0])
		order, err := infer.Permutation(n, len(shape))
		if !ok || err != nil || r.joinsProduct(n, order) {
			continue
		}
		var perm []int64
		for _, d := range order {
			perm = append(perm, int64(d))
		}
		r.g.Nodes[i] = &onnx.Node{Name: n.Name, Op: "Permute", Domain: onnx.KernelDomain, Inputs: n.Inputs, Outputs: n.Outputs,
			Attrs: map[string]onnx.Attr{"perm": onnx.IntsAttr(perm...)}}
		r.tell(n.Outputs[0])
	}
}

// joinsProduct is whether a transpose turns around matrices that a product reads or
// gave, or another transpose turns back.
func (r *reader) joinsProduct(n *onnx.Node, order []int) bool {
	last := len(order) - 1
	if last < 1 {
		return false
	}
	for i, d := range order {
		if i < last-1 && d != i || i == last && d != last-1 {
			return false
		}
	}
	if m := r.maker[n.Inputs[0]]; m != nil && m.Op == "Gemm" && len(r.users[n.Inputs[0]]) == 1 {
		return true
	}
	if r.result[n.Outputs[0]] {
		return false
	}
	for _, u := range r.users[n.Outputs[0]] {
		if u.Op != "MatMul" && u.Op != "Gemm" && u.Op != "Transpose" {
			return false
		}
	}
	return true
}
