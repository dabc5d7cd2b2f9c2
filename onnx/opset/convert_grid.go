package opset

import "winnow/onnx"

// GridSample had other names for its modes before opset 20, and no volumes.
func convertGridSample(c *converter, n *onnx.Node, source int64) {
	if rank := len(c.typeOf(n.Input(0)).Shape); rank > 4 {
		c.refuse(n, "a value of rank %d, images have 4", rank)
		return
	}
	if source >= 20 {
		mode, ok := map[string]string{"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}[n.Str("mode", "linear")]
		if !ok {
			c.refuse(n, "mode %q", n.Str("mode", "linear"))
			return
		}
		n.Attrs["mode"] = onnx.StringAttr(mode)
	}
	c.emit(n)
}

// AffineGrid came with opset 20: theta [N, 2, 3] times (x, y, 1) of every
// place of an image [N, C, H, W], where -1 and 1 are the middles of the outer
// elements (align_corners) or their outer edges.
func convertAffineGrid(c *converter, n *onnx.Node, _ int64) {
	theta, size := n.Input(0), n.Input(1)
	rank := c.typeOf(theta).Shape
	if len(rank) == 3 && rank[1].IsConst() && rank[1].N != 2 {
		c.refuse(n, "theta of shape %v, images have [N, 2, 3]", rank)
		return
	}
	one, ok := c.scalar(n, "one", theta, 1)
	if !ok {
		return
	}
	two, _ := c.scalar(n, "two", theta, 2)
	axis0 := c.ints(n, "axis", []int64{0})
	length := func(k int64) string {
		return c.step(n, "Slice", nil, size, c.ints(n, "from", []int64{k}), c.ints(n, "to", []int64{k + 1}), axis0)
	}
	first := c.constInput(baseName(n), "first", onnx.FromInt64([]int64{0}))
	each := c.constInput(baseName(n), "each", onnx.FromInt64([]int64{1}))
	places := func(length string) string {
		i := c.step(n, "CastLike", nil, c.step(n, "Range", nil, first, c.step(n, "Squeeze", nil, length, axis0), each), theta)
		count := c.step(n, "CastLike", nil, length, theta)
		if n.Int("align_corners", 0) == 0 { // (2i+1)/n - 1
			return c.step(n, "Sub", nil, c.step(n, "Div", nil, c.step(n, "Add", nil, c.step(n, "Mul", nil, i, two), one), count), one)
		}
		// 2i/(n-1) - 1, and 0 where n is 1, as in PyTorch (ONNX does not say)
		last := c.step(n, "Sub", nil, count, one)
		scaled := c.step(n, "Div", nil, c.step(n, "Mul", nil, i, two), c.step(n, "Max", nil, last, one))
		return c.step(n, "Sub", nil, scaled, c.step(n, "Min", nil, last, one))
	}
	h, w := length(2), length(3)
	x, y := places(w), places(h)
	joined := map[string]onnx.Attr{"axis": onnx.IntAttr(0)}
	shape := c.step(n, "Concat", joined, h, w, c.ints(n, "single", []int64{1}))
	spread := func(v string, axes ...int64) string {
		return c.step(n, "Expand", nil, c.step(n, "Unsqueeze", nil, v, c.ints(n, "axes", axes)), shape)
	}
	ones := c.step(n, "Expand", nil, one, shape)
	base := c.step(n, "Concat", map[string]onnx.Attr{"axis": onnx.IntAttr(-1)}, spread(x, 0, 2), spread(y, 1, 2), ones)
	base = c.step(n, "Reshape", nil, base, c.ints(n, "rows", []int64{-1, 3}))
	grid := c.step(n, "MatMul", nil, base, c.step(n, "Transpose", map[string]onnx.Attr{"perm": onnx.IntsAttr(0, 2, 1)}, theta))
	target := c.step(n, "Concat", joined, c.ints(n, "copy", []int64{0}), h, w, c.ints(n, "pair", []int64{2}))
	c.stepTo(n.Output(0), "Reshape", nil, grid, target)
}
