package autodiff

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// taps is how a mode of GridSample reads an axis: from the whole position
// below, or the nearest one, at offsets, with weights that are polynomials of
// the fraction t behind it, highest power first, one coefficient for each tap.
type taps struct {
	offsets []float32
	weights [][]float32
}

// The cubic kernel is that of Keys with a = -0.75, as in PyTorch's grid_sample.
const gridCubic = -0.75

var gridModes = map[string]taps{
	"nearest":  {[]float32{0}, [][]float32{{1}}},
	"bilinear": {[]float32{0, 1}, [][]float32{{-1, 1}, {1, 0}}},
	"bicubic": {[]float32{-1, 0, 1, 2}, [][]float32{
		{gridCubic, gridCubic + 2, -gridCubic - 2, -gridCubic},
		{-2 * gridCubic, -gridCubic - 3, 2*gridCubic + 3, gridCubic},
		{gridCubic, 0, -gridCubic, 0},
		{0, 1, 0, 0},
	}},
}

// gridAxis is one axis of an image sampled at K places: [N, S, K] of S taps.
type gridAxis struct {
	index          string // positions, whole float32s within the axis
	weight, change string // weights, and their derivatives by the grid's coordinate
}

// y[n,c,k] = sum over taps a, b of wy_a wx_b x[n,c,iy_a,ix_b] at the K places
// of the grid: dx adds g wy_a wx_b at the taps; the grid's x coordinate gets the
// sum over channels and taps of g x wy_a wx_b', its y the same with wy_a' wx_b.
func gradGridSample(n *Node) ([]string, error) {
	x, grid := n.Shape(n.Inputs[0]), n.Shape(n.Inputs[1])
	if len(x) != 4 || len(grid) != 4 || !x[1:].IsConst() || !grid[1:].IsConst() {
		return nil, fmt.Errorf("images of shape %v at a grid of shape %v; both need four axes, all but the first fixed: %w", x, grid, emit.ErrModel)
	}
	mode := n.Str("mode", "bilinear")
	t, ok := gridModes[mode]
	padding := n.Str("padding_mode", "zeros")
	if !ok || padding != "zeros" && padding != "border" && padding != "reflection" {
		return nil, fmt.Errorf("mode %q with padding %q has no gradient: %w", mode, padding, ErrNoRule)
	}
	c, h, w, places := x[1].N, x[2].N, x[3].N, grid[1].N*grid[2].N
	s := int64(len(t.offsets))
	across, down := n.gridAxis(t, 0, w, places), n.gridAxis(t, 1, h, places)
	pair := func(a, b string) string { // [N, S, S, K] of the taps down and across
		return n.Mul(n.Flat(a, 0, s, 1, places), n.Flat(b, 0, 1, s, places))
	}
	index := n.Add(n.Mul(n.Flat(down.index, 0, s, 1, places), n.Number(float64(w), down.index)), n.Flat(across.index, 0, 1, s, places))
	index = n.Emit("Expand", nil, n.Cast(n.Flat(index, 0, 1, s*s*places), onnx.Int64), n.Int64s(1, c, 1))
	g := n.Flat(n.Dy[0], 0, c, 1, places)
	image := n.Flat(n.Inputs[0], 0, c, h*w)
	dx := make([]string, 2)
	if n.Want[0] {
		share := n.Flat(n.Mul(g, n.Flat(pair(down.weight, across.weight), 0, 1, s*s, places)), 0, c, s*s*places)
		a := emit.Attrs{"axis": onnx.IntAttr(2), "reduction": onnx.StringAttr("add")}
		dx[0] = n.Reshape(n.Emit("ScatterElements", a, n.ZerosLike(image), index, share), x)
	}
	if n.Want[1] {
		read := n.Flat(n.Emit("GatherElements", emit.Attrs{"axis": onnx.IntAttr(2)}, image, index), 0, c, s*s, places)
		seen := n.Flat(n.Sum(n.Mul(read, g), false, 1), 0, s, s, places)
		part := func(a, b string) string {
			return n.Flat(n.Sum(n.Mul(seen, pair(a, b)), false, 1, 2), 0, grid[1].N, grid[2].N, 1)
		}
		dx[1] = n.Join(part(down.weight, across.change), part(down.change, across.weight))
	}
	return dx, n.Err
}

// gridAxis reads the coordinates of an axis of the given size from the grid.
// The arithmetic is PyTorch's, so that both round to the same side.
func (n *Node) gridAxis(t taps, axis, size, places int64) gridAxis {
	at := n.Flat(n.Slice(n.Inputs[1], []int64{axis}, []int64{axis + 1}, []int64{3}, []int64{1}), 0, 1, places)
	num := func(v float64) string { return n.Number(v, at) }
	slope := num(float64(size) / 2)
	at = n.Add(at, num(1))
	aligned := n.Int("align_corners", 0) != 0
	if aligned {
		slope = num(float64(size-1) / 2)
		at = n.Mul(n.Div(at, num(2)), num(float64(size-1)))
	} else {
		at = n.Div(n.Sub(n.Mul(at, num(float64(size))), num(1)), num(2))
	}
	padding, cubic := n.Str("padding_mode", "zeros"), len(t.offsets) == 4
	if padding != "zeros" && !cubic { // the position is brought inside, for bicubic each tap is
		var turn string
		at, turn = n.gridInside(at, size, padding, aligned)
		slope = n.Mul(turn, slope)
	}
	base := n.Emit("Floor", nil, at)
	if len(t.offsets) == 1 {
		base = n.Emit("Round", nil, at)
	}
	column := func(v []float32) string { return n.like(n.Float32s(v, int64(len(v)), 1), at) }
	fraction := n.Sub(at, base)
	weight := column(t.weights[0])
	change := n.Mul(weight, num(0))
	for _, c := range t.weights[1:] { // Horner's scheme, and its derivative
		change = n.Add(n.Mul(change, fraction), weight)
		weight = n.Add(n.Mul(weight, fraction), column(c))
	}
	change = n.Mul(change, slope)
	index := n.Add(base, column(t.offsets))
	switch {
	case padding == "zeros":
		inside := n.Emit("And", nil, n.Emit("GreaterOrEqual", nil, index, num(0)), n.Emit("LessOrEqual", nil, index, num(float64(size-1))))
		mask := n.Cast(inside, n.DType(at))
		weight, change = n.Mul(weight, mask), n.Mul(change, mask)
	case cubic:
		index, _ = n.gridInside(index, size, padding, aligned)
	}
	if len(t.offsets) == 1 { // no coefficient has the shape of the places yet
		weight = n.Mul(weight, n.Emit("Where", nil, n.True(), num(1), at))
		change = n.Mul(change, n.ZerosLike(at))
	}
	return gridAxis{index: n.Emit("Clip", nil, index, num(0), num(float64(size-1))), weight: weight, change: change}
}

// gridInside clamps or reflects positions into an axis, and gives the
// derivative: 0 where they are clamped, -1 where they run backward. Positions
// are reflected at the first and last element, or half an element beyond.
func (n *Node) gridInside(at string, size int64, padding string, aligned bool) (inside, slope string) {
	num := func(v float64) string { return n.Number(v, at) }
	slope = n.Emit("Where", nil, n.True(), num(1), at)
	last := num(float64(size - 1))
	if padding == "reflection" {
		low, span := -0.5, float64(size)
		if aligned {
			low, span = 0, float64(size-1)
		}
		if span == 0 {
			return n.ZerosLike(at), n.ZerosLike(at)
		}
		from := n.Sub(at, num(low))
		slope = n.Where(n.Emit("Less", nil, from, num(0)), num(-1), num(1))
		from = n.Emit("Abs", nil, from)
		turns := n.Emit("Floor", nil, n.Div(from, num(span)))
		rest := n.Sub(from, n.Mul(turns, num(span)))
		odd := n.Emit("Greater", nil, n.Sub(turns, n.Mul(n.Emit("Floor", nil, n.Div(turns, num(2))), num(2))), num(0))
		at = n.Add(n.Where(odd, n.Sub(num(span), rest), rest), num(low))
		slope = n.Mul(slope, n.Where(odd, num(-1), num(1)))
	}
	within := n.Emit("And", nil, n.Emit("Greater", nil, at, num(0)), n.Emit("Less", nil, at, last))
	return n.Emit("Clip", nil, at, num(0), last), n.Mul(slope, n.Cast(within, n.DType(at)))
}

// like casts a constant to the element type of a value.
func (n *Node) like(v, of string) string {
	if n.DType(v) == n.DType(of) {
		return v
	}
	return n.Cast(v, n.DType(of))
}
