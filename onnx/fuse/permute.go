package fuse

import "winnow/onnx"

// permutations puts the operator Permute in the place of Transpose, but where ONNX
// Runtime makes one with a product of matrices out of both.
func permutations(r *reader) {
	for i, n := range r.g.Nodes {
		if n.Op != "Transpose" || n.Domain != "" || r.joinsProduct(n) {
			continue
		}
		shape, ok := r.floats(n.Inputs[0])
		if !ok {
			continue
		}
		r.g.Nodes[i] = &onnx.Node{Name: n.Name, Op: "Permute", Domain: onnx.KernelDomain, Inputs: n.Inputs, Outputs: n.Outputs,
			Attrs: map[string]onnx.Attr{"perm": onnx.IntsAttr(orderOf(n, len(shape))...)}}
		r.tell(n.Outputs[0])
	}
}

// joinsProduct is whether a transpose turns around matrices that a product reads or
// gave, or another transpose turns back.
func (r *reader) joinsProduct(n *onnx.Node) bool {
	shape, ok := r.floats(n.Inputs[0])
	last := len(shape) - 1
	if !ok || last < 1 {
		return false
	}
	for i, p := range orderOf(n, last+1) {
		if i < last-1 && p != int64(i) || i == last && p != int64(last-1) {
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

// orderOf is the order that a Transpose of so many dimensions gives them.
func orderOf(n *onnx.Node, rank int) []int64 {
	order := n.Ints("perm", nil)
	if order == nil {
		for i := range rank {
			order = append(order, int64(rank-1-i))
		}
	}
	return order
}
