package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// Largest axis of which a diagonal is taken: its mask has that many squared elements.
const maxDiagonal = 1 << 12

// y = sum over the letters that the result lacks of a*b*...: the adjoint of an
// operand is the same sum over g and the other operands, spread over letters
// that only the operand has, and zero off the diagonal of letters that it has twice.
func gradEinsum(n *Node) ([]string, error) {
	left, result, explicit := strings.Cut(strings.ReplaceAll(n.Str("equation", ""), " ", ""), "->")
	terms := strings.Split(left, ",")
	if !explicit || strings.Contains(left, "...") || len(terms) != len(n.Inputs) { // infer.Fold spells out what it can
		return nil, fmt.Errorf("equation %q for %d operands, whose ranks must be known: %w", n.Str("equation", ""), len(n.Inputs), emit.ErrModel)
	}
	for i, term := range terms {
		if len(n.Shape(n.Inputs[i])) != len(term) {
			return nil, fmt.Errorf("equation %q for an operand of shape %v: %w", n.Str("equation", ""), n.Shape(n.Inputs[i]), emit.ErrModel)
		}
	}
	dx := make([]string, len(n.Inputs))
	for i, term := range terms {
		if !n.Want[i] {
			continue
		}
		operands, equations := []string{n.Dy[0]}, []string{result}
		have := result
		for j, other := range terms {
			if j != i {
				operands, equations, have = append(operands, n.Inputs[j]), append(equations, other), have+other
			}
		}
		target := ""
		var spread onnx.Shape // with 1 for letters that only this operand has, and for repetitions
		shape := slices.Clone(n.Shape(n.Inputs[i]))
		for k, letter := range term {
			d := onnx.Const(1)
			switch {
			case strings.ContainsRune(term[:k], letter):
			case strings.ContainsRune(have, letter):
				target += string(letter)
				d = shape[k]
			}
			spread = append(spread, d)
		}
		v := n.Emit("Einsum", emit.Attrs{"equation": onnx.StringAttr(strings.Join(equations, ",") + "->" + target)}, operands...)
		if target != term {
			v = n.Reshape(v, spread)
			for k, letter := range term {
				if first := strings.IndexRune(term, letter); first < k {
					mask, err := n.diagonal(n.Inputs[i], first, k)
					if err != nil {
						return nil, err
					}
					v = n.Mul(v, mask)
				}
			}
			v = n.Broadcast(v, n.Inputs[i])
		}
		dx[i] = v
	}
	return dx, n.Err
}

// diagonal is 1 where two axes of x, of one size, have the same position.
func (n *Node) diagonal(x string, first, second int) (string, error) {
	size, err := n.fixedDim(x, first)
	if err != nil {
		return "", err
	}
	if size > maxDiagonal {
		return "", fmt.Errorf("a diagonal of %d elements: %w", size, emit.ErrModel)
	}
	eye := make([]float32, size*size)
	for i := range size {
		eye[i*size+i] = 1
	}
	dims := slices.Repeat([]int64{1}, len(n.Shape(x)))
	dims[first], dims[second] = size, size
	return n.like(n.Float32s(eye, dims...), x), nil
}
