package autodiff

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// known returns the elements of a small integer input; they must not be computed at run time.
func (n *Node) known(i int) ([]int64, error) {
	content, ok := n.Inf.Content(n.Input(i))
	if !ok {
		return nil, fmt.Errorf("input %d, %q, is computed at run time: %w", i, n.Input(i), emit.ErrModel)
	}
	v := make([]int64, len(content))
	for k, d := range content {
		if !d.IsConst() {
			return nil, fmt.Errorf("input %d, %q, depends on the batch: %w", i, n.Input(i), emit.ErrModel)
		}
		v[k] = d.N
	}
	return v, nil
}

// fixedDim is a dimension that must not depend on the batch.
func (n *Node) fixedDim(x string, axis int) (int64, error) {
	d := n.Shape(x)[axis]
	if !d.IsConst() {
		return 0, fmt.Errorf("axis %d of %q has size %v, which is not fixed: %w", axis, x, d, emit.ErrModel)
	}
	return d.N, nil
}

// padOpen puts zeros around g where a slice with step 1 cut an axis whose
// length depends on the batch: as many before it as the i-th start says.
func (n *Node) padOpen(g string, axis, i int) string {
	x, y := n.Inputs[0], n.Outputs[0]
	size := n.Size(x, axis)
	at := n.Slice(n.Inputs[1], []int64{int64(i)}, []int64{int64(i + 1)}, []int64{0}, []int64{1})
	if n.DType(at) != onnx.Int64 {
		at = n.Cast(at, onnx.Int64)
	}
	at = n.Emit("Where", nil, n.Emit("Less", nil, at, n.Int64s(0)), n.Add(at, size), at)
	at = n.Emit("Min", nil, n.Emit("Max", nil, at, n.Int64s(0)), size)
	rest := n.Sub(n.Sub(size, at), n.Size(y, axis))
	pads := n.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(0)}, at, rest)
	out := n.Emit("Pad", nil, g, pads, n.Number(0, g), n.Int64s(int64(axis)))
	shape := append(onnx.Shape{}, n.Shape(g)...)
	shape[axis] = n.Shape(x)[axis]
	n.Inf.Set(onnx.Value{Name: out, DType: n.DType(g), Shape: shape})
	return out
}

// spaced puts step-1 zeros between the count elements along an axis.
func (n *Node) spaced(g string, axis int, step, count int64) string {
	shape := append(onnx.Shape{}, n.Shape(g)...)
	g = n.Emit("Unsqueeze", nil, g, n.Int64s(int64(axis+1)))
	end := make([]int64, len(shape)+1)
	end[axis+1] = step - 1
	g = n.Pad(g, make([]int64, len(end)), end)
	shape[axis] = onnx.Const(count * step)
	g = n.Reshape(g, shape)
	return n.Slice(g, []int64{0}, []int64{(count-1)*step + 1}, []int64{int64(axis)}, []int64{1})
}

// y = x at indices along an axis: dx adds each part of g at its index.
func gradGather(n *Node) ([]string, error) {
	x := n.Inputs[0]
	rank := len(n.Shape(x))
	axis, err := emit.Axis(n.Int("axis", 0), rank)
	if err != nil {
		return nil, err
	}
	if index, err := n.known(1); err == nil && len(index) == 1 {
		// A single index is a slice.
		size, err := n.fixedDim(x, axis)
		if err != nil {
			return nil, err
		}
		at := index[0]
		if at < 0 {
			at += size
		}
		shape := append(onnx.Shape{}, n.Shape(x)...)
		shape[axis] = onnx.Const(1)
		begin, end := make([]int64, rank), make([]int64, rank)
		begin[axis], end[axis] = at, size-at-1
		return one(n.Pad(n.Reshape(n.Dy[0], shape), begin, end))
	}
	// Bring the axis, and the axes of the indices in g, to the front.
	front, back := moveToFront(rank, axis, 1)
	indexRank := len(n.Shape(n.Inputs[1]))
	gFront, _ := moveToFront(rank-1+indexRank, axis, indexRank)
	zeros := n.Transpose(n.ZerosLike(x), front...)
	dx, err := n.scatterAdd(zeros, n.Emit("Unsqueeze", nil, n.Inputs[1], n.Int64s(-1)), n.Transpose(n.Dy[0], gFront...))
	if err != nil {
		return nil, err
	}
	return one(n.Transpose(dx, back...))
}

// moveToFront is the permutation that brings count axes from axis on to the front, and its inverse.
func moveToFront(rank, axis, count int) (perm, back []int64) {
	for i := range count {
		perm = append(perm, int64(axis+i))
	}
	for i := range rank {
		if i < axis || i >= axis+count {
			perm = append(perm, int64(i))
		}
	}
	back = make([]int64, rank)
	for i, p := range perm {
		back[p] = int64(i)
	}
	return perm, back
}

// y = x at indices, element by element along an axis: dx adds g there.
func gradGatherElements(n *Node) ([]string, error) {
	a := emit.Attrs{"axis": onnx.IntAttr(n.Int("axis", 0)), "reduction": onnx.StringAttr("add")}
	return one(n.Emit("ScatterElements", a, n.ZerosLike(n.Inputs[0]), n.Inputs[1], n.Dy[0]))
}

// y = x at index tuples, in each of the first axes by itself if they are
// batches: dx adds g there.
func gradGatherND(n *Node) ([]string, error) {
	if batch := int(n.Int("batch_dims", 0)); batch > 0 {
		return n.gatherNDBatches(batch)
	}
	dx, err := n.scatterAdd(n.ZerosLike(n.Inputs[0]), n.Inputs[1], n.Dy[0])
	if err != nil {
		return nil, err
	}
	return one(dx)
}

// gatherNDBatches adds along one axis: x as [batches, places, row], the tuples
// as places within it.
func (n *Node) gatherNDBatches(batch int) ([]string, error) {
	x, at := n.Shape(n.Inputs[0]), n.Shape(n.Inputs[1])
	if len(at) <= batch || len(x) <= batch || !x[batch:].IsConst() || !at[batch:].IsConst() {
		return nil, fmt.Errorf("indices of shape %v into %v after %d batch axes: %w", at, x, batch, emit.ErrModel)
	}
	k := int(at[len(at)-1].N)
	if k < 1 || batch+k > len(x) {
		return nil, fmt.Errorf("indices of shape %v into %v after %d batch axes: %w", at, x, batch, emit.ErrModel)
	}
	index := n.Inputs[1]
	if n.DType(index) != onnx.Int64 {
		index = n.Cast(index, onnx.Int64)
	}
	var place string
	for i, d := range x[batch : batch+k] {
		part := n.Emit("Gather", emit.Attrs{"axis": onnx.IntAttr(-1)}, index, n.Int64s(int64(i)))
		part = n.Emit("Where", nil, n.Emit("Less", nil, part, n.Int64s(0)), n.Add(part, n.Int64s(d.N)), part)
		if place == "" {
			place = part
		} else {
			place = n.Add(n.Mul(place, n.Int64s(d.N)), part)
		}
	}
	places, row, tuples := product(x[batch:batch+k].Ints()), product(x[batch+k:].Ints()), product(at[batch:len(at)-1].Ints())
	place = n.Emit("Expand", nil, n.Flat(place, -1, tuples, 1), n.Int64s(1, 1, row))
	a := emit.Attrs{"axis": onnx.IntAttr(1), "reduction": onnx.StringAttr("add")}
	zeros := n.ZerosLike(n.Flat(n.Inputs[0], -1, places, row))
	return one(n.Reshape(n.Emit("ScatterElements", a, zeros, place, n.Flat(n.Dy[0], -1, tuples, row)), x))
}

// y = x with updates written (or added) at indices: dx = g with the written
// places cleared; the updates' adjoint is g at the indices.
func gradScatter(n *Node) ([]string, error) {
	reduction := n.Str("reduction", "none")
	if reduction != "none" && reduction != "add" {
		return nil, fmt.Errorf("reduction %q has no gradient: %w", reduction, ErrNoRule)
	}
	index, g := n.Inputs[1], n.Dy[0]
	gather, a := "GatherND", emit.Attrs{}
	if n.Op == "ScatterElements" {
		gather, a = "GatherElements", emit.Attrs{"axis": onnx.IntAttr(n.Int("axis", 0))}
	}
	dx := []string{g, "", ""}
	if n.Want[0] && reduction == "none" {
		dx[0] = n.Emit(n.Op, a, g, index, n.ZerosLike(n.Inputs[2]))
	}
	if n.Want[2] {
		dx[2] = n.Emit(gather, a, g, index)
	}
	return dx, nil
}

// values, indices = the k largest along an axis: dx has the adjoint of the values at the indices.
func gradTopK(n *Node) ([]string, error) {
	a := emit.Attrs{"axis": onnx.IntAttr(n.Int("axis", -1))}
	if len(n.Outputs) < 2 || n.Outputs[1] == "" {
		return nil, fmt.Errorf("the indices are left out: %w", emit.ErrModel)
	}
	return one(n.Emit("ScatterElements", a, n.ZerosLike(n.Inputs[0]), n.Outputs[1], n.Dy[0]))
}

// y = x with the first elements of each sequence turned around: dx = g turned around alike.
func gradReverseSequence(n *Node) ([]string, error) {
	return one(n.Emit("ReverseSequence", n.Attrs, n.Dy[0], n.Inputs[1]))
}

// scatterAdd adds updates [..., R] to zeros [D, R] at index tuples [..., k]
// into D, the first k axes. ONNX Runtime's CPU kernel of ScatterND adds from
// several threads without a lock and loses updates where tuples repeat
// (microsoft/onnxruntime issue 18048), so this counts elements and takes
// ScatterElements, which does not.
func (n *Node) scatterAdd(zeros, index, updates string) (string, error) {
	if n.DType(index) != onnx.Int64 {
		index = n.Cast(index, onnx.Int64)
	}
	shape, at := n.Shape(zeros), n.Shape(index)
	if shape == nil || len(at) == 0 || !at[len(at)-1].IsConst() || at[len(at)-1].N < 1 || at[len(at)-1].N > int64(len(shape)) {
		return "", fmt.Errorf("indices of shape %v into %v: %w", at, shape, emit.ErrModel)
	}
	k := int(at[len(at)-1].N)
	places, row := int64(1), int64(1) // -1 where the batch is in it
	for i, d := range shape {
		size := &places
		if i >= k {
			size = &row
		}
		switch {
		case d.IsConst():
			if *size > 0 {
				*size *= d.N
			}
		case places < 0 || row < 0:
			return "", fmt.Errorf("indices into %v, of which more than one dimension depends on the batch: %w", shape, emit.ErrModel)
		default:
			*size = -1
		}
	}
	var place string
	stride := int64(1)
	for i := k - 1; i >= 0; i-- {
		part := n.Emit("Gather", emit.Attrs{"axis": onnx.IntAttr(-1)}, index, n.Int64s(int64(i)))
		if d := shape[i]; d.IsConst() {
			part = n.Emit("Where", nil, n.Emit("Less", nil, part, n.Int64s(0)), n.Add(part, n.Int64s(d.N)), part)
		} else if i > 0 {
			return "", fmt.Errorf("indices into %v, whose axis %d has no fixed size: %w", shape, i, emit.ErrModel)
		}
		part = n.Mul(part, n.Int64s(stride))
		if place == "" {
			place = part
		} else {
			place = n.Add(place, part)
		}
		stride *= max(shape[i].N, 1)
	}
	tuples := int64(-1)
	if row < 0 {
		n := at[:len(at)-1].Ints()
		if n == nil {
			return "", fmt.Errorf("indices of shape %v into %v: %w", at, shape, emit.ErrModel)
		}
		tuples = product(n)
	}
	updates = n.Flat(updates, tuples, row)
	place = n.Flat(place, -1, 1)
	place = n.Emit("Where", nil, n.Emit("IsNaN", nil, updates), place, place) // spread over rows
	dx := n.Emit("ScatterElements", emit.Attrs{"axis": onnx.IntAttr(0), "reduction": onnx.StringAttr("add")}, n.Flat(zeros, places, row), place, updates)
	return n.Reshape(dx, shape), nil
}
