package autodiff

import (
	"fmt"

	"winnow/onnx/emit"
)

// Modes of Pad. Wrap is of opset 19, and ONNX Runtime's kernels of opset 18 take it.
const (
	padConstant = "constant"
	padReflect  = "reflect"
	padEdge     = "edge"
	padWrap     = "wrap"
)

// y = x cut where a pad is negative, then with elements around it, axis by
// axis. dx = the inside of g, zeros where x was cut, and each part of g around
// it added where its elements came from; a constant came from nowhere.
func gradPad(n *Node) ([]string, error) {
	mode := n.Str("mode", padConstant)
	switch mode {
	case padConstant, padReflect, padEdge, padWrap:
	default:
		return nil, fmt.Errorf("padding mode %q has no gradient: %w", mode, ErrNoRule)
	}
	pads, err := n.known(1)
	if err != nil {
		return nil, err
	}
	rank := len(n.Shape(n.Inputs[0]))
	axes := make([]int64, rank)
	for i := range axes {
		axes[i] = int64(i)
	}
	if n.Input(3) != "" {
		if axes, err = n.known(3); err != nil {
			return nil, err
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("%d pads for %d axes: %w", len(pads), len(axes), emit.ErrModel)
	}
	begin, end := make([]int64, rank), make([]int64, rank)
	for i, a := range axes {
		axis, err := emit.Axis(a, rank)
		if err != nil {
			return nil, err
		}
		begin[axis], end[axis] = -pads[i], -pads[len(axes)+i]
	}
	g := n.Dy[0]
	if mode == padConstant {
		return one(n.Pad(g, begin, end))
	}
	for axis := range rank {
		if begin[axis] == 0 && end[axis] == 0 {
			continue
		}
		if g, err = n.unpad(g, axis, mode, -begin[axis], -end[axis]); err != nil {
			return nil, err
		}
	}
	return one(g)
}

// unpad is the gradient along one axis of a Pad with elements of x.
func (n *Node) unpad(g string, axis int, mode string, begin, end int64) (string, error) {
	size, err := n.fixedDim(n.Inputs[0], axis)
	if err != nil {
		return "", err
	}
	cut := max(-begin, 0)
	inside := size - cut - max(-end, 0)
	begin, end = max(begin, 0), max(end, 0)
	most := inside // elements there are to pad with
	switch mode {
	case padReflect:
		most = inside - 1
	case padEdge:
		most = begin + end
	}
	if inside < 1 || begin > most || end > most {
		return "", fmt.Errorf("%s padding of axis %d by %d and %d, of which %d elements are left: %w", mode, axis, begin, end, max(inside, 0), emit.ErrModel)
	}
	// part takes g's elements [from, from+count) along the axis to x's from at on.
	part := func(from, count, at int64, mode string) string {
		v := n.Slice(g, []int64{from}, []int64{from + count}, []int64{int64(axis)}, []int64{1})
		switch mode {
		case padReflect:
			v = n.Slice(v, []int64{-1}, []int64{-count - 1}, []int64{int64(axis)}, []int64{-1})
		case padEdge:
			v, count = n.Sum(v, true, int64(axis)), 1
		}
		before, after := make([]int64, len(n.Shape(g))), make([]int64, len(n.Shape(g)))
		before[axis], after[axis] = cut+at, size-cut-at-count
		return n.Pad(v, before, after)
	}
	first, last := map[string]int64{padReflect: 1, padWrap: inside - begin}, map[string]int64{padReflect: inside - 1 - end, padEdge: inside - 1}
	parts := []string{part(begin, inside, 0, padConstant)}
	if begin > 0 {
		parts = append(parts, part(0, begin, first[mode], mode))
	}
	if end > 0 {
		parts = append(parts, part(begin+inside, end, last[mode], mode))
	}
	return emit.SumOf(n.Builder, parts), nil
}
