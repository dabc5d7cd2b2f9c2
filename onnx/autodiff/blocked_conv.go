package autodiff

import (
	"slices"

	"winnow/onnx"
)

// convBlocked is a convolution of blocked images, or of plain ones with fewer
// channels than a block, that gives blocked ones.
func (e *emitter) convBlocked(x, filter, bias string, group int64, w window, pads []int64) string {
	inputs := []string{x, filter}
	if bias != "" {
		inputs = append(inputs, bias)
	}
	return e.opsIn(blockedDomain, "Conv", 1, attrs{
		"kernel_shape": onnx.IntsAttr(w.kernel...), "strides": onnx.IntsAttr(w.stride...), "dilations": onnx.IntsAttr(w.dilation...),
		"pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(group),
	}, inputs...)[0]
}

// blockedConv emits a convolution of the forward pass, if it has a blocked form.
func (e *emitter) blockedConv(n *onnx.Node) string {
	f := e.shape(n.Inputs[1]).Ints()
	if e.inf.Node(n) != nil || len(f) != 4 || e.dtype(n.Inputs[0]) != onnx.Float32 {
		return "" // the plain form reports what is wrong
	}
	ctx := &node{emitter: e, Node: n}
	w, err := ctx.windowOf(f[2:])
	c := conv{node: ctx, window: w, group: n.Int("group", 1), outC: f[0], groupC: f[1]}
	if err != nil || f[0]%e.blocks.size != 0 {
		return ""
	}
	x, taps := n.Inputs[0], w.tapCount()
	var filter string
	switch b := e.blocks.size; {
	case c.depthwise(): // [C/b, taps, b]
		x = e.blockIn(x)
		filter = e.interleave(n.Inputs[1], 1, f[0], taps, 1)
	case c.group != 1:
		return ""
	case f[1]%b == 0:
		x = e.blockIn(x)
		filter = e.blockFilter(n.Inputs[1], f[0], f[1], taps)
	case f[1] < b: // [K/b, C, taps, b of K]
		filter = e.interleave(n.Inputs[1], 1, f[0], f[1]*taps, 1)
	default:
		return ""
	}
	return e.convBlocked(x, e.flat(filter, f...), n.Input(2), c.group, w, slices.Concat(w.begin, w.end))
}

// blockFilter is [K, C, taps] as [K/b, C/b, taps, b of C, b of K].
func (e *emitter) blockFilter(filter string, out, in, taps int64) string {
	return e.interleave(e.interleave(filter, out, in, taps, 1), 1, out, in*taps, 1)
}

// maxPhases bounds the convolutions that a data gradient is made of.
const maxPhases = 9

// canBlockData is whether dataBlocked has a form for c.
func (c conv) canBlockData() bool {
	b := c.blocks.size
	if b == 0 || c.rank() != 2 || c.dtype(c.dy[0]) != onnx.Float32 || c.stride[0]*c.stride[1] > maxPhases {
		return false
	}
	if c.outC%b != 0 || !c.depthwise() && (c.group != 1 || c.groupC%b != 0) {
		return false
	}
	for i := range c.in {
		if c.stride[i] > 1 && c.dilation[i] > 1 {
			return false
		}
		for t := range c.stride[i] {
			if p := c.phase(i, t); p.taps > 0 && (p.begin < 0 || p.end < 0) {
				return false
			}
		}
	}
	return true
}

// phase is one axis of the data gradient at every stride-th position of the
// image, from one of the first on: it meets every stride-th tap of the kernel
// only, and so is the adjoint, padded, convolved with those turned around.
type phase struct {
	positions, first, taps, begin, end int64
}

// phase finds it for the positions t, t+stride, ...: tap k meets position i
// where o*stride + k*dilation = i + c.begin for some o. All phases of an axis
// have the same number of positions, the last of which may lie beyond the image.
func (c conv) phase(axis int, t int64) phase {
	s := c.stride[axis]
	p := phase{positions: (c.in[axis] + s - 1) / s, first: (t + c.begin[axis]) % s}
	p.taps = (c.kernel[axis] - p.first + s - 1) / s
	reach := (p.taps - 1) * c.dilation[axis] // a dilated kernel has stride 1
	p.begin = reach - (t+c.begin[axis])/s
	p.end = p.positions - c.out[axis] + reach - p.begin
	return p
}

// dataBlocked is the gradient with respect to blocked images: a convolution
// of the adjoint for each phase, put together row by row and then turned over
// so that the columns of the phases alternate.
func (c conv) dataBlocked() string {
	b, taps := c.blocks.size, c.tapCount()
	var filter string // a tap is one run of memory
	ins, outs := c.groupC/b, c.outC/b
	if c.depthwise() {
		ins = 1
		filter = c.flat(c.interleave(c.Inputs[1], 1, c.outC, taps, 1), -1, b) // [C/b, taps, b], as the forward pass has it
	} else {
		filter = c.blockFilter(c.Inputs[1], c.outC, c.groupC, taps) // the same
		filter = c.flat(c.interleave(filter, -1, b, b, 1), -1, b*b) // [K/b, C/b, taps, b of K, b of C]
	}
	dy := c.blockIn(c.dy[0])
	part := func(v, h phase) string { // with the filter [C/b, K/b, taps, ...]
		var order []int64
		for in := range ins {
			for out := range outs {
				for i := range v.taps {
					for j := range h.taps {
						row, column := v.first+(v.taps-1-i)*c.stride[0], h.first+(h.taps-1-j)*c.stride[1]
						order = append(order, (out*ins+in)*taps+row*c.kernel[1]+column)
					}
				}
			}
		}
		filter := c.flat(c.op("Gather", nil, filter, c.ints(order...)), c.groupC*c.group, c.outC/c.group, v.taps, h.taps)
		w := window{kernel: []int64{v.taps, h.taps}, stride: []int64{1, 1}, dilation: c.dilation}
		return c.convBlocked(dy, filter, "", c.group, w, []int64{v.begin, h.begin, v.end, h.end})
	}
	if c.unitStride() {
		return c.blockOut(part(c.phase(0, 0), c.phase(1, 0)))
	}
	size := []int64{c.phase(0, 0).positions, c.phase(1, 0).positions}
	run := size[1] * b // of a phase in a row
	var parts []string
	var nothing string
	for t := range c.stride[0] * c.stride[1] {
		v, h := c.phase(0, t/c.stride[1]), c.phase(1, t%c.stride[1])
		if v.taps > 0 && h.taps > 0 {
			parts = append(parts, c.flat(part(v, h), -1, 1, run))
			nothing = parts[len(parts)-1]
		} else {
			parts = append(parts, "")
		}
	}
	for i, p := range parts {
		if p == "" { // where the kernel is narrower than the stride
			parts[i] = c.zerosLike(nothing)
		}
	}
	dx := c.op("Concat", attrs{"axis": onnx.IntAttr(1)}, parts...)
	dx = c.exchange(c.flat(dx, -1, c.stride[1], 1, run))
	dx = c.crop(c.flat(dx, -1, size[0]*c.stride[0], run*c.stride[1]), []int64{0, 0}, []int64{c.in[0], c.in[1] * b})
	return c.blockOut(c.flat(dx, -1, c.groupC*c.group, c.in[0], c.in[1]))
}

// canBlockWeight is whether weightBatch has a form for c, for batches of whole blocks.
// A sideways step of the kernel must be one of the image, hence no dilation there.
func (c conv) canBlockWeight() bool {
	b := c.blocks.size
	return b > 0 && c.rank() == 2 && c.group == 1 && c.outC%b == 0 && (c.groupC%b == 0 || c.groupC < b) &&
		c.dilation[1] == 1 && c.dtype(c.dy[0]) == onnx.Float32
}

// weightBatch is the gradient of the filter as a convolution over blocked
// images with the images of the batch in the place of channels. The adjoint is
// its filter, [K, N, Ho, Wo], spread by the stride. Its image is x with a
// block of channels, or all if they are fewer, as the innermost columns, so
// that one step sideways in x is a step over them, which the dilation takes. What comes out has a row
// for each row of the kernel, and for each column of it a block of channels.
//
// All that is moved in memory are runs of a block and longer, but for the
// blocks themselves, which the provider's reordering turns over. The shape of
// the result is left open.
func (c conv) weightBatch() string {
	b, in, out := c.blocks.size, c.in, c.out
	side := min(c.groupC, b) // channels side by side
	blocks := c.groupC / side
	x := c.Inputs[0]
	if side == b {
		x = c.blockIn(x)
	}
	x = c.interleave(x, 1, -1, c.groupC*in[0], in[1]) // [N/b, C/b, H, W, b of C, b of N]
	if side != b && side > 1 {                        // [N/b, C, H, W, b of N] still
		x = c.transpose(c.flat(x, -1, side, in[0]*in[1], b), 0, 2, 1, 3)
	}
	var end [2]int64
	for i := range end { // beyond the image, below 0 where no window reaches
		end[i] = (c.kernel[i]-1)*c.dilation[i] + (out[i]-1)*c.stride[i] + 1 - in[i] - c.begin[i]
	}
	rows, columns := in[0]+min(end[0], 0), c.begin[1]+in[1]+end[1]
	x = c.shift(c.flat(x, -1, blocks, in[0], in[1]*side*b), min(end[0], 0), c.begin[1]*side*b, end[1]*side*b)
	if blocks > 1 {
		x = c.transpose(x, 1, 0, 2, 3)
	}
	x = c.flat(x, blocks, -1, rows, columns*side)

	g := c.interleave(c.blockIn(c.dy[0]), 1, -1, c.outC*out[0], out[1]) // [N/b, K/b, Ho*Wo, b of K, b of N]
	g = c.blockOut(c.flat(g, -1, b, b, 1))                              // the same with b of N, b of K
	if c.outC > b {
		g = c.transpose(c.flat(g, -1, c.outC/b, c.area()*b*b), 1, 0, 2)
	}
	g = c.flat(g, c.outC, -1, out[0], out[1])

	w := window{kernel: out, dilation: []int64{c.stride[0], c.stride[1] * side}, stride: []int64{c.dilation[0], 1}}
	dw := c.blockOut(c.convBlocked(x, g, "", 1, w, []int64{c.begin[0], 0, max(end[0], 0), 0})) // [C/b, K, kh, kw*b]
	if side == b {
		dw = c.blockOut(c.flat(dw, blocks*c.outC, b, c.tapCount(), 1)) // [C/b, K, b, taps]
	} else {
		dw = c.transpose(c.flat(dw, c.outC, c.tapCount(), side), 0, 2, 1)
	}
	if blocks > 1 {
		dw = c.transpose(c.flat(dw, blocks, c.outC, side*c.tapCount()), 1, 0, 2)
	}
	return dw
}

// depthwise is whether every channel has one filter of its own, and channels make whole blocks.
func (c conv) depthwise() bool {
	return c.group > 1 && c.groupC == 1 && c.outC == c.group && c.group%c.blocks.size == 0
}

// canWeighImages is whether weightEach has a form for c.
func (c conv) canWeighImages() bool {
	return c.blocks.size > 0 && c.rank() == 2 && c.depthwise() && c.dtype(c.dy[0]) == onnx.Float32
}

// weightEach is the gradient of a filter by channel, image by image: a
// convolution of the image by channel with its adjoint as the filter, spread
// by the stride. In blocks both lie in memory as such a convolution wants them.
func (c conv) weightEach() string {
	body := &onnx.Graph{Name: "image"}
	image := func(name string, size []int64) string {
		v := onnx.Value{Name: c.fresh(name), DType: onnx.Float32, Shape: onnx.ShapeOf(c.group, size[0], size[1])}
		body.Inputs = append(body.Inputs, v)
		c.inf.Set(v)
		return v.Name
	}
	x, g := image("image", c.in), image("adjoint", c.out)
	var pads, size []int64
	for i := range 2 {
		reach := (c.out[i]-1)*c.stride[i] + 1
		end := max((c.kernel[i]-1)*c.dilation[i]+reach-c.in[i]-c.begin[i], 0)
		pads = append(pads, end)
		size = append(size, (c.in[i]+c.begin[i]+end-reach)/c.dilation[i]+1) // more than the kernel where no window reaches the end
	}
	spread := window{kernel: c.out, dilation: c.stride, stride: c.dilation}
	out, nodes := c.inside(func() string {
		x, g := c.flat(x, 1, c.group, c.in[0], c.in[1]), c.flat(g, c.group, 1, c.out[0], c.out[1])
		return c.convBlocked(x, g, "", c.group, spread, slices.Concat(c.begin, pads))
	})
	body.Nodes, body.Outputs = nodes, []onnx.Value{out}
	each := c.op("Scan", attrs{"num_scan_inputs": onnx.IntAttr(2), "body": {Kind: onnx.AttrGraph, G: body}}, c.blockIn(c.Inputs[0]), c.blockIn(c.dy[0]))
	c.inf.Set(onnx.Value{Name: each, DType: onnx.Float32, Shape: append(onnx.Shape{c.shape(c.dy[0])[0]}, out.Shape...)})
	dw := c.sum(c.flat(each, -1, c.group*size[0]*size[1]), false, 0)
	dw = c.blockOut(c.flat(dw, 1, c.group, size[0], size[1]))
	return c.crop(c.flat(dw, c.group, 1, size[0], size[1]), []int64{0, 0}, c.kernel)
}

// plainly is c with its image and adjoint taken out of their blocks here, and
// not where every step would pass.
func (c conv) plainly() conv {
	out := func(v string) string {
		b := c.blocks.of[v]
		if b == "" {
			return v
		}
		name := c.fresh("reorderoutput")
		c.add(&onnx.Node{
			Name: name, Op: "ReorderOutput", Domain: blockedDomain, Inputs: []string{b}, Outputs: []string{name},
			Attrs: attrs{"channels": onnx.IntAttr(c.channels(b))},
		})
		return name
	}
	n, inner := *c.node, *c.Node
	inner.Inputs = slices.Clone(c.Inputs)
	inner.Inputs[0] = out(c.Inputs[0])
	n.Node, n.dy = &inner, []string{out(c.dy[0])}
	c.node = &n
	return c
}

// shift pads, or cuts where a number is below 0, [N/b, C/b, H, W*b*b]: rows at
// the bottom, and columns at either side.
func (e *emitter) shift(x string, bottom, left, right int64) string {
	if bottom == 0 && left == 0 && right == 0 {
		return x
	}
	return e.op("Pad", nil, x, e.ints(0, 0, 0, left, 0, 0, bottom, right), e.number(0, x))
}
