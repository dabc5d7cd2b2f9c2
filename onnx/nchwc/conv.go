package nchwc

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// blockedConv is a convolution whose gradients are taken in blocks.
type blockedConv struct {
	*Layout
	autodiff.Conv
}

// convBlocked is a convolution of blocked images, or of plain ones with fewer
// channels than a block, that gives blocked ones.
func (l *Layout) convBlocked(x, filter, bias string, group int64, w autodiff.Window, pads []int64) string {
	inputs := []string{x, filter}
	if bias != "" {
		inputs = append(inputs, bias)
	}
	return l.EmitIn(Domain, "Conv", 1, emit.Attrs{
		"kernel_shape": onnx.IntsAttr(w.Kernel...), "strides": onnx.IntsAttr(w.Stride...), "dilations": onnx.IntsAttr(w.Dilation...),
		"pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(group),
	}, inputs...)[0]
}

// forwardConv emits a convolution of the forward pass, if it has a blocked form.
func (l *Layout) forwardConv(n *onnx.Node) string {
	f := l.Shape(n.Inputs[1]).Ints()
	if l.Inf.Node(n) != nil || len(f) != 4 || l.DType(n.Inputs[0]) != onnx.Float32 {
		return "" // the plain form reports what is wrong
	}
	ctx := &autodiff.Node{Builder: l.Builder, Node: n}
	w, err := ctx.WindowOf(f[2:])
	c := blockedConv{l, autodiff.Conv{Node: ctx, Window: w, Group: n.Int("group", 1), OutC: f[0], GroupC: f[1]}}
	if err != nil || f[0]%l.block != 0 {
		return ""
	}
	x, taps := n.Inputs[0], w.TapCount()
	var filter string
	switch b := l.block; {
	case c.depthwise(): // [C/b, taps, b]
		x = l.ToBlocks(x)
		filter = l.interleave(n.Inputs[1], 1, f[0], taps, 1)
	case c.wholeGroups() > 0:
		x = l.ToBlocks(x)
		if c.canKernel() {
			return c.kernelForward(x, n.Inputs[1], n.Input(2))
		}
		c = c.together()
		filter = c.blockFilter()
		if c.forwardWinograd() {
			return l.winograd(x, filter, n.Input(2), c.OutC, c.GroupC, c.Out[0], [2]int64(w.Begin), w.End[1])
		}
	case c.Group == 1 && f[1] < b: // [K/b, C, taps, b of K]
		filter = l.interleave(n.Inputs[1], 1, f[0], f[1]*taps, 1)
	default:
		return ""
	}
	return l.convBlocked(x, l.Flat(filter, c.OutC, c.GroupC, f[2], f[3]), n.Input(2), c.Group, w, slices.Concat(w.Begin, w.End))
}

// blockFilter is the filter [K, C, taps] as [K/b, C/b, taps, b of C, b of K].
func (c blockedConv) blockFilter() string {
	out, in, taps := c.OutC, c.GroupC, c.TapCount()
	if c.Kernels {
		return c.kernelFilterBlocks(false)
	}
	return c.interleave(c.interleave(c.Inputs[1], out, in, taps, 1), 1, out, in*taps, 1)
}

// maxTogether bounds how many groups are computed as one.
const maxTogether = 4

// wholeGroups is how few groups together have whole blocks of channels, those
// of the image and those that come out; 0 where that takes too many.
func (c blockedConv) wholeGroups() int64 {
	for p := int64(1); p <= maxTogether; p++ {
		if c.Group%p == 0 && p*c.GroupC%c.block == 0 && p*(c.OutC/c.Group)%c.block == 0 {
			return p
		}
	}
	return 0
}

// together is c with the groups in whole blocks: a filter has zeros for the
// channels of the other groups beside its own.
func (c blockedConv) together() blockedConv {
	p := c.wholeGroups()
	if p <= 1 {
		return c
	}
	filter := c.Flat(c.Inputs[1], c.OutC, c.GroupC, c.TapCount())
	filter = c.Mul(c.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(1)}, slices.Repeat([]string{filter}, int(p))...), c.own(p))
	n, inner := *c.Node, *c.Node.Node
	inner.Inputs = slices.Clone(inner.Inputs)
	inner.Inputs[1] = filter
	n.Node = &inner
	c.Node, c.Group, c.GroupC = &n, c.Group/p, p*c.GroupC
	return c
}

// own is 1 where a filter's channel is of its own group, of p together, else 0: [K, p*C, 1].
func (c blockedConv) own(p int64) string {
	out := c.OutC / c.Group
	mask := make([]float32, c.OutC*p*c.GroupC)
	for i := range mask {
		if k, channel := int64(i)/(p*c.GroupC), int64(i)%(p*c.GroupC); k/out%p == channel/c.GroupC {
			mask[i] = 1
		}
	}
	return c.Float32s(mask, c.OutC, p*c.GroupC, 1)
}

// apart is the gradient of a filter from that of its groups together.
func (c blockedConv) apart(dw string) string {
	p := c.wholeGroups()
	if p <= 1 {
		return dw
	}
	dw = c.Mul(c.Flat(dw, c.OutC, p*c.GroupC, c.TapCount()), c.own(p))
	return c.Sum(c.Flat(dw, c.OutC, p, c.GroupC*c.TapCount()), false, 1)
}

// maxPhases bounds the convolutions that a data gradient is made of.
const maxPhases = 9

// canBlockData is whether dataBlocked has a form for c.
func (c blockedConv) canBlockData() bool {
	b := c.block
	if b == 0 || c.Rank() != 2 || c.DType(c.Dy[0]) != onnx.Float32 || c.Stride[0]*c.Stride[1] > maxPhases {
		return false
	}
	if !c.depthwise() && c.wholeGroups() == 0 {
		return false
	}
	for i := range c.In {
		if c.Stride[i] > 1 && c.Dilation[i] > 1 {
			return false
		}
		for t := range c.Stride[i] {
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

// phase is the phase of the positions t, t+stride, ... of an axis. Tap k meets
// position i where o*stride + k*dilation = i + begin for some o. All phases of an
// axis have the same number of positions; the last may lie beyond the image.
func (c blockedConv) phase(axis int, t int64) phase {
	s := c.Stride[axis]
	p := phase{positions: (c.In[axis] + s - 1) / s, first: (t + c.Begin[axis]) % s}
	p.taps = (c.Kernel[axis] - p.first + s - 1) / s
	reach := (p.taps - 1) * c.Dilation[axis] // a dilated kernel has stride 1
	p.begin = reach - (t+c.Begin[axis])/s
	p.end = p.positions - c.Out[axis] + reach - p.begin
	return p
}

// turned is the filter that meets a phase of the rows and one of the columns,
// turned around: [C/b, K/b, taps, b of K, b of C] in memory.
func (c blockedConv) turned(v, h phase) string {
	b, taps := c.block, c.TapCount()
	var filter string // a tap is one run of memory
	groups, ins, outs := c.Group, c.GroupC/b, c.OutC/c.Group/b
	if c.depthwise() {
		groups, ins, outs = 1, 1, c.OutC/b
		filter = c.Flat(c.interleave(c.Inputs[1], 1, c.OutC, taps, 1), -1, b) // [C/b, taps, b], as the forward pass has it
	} else {
		if c.Kernels && v.taps*h.taps == taps {
			return c.kernelFilterBlocks(true)
		}
		filter = c.blockFilter()                                    // the same
		filter = c.Flat(c.interleave(filter, -1, b, b, 1), -1, b*b) // [K/b, C/b, taps, b of K, b of C]
	}
	var order []int64
	for at := range groups * ins * outs { // group, block of C, block of K
		block := (at/(ins*outs)*outs+at%outs)*ins + at/outs%ins
		for i := range v.taps {
			for j := range h.taps {
				row, column := v.first+(v.taps-1-i)*c.Stride[0], h.first+(h.taps-1-j)*c.Stride[1]
				order = append(order, block*taps+row*c.Kernel[1]+column)
			}
		}
	}
	return c.Flat(c.Emit("Gather", nil, filter, c.Int64s(order...)), c.GroupC*c.Group, c.OutC/c.Group, v.taps, h.taps)
}

// dataBlocked is the gradient with respect to blocked images: a convolution
// of the adjoint for each phase, put together row by row and then turned over
// so that the columns of the phases alternate.
func (c blockedConv) dataBlocked() string {
	b := c.block
	dy := c.ToBlocks(c.Dy[0])
	part := func(v, h phase) string {
		w := autodiff.Window{Kernel: []int64{v.taps, h.taps}, Stride: []int64{1, 1}, Dilation: c.Dilation}
		return c.convBlocked(dy, c.turned(v, h), "", c.Group, w, []int64{v.begin, h.begin, v.end, h.end})
	}
	if c.UnitStride() {
		return c.ToPlain(part(c.phase(0, 0), c.phase(1, 0)))
	}
	size := []int64{c.phase(0, 0).positions, c.phase(1, 0).positions}
	run := size[1] * b // of a phase in a row
	var parts []string
	var nothing string
	for t := range c.Stride[0] * c.Stride[1] {
		v, h := c.phase(0, t/c.Stride[1]), c.phase(1, t%c.Stride[1])
		if v.taps > 0 && h.taps > 0 {
			parts = append(parts, c.Flat(part(v, h), -1, 1, run))
			nothing = parts[len(parts)-1]
		} else {
			parts = append(parts, "")
		}
	}
	for i, p := range parts {
		if p == "" { // where the kernel is narrower than the stride
			parts[i] = c.ZerosLike(nothing)
		}
	}
	dx := c.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(1)}, parts...)
	dx = c.swapBlocks(c.Flat(dx, -1, c.Stride[1], 1, run))
	dx = c.Crop(c.Flat(dx, -1, size[0]*c.Stride[0], run*c.Stride[1]), []int64{0, 0}, []int64{c.In[0], c.In[1] * b})
	return c.ToPlain(c.Flat(dx, -1, c.GroupC*c.Group, c.In[0], c.In[1]))
}

// canBlockWeight is whether weightBatch has a form for c, for batches of whole blocks.
// A sideways step of the kernel must be one of the image, hence no dilation there.
func (c blockedConv) canBlockWeight() bool {
	b := c.block
	whole := c.wholeGroups() > 0 || c.Group == 1 && c.OutC%b == 0 && c.GroupC < b
	return b > 0 && c.Rank() == 2 && whole &&
		c.Dilation[1] == 1 && c.DType(c.Dy[0]) == onnx.Float32
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
func (c blockedConv) weightBatch() string {
	x := c.Inputs[0]
	if side, _ := c.sides(); side == c.block {
		x = c.ToBlocks(x)
	}
	return c.filterOrder(c.overImages(x, c.ToBlocks(c.Dy[0])))
}

// sides is how many channels of a group lie side by side, and how many times.
func (c blockedConv) sides() (side, blocks int64) {
	side = min(c.GroupC, c.block)
	return side, c.GroupC / side
}

// overImages is the convolution of weightBatch, of an image, in blocks if it
// has whole ones, and an adjoint in blocks: [C/b, K, kh, kw*b] in blocks of K.
func (c blockedConv) overImages(x, g string) string {
	b, in, out := c.block, c.In, c.Out
	side, blocks := c.sides()
	x = c.interleave(x, 1, -1, c.Group*c.GroupC*in[0], in[1]) // [N/b, C/b, H, W, b of C, b of N]
	if side != b && side > 1 {                                // [N/b, C, H, W, b of N] still
		x = c.Transpose(c.Flat(x, -1, side, in[0]*in[1], b), 0, 2, 1, 3)
	}
	var end [2]int64
	for i := range end { // beyond the image, below 0 where no window reaches
		end[i] = (c.Kernel[i]-1)*c.Dilation[i] + (out[i]-1)*c.Stride[i] + 1 - in[i] - c.Begin[i]
	}
	rows, columns := in[0]+min(end[0], 0), c.Begin[1]+in[1]+end[1]
	x = c.shift(x, c.Group*blocks, side, min(end[0], 0), c.Begin[1], end[1])
	switch {
	case c.Group*blocks == 1:
	case c.Group == 1 || blocks == 1:
		x = c.Transpose(x, 1, 0, 2, 3)
	default: // [C/b of a group, groups, N/b, ...]
		x = c.Transpose(c.Flat(x, -1, c.Group, blocks, rows*columns*side*b), 2, 1, 0, 3)
	}
	x = c.Flat(x, blocks, -1, rows, columns*side)

	g = c.swapBlocks(c.Flat(g, -1, b, 1, c.OutC*c.Area())) // [N/b, K/b, Ho*Wo, b of N, b of K]
	if c.OutC > b {
		g = c.Transpose(c.Flat(g, -1, c.OutC/b, c.Area()*b*b), 1, 0, 2)
	}
	g = c.Flat(g, c.OutC, -1, out[0], out[1])

	w := autodiff.Window{Kernel: out, Dilation: []int64{c.Stride[0], c.Stride[1] * side}, Stride: []int64{c.Dilation[0], 1}}
	return c.convBlocked(x, g, "", c.Group, w, []int64{c.Begin[0], 0, max(end[0], 0), 0})
}

// filterOrder brings what overImages gives into the order of the filter.
func (c blockedConv) filterOrder(dw string) string {
	b := c.block
	side, blocks := c.sides()
	dw = c.ToPlain(dw)
	if side == b {
		dw = c.ToPlain(c.Flat(dw, blocks*c.OutC, b, c.TapCount(), 1)) // [C/b, K, b, taps]
	} else {
		dw = c.Transpose(c.Flat(dw, c.OutC, c.TapCount(), side), 0, 2, 1)
	}
	if blocks > 1 {
		dw = c.Transpose(c.Flat(dw, blocks, c.OutC, side*c.TapCount()), 1, 0, 2)
	}
	return dw
}

// depthwise is whether every channel has one filter of its own, and channels make whole blocks.
func (c blockedConv) depthwise() bool {
	return c.Group > 1 && c.GroupC == 1 && c.OutC == c.Group && c.Group%c.block == 0
}

// canWeighImages is whether weightEach has a form for c.
func (c blockedConv) canWeighImages() bool {
	return c.block > 0 && c.Rank() == 2 && c.depthwise() && c.DType(c.Dy[0]) == onnx.Float32
}

// weightEach is the gradient of a filter by channel, image by image: a
// convolution of the image by channel with its adjoint as the filter, spread
// by the stride. In blocks both lie in memory as such a convolution wants them.
func (c blockedConv) weightEach() string {
	if c.Kernels && min(c.Begin[0], c.Begin[1]) >= 0 {
		return c.kernel("ChannelFilter", emit.Attrs{"window": onnx.IntsAttr(slices.Concat(c.Kernel, c.Stride, c.Dilation, c.Begin)...)}, c.ToBlocks(c.Inputs[0]), c.ToBlocks(c.Dy[0]))
	}
	body := &onnx.Graph{Name: "image"}
	image := func(name string, size []int64) string {
		v := onnx.Value{Name: c.Fresh(name), DType: onnx.Float32, Shape: onnx.ShapeOf(c.Group, size[0], size[1])}
		body.Inputs = append(body.Inputs, v)
		c.Inf.Set(v)
		return v.Name
	}
	x, g := image("image", c.In), image("adjoint", c.Out)
	var pads, size []int64
	for i := range 2 {
		reach := (c.Out[i]-1)*c.Stride[i] + 1
		end := max((c.Kernel[i]-1)*c.Dilation[i]+reach-c.In[i]-c.Begin[i], 0)
		pads = append(pads, end)
		size = append(size, (c.In[i]+c.Begin[i]+end-reach)/c.Dilation[i]+1) // more than the kernel where no window reaches the end
	}
	spread := autodiff.Window{Kernel: c.Out, Dilation: c.Stride, Stride: c.Dilation}
	out, nodes := c.Inside(func() string {
		x, g := c.Flat(x, 1, c.Group, c.In[0], c.In[1]), c.Flat(g, c.Group, 1, c.Out[0], c.Out[1])
		return c.convBlocked(x, g, "", c.Group, spread, slices.Concat(c.Begin, pads))
	})
	body.Nodes, body.Outputs = nodes, []onnx.Value{out}
	each := c.Emit("Scan", emit.Attrs{"num_scan_inputs": onnx.IntAttr(2), "body": {Kind: onnx.AttrGraph, G: body}}, c.ToBlocks(c.Inputs[0]), c.ToBlocks(c.Dy[0]))
	c.Inf.Set(onnx.Value{Name: each, DType: onnx.Float32, Shape: append(onnx.Shape{c.Shape(c.Dy[0])[0]}, out.Shape...)})
	dw := c.Sum(c.Flat(each, -1, c.Group*size[0]*size[1]), false, 0)
	dw = c.ToPlain(c.Flat(dw, 1, c.Group, size[0], size[1]))
	return c.Crop(c.Flat(dw, c.Group, 1, size[0], size[1]), []int64{0, 0}, c.Kernel)
}

// outOfBlocks is c on the plain forms of its image and adjoint. They are made
// here, within the branch of the graph that needs them, so that a step which
// takes the other branch does not pay for them.
func (c blockedConv) outOfBlocks() autodiff.Conv {
	out := func(v string) string {
		b := c.of[v]
		if b == "" {
			return v
		}
		name := c.Fresh("reorderoutput")
		c.Append(&onnx.Node{
			Name: name, Op: "ReorderOutput", Domain: Domain, Inputs: []string{b}, Outputs: []string{name},
			Attrs: emit.Attrs{"channels": onnx.IntAttr(c.channels(b))},
		})
		return name
	}
	n, inner := *c.Node, *c.Node.Node
	inner.Inputs = slices.Clone(c.Inputs)
	inner.Inputs[0] = out(c.Inputs[0])
	n.Node, n.Dy = &inner, []string{out(c.Dy[0])}
	plain := c.Conv
	plain.Node = &n
	return plain
}

// shift pads, or cuts where a number is below 0, images that lie in memory as
// [N/b, blocks, H, W, side, b]: rows at the bottom, columns at either side. The
// result reads [N/b, blocks, H, W*side*b].
func (c blockedConv) shift(x string, blocks, side, bottom, left, right int64) string {
	b, h, w := c.block, c.In[0], c.In[1]
	if bottom == 0 && left >= 0 && right >= 0 && left+right > 0 { // by a convolution, which takes all threads where Pad takes one
		ones := slices.Repeat([]float32{1}, int(b))
		x = c.EmitIn(Domain, "Conv", 1, emit.Attrs{
			"kernel_shape": onnx.IntsAttr(1, 1), "group": onnx.IntAttr(b), "pads": onnx.IntsAttr(0, left*side, 0, right*side),
		}, c.Flat(x, -1, b, h, w*side), c.Float32s(ones, b, 1, 1, 1))[0]
		return c.Flat(x, -1, blocks, h, (left+w+right)*side*b)
	}
	x = c.Flat(x, -1, blocks, h, w*side*b)
	if bottom == 0 && left == 0 && right == 0 {
		return x
	}
	return c.Emit("Pad", nil, x, c.Int64s(0, 0, 0, left*side*b, 0, 0, bottom, right*side*b), c.Number(0, x))
}
