package autodiff

import (
	"slices"

	"winnow/onnx"
)

// blockedDomain has ONNX Runtime's CPU operators on blocked images: in memory
// [N, C/b, H, W, b] with b channels to a block, though the shape still reads
// [N, C, H, W]. Their convolution takes filters that are no constants. The
// library turns to them by itself only where filters are constants, which
// those of a training graph never are.
const blockedDomain = "com.microsoft.nchwc"

// blocks is an emitter's use of the blocked layout.
type blocks struct {
	size  int64             // channels to a block; 0 where only standard operators are wanted
	whole string            // boolean [1]: whether the number of images is a multiple of size
	of    map[string]string // the blocked form of a value that was made from one
}

// blockImages turns to the blocked layout, with size channels to a block.
func (e *emitter) blockImages(size int64, labels string) {
	e.blocks = blocks{size: size, of: map[string]string{}}
	if size == 0 || labels == "" {
		return
	}
	n := e.op("Shape", attrs{"start": onnx.IntAttr(0), "end": onnx.IntAttr(1)}, labels)
	e.blocks.whole = e.op("Equal", nil, e.op("Mod", nil, n, e.ints(size)), e.ints(0))
}

// forward adds a node of the model, in the blocked layout where that is asked
// for and the node has a form in it.
func (e *emitter) forward(n *onnx.Node) {
	if e.blocks.size > 0 && n.Op == "Conv" && e.err == nil && e.blockedConv(n) {
		return
	}
	e.add(n)
}

// interleave moves the second of four dimensions inwards by blocks: the
// memory of the result is [d0, d1/b, d2, d3, b].
func (e *emitter) interleave(x string, dims ...int64) string {
	return e.opsIn(blockedDomain, "ReorderInput", 1, nil, e.flat(x, dims...))[0]
}

// blockIn is the blocked form of images.
func (e *emitter) blockIn(x string) string {
	if b := e.blocks.of[x]; b != "" {
		return b
	}
	return e.opsIn(blockedDomain, "ReorderInput", 1, nil, x)[0]
}

// blockOut is the plain form of blocked images.
func (e *emitter) blockOut(b string) string {
	x := e.opsIn(blockedDomain, "ReorderOutput", 1, attrs{"channels": onnx.IntAttr(e.shape(b)[1].N)}, b)[0]
	e.blocks.of[x] = b
	return x
}

// convBlocked is a convolution of blocked images, or of plain ones with fewer
// channels than a block, that gives blocked ones.
func (e *emitter) convBlocked(x, filter, bias string, w window, pads []int64) string {
	inputs := []string{x, filter}
	if bias != "" {
		inputs = append(inputs, bias)
	}
	return e.opsIn(blockedDomain, "Conv", 1, attrs{
		"kernel_shape": onnx.IntsAttr(w.kernel...), "strides": onnx.IntsAttr(w.stride...), "dilations": onnx.IntsAttr(w.dilation...),
		"pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(1),
	}, inputs...)[0]
}

// blockedConv emits a convolution of the forward pass, if it has a blocked form.
func (e *emitter) blockedConv(n *onnx.Node) bool {
	if e.inf.Node(n) != nil || len(e.shape(n.Inputs[1])) != 4 || e.dtype(n.Inputs[0]) != onnx.Float32 {
		return false // the plain form reports what is wrong
	}
	ctx := &node{emitter: e, Node: n}
	f := e.shape(n.Inputs[1]).Ints()
	w, err := ctx.windowOf(f[2:])
	if err != nil || n.Int("group", 1) != 1 || f[0]%e.blocks.size != 0 {
		return false
	}
	x, taps := n.Inputs[0], w.tapCount()
	filter := n.Inputs[1]
	switch b := e.blocks.size; {
	case f[1]%b == 0: // [K/b, C/b, taps, b of C, b of K]
		x = e.blockIn(x)
		filter = e.interleave(e.interleave(filter, f[0], f[1], taps, 1), 1, f[0], f[1]*taps, 1)
	case f[1] < b: // [K/b, C, taps, b of K]
		filter = e.interleave(filter, 1, f[0], f[1]*taps, 1)
	default:
		return false
	}
	y := e.convBlocked(x, e.flat(filter, f...), n.Input(2), w, slices.Concat(w.begin, w.end))
	e.add(&onnx.Node{
		Name: n.Name, Op: "ReorderOutput", Domain: blockedDomain, Inputs: []string{y}, Outputs: n.Outputs,
		Attrs: attrs{"channels": onnx.IntAttr(f[0])},
	})
	e.blocks.of[n.Outputs[0]] = y
	return true
}

// canBlockData is whether dataBlocked has a form for c.
func (c conv) canBlockData() bool {
	b := c.blocks.size
	return b > 0 && c.rank() == 2 && c.group == 1 && c.outC%b == 0 && c.groupC%b == 0 && c.dtype(c.dy[0]) == onnx.Float32
}

// dataBlocked is dataFlip on blocked images.
func (c conv) dataBlocked() string {
	b, taps := c.blocks.size, c.tapCount()
	filter := c.interleave(c.Inputs[1], 1, c.outC, c.groupC*taps, 1)  // [K/b, C, taps, b of K]
	filter = c.interleave(filter, c.outC/b, c.groupC, taps*b, 1)      // [K/b, C/b, taps, b of K, b of C]
	filter = c.flat(filter, c.outC/b, c.groupC/b, taps, b*b)          // a tap is one run of memory
	filter = c.transpose(c.reversedAxis(filter, 2, taps), 1, 0, 2, 3) // [C/b, K/b, taps, ...]
	filter = c.flat(filter, append([]int64{c.groupC, c.outC}, c.kernel...)...)
	pads := make([]int64, 4)
	for i := range 2 {
		pads[i], pads[2+i] = c.extent(i)-1-c.begin[i], c.extent(i)-1-c.end[i]
	}
	return c.blockOut(c.convBlocked(c.blockIn(c.dy[0]), filter, "", c.window, pads))
}

// reversedAxis turns an axis of size n around.
func (e *emitter) reversedAxis(x string, axis, n int64) string {
	if n == 1 {
		return x
	}
	return e.slice(x, []int64{-1}, []int64{-n - 1}, []int64{axis}, []int64{-1})
}

// canBlockWeight is whether weightBatch has a form for c, for batches of whole blocks.
// A sideways step of the kernel must be one of the image, hence no dilation there.
func (c conv) canBlockWeight() bool { return c.canBlockData() && c.dilation[1] == 1 }

// weightBatch is the gradient of the filter as a convolution over blocked
// images with the images of the batch in the place of channels. The adjoint is
// its filter, [K, N, Ho, Wo], spread by the stride. Its image is x with a
// block of channels as the innermost columns, so that one step sideways in x
// is a step over a block, which the dilation takes. What comes out has a row
// for each row of the kernel, and for each column of it a block of channels.
//
// All that is moved in memory are runs of a block and longer.
func (c conv) weightBatch() string {
	b, in, out := c.blocks.size, c.in, c.out
	blocks := c.groupC / b
	x := c.interleave(c.blockIn(c.Inputs[0]), 1, -1, c.groupC*in[0], in[1]) // [N/b, C/b, H, W, b of C, b of N]
	var end [2]int64
	for i := range end { // beyond the image, below 0 where no window reaches
		end[i] = (c.kernel[i]-1)*c.dilation[i] + (out[i]-1)*c.stride[i] + 1 - in[i] - c.begin[i]
	}
	rows, columns := in[0]+min(end[0], 0), c.begin[1]+in[1]+end[1]
	x = c.shift(c.flat(x, -1, blocks, in[0], in[1]*b*b), min(end[0], 0), c.begin[1]*b*b, end[1]*b*b)
	if blocks > 1 {
		x = c.transpose(x, 1, 0, 2, 3)
	}
	x = c.flat(x, blocks, -1, rows, columns*b)

	g := c.interleave(c.dy[0], 1, -1, c.outC*out[0], out[1])
	g = c.interleave(g, -1, c.outC, c.area(), b) // [N/b, K/b, Ho*Wo, b of N, b of K]
	if c.outC > b {
		g = c.transpose(c.flat(g, -1, c.outC/b, c.area()*b*b), 1, 0, 2)
	}
	g = c.flat(g, c.outC, -1, out[0], out[1])

	w := window{kernel: out, dilation: []int64{c.stride[0], c.stride[1] * b}, stride: []int64{c.dilation[0], 1}}
	dw := c.blockOut(c.convBlocked(x, g, "", w, []int64{c.begin[0], 0, max(end[0], 0), 0})) // [C/b, K, kh, kw*b]
	dw = c.blockOut(c.flat(dw, blocks*c.outC, b, c.tapCount(), 1))                          // [C/b, K, b, taps]
	dw = c.flat(dw, blocks, c.outC, b*c.tapCount())
	if blocks > 1 {
		dw = c.transpose(dw, 1, 0, 2)
	}
	return c.flat(dw, append([]int64{c.outC, c.groupC}, c.kernel...)...)
}

// shift pads, or cuts where a number is below 0, [N/b, C/b, H, W*b*b]: rows at
// the bottom, and columns at either side.
func (e *emitter) shift(x string, bottom, left, right int64) string {
	if bottom == 0 && left == 0 && right == 0 {
		return x
	}
	return e.op("Pad", nil, x, e.ints(0, 0, 0, left, 0, 0, bottom, right), e.number(0, x))
}
