package autodiff

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
)

// y = the largest element of each window: dx adds each g at the first largest
// element, in row-major order, as torch.nn.functional.max_pool2d does.
func gradMaxPool(n *node) ([]string, error) {
	if len(n.Outputs) > 1 && n.Outputs[1] != "" && n.dtype(n.Outputs[1]) != onnx.Int64 {
		return nil, fmt.Errorf("indices of type %v: %w", n.dtype(n.Outputs[1]), ErrModel)
	}
	w, err := n.windowOf(nil)
	if err != nil {
		return nil, err
	}
	switch n.lower.pool(n, w) {
	case PoolBlocked:
		return one(n.maxPoolBlocked(w))
	case PoolCompare:
		return one(n.maxPoolCompare(w, n.shape(n.Inputs[0])[1].N))
	}
	return one(n.maxPoolScatter(w))
}

// canComparePool is whether maxPoolCompare has a form for the node.
func (n *node) canComparePool(w window) bool {
	channels := n.shape(n.Inputs[0])[1]
	return w.sideBySide() && channels.IsConst() && channels.N*w.tapCount()*w.tapCount() <= maxFilter
}

// sideBySide is whether the windows tile the image, but for a rest at its far edges.
func (w window) sideBySide() bool {
	for i := range w.in {
		if w.kernel[i] != w.stride[i] || w.dilation[i] != 1 || w.begin[i] != 0 || w.out[i]*w.stride[i] > w.in[i] {
			return false
		}
	}
	return true
}

// enlarge repeats every element of v over its window.
func (e *emitter) enlarge(v string, w window) string {
	scales := []float32{1, 1}
	for _, s := range w.stride {
		scales = append(scales, float32(s))
	}
	return e.op("Resize", attrs{
		"mode": onnx.StringAttr("nearest"), "nearest_mode": onnx.StringAttr("floor"),
		"coordinate_transformation_mode": onnx.StringAttr("asymmetric"),
	}, v, "", e.floats(scales, int64(len(scales))))
}

// tiled is the part of an image that windows side by side cover, and the padding that restores the rest.
func (w window) tiled() (size, rest []int64) {
	for i := range w.in {
		size = append(size, w.out[i]*w.stride[i])
		rest = append(rest, w.in[i]-w.out[i]*w.stride[i])
	}
	return size, rest
}

// maxPoolCompare marks the elements equal to their window's maximum, keeps the
// first mark of each window, and puts g there. The keeping is a convolution of
// the marks, 0 or 1, by window and tap: 1 for the tap itself, -1 for those
// before it, so that only a first mark gives a number above 0. Small whole
// numbers are exact in every precision a provider may choose.
func (n *node) maxPoolCompare(w window, channels int64) string {
	size, rest := w.tiled()
	none := make([]int64, w.rank())
	x, y := n.crop(n.Inputs[0], none, size), n.Outputs[0]
	marks := n.cast(n.op("Equal", nil, x, n.enlarge(y, w)), onnx.Float32)

	taps := w.tapCount()
	first, place := make([]float32, channels*taps*taps), make([]float32, channels*taps*taps)
	for c := range channels {
		for t := range taps {
			row := (c*taps + t) * taps
			for before := range t {
				first[row+before] = -1
			}
			first[row+t], place[row+t] = 1, 1
		}
	}
	shape := append([]int64{channels * taps, 1}, w.kernel...)
	a := attrs{"kernel_shape": onnx.IntsAttr(w.kernel...), "strides": onnx.IntsAttr(w.stride...), "group": onnx.IntAttr(channels)}
	kept := n.op("Relu", nil, n.op("Conv", a, marks, n.floats(first, shape...)))

	area := w.area()
	spread := n.mul(n.flat(kept, 0, channels, taps, area), n.flat(n.dy[0], 0, channels, 1, area))
	spread = n.flat(spread, append([]int64{0, channels * taps}, w.out...)...)
	return n.pad(n.op("ConvTranspose", a, spread, n.floats(place, shape...)), none, rest)
}

func (n *node) maxPoolScatter(w window) string {
	x := n.Inputs[0]
	indices := n.Output(1)
	switch {
	case n.Int("storage_order", 0) != 0: // they count by columns
		a := maps.Clone(n.Attrs)
		delete(a, "storage_order")
		indices = n.opsIn("", "MaxPool", 2, a, x)[1]
	case indices != "":
	case n.blocks.of[n.Outputs[0]] != "": // the forward pass pools blocks, which give no indices
		indices = n.opsIn("", "MaxPool", 2, n.Attrs, x)[1]
	default:
		indices = n.fresh("MaxPoolIndices")
		n.Outputs = append(n.Outputs[:1], indices)
		n.inf.Set(onnx.Value{Name: indices, DType: onnx.Int64, Shape: n.shape(n.Outputs[0])})
	}
	overlap := "none"
	for i := range w.kernel {
		if w.extent(i) > w.stride[i] {
			overlap = "add"
		}
	}
	a := attrs{"axis": onnx.IntAttr(0)}
	if overlap == "add" {
		a["reduction"] = onnx.StringAttr(overlap)
	}
	dx := n.op("ScatterElements", a, n.flat(n.zerosLike(x), -1), n.flat(indices, -1), n.flat(n.dy[0], -1))
	return n.reshape(dx, n.shape(x))
}

// y = the mean of each window: dx spreads g, divided by how many elements its
// window counts, over the window.
func gradAveragePool(n *node) ([]string, error) {
	w, err := n.windowOf(nil)
	if err != nil {
		return nil, err
	}
	channels := n.shape(n.Inputs[0])[1]
	if !channels.IsConst() || channels.N*w.tapCount() > maxFilter || w.area()*w.tapCount() > maxArea {
		return nil, fmt.Errorf("%v channels: %w", channels, ErrModel)
	}
	if w.sideBySide() {
		size, rest := w.tiled()
		g := n.div(n.dy[0], n.number(float64(w.tapCount()), n.dy[0]))
		if n.blocks.of[n.Inputs[0]] != "" && slices.Equal(size, w.in) {
			return one(n.blockOut(n.enlargeBlocked(n.blockIn(g), w.kernel[0], w.kernel[1])))
		}
		g = n.enlarge(g, w)
		return one(n.pad(g, make([]int64, w.rank()), rest))
	}
	counts := w.counts(n.Int("count_include_pad", 0) != 0)
	shape := append([]int64{1, 1}, w.out...)
	g := n.div(n.dy[0], n.floats(counts, shape...))
	ones := make([]float32, channels.N*w.tapCount())
	for i := range ones {
		ones[i] = 1
	}
	filter := n.floats(ones, append([]int64{channels.N, 1}, w.kernel...)...)
	return []string{n.convTranspose(g, filter, w, channels.N)}, nil
}

// counts is how many elements each window averages: those inside the image,
// or inside the padded image.
func (w window) counts(padded bool) []float32 {
	counts := []float32{1}
	for i := range w.in {
		var next []float32
		for _, c := range counts {
			for o := range w.out[i] {
				inside := 0
				for t := range w.kernel[i] {
					at := o*w.stride[i] - w.begin[i] + t*w.dilation[i]
					if padded && at < w.in[i]+w.end[i] || at >= 0 && at < w.in[i] {
						inside++
					}
				}
				next = append(next, c*float32(inside))
			}
		}
		counts = next
	}
	return counts
}

// y = the mean of x over all positions: dx = g/positions, spread.
func gradGlobalAveragePool(n *node) ([]string, error) {
	count, err := n.countOf(n.Inputs[0], spatialAxes(len(n.shape(n.Inputs[0])), false))
	if err != nil {
		return nil, err
	}
	g, x := n.div(n.dy[0], count), n.Inputs[0]
	if n.blocks.of[x] != "" {
		return one(n.blockOut(n.blockedSpread(g, x)))
	}
	return one(n.broadcast(g, x))
}

// y = zeros but for x, at indices into all of y: dx = g there.
func gradMaxUnpool(n *node) ([]string, error) {
	at := n.op("GatherElements", attrs{"axis": onnx.IntAttr(0)}, n.flat(n.dy[0], -1), n.flat(n.Inputs[1], -1))
	return one(n.reshape(at, n.shape(n.Inputs[0])))
}
