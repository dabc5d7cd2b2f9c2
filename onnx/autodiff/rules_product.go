package autodiff

import (
	"fmt"

	"winnow/onnx/emit"
)

// y = alpha*A'*B' + beta*C, ' a transposition where asked:
// dA = alpha*g*B'^T, dB = alpha*A'^T*g (each transposed where its operand was), dC = beta*g.
func gradGemm(n *Node) ([]string, error) {
	a, b, g := n.Inputs[0], n.Inputs[1], n.Dy[0]
	ta, tb := n.Int("transA", 0) != 0, n.Int("transB", 0) != 0
	alpha, beta := n.Float("alpha", 1), n.Float("beta", 1)
	dx := make([]string, len(n.Inputs))
	if n.Want[0] {
		if ta {
			dx[0] = n.Gemm(b, g, tb, true, alpha)
		} else {
			dx[0] = n.Gemm(g, b, false, !tb, alpha)
		}
	}
	if n.Want[1] {
		if tb {
			dx[1] = n.Gemm(g, a, true, ta, alpha)
		} else {
			dx[1] = n.Gemm(a, g, !ta, false, alpha)
		}
	}
	if len(n.Inputs) > 2 && n.Want[2] {
		dx[2] = g
		if beta != 1 {
			dx[2] = n.Mul(g, n.Number(float64(beta), g))
		}
	}
	return dx, nil
}

// y = A*B over the last two axes, the others broadcast: dA = g*B^T, dB = A^T*g.
func gradMatMul(n *Node) ([]string, error) {
	a, b, g := n.Inputs[0], n.Inputs[1], n.Dy[0]
	sa, sb := n.Shape(a), n.Shape(b)
	if sa == nil || sb == nil {
		return nil, fmt.Errorf("the rank of an operand is unknown: %w", emit.ErrModel)
	}
	if len(sa) == 1 || len(sb) == 1 {
		return gradMatVec(n)
	}
	dx := make([]string, 2)
	if n.Want[0] {
		dx[0] = n.MatMul(g, n.SwapLast(b))
	}
	if n.Want[1] {
		if len(sb) == 2 && len(sa) > 2 {
			// One product over all leading axes instead of many and a sum.
			k, m := sb[0], sb[1]
			if k.IsConst() && m.IsConst() {
				dx[1] = n.Gemm(n.Flat(a, -1, k.N), n.Flat(g, -1, m.N), true, false, 1)
				return dx, nil
			}
		}
		dx[1] = n.MatMul(n.SwapLast(a), g)
	}
	return dx, nil
}

// A product with a vector is one with a matrix of a single row or column.
func gradMatVec(n *Node) ([]string, error) {
	a, b, g := n.Inputs[0], n.Inputs[1], n.Dy[0]
	sa, sb := n.Shape(a), n.Shape(b)
	ma, mb, mg := a, b, g
	if len(sb) == 1 {
		mb = n.Emit("Unsqueeze", nil, b, n.Int64s(1))
		mg = n.Emit("Unsqueeze", nil, mg, n.Int64s(-1))
	}
	if len(sa) == 1 {
		ma = n.Emit("Unsqueeze", nil, a, n.Int64s(0))
		mg = n.Emit("Unsqueeze", nil, mg, n.Int64s(-2))
	}
	dx := make([]string, 2)
	if n.Want[0] {
		dx[0] = n.MatMul(mg, n.SwapLast(mb))
		if len(sa) == 1 {
			dx[0] = n.sumTo(dx[0], 2)
			dx[0] = n.Reshape(dx[0], sa)
		}
	}
	if n.Want[1] {
		dx[1] = n.MatMul(n.SwapLast(ma), mg)
		if len(sb) == 1 {
			dx[1] = n.sumTo(dx[1], 2)
			dx[1] = n.Reshape(dx[1], sb)
		}
	}
	return dx, nil
}

// sumTo sums leading axes away until rank axes are left.
func (n *Node) sumTo(x string, rank int) string {
	var axes []int64
	for i := 0; i < len(n.Shape(x))-rank; i++ {
		axes = append(axes, int64(i))
	}
	return n.Sum(x, false, axes...)
}
