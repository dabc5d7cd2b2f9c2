package autodiff

import (
	"fmt"

	"winnow/onnx"
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
func gradGridSample(n *node) ([]string, error) {
	x, grid := n.shape(n.Inputs[0]), n.shape(n.Inputs[1])
	if len(x) != 4 || len(grid) != 4 || !x[1:].IsConst() || !grid[1:].IsConst() {
		return nil, fmt.Errorf("images of shape %v at a grid of shape %v; both need four axes, all but the first fixed: %w", x, grid, ErrModel)
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
		return n.mul(n.flat(a, 0, s, 1, places), n.flat(b, 0, 1, s, places))
	}
	index := n.addOp(n.mul(n.flat(down.index, 0, s, 1, places), n.number(float64(w), down.index)), n.flat(across.index, 0, 1, s, places))
	index = n.op("Expand", nil, n.cast(n.flat(index, 0, 1, s*s*places), onnx.Int64), n.ints(1, c, 1))
	g := n.flat(n.dy[0], 0, c, 1, places)
	image := n.flat(n.Inputs[0], 0, c, h*w)
	dx := make([]string, 2)
	if n.want[0] {
		share := n.flat(n.mul(g, n.flat(pair(down.weight, across.weight), 0, 1, s*s, places)), 0, c, s*s*places)
		a := attrs{"axis": onnx.IntAttr(2), "reduction": onnx.StringAttr("add")}
		dx[0] = n.reshape(n.op("ScatterElements", a, n.zerosLike(image), index, share), x)
	}
	if n.want[1] {
		read := n.flat(n.op("GatherElements", attrs{"axis": onnx.IntAttr(2)}, image, index), 0, c, s*s, places)
		seen := n.flat(n.sum(n.mul(read, g), false, 1), 0, s, s, places)
		part := func(a, b string) string {
			return n.flat(n.sum(n.mul(seen, pair(a, b)), false, 1, 2), 0, grid[1].N, grid[2].N, 1)
		}
		dx[1] = n.join(part(down.weight, across.change), part(down.change, across.weight))
	}
	return dx, n.err
}

// gridAxis reads the coordinates of an axis of the given size from the grid.
// The arithmetic is PyTorch's, so that both round to the same side.
func (n *node) gridAxis(t taps, axis, size, places int64) gridAxis {
	at := n.flat(n.slice(n.Inputs[1], []int64{axis}, []int64{axis + 1}, []int64{3}, []int64{1}), 0, 1, places)
	num := func(v float64) string { return n.number(v, at) }
	slope := num(float64(size) / 2)
	at = n.addOp(at, num(1))
	aligned := n.Int("align_corners", 0) != 0
	if aligned {
		slope = num(float64(size-1) / 2)
		at = n.mul(n.div(at, num(2)), num(float64(size-1)))
	} else {
		at = n.div(n.sub(n.mul(at, num(float64(size))), num(1)), num(2))
	}
	padding, cubic := n.Str("padding_mode", "zeros"), len(t.offsets) == 4
	if padding != "zeros" && !cubic { // the position is brought inside, for bicubic each tap is
		var turn string
		at, turn = n.gridInside(at, size, padding, aligned)
		slope = n.mul(turn, slope)
	}
	base := n.op("Floor", nil, at)
	if len(t.offsets) == 1 {
		base = n.op("Round", nil, at)
	}
	column := func(v []float32) string { return n.like(n.floats(v, int64(len(v)), 1), at) }
	fraction := n.sub(at, base)
	weight := column(t.weights[0])
	change := n.mul(weight, num(0))
	for _, c := range t.weights[1:] { // Horner's scheme, and its derivative
		change = n.addOp(n.mul(change, fraction), weight)
		weight = n.addOp(n.mul(weight, fraction), column(c))
	}
	change = n.mul(change, slope)
	index := n.addOp(base, column(t.offsets))
	switch {
	case padding == "zeros":
		inside := n.op("And", nil, n.op("GreaterOrEqual", nil, index, num(0)), n.op("LessOrEqual", nil, index, num(float64(size-1))))
		mask := n.cast(inside, n.dtype(at))
		weight, change = n.mul(weight, mask), n.mul(change, mask)
	case cubic:
		index, _ = n.gridInside(index, size, padding, aligned)
	}
	if len(t.offsets) == 1 { // no coefficient has the shape of the places yet
		weight = n.mul(weight, n.op("Where", nil, n.always(), num(1), at))
		change = n.mul(change, n.zerosLike(at))
	}
	return gridAxis{index: n.op("Clip", nil, index, num(0), num(float64(size-1))), weight: weight, change: change}
}

// like casts a constant to the element type of a value.
func (e *emitter) like(v, of string) string {
	if e.dtype(v) == e.dtype(of) {
		return v
	}
	return e.cast(v, e.dtype(of))
}

// gridInside clamps or reflects positions into an axis, and gives the
// derivative: 0 where they are clamped, -1 where they run backward. Positions
// are reflected at the first and last element, or half an element beyond.
func (n *node) gridInside(at string, size int64, padding string, aligned bool) (inside, slope string) {
	num := func(v float64) string { return n.number(v, at) }
	slope = n.op("Where", nil, n.always(), num(1), at)
	last := num(float64(size - 1))
	if padding == "reflection" {
		low, span := -0.5, float64(size)
		if aligned {
			low, span = 0, float64(size-1)
		}
		if span == 0 {
			return n.zerosLike(at), n.zerosLike(at)
		}
		from := n.sub(at, num(low))
		slope = n.where(n.op("Less", nil, from, num(0)), num(-1), num(1))
		from = n.op("Abs", nil, from)
		turns := n.op("Floor", nil, n.div(from, num(span)))
		rest := n.sub(from, n.mul(turns, num(span)))
		odd := n.op("Greater", nil, n.sub(turns, n.mul(n.op("Floor", nil, n.div(turns, num(2))), num(2))), num(0))
		at = n.addOp(n.where(odd, n.sub(num(span), rest), rest), num(low))
		slope = n.mul(slope, n.where(odd, num(-1), num(1)))
	}
	within := n.op("And", nil, n.op("Greater", nil, at, num(0)), n.op("Less", nil, at, last))
	return n.op("Clip", nil, at, num(0), last), n.mul(slope, n.cast(within, n.dtype(at)))
}
