package autodiff

import (
	"maps"
	"math"

	"winnow/onnx"
)

// blockedPool emits a maximum pooling of blocked images whose gradient has a
// blocked form too.
func (e *emitter) blockedPool(n *onnx.Node) string {
	b := e.blocks.of[n.Inputs[0]]
	if b == "" || len(n.Outputs) > 1 || e.inf.Node(n) != nil {
		return ""
	}
	ctx := &node{emitter: e, Node: n}
	w, err := ctx.windowOf(nil)
	if err != nil || !w.sideBySide() {
		return ""
	}
	a := maps.Clone(n.Attrs)
	delete(a, "storage_order")
	delete(a, "ceil_mode") // windows side by side do not overhang
	return e.opsIn(blockedDomain, "MaxPool", 1, a, b)[0]
}

// blockedMeans emits an average pooling of blocked images by windows side by side.
func (e *emitter) blockedMeans(n *onnx.Node) string {
	b := e.blocks.of[n.Inputs[0]]
	if b == "" || e.inf.Node(n) != nil {
		return ""
	}
	ctx := &node{emitter: e, Node: n}
	w, err := ctx.windowOf(nil)
	if err != nil || !w.sideBySide() {
		return ""
	}
	return e.opsIn(blockedDomain, "AveragePool", 1, attrs{"kernel_shape": onnx.IntsAttr(w.kernel...), "strides": onnx.IntsAttr(w.stride...)}, b)[0]
}

// maxBlockedTaps bounds the work of maxPoolBlocked, which grows with the square of the taps.
const maxBlockedTaps = 9

func (n *node) canBlockPool(w window) bool {
	return n.blocks.of[n.Inputs[0]] != "" && n.blocks.of[n.Outputs[0]] != "" && w.sideBySide() && w.tapCount() <= maxBlockedTaps
}

// maxPoolBlocked turns the columns of a row of windows over, so that its taps
// lie one after the other, each a run of memory as long as the row of maxima.
// An element as large as its maximum is marked with 1; a convolution along the
// taps takes from each mark those before it, so that only the first is above 0.
func (n *node) maxPoolBlocked(w window) string {
	b, taps, size := n.blocks.size, w.tapCount(), w.out[1]
	tiled, rest := w.tiled()
	x := n.flat(n.blocks.of[n.Inputs[0]], -1, w.in[0], w.in[1]*b)
	x = n.crop(x, []int64{0, 0}, []int64{tiled[0], tiled[1] * b})
	x = n.exchange(n.flat(x, -1, size, 1, w.kernel[1]*b)) // [rows, columns of the kernel, size, b]
	row := func(v string) string { return n.flat(v, -1, 1, size*b) }
	below := n.sub(row(n.blocks.of[n.Outputs[0]]), n.flat(x, -1, taps, size*b))
	largest := n.op("HardSigmoid", attrs{"alpha": onnx.FloatAttr(-math.MaxFloat32), "beta": onnx.FloatAttr(1)}, below)

	filter := make([]float32, taps*b) // [taps, b]
	for i := range filter {
		filter[i] = -1
		if int64(i)/b == taps-1 {
			filter[i] = 1
		}
	}
	first := n.opsIn(blockedDomain, "Conv", 1, attrs{
		"kernel_shape": onnx.IntsAttr(taps, 1), "pads": onnx.IntsAttr(taps-1, 0, 0, 0), "group": onnx.IntAttr(b), "activation": onnx.StringAttr("Relu"),
	}, n.flat(largest, -1, b, taps, size), n.floats(filter, b, 1, taps, 1))[0]
	dx := n.mul(n.flat(first, -1, taps, size*b), row(n.blockIn(n.dy[0])))
	dx = n.exchange(n.flat(dx, -1, w.kernel[1], 1, size*b))
	dx = n.pad(n.flat(dx, -1, tiled[0], tiled[1]*b), []int64{0, 0}, []int64{rest[0], rest[1] * b})
	return n.blockOut(n.flat(dx, -1, n.channels(n.Inputs[0]), w.in[0], w.in[1]))
}
