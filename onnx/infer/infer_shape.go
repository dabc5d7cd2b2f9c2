package infer

import (
	"slices"

	"winnow/onnx"
)

var shapeRules = map[string]inferRule{
	"Reshape": inferReshape, "Flatten": inferFlatten, "Transpose": inferTranspose,
	"Squeeze": inferSqueeze, "Unsqueeze": inferUnsqueeze, "Concat": inferConcat, "Split": inferSplit,
	"Expand": inferExpand, "Tile": inferTile, "Pad": inferPad, "Slice": inferSlice,
	"Shape": inferShape, "Size": inferSize, "Constant": inferConstant, "ConstantOfShape": inferConstantOfShape,
	"Range": inferRange, "DepthToSpace": inferDepthToSpace, "SpaceToDepth": inferSpaceToDepth,
	"Resize": inferResize, "Upsample": inferResize,
}

// target reads a shape given as content: unknown elements become unknown
// dimensions, an input of known length alone gives the rank.
func (c call) target(i int) (onnx.Shape, bool) {
	if t, ok := c.content(i); ok {
		return onnx.Shape(t), len(t) <= maxRank
	}
	if s := c.shape(i); s.IsConst() && len(s) == 1 && s[0].N >= 0 && s[0].N <= maxRank {
		t := make(onnx.Shape, s[0].N)
		for k := range t {
			t[k] = c.in.unknownElement()
		}
		return t, true
	}
	return nil, false
}

// dims turns a target into dimensions, negative constants being errors.
func (c call) dims(t onnx.Shape) (onnx.Shape, error) {
	out := make(onnx.Shape, len(t))
	for i, d := range t {
		if anyElement(d) {
			d = c.in.unknownDim()
		} else if d.N < 0 {
			return nil, shapeErrorf("negative dimension in %v", t)
		}
		out[i] = d
	}
	return out, nil
}

func inferReshape(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	t, ok := c.target(1)
	if !ok {
		c.set(0, dt, nil)
		return nil
	}
	out, err := c.in.reshaped(x, t, c.n.Int("allowzero", 0) != 0)
	c.set(0, dt, out)
	return err
}

// reshaped applies a Reshape target to a shape: 0 copies, -1 and a single
// unknown element follow from the number of elements, by exact division.
func (in *Inference) reshaped(x, t onnx.Shape, allowZero bool) (onnx.Shape, error) {
	out := make(onnx.Shape, len(t))
	rest := -1 // the dimension that follows from the others
	open := 0  // dimensions that stay unknown
	for i, d := range t {
		switch {
		case d == onnx.Const(0) && !allowZero:
			if x != nil && i >= len(x) {
				return nil, shapeErrorf("target %v copies axis %d of %v", t, i, x)
			}
			out[i] = in.unknownDim()
			if x != nil {
				out[i] = x[i]
			} else {
				open++
			}
		case d == onnx.Const(-1):
			if rest >= 0 && t[rest] == onnx.Const(-1) {
				return nil, shapeErrorf("target %v has two -1", t)
			}
			if rest >= 0 {
				open++
			}
			rest = i
			out[i] = in.unknownDim()
		case anyElement(d):
			if rest >= 0 {
				open++
			} else {
				rest = i
			}
			out[i] = in.unknownDim()
		case d.N < 0:
			return nil, shapeErrorf("target %v", t)
		default:
			out[i] = d
		}
	}
	if x == nil || open > 0 {
		return out, nil
	}
	if slices.Contains(x, onnx.Const(0)) || slices.Contains(out, onnx.Const(0)) {
		return out, nil
	}
	others := out
	if rest >= 0 {
		others = slices.Delete(slices.Clone(out), rest, rest+1)
	}
	total, ok1 := monomialOf(x)
	part, ok2 := monomialOf(others)
	if !ok1 || !ok2 {
		return out, nil
	}
	quotient, exact := total.over(part)
	if rest >= 0 {
		if d, ok := quotient.dim(); exact && ok {
			out[rest] = d
		} else if !exact && len(total.syms) == 0 && len(part.syms) == 0 {
			return nil, shapeErrorf("%v elements do not fill %v", x, t)
		}
		return out, nil
	}
	if slices.Equal(total.syms, part.syms) && total.n != part.n {
		return nil, shapeErrorf("%v does not hold as many elements as %v", x, t)
	}
	return out, nil
}

func inferFlatten(c call) error {
	x := c.shape(0)
	if x == nil {
		c.set(0, c.dtype(0), c.in.unknownShape(2))
		return nil
	}
	axis := c.n.Int("axis", 1)
	if axis < -int64(len(x)) || axis > int64(len(x)) {
		return shapeErrorf("axis %d of rank %d", axis, len(x))
	}
	if axis < 0 {
		axis += int64(len(x))
	}
	c.set(0, c.dtype(0), onnx.Shape{c.in.productDim(x[:axis]), c.in.productDim(x[axis:])})
	return nil
}

func inferTranspose(c call) error {
	x := c.shape(0)
	if x == nil {
		c.set(0, c.dtype(0), nil)
		return nil
	}
	perm, err := Permutation(c.n, len(x))
	if err != nil {
		return err
	}
	out := make(onnx.Shape, len(x))
	for i, p := range perm {
		out[i] = x[p]
	}
	c.set(0, c.dtype(0), out)
	return nil
}

// Permutation is the order that a Transpose gives so many dimensions, by default the
// reverse; an error where its perm is none.
func Permutation(n *onnx.Node, rank int) ([]int, error) {
	given := n.Ints("perm", nil)
	perm := make([]int, rank)
	if len(given) == 0 {
		for i := range perm {
			perm[i] = rank - 1 - i
		}
		return perm, nil
	}
	seen := make([]bool, rank)
	for i, p := range given {
		if len(given) != rank || p < 0 || p >= int64(rank) || seen[p] {
			return nil, shapeErrorf("perm %v of rank %d", given, rank)
		}
		seen[p] = true
		perm[i] = int(p)
	}
	return perm, nil
}

func inferSqueeze(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	axes, given, known := c.axes(1)
	if x == nil || !known {
		c.set(0, dt, nil)
		return nil
	}
	gone := make([]bool, len(x))
	for _, a := range axes {
		i, err := normAxis(a, len(x))
		if err != nil {
			return err
		}
		if x[i].IsConst() && x[i].N != 1 {
			return shapeErrorf("axis %d is %v, not 1", i, x[i])
		}
		gone[i] = true
	}
	if !given {
		for i, d := range x {
			if d.Unknown() {
				c.set(0, dt, nil)
				return nil
			}
			gone[i] = d == onnx.Const(1)
		}
	}
	out := onnx.Shape{}
	for i, d := range x {
		if !gone[i] {
			out = append(out, d)
		}
	}
	c.set(0, dt, out)
	return nil
}

func inferUnsqueeze(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	axes, _, known := c.axes(1)
	if x == nil || !known {
		c.set(0, dt, nil)
		return nil
	}
	rank := len(x) + len(axes)
	added := make([]bool, rank)
	for _, a := range axes {
		i, err := normAxis(a, rank)
		if err != nil {
			return err
		}
		if added[i] {
			return shapeErrorf("axis %d twice", i)
		}
		added[i] = true
	}
	out := make(onnx.Shape, 0, rank)
	for i := range rank {
		if added[i] {
			out = append(out, onnx.Const(1))
		} else {
			out = append(out, x[0])
			x = x[1:]
		}
	}
	c.set(0, dt, out)
	return nil
}

func inferExpand(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	t, ok := c.target(1)
	if !ok {
		c.set(0, dt, nil)
		return nil
	}
	t, err := c.dims(t)
	if err != nil {
		return err
	}
	out, err := c.in.broadcast(x, t)
	c.set(0, dt, out)
	return err
}

func inferShape(c call) error {
	out := onnx.Shape{c.in.unknownDim()}
	if x := c.shape(0); x != nil {
		lo, hi := shapeRange(c.n, len(x))
		out[0] = onnx.Const(int64(hi - lo))
	}
	c.set(0, onnx.Int64, out)
	return nil
}

// shapeRange is the part of a shape that Shape's start and end select.
func shapeRange(n *onnx.Node, rank int) (lo, hi int) {
	clamp := func(v int64) int {
		if v < 0 {
			v += int64(rank)
		}
		return int(max(0, min(v, int64(rank))))
	}
	lo, hi = clamp(n.Int("start", 0)), clamp(n.Int("end", int64(rank)))
	return lo, max(lo, hi)
}

func inferSize(c call) error {
	c.set(0, onnx.Int64, onnx.Shape{})
	return nil
}
