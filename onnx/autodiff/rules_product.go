package autodiff

import (
	"fmt"

	"winnow/onnx"
)

// gemm emits alpha*op(a)*op(b).
func (e *emitter) gemm(a, b string, transA, transB bool, alpha float32) string {
	at := attrs{}
	if transA {
		at["transA"] = onnx.IntAttr(1)
	}
	if transB {
		at["transB"] = onnx.IntAttr(1)
	}
	if alpha != 1 {
		at["alpha"] = onnx.FloatAttr(alpha)
	}
	return e.op("Gemm", at, a, b)
}

// y = alpha*A'*B' + beta*C, ' a transposition where asked:
// dA = alpha*g*B'^T, dB = alpha*A'^T*g (each transposed where its operand was), dC = beta*g.
func gradGemm(n *node) ([]string, error) {
	a, b, g := n.Inputs[0], n.Inputs[1], n.dy[0]
	ta, tb := n.Int("transA", 0) != 0, n.Int("transB", 0) != 0
	alpha, beta := n.Float("alpha", 1), n.Float("beta", 1)
	dx := make([]string, len(n.Inputs))
	if n.want[0] {
		if ta {
			dx[0] = n.gemm(b, g, tb, true, alpha)
		} else {
			dx[0] = n.gemm(g, b, false, !tb, alpha)
		}
	}
	if n.want[1] {
		if tb {
			dx[1] = n.gemm(g, a, true, ta, alpha)
		} else {
			dx[1] = n.gemm(a, g, !ta, false, alpha)
		}
	}
	if len(n.Inputs) > 2 && n.want[2] {
		dx[2] = g
		if beta != 1 {
			dx[2] = n.mul(g, n.number(float64(beta), g))
		}
	}
	return dx, nil
}

// y = A*B over the last two axes, the others broadcast: dA = g*B^T, dB = A^T*g.
func gradMatMul(n *node) ([]string, error) {
	a, b, g := n.Inputs[0], n.Inputs[1], n.dy[0]
	sa, sb := n.shape(a), n.shape(b)
	if sa == nil || sb == nil {
		return nil, fmt.Errorf("the rank of an operand is unknown: %w", ErrModel)
	}
	if len(sa) == 1 || len(sb) == 1 {
		return gradMatVec(n)
	}
	dx := make([]string, 2)
	if n.want[0] {
		dx[0] = n.matmul(g, n.swapLast(b))
	}
	if n.want[1] {
		if len(sb) == 2 && len(sa) > 2 {
			// One product over all leading axes instead of many and a sum.
			k, m := sb[0], sb[1]
			if k.IsConst() && m.IsConst() {
				dx[1] = n.gemm(n.flat(a, -1, k.N), n.flat(g, -1, m.N), true, false, 1)
				return dx, nil
			}
		}
		dx[1] = n.matmul(n.swapLast(a), g)
	}
	return dx, nil
}

func (e *emitter) matmul(a, b string) string { return e.op("MatMul", nil, a, b) }

// swapLast transposes the last two axes.
func (e *emitter) swapLast(x string) string {
	rank := len(e.shape(x))
	perm := make([]int64, rank)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
	return e.transpose(x, perm...)
}

// A product with a vector is one with a matrix of a single row or column.
func gradMatVec(n *node) ([]string, error) {
	a, b, g := n.Inputs[0], n.Inputs[1], n.dy[0]
	sa, sb := n.shape(a), n.shape(b)
	ma, mb, mg := a, b, g
	if len(sb) == 1 {
		mb = n.op("Unsqueeze", nil, b, n.ints(1))
		mg = n.op("Unsqueeze", nil, mg, n.ints(-1))
	}
	if len(sa) == 1 {
		ma = n.op("Unsqueeze", nil, a, n.ints(0))
		mg = n.op("Unsqueeze", nil, mg, n.ints(-2))
	}
	dx := make([]string, 2)
	if n.want[0] {
		dx[0] = n.matmul(mg, n.swapLast(mb))
		if len(sa) == 1 {
			dx[0] = n.sumTo(dx[0], 2)
			dx[0] = n.reshape(dx[0], sa)
		}
	}
	if n.want[1] {
		dx[1] = n.matmul(n.swapLast(ma), mg)
		if len(sb) == 1 {
			dx[1] = n.sumTo(dx[1], 2)
			dx[1] = n.reshape(dx[1], sb)
		}
	}
	return dx, nil
}

// sumTo sums leading axes away until rank axes are left.
func (e *emitter) sumTo(x string, rank int) string {
	var axes []int64
	for i := 0; i < len(e.shape(x))-rank; i++ {
		axes = append(axes, int64(i))
	}
	return e.sum(x, false, axes...)
}
