package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// y = x in another shape: dx = g in the shape of x.
func gradReshape(n *Node) ([]string, error) {
	x := n.Shape(n.Inputs[0])
	if x == nil {
		return nil, fmt.Errorf("the rank of %q is unknown: %w", n.Inputs[0], emit.ErrModel)
	}
	return []string{n.Reshape(n.Dy[0], x)}, nil
}

// y = x with its axes permuted: dx = g with them put back.
func gradTranspose(n *Node) ([]string, error) {
	perm, err := infer.Permutation(n.Node, len(n.Shape(n.Inputs[0])))
	if err != nil {
		return nil, err
	}
	back := make([]int64, len(perm))
	for i, p := range perm {
		back[p] = int64(i)
	}
	return []string{n.Transpose(n.Dy[0], back...)}, nil
}

// y = x1, x2, ... one behind the other along an axis: each dx is its stretch of g.
func gradConcat(n *Node) ([]string, error) {
	rank := len(n.Shape(n.Outputs[0]))
	axis, err := emit.Axis(n.Int("axis", 0), rank)
	if err != nil {
		return nil, err
	}
	dx := make([]string, len(n.Inputs))
	if slices.ContainsFunc(n.Inputs, func(in string) bool { return !n.Shape(in)[axis].IsConst() }) {
		return n.splitBack(axis), nil
	}
	at := int64(0)
	for i, in := range n.Inputs {
		d := n.Shape(in)[axis]
		if n.Want[i] {
			dx[i] = n.Slice(n.Dy[0], []int64{at}, []int64{at + d.N}, []int64{int64(axis)}, []int64{1})
		}
		at += d.N
	}
	return dx, nil
}

// splitBack cuts the adjoint of a concatenation whose parts have sizes that
// depend on the batch.
func (n *Node) splitBack(axis int) []string {
	sizes := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		sizes[i] = n.Size(in, axis)
	}
	parts := n.EmitN("Split", len(n.Inputs), emit.Attrs{"axis": onnx.IntAttr(int64(axis))}, n.Dy[0], n.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(0)}, sizes...))
	for i, in := range n.Inputs {
		n.Inf.Set(onnx.Value{Name: parts[i], DType: n.DType(in), Shape: n.Shape(in)})
	}
	return parts
}

// y = x, spread: dx = g, which the walk sums down.
func gradExpand(n *Node) ([]string, error) { return []string{n.Dy[0]}, nil }

// y = every step-th element of x from a start on, along axes: dx has g there
// and zeros elsewhere. Backward steps turn g around; gaps are filled with zeros.
func gradSlice(n *Node) ([]string, error) {
	x, g := n.Inputs[0], n.Dy[0]
	rank := len(n.Shape(x))
	starts, ok := n.Inf.Content(n.Input(1))
	if !ok {
		return nil, fmt.Errorf("input 1, %q, is computed at run time: %w", n.Input(1), emit.ErrModel)
	}
	axes, steps := make([]int64, len(starts)), make([]int64, len(starts))
	for i := range starts {
		axes[i], steps[i] = int64(i), 1
	}
	var err error
	if n.Input(3) != "" {
		if axes, err = n.known(3); err != nil {
			return nil, err
		}
	}
	if n.Input(4) != "" {
		if steps, err = n.known(4); err != nil {
			return nil, err
		}
	}
	if len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, fmt.Errorf("%d starts, %d axes, %d steps: %w", len(starts), len(axes), len(steps), emit.ErrModel)
	}
	begin, end := make([]int64, rank), make([]int64, rank)
	for i := range starts {
		axis, err := emit.Axis(axes[i], rank)
		if err != nil {
			return nil, err
		}
		if n.Shape(x)[axis] == n.Shape(n.Outputs[0])[axis] && steps[i] == 1 {
			continue // the whole axis
		}
		if !n.Shape(x)[axis].IsConst() {
			if steps[i] != 1 {
				return nil, fmt.Errorf("steps of %d along axis %d of %q, whose size %v depends on the batch: %w", steps[i], axis, x, n.Shape(x)[axis], emit.ErrModel)
			}
			g = n.padOpen(g, axis, i)
			continue
		}
		size, err := n.fixedDim(x, axis)
		if err != nil {
			return nil, err
		}
		count, err := n.fixedDim(n.Outputs[0], axis)
		if err != nil {
			return nil, err
		}
		if !starts[i].IsConst() {
			return nil, fmt.Errorf("input 1, %q, depends on the batch: %w", n.Input(1), emit.ErrModel)
		}
		step, start := steps[i], starts[i].N
		if start < 0 {
			start += size
		}
		if step > 0 {
			start = min(max(start, 0), size)
		} else {
			start = min(max(start, 0), size-1)
			last := start + (count-1)*step // lowest position taken
			g = n.Slice(g, []int64{-1}, []int64{-size - 1}, []int64{int64(axis)}, []int64{-1})
			start, step = last, -step
		}
		if step > 1 {
			g = n.spaced(g, axis, step, count)
		}
		begin[axis], end[axis] = start, size-start-((count-1)*step+1)
	}
	return one(n.Pad(g, begin, end))
}

// y1, y2, ... = x cut along an axis: dx = their adjoints one behind the other.
func gradSplit(n *Node) ([]string, error) {
	axis, err := emit.Axis(n.Int("axis", 0), len(n.Shape(n.Inputs[0])))
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(n.Outputs))
	for i, y := range n.Outputs {
		if parts[i] = n.Dy[i]; parts[i] == "" {
			parts[i] = n.ZerosLike(y)
		}
	}
	return one(n.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(int64(axis))}, parts...))
}

// y = x repeated along each axis: dx = the sum of g over the copies.
func gradTile(n *Node) ([]string, error) {
	repeats, ok := n.Inf.Content(n.Input(1))
	if !ok {
		return nil, fmt.Errorf("input 1, %q, is computed at run time: %w", n.Input(1), emit.ErrModel)
	}
	var shape onnx.Shape
	var axes []int64
	for i, d := range n.Shape(n.Inputs[0]) {
		if repeats[i] != onnx.Const(1) {
			axes = append(axes, int64(len(shape)))
			shape = append(shape, repeats[i])
		}
		shape = append(shape, d)
	}
	return one(n.Sum(n.Reshape(n.Dy[0], shape), false, axes...))
}

// y = the upper or lower triangle of x: dx = that of g.
func gradTrilu(n *Node) ([]string, error) {
	in := append([]string{n.Dy[0]}, n.Inputs[1:]...)
	return one(n.Emit("Trilu", emit.Attrs{"upper": onnx.IntAttr(n.Int("upper", 1))}, in...))
}

// y = blocks of channels spread over positions: dx puts them back.
func gradDepthToSpace(n *Node) ([]string, error) {
	b := n.Int("blocksize", 0)
	if n.Str("mode", "DCR") == "DCR" {
		return one(n.Emit("SpaceToDepth", emit.Attrs{"blocksize": onnx.IntAttr(b)}, n.Dy[0]))
	}
	shape := n.Shape(n.Inputs[0])
	if len(shape) != 4 || !shape[1:].IsConst() {
		return nil, fmt.Errorf("input of shape %v: %w", shape, emit.ErrModel)
	}
	c, h, w := shape[1].N/(b*b), shape[2].N, shape[3].N
	g := n.Transpose(n.Flat(n.Dy[0], -1, c, h, b, w, b), 0, 1, 3, 5, 2, 4)
	return one(n.Reshape(g, shape))
}

// y = positions gathered into channels: dx spreads them again.
func gradSpaceToDepth(n *Node) ([]string, error) {
	return one(n.Emit("DepthToSpace", emit.Attrs{"blocksize": onnx.IntAttr(n.Int("blocksize", 0))}, n.Dy[0]))
}
