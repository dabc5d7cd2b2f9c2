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
func (c conv) canBlockWeight() bool {
	b := c.blocks.size
	return b > 0 && c.rank() == 2 && c.group == 1 && c.outC%b == 0 && c.dtype(c.dy[0]) == onnx.Float32
}

// weightBatch is the gradient of the filter as a convolution with images in
// the place of channels. The adjoint is its filter, [K, N, Ho, Wo]; its image
// has a row for each row of x and puts all channels side by side, so that a
// step over a whole row of x leads to the next channel. What it gives has a
// row for each row of the kernel, and a column for each channel. The columns
// of the kernel are convolutions of their own, of images moved sideways.
//
// All that is moved in memory are runs of a block and longer.
func (c conv) weightBatch() string {
	b, in, out := c.blocks.size, c.in, c.out
	x := c.interleave(c.Inputs[0], 1, -1, c.groupC*in[0], in[1])                                    // [N/b, C*H, W, b]
	x = c.transpose(c.flat(x, -1, c.groupC, in[0], in[1]*b), 0, 2, 1, 3)                            // [N/b, H, C, W*b]
	g := c.interleave(c.interleave(c.dy[0], 1, -1, c.outC*out[0], out[1]), -1, c.outC, c.area(), b) // [N/b, K/b, Ho*Wo, b of N, b of K]
	if c.outC > b {
		g = c.transpose(c.flat(g, -1, c.outC/b, c.area()*b*b), 1, 0, 2)
	}
	g = c.flat(g, c.outC, -1, out[0], out[1])

	// The kernel is the adjoint, spread by the stride; its steps are the dilation.
	w := window{kernel: out, dilation: c.stride, stride: []int64{c.dilation[0], 0}}
	span := [2]int64{(out[0]-1)*c.stride[0] + 1, (out[1]-1)*c.stride[1] + 1}
	width := max(in[1], span[1])
	w.stride[1] = width
	bottom := (c.kernel[0]-1)*c.dilation[0] + span[0] - in[0] - c.begin[0]
	rows := in[0] + min(bottom, 0) // what no window reaches is cut off
	var columns []string
	for t := range c.kernel[1] {
		left := c.begin[1] - t*c.dilation[1]
		moved := c.shift(x, min(bottom, 0), left*b, (width-in[1]-left)*b)
		moved = c.flat(moved, 1, -1, rows, c.groupC*width)
		y := c.blockOut(c.convBlocked(moved, g, "", w, []int64{c.begin[0], 0, max(bottom, 0), 0})) // [1, K, kh, C]
		columns = append(columns, c.flat(y, c.outC, c.kernel[0], 1, c.groupC))
	}
	dw := columns[0]
	if len(columns) > 1 {
		dw = c.op("Concat", attrs{"axis": onnx.IntAttr(2)}, columns...)
	}
	dw = c.transpose(c.flat(dw, c.outC, c.tapCount(), c.groupC), 0, 2, 1)
	return c.flat(dw, append([]int64{c.outC, c.groupC}, c.kernel...)...)
}

// shift pads, or cuts where a number is below 0, [N/b, H, C, W*b]: rows at the
// bottom, and columns at either side.
func (e *emitter) shift(x string, bottom, left, right int64) string {
	if bottom == 0 && left == 0 && right == 0 {
		return x
	}
	return e.op("Pad", nil, x, e.ints(0, 0, 0, left, 0, bottom, 0, right), e.number(0, x))
}
