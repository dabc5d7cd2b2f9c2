package opset

import "winnow/onnx"

// Attention came with opset 23: softmax(scale Q K^T + mask) V for each head,
// the product capped before the mask as c tanh(x/c). A boolean mask, and
// is_causal, which lets query i see the keys up to i, say where attention is;
// a row without any gives zeros.
func convertAttention(c *converter, n *onnx.Node, _ int64) {
	switch {
	case n.Input(4) != "" || n.Input(5) != "":
		c.refuse(n, "past keys and values")
		return
	case n.Input(6) != "":
		c.refuse(n, "padded keys and values (nonpad_kv_seqlen)")
		return
	case n.Output(3) != "" && c.scope.read[n.Output(3)]:
		c.refuse(n, "output %q, of the product of queries and keys, is used", n.Output(3))
		return
	}
	heads, kvHeads := n.Int("q_num_heads", 0), n.Int("kv_num_heads", 0)
	flat := heads > 0 // [N, L, heads*size] instead of [N, heads, L, size]
	q, k, v := n.Input(0), n.Input(1), n.Input(2)
	if flat {
		q, k, v = c.heads(n, q, heads), c.heads(n, k, kvHeads), c.heads(n, v, kvHeads)
	} else if a, b := c.typeOf(q).Shape, c.typeOf(k).Shape; len(a) == 4 && len(b) == 4 && a[1].IsConst() && b[1].IsConst() {
		heads, kvHeads = a[1].N, b[1].N
	}
	for i, kv := range []string{k, v} {
		if out := n.Output(1 + i); out != "" {
			c.stepTo(out, "Identity", nil, kv)
		}
	}
	if kvHeads > 1 && heads > kvHeads { // one head of keys and values broadcasts by itself
		if heads%kvHeads != 0 {
			c.refuse(n, "%d heads of queries for %d of keys", heads, kvHeads)
			return
		}
		k, v = c.repeatHeads(n, k, heads, kvHeads), c.repeatHeads(n, v, heads, kvHeads)
	}
	scale, ok := c.attentionScale(n, q)
	if !ok {
		return
	}
	keys := c.step(n, "Transpose", map[string]onnx.Attr{"perm": onnx.IntsAttr(0, 1, 3, 2)}, k)
	s := c.step(n, "MatMul", nil, c.step(n, "Mul", nil, q, scale), keys)
	if softcap := n.Float("softcap", 0); softcap > 0 {
		limit, _ := c.scalar(n, "softcap", n.Input(0), float64(softcap))
		s = c.step(n, "Mul", nil, c.step(n, "Tanh", nil, c.step(n, "Div", nil, s, limit)), limit)
	}
	allowed, mask := "", n.Input(3)
	if mask != "" && c.typeOf(mask).DType == onnx.Bool {
		allowed, mask = mask, ""
	}
	if n.Int("is_causal", 0) != 0 {
		queries, keys := c.positions(n, q), c.positions(n, k)
		causal := c.step(n, "LessOrEqual", nil, keys, c.step(n, "Unsqueeze", nil, queries, c.ints(n, "axis", []int64{1})))
		if allowed != "" {
			causal = c.step(n, "And", nil, allowed, causal)
		}
		allowed = causal
	}
	if mask != "" {
		s = c.step(n, "Add", nil, s, mask)
	}
	if allowed != "" {
		lowest, _ := c.scalar(n, "lowest", n.Input(0), -0x1.fffffep+127)
		s = c.step(n, "Where", nil, allowed, s, lowest)
	}
	p := c.step(n, "Softmax", map[string]onnx.Attr{"axis": onnx.IntAttr(-1)}, s)
	if allowed != "" {
		zero, _ := c.scalar(n, "zero", n.Input(0), 0)
		p = c.step(n, "Where", nil, allowed, p, zero)
	}
	if !flat {
		c.stepTo(n.Output(0), "MatMul", nil, p, v)
		return
	}
	y := c.step(n, "Transpose", map[string]onnx.Attr{"perm": onnx.IntsAttr(0, 2, 1, 3)}, c.step(n, "MatMul", nil, p, v))
	c.stepTo(n.Output(0), "Reshape", nil, y, c.ints(n, "flat", []int64{0, 0, -1}))
}

// heads is [N, heads, L, size] of [N, L, heads*size].
func (c *converter) heads(n *onnx.Node, x string, heads int64) string {
	apart := c.step(n, "Reshape", nil, x, c.ints(n, "heads", []int64{0, 0, heads, -1}))
	return c.step(n, "Transpose", map[string]onnx.Attr{"perm": onnx.IntsAttr(0, 2, 1, 3)}, apart)
}

// repeatHeads gives each of the heads of queries a head of keys or values of its own.
func (c *converter) repeatHeads(n *onnx.Node, x string, heads, kvHeads int64) string {
	copies := c.step(n, "Unsqueeze", nil, x, c.ints(n, "axis", []int64{2}))
	copies = c.step(n, "Tile", nil, copies, c.ints(n, "copies", []int64{1, 1, heads / kvHeads, 1, 1}))
	rest := c.step(n, "Shape", map[string]onnx.Attr{"start": onnx.IntAttr(2)}, x)
	target := c.step(n, "Concat", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, c.ints(n, "front", []int64{0, heads}), rest)
	return c.step(n, "Reshape", nil, copies, target)
}

// attentionScale is the factor on the product, 1/sqrt(size of a head) by default.
func (c *converter) attentionScale(n *onnx.Node, q string) (string, bool) {
	if a, ok := n.Attrs["scale"]; ok {
		return c.scalar(n, "scale", n.Input(0), float64(a.F))
	}
	if _, ok := c.scalar(n, "one", n.Input(0), 1); !ok {
		return "", false
	}
	size := c.step(n, "CastLike", nil, c.step(n, "Shape", map[string]onnx.Attr{"start": onnx.IntAttr(3)}, q), n.Input(0))
	return c.step(n, "Reciprocal", nil, c.step(n, "Sqrt", nil, size)), true
}

// positions is 0, 1, ... of the length of [N, heads, L, size].
func (c *converter) positions(n *onnx.Node, x string) string {
	length := c.step(n, "Shape", map[string]onnx.Attr{"start": onnx.IntAttr(2), "end": onnx.IntAttr(3)}, x)
	none := c.constInput(baseName(n), "first", onnx.FromInt64([]int64{0}))
	each := c.constInput(baseName(n), "each", onnx.FromInt64([]int64{1}))
	return c.step(n, "Range", nil, none, c.step(n, "Squeeze", nil, length), each)
}

// RMSNormalization came with opset 23: x / sqrt(mean(x^2) + epsilon) * scale,
// the mean over the given axis and all behind it.
func convertRMSNormalization(c *converter, n *onnx.Node, _ int64) {
	x, axis := n.Input(0), n.Int("axis", -1)
	if axis >= 0 {
		shape := c.typeOf(x).Shape
		if int64(len(shape)) <= axis {
			c.refuse(n, "axis %d of a value whose rank is not known", axis)
			return
		}
		axis -= int64(len(shape))
	}
	var axes []int64
	for ; axis < 0; axis++ {
		axes = append(axes, axis)
	}
	epsilon, ok := c.scalar(n, "epsilon", x, float64(n.Float("epsilon", 1e-5)))
	if !ok {
		return
	}
	mean := c.step(n, "ReduceMean", nil, c.step(n, "Mul", nil, x, x), c.ints(n, "axes", axes))
	root := c.step(n, "Sqrt", nil, c.step(n, "Add", nil, mean, epsilon))
	c.stepTo(n.Output(0), "Mul", nil, c.step(n, "Div", nil, x, root), n.Input(1))
}

// RotaryEmbedding came with opset 23: pairs (a, b) of a head's first elements
// are turned to (a cos - b sin, a sin + b cos). A pair is an element of each
// half, or two neighbours if interleaved.
func convertRotaryEmbedding(c *converter, n *onnx.Node, _ int64) {
	x, heads, axis := n.Input(0), n.Int("num_heads", 0), int64(1)
	if heads > 0 {
		x, axis = c.step(n, "Reshape", nil, x, c.ints(n, "heads", []int64{0, 0, heads, -1})), 2
	} else if rank := len(c.typeOf(x).Shape); rank != 4 && rank != 0 {
		c.refuse(n, "a value of rank %d without num_heads", rank)
		return
	}
	table := func(i int) string {
		t := n.Input(i)
		if n.Input(3) != "" {
			t = c.step(n, "Gather", nil, t, n.Input(3))
		}
		return c.step(n, "Unsqueeze", nil, t, c.ints(n, "axis", []int64{axis}))
	}
	cos, sin := table(1), table(2)
	last := map[string]onnx.Attr{"axis": onnx.IntAttr(-1)}
	cut := func(from, to, step int64, x string) string {
		return c.step(n, "Slice", nil, x, c.ints(n, "from", []int64{from}), c.ints(n, "to", []int64{to}),
			c.ints(n, "axis", []int64{-1}), c.ints(n, "step", []int64{step}))
	}
	const end = 1 << 40
	turned, rest := x, ""
	if part := n.Int("rotary_embedding_dim", 0); part > 0 {
		turned, rest = cut(0, part, 1, x), cut(part, end, 1, x)
	}
	var a, b string
	neighbours := n.Int("interleaved", 0) != 0
	if neighbours {
		a, b = cut(0, end, 2, turned), cut(1, end, 2, turned)
	} else {
		a, b = c.names.Fresh(baseName(n)+"/low"), c.names.Fresh(baseName(n)+"/high")
		c.emit(&onnx.Node{Name: a, Op: "Split", Inputs: []string{turned}, Outputs: []string{a, b},
			Attrs: map[string]onnx.Attr{"axis": onnx.IntAttr(-1), "num_outputs": onnx.IntAttr(2)}})
	}
	p := c.step(n, "Sub", nil, c.step(n, "Mul", nil, a, cos), c.step(n, "Mul", nil, b, sin))
	q := c.step(n, "Add", nil, c.step(n, "Mul", nil, a, sin), c.step(n, "Mul", nil, b, cos))
	if neighbours {
		axis := c.ints(n, "pair", []int64{-1})
		p = c.step(n, "Concat", last, c.step(n, "Unsqueeze", nil, p, axis), c.step(n, "Unsqueeze", nil, q, axis))
		p = c.step(n, "Reshape", nil, p, c.ints(n, "pairs", []int64{0, 0, 0, -1}))
	} else {
		p = c.step(n, "Concat", last, p, q)
	}
	if rest != "" {
		p = c.step(n, "Concat", last, p, rest)
	}
	if heads == 0 {
		c.stepTo(n.Output(0), "Identity", nil, p)
		return
	}
	c.stepTo(n.Output(0), "Reshape", nil, p, c.ints(n, "flat", []int64{0, 0, -1}))
}
