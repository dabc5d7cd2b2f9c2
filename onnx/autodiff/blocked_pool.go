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

// maxBlockedTaps bounds the passes of maxPoolBlocked.
const maxBlockedTaps = 9

func (n *node) canBlockPool(w window) bool {
	return n.blocks.of[n.Inputs[0]] != "" && n.blocks.of[n.Outputs[0]] != "" && w.sideBySide() && w.tapCount() <= maxBlockedTaps
}

// maxPoolBlocked goes through the taps of a window in order. A tap that is as
// large as its maximum takes what is left of g, so that later taps find
// nothing; the last takes the rest. Each tap has an image of its own, picked by
// a convolution with a single -1, which the adjoint's images are put together from.
func (n *node) maxPoolBlocked(w window) string {
	x, b := n.blocks.of[n.Inputs[0]], n.blocks.size
	channels, taps := n.shape(n.Inputs[0])[1].N, w.tapCount()
	left := n.dy[0]
	parts := make([]string, taps)
	for t := range taps {
		if t == taps-1 {
			parts[t] = n.blockIn(left)
			break
		}
		filter := make([]float32, channels*taps) // [C/b, taps, b]
		for i := range filter {
			if int64(i)/b%taps == t {
				filter[i] = -1
			}
		}
		below := n.opsIn(blockedDomain, "Conv", 1, attrs{
			"kernel_shape": onnx.IntsAttr(w.kernel...), "strides": onnx.IntsAttr(w.stride...), "group": onnx.IntAttr(channels),
		}, x, n.floats(filter, channels, 1, w.kernel[0], w.kernel[1]), "", n.blocks.of[n.Outputs[0]])[0]
		largest := n.op("HardSigmoid", attrs{"alpha": onnx.FloatAttr(-math.MaxFloat32), "beta": onnx.FloatAttr(1)}, n.blockOut(below))
		part := n.mul(left, largest)
		left, parts[t] = n.sub(left, part), n.blockIn(part)
	}
	var rows []string
	for r := range w.kernel[0] {
		columns := make([]string, w.kernel[1])
		for c := range columns {
			columns[c] = n.flat(parts[r*w.kernel[1]+int64(c)], -1, 1, b)
		}
		row := n.op("Concat", attrs{"axis": onnx.IntAttr(1)}, columns...)
		rows = append(rows, n.flat(row, -1, 1, w.out[1]*w.kernel[1]*b))
	}
	size, rest := w.tiled()
	dx := n.flat(n.op("Concat", attrs{"axis": onnx.IntAttr(1)}, rows...), -1, size[0], size[1]*b)
	dx = n.pad(dx, []int64{0, 0}, []int64{rest[0], rest[1] * b})
	return n.blockOut(n.flat(dx, -1, channels, w.in[0], w.in[1]))
}
