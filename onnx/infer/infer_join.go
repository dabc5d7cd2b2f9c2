package infer

import (
	"slices"

	"winnow/onnx"
)

func inferConcat(c call) error {
	dt := onnx.Undefined
	var out onnx.Shape
	known := true
	for i := range c.n.Inputs {
		if dt == onnx.Undefined {
			dt = c.dtype(i)
		}
		known = known && c.shape(i) != nil
		if out == nil {
			out = slices.Clone(c.shape(i))
		}
	}
	if out == nil {
		c.set(0, dt, nil)
		return nil
	}
	axis, err := c.axis(0, len(out))
	if err != nil {
		return err
	}
	sum := onnx.Const(0)
	for i := range c.n.Inputs {
		s := c.shape(i)
		if s == nil {
			continue
		}
		if len(s) != len(out) {
			return shapeErrorf("input %d has rank %d, not %d", i, len(s), len(out))
		}
		for k := range s {
			if k == axis {
				var ok bool
				if sum, ok = addDims(sum, s[k]); !ok {
					known = false
				}
			} else if out[k], err = same(out[k], s[k]); err != nil {
				return shapeErrorf("input %d differs in axis %d: %v", i, k, err)
			}
		}
	}
	out[axis] = sum
	if !known {
		out[axis] = c.in.unknownDim()
	}
	c.set(0, dt, out)
	return nil
}

func inferSplit(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	parts := len(c.n.Outputs)
	if x == nil {
		for i := range parts {
			c.set(i, dt, nil)
		}
		return nil
	}
	axis, err := c.axis(0, len(x))
	if err != nil {
		return err
	}
	sizes, given := []onnx.Dim(onnx.ShapeOf(c.n.Attrs["split"].Ints...)), c.n.Attrs["split"].Kind == onnx.AttrInts
	if !given && c.has(1) {
		given = true
		sizes, _ = c.content(1)
	}
	sum, complete := onnx.Const(0), given && len(sizes) == parts
	if given && len(sizes) > 0 && len(sizes) != parts {
		return shapeErrorf("%d parts for %d outputs", len(sizes), parts)
	}
	for i := range parts {
		out := slices.Clone(x)
		switch {
		case complete:
			if sizes[i].IsConst() && sizes[i].N < 0 {
				return shapeErrorf("part of length %v", sizes[i])
			}
			out[axis] = sizes[i]
			if anyElement(sizes[i]) {
				out[axis] = c.in.unknownDim()
			}
			total, ok := addDims(sum, out[axis])
			if sum = total; !ok {
				sum = c.in.unknownDim()
			}
		case given:
			out[axis] = c.in.unknownDim()
		case x[axis].IsConst():
			each := ceilDiv(x[axis].N, int64(parts))
			out[axis] = onnx.Const(max(0, min(each, x[axis].N-each*int64(i))))
		default:
			if d, ok := divDims(x[axis], onnx.Const(int64(parts))); ok {
				out[axis] = d
			} else {
				out[axis] = c.in.unknownDim()
			}
		}
		c.set(i, dt, out)
	}
	if complete && x[axis].IsConst() && sum.IsConst() && sum != x[axis] {
		return shapeErrorf("parts sum to %v, axis %d is %v", sum, axis, x[axis])
	}
	return nil
}

func inferTile(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	if x == nil {
		c.set(0, dt, nil)
		return nil
	}
	reps, ok := c.content(1)
	if ok && len(reps) != len(x) {
		return shapeErrorf("%d repeats of rank %d", len(reps), len(x))
	}
	out := c.in.unknownShape(len(x))
	for i := range reps {
		if anyElement(reps[i]) {
			continue
		}
		if reps[i].N < 0 {
			return shapeErrorf("repeats %v", onnx.Shape(reps))
		}
		if d, ok := mulDims(x[i], reps[i]); ok {
			out[i] = d
		}
	}
	c.set(0, dt, out)
	return nil
}

func inferPad(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	if x == nil {
		c.set(0, dt, nil)
		return nil
	}
	pads, ok := c.content(1)
	if a, isAttr := c.n.Attrs["pads"]; isAttr {
		pads, ok = onnx.ShapeOf(a.Ints...), true
	}
	axes, known, err := c.sliceAxes(3, len(x), len(pads)/2)
	if err != nil {
		return err
	}
	if !ok || !known {
		c.set(0, dt, c.in.unknownShape(len(x)))
		return nil
	}
	if len(pads) != 2*len(axes) {
		return shapeErrorf("%d pads for %d axes", len(pads), len(axes))
	}
	for _, p := range pads {
		if p.IsConst() && (p.N < -maxPad || p.N > maxPad) {
			return shapeErrorf("pads %d, want %d to %d", p.N, int64(-maxPad), int64(maxPad))
		}
	}
	out := slices.Clone(x)
	for i, a := range axes {
		d, ok := addDims(pads[i], pads[len(axes)+i])
		if ok {
			d, ok = addDims(x[a], d)
		}
		switch {
		case !ok:
			d = c.in.unknownDim()
		case d.IsConst() && d.N < 0:
			return shapeErrorf("axis %d padded to %v", a, d)
		}
		out[a] = d
	}
	c.set(0, dt, out)
	return nil
}
