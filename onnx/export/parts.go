package export

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// parted is one parameter that is read in parts, such as the biases of query,
// key and value that PyTorch keeps in one vector.
type parted struct {
	axis  int
	taken map[int64]bool // places along the axis that a part has read
}

// part is the use of a tensor by a node that reads a part of it; "" for any
// other. Parts that do not overlap are of one parameter; one that overlaps all
// the parameters so far is of a further one, which the exporter merged.
func (u *unsharing) part(n *onnx.Node, i int, t *onnx.Tensor) string {
	axis, places := u.places(n, t)
	if i != 0 || len(places) == 0 {
		return ""
	}
	name := n.Inputs[0]
	free := func(p *parted) bool {
		return p.axis == axis && !slices.ContainsFunc(places, func(at int64) bool { return p.taken[at] })
	}
	k := slices.IndexFunc(u.parts[name], free)
	if k < 0 {
		k = len(u.parts[name])
		u.parts[name] = append(u.parts[name], &parted{axis: axis, taken: map[int64]bool{}})
	}
	for _, at := range places {
		u.parts[name][k].taken[at] = true
	}
	return fmt.Sprintf("part of %d", k)
}

// places are those along one axis that a Slice or a Gather by constants reads.
func (u *unsharing) places(n *onnx.Node, t *onnx.Tensor) (axis int, places []int64) {
	number := func(i int, missing int64) (int64, bool) {
		c := u.g.Initializers[n.Input(i)]
		if n.Input(i) == "" {
			return missing, true
		}
		if c == nil || c.Len() != 1 || c.DType != onnx.Int64 {
			return 0, false
		}
		return c.Int64s()[0], true
	}
	switch n.Op {
	case "Slice":
		start, ok0 := number(1, 0)
		end, ok1 := number(2, 0)
		along, ok2 := number(3, 0)
		step, ok3 := number(4, 1)
		axis, err := emit.Axis(along, len(t.Dims))
		if !ok0 || !ok1 || !ok2 || !ok3 || step < 1 || err != nil {
			return 0, nil
		}
		size := t.Dims[axis]
		for at := bounded(start, size); at < bounded(end, size); at += step {
			places = append(places, at)
		}
		return axis, places
	case "Gather":
		index := u.g.Initializers[n.Input(1)]
		axis, err := emit.Axis(n.Int("axis", 0), len(t.Dims))
		if index == nil || index.DType != onnx.Int64 || err != nil {
			return 0, nil
		}
		for _, at := range index.Int64s() {
			if at < 0 {
				at += t.Dims[axis]
			}
			places = append(places, at)
		}
		return axis, places
	}
	return 0, nil
}

// bounded is a bound of a slice, counted from the end where it is negative, within 0 to size.
func bounded(bound, size int64) int64 {
	if bound < 0 {
		bound += size
	}
	return min(max(bound, 0), size)
}
