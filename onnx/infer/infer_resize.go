package infer

import (
	"math"
	"slices"

	"winnow/onnx"
)

func inferDepthToSpace(c call) error {
	return c.blocks(func(b onnx.Dim, s onnx.Shape) (onnx.Shape, bool) {
		area, ok0 := mulDims(b, b)
		ch, ok1 := divDims(s[1], area)
		h, ok2 := mulDims(s[2], b)
		w, ok3 := mulDims(s[3], b)
		return onnx.Shape{s[0], ch, h, w}, ok0 && ok1 && ok2 && ok3 && s[1].N%area.N == 0
	})
}

func inferSpaceToDepth(c call) error {
	return c.blocks(func(b onnx.Dim, s onnx.Shape) (onnx.Shape, bool) {
		area, ok0 := mulDims(b, b)
		ch, ok1 := mulDims(s[1], area)
		h, ok2 := divDims(s[2], b)
		w, ok3 := divDims(s[3], b)
		return onnx.Shape{s[0], ch, h, w}, ok0 && ok1 && ok2 && ok3 && s[2].N%b.N == 0 && s[3].N%b.N == 0
	})
}

func (c call) blocks(f func(block onnx.Dim, s onnx.Shape) (onnx.Shape, bool)) error {
	s := c.shape(0)
	if s == nil {
		c.set(0, c.dtype(0), nil)
		return nil
	}
	b := c.n.Int("blocksize", 0)
	if len(s) != 4 || b < 1 || b > 1<<20 {
		return shapeErrorf("blocksize %d over rank %d", b, len(s))
	}
	out, ok := f(onnx.Const(b), s)
	if !ok {
		if s.IsConst() {
			return shapeErrorf("blocksize %d does not divide %v", b, s)
		}
		out = c.in.unknownShape(4)
		out[0] = s[0]
	}
	c.set(0, c.dtype(0), out)
	return nil
}

func inferResize(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	if x == nil {
		c.set(0, dt, nil)
		return nil
	}
	scalesAt := 2
	if c.n.Op == "Upsample" {
		scalesAt = 1
	}
	out := slices.Clone(x)
	axes := c.n.Ints("axes", nil)
	if len(axes) == 0 {
		for i := range x {
			axes = append(axes, int64(i))
		}
	}
	sizes, okSizes := c.content(3)
	scales, okScales := c.floats(scalesAt)
	okScales = okScales && len(scales) > 0
	stretch := c.n.Str("keep_aspect_ratio_policy", "stretch") == "stretch"
	for i, a := range axes {
		k, err := normAxis(a, len(x))
		if err != nil {
			return err
		}
		out[k] = c.in.unknownDim()
		switch {
		case okSizes && c.has(3):
			if len(sizes) != len(axes) {
				return shapeErrorf("%d sizes for %d axes", len(sizes), len(axes))
			}
			switch {
			case anyElement(sizes[i]) || sizes[i].N < 0:
			case stretch:
				out[k] = sizes[i]
			default:
				out[k] = c.keptRatio(x, axes, sizes, k)
			}
		case okScales:
			if len(scales) != len(axes) {
				return shapeErrorf("%d scales for %d axes", len(scales), len(axes))
			}
			s := float64(scales[i])
			if s == math.Trunc(s) && s > 0 && s < 1<<31 {
				if d, ok := mulDims(x[k], onnx.Const(int64(s))); ok {
					out[k] = d
				}
			} else if x[k].IsConst() && s > 0 && s < 1<<31 && x[k].N < 1<<31 {
				out[k] = onnx.Const(int64(math.Floor(float64(float32(x[k].N) * scales[i]))))
			}
		}
	}
	c.set(0, dt, out)
	return nil
}

// keptRatio is the length of axis k where all axes are scaled alike, by the
// least or largest of size/length; halves are rounded up.
func (c call) keptRatio(x onnx.Shape, axes []int64, sizes []onnx.Dim, k int) onnx.Dim {
	least := c.n.Str("keep_aspect_ratio_policy", "") == "not_larger"
	var ratio float32
	for i, a := range axes {
		axis, err := normAxis(a, len(x))
		if err != nil || !x[axis].IsConst() || !sizes[i].IsConst() || x[axis].N < 1 || x[axis].N > 1<<31 || sizes[i].N > 1<<31 {
			return c.in.unknownDim()
		}
		if r := float32(sizes[i].N) / float32(x[axis].N); i == 0 || least == (r < ratio) {
			ratio = r
		}
	}
	return onnx.Const(int64(math.Floor(float64(ratio*float32(x[k].N)) + 0.5)))
}
