package nchwc

import (
	"maps"
	"math"
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// blockedPool emits a maximum pooling of blocked images whose gradient has a
// blocked form too.
func (l *Layout) blockedPool(n *onnx.Node) string {
	b := l.of[n.Inputs[0]]
	if b == "" || len(n.Outputs) > 1 || l.Inf.Node(n) != nil {
		return ""
	}
	ctx := &autodiff.Node{Builder: l.Builder, Node: n}
	w, err := ctx.WindowOf(nil)
	if err != nil || !w.SideBySide() && !l.Kernels {
		return ""
	}
	a := maps.Clone(n.Attrs)
	delete(a, "storage_order")
	if w.SideBySide() {
		delete(a, "ceil_mode") // they do not overhang
	}
	return l.EmitIn(Domain, "MaxPool", 1, a, b)[0]
}

// blockedMeans emits an average pooling of blocked images by windows side by side.
func (l *Layout) blockedMeans(n *onnx.Node) string {
	b := l.of[n.Inputs[0]]
	if b == "" || l.Inf.Node(n) != nil {
		return ""
	}
	ctx := &autodiff.Node{Builder: l.Builder, Node: n}
	w, err := ctx.WindowOf(nil)
	if err != nil || !w.SideBySide() {
		return ""
	}
	return l.EmitIn(Domain, "AveragePool", 1, emit.Attrs{"kernel_shape": onnx.IntsAttr(w.Kernel...), "strides": onnx.IntsAttr(w.Stride...)}, b)[0]
}

// maxPoolKernel is the gradient of a maximum pooling in blocks by an operator of
// runtime/kernels.
func (l *Layout) maxPoolKernel(n *autodiff.Node, w autodiff.Window) string {
	x := n.Inputs[0]
	dx := l.kernel("MaxPoolGrad", emit.Attrs{"window": onnx.IntsAttr(slices.Concat(w.Kernel, w.Stride, w.Dilation, w.Begin)...)},
		l.ToBlocks(n.Dy[0]), l.of[x], l.of[n.Outputs[0]])
	return l.ToPlain(dx)
}

// maxBlockedTaps bounds the work of maxPoolBlocked, which grows with the square of the taps.
const maxBlockedTaps = 9

func (l *Layout) canBlockPool(n *autodiff.Node, w autodiff.Window) bool {
	return l.of[n.Inputs[0]] != "" && l.of[n.Outputs[0]] != "" && w.SideBySide() && w.TapCount() <= maxBlockedTaps
}

// maxPoolBlocked turns the columns of a row of windows over, so that its taps
// lie one after the other, each a run of memory as long as the row of maxima.
// An element as large as its maximum is marked with 1; a convolution along the
// taps takes from each mark those before it, so that only the first is above 0.
func (l *Layout) maxPoolBlocked(n *autodiff.Node, w autodiff.Window) string {
	b, taps, size := l.block, w.TapCount(), w.Out[1]
	tiled, rest := w.Tiled()
	x := n.Flat(l.of[n.Inputs[0]], -1, w.In[0], w.In[1]*b)
	x = n.Crop(x, []int64{0, 0}, []int64{tiled[0], tiled[1] * b})
	x = l.swapBlocks(n.Flat(x, -1, size, 1, w.Kernel[1]*b)) // [rows, columns of the kernel, size, b]
	row := func(v string) string { return n.Flat(v, -1, 1, size*b) }
	below := n.Sub(row(l.of[n.Outputs[0]]), n.Flat(x, -1, taps, size*b))
	largest := n.Emit("HardSigmoid", emit.Attrs{"alpha": onnx.FloatAttr(-math.MaxFloat32), "beta": onnx.FloatAttr(1)}, below)

	filter := make([]float32, taps*b) // [taps, b]
	for i := range filter {
		filter[i] = -1
		if int64(i)/b == taps-1 {
			filter[i] = 1
		}
	}
	first := n.EmitIn(Domain, "Conv", 1, emit.Attrs{
		"kernel_shape": onnx.IntsAttr(taps, 1), "pads": onnx.IntsAttr(taps-1, 0, 0, 0), "group": onnx.IntAttr(b), "activation": onnx.StringAttr("Relu"),
	}, n.Flat(largest, -1, b, taps, size), n.Float32s(filter, b, 1, taps, 1))[0]
	dx := n.Mul(n.Flat(first, -1, taps, size*b), row(l.ToBlocks(n.Dy[0])))
	dx = l.swapBlocks(n.Flat(dx, -1, w.Kernel[1], 1, size*b))
	dx = n.Pad(n.Flat(dx, -1, tiled[0], tiled[1]*b), []int64{0, 0}, []int64{rest[0], rest[1] * b})
	return l.ToPlain(n.Flat(dx, -1, l.channels(n.Inputs[0]), w.In[0], w.In[1]))
}
