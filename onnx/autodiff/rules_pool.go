package autodiff

import (
	"fmt"
	"maps"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// y = the largest element of each window: dx adds each g at the first largest
// element, in row-major order, as torch.nn.functional.max_pool2d does.
func gradMaxPool(n *Node) ([]string, error) { return GradMaxPool(n, PoolForms{}) }

// PoolForms are what another layout adds to the gradient of a pooling.
type PoolForms struct {
	More    func(w Window) []Form // go before the plain forms; nil for none
	Indices func() string         // of the maxima where the node gives none; nil or "" ask it to
}

// GradMaxPool is the rule of MaxPool with further forms.
func GradMaxPool(n *Node, f PoolForms) ([]string, error) {
	if len(n.Outputs) > 1 && n.Outputs[1] != "" && n.DType(n.Outputs[1]) != onnx.Int64 {
		return nil, fmt.Errorf("indices of type %v: %w", n.DType(n.Outputs[1]), emit.ErrModel)
	}
	w, err := n.WindowOf(nil)
	if err != nil {
		return nil, err
	}
	var forms []Form
	if f.More != nil {
		forms = f.More(w)
	}
	if n.canComparePool(w) {
		forms = append(forms, Form{PoolCompare, func() string { return n.maxPoolCompare(w, n.Shape(n.Inputs[0])[1].N) }})
	}
	forms = append(forms, Form{PoolScatter, func() string { return n.maxPoolScatter(w, f.Indices) }})
	return one(n.choose(poolCase(n, w), n.Walk.Lowering.Pool, forms))
}

// canComparePool is whether maxPoolCompare has a form for the node.
func (n *Node) canComparePool(w Window) bool {
	channels := n.Shape(n.Inputs[0])[1]
	return w.SideBySide() && channels.IsConst() && channels.N*w.TapCount()*w.TapCount() <= maxFilter
}

// SideBySide is whether the windows tile the image, but for a rest at its far edges.
func (w Window) SideBySide() bool {
	for i := range w.In {
		if w.Kernel[i] != w.Stride[i] || w.Dilation[i] != 1 || w.Begin[i] != 0 || w.Out[i]*w.Stride[i] > w.In[i] {
			return false
		}
	}
	return true
}

// Tiled is the part of an image that windows side by side cover, and the padding that restores the rest.
func (w Window) Tiled() (size, rest []int64) {
	for i := range w.In {
		size = append(size, w.Out[i]*w.Stride[i])
		rest = append(rest, w.In[i]-w.Out[i]*w.Stride[i])
	}
	return size, rest
}

// maxPoolCompare marks the elements equal to their window's maximum, keeps the
// first mark of each window, and puts g there. The keeping is a convolution of
// the marks, 0 or 1, by window and tap: 1 for the tap itself, -1 for those
// before it, so that only a first mark gives a number above 0. Small whole
// numbers are exact in every precision a provider may choose.
func (n *Node) maxPoolCompare(w Window, channels int64) string {
	size, rest := w.Tiled()
	none := make([]int64, w.Rank())
	x, y := n.Crop(n.Inputs[0], none, size), n.Outputs[0]
	marks := n.Cast(n.Emit("Equal", nil, x, n.enlarge(y, w)), onnx.Float32)

	taps := w.TapCount()
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
	shape := append([]int64{channels * taps, 1}, w.Kernel...)
	a := emit.Attrs{"kernel_shape": onnx.IntsAttr(w.Kernel...), "strides": onnx.IntsAttr(w.Stride...), "group": onnx.IntAttr(channels)}
	kept := n.Emit("Relu", nil, n.Emit("Conv", a, marks, n.Float32s(first, shape...)))

	area := w.Area()
	spread := n.Mul(n.Flat(kept, 0, channels, taps, area), n.Flat(n.Dy[0], 0, channels, 1, area))
	spread = n.Flat(spread, append([]int64{0, channels * taps}, w.Out...)...)
	return n.Pad(n.Emit("ConvTranspose", a, spread, n.Float32s(place, shape...)), none, rest)
}

// maxPoolScatter adds g to zeros at the indices of the maxima.
func (n *Node) maxPoolScatter(w Window, others func() string) string {
	x := n.Inputs[0]
	indices := n.Output(1)
	switch {
	case n.Int("storage_order", 0) != 0: // they count by columns
		a := maps.Clone(n.Attrs)
		delete(a, "storage_order")
		indices = n.EmitIn("", "MaxPool", 2, a, x)[1]
	case indices == "" && others != nil:
		indices = others()
	}
	if indices == "" {
		indices = n.Fresh("MaxPoolIndices")
		n.Outputs = append(n.Outputs[:1], indices)
		n.Inf.Set(onnx.Value{Name: indices, DType: onnx.Int64, Shape: n.Shape(n.Outputs[0])})
	}
	overlap := "none"
	for i := range w.Kernel {
		if w.extent(i) > w.Stride[i] {
			overlap = "add"
		}
	}
	a := emit.Attrs{"axis": onnx.IntAttr(0)}
	if overlap == "add" {
		a["reduction"] = onnx.StringAttr(overlap)
	}
	dx := n.Emit("ScatterElements", a, n.Flat(n.ZerosLike(x), -1), n.Flat(indices, -1), n.Flat(n.Dy[0], -1))
	return n.Reshape(dx, n.Shape(x))
}

// y = the mean of each window: dx spreads g, divided by how many elements its
// window counts, over the window.
func gradAveragePool(n *Node) ([]string, error) {
	w, err := n.WindowOf(nil)
	if err != nil {
		return nil, err
	}
	channels := n.Shape(n.Inputs[0])[1]
	if !channels.IsConst() || channels.N*w.TapCount() > maxFilter || w.Area()*w.TapCount() > maxArea {
		return nil, fmt.Errorf("%v channels: %w", channels, emit.ErrModel)
	}
	if w.SideBySide() {
		_, rest := w.Tiled()
		g := n.enlarge(n.Div(n.Dy[0], n.Number(float64(w.TapCount()), n.Dy[0])), w)
		return one(n.Pad(g, make([]int64, w.Rank()), rest))
	}
	counts := w.counts(n.Int("count_include_pad", 0) != 0)
	shape := append([]int64{1, 1}, w.Out...)
	g := n.Div(n.Dy[0], n.Float32s(counts, shape...))
	ones := make([]float32, channels.N*w.TapCount())
	for i := range ones {
		ones[i] = 1
	}
	filter := n.Float32s(ones, append([]int64{channels.N, 1}, w.Kernel...)...)
	return []string{n.convTranspose(g, filter, w, channels.N)}, nil
}

// counts is how many elements each window averages: those inside the image,
// or inside the padded image.
func (w Window) counts(padded bool) []float32 {
	counts := []float32{1}
	for i := range w.In {
		var next []float32
		for _, c := range counts {
			for o := range w.Out[i] {
				inside := 0
				for t := range w.Kernel[i] {
					at := o*w.Stride[i] - w.Begin[i] + t*w.Dilation[i]
					if padded && at < w.In[i]+w.End[i] || at >= 0 && at < w.In[i] {
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
func gradGlobalAveragePool(n *Node) ([]string, error) {
	count, err := n.CountOf(n.Inputs[0], emit.SpatialAxes(len(n.Shape(n.Inputs[0])), false))
	if err != nil {
		return nil, err
	}
	return one(n.Broadcast(n.Div(n.Dy[0], count), n.Inputs[0]))
}

// y = zeros but for x, at indices into all of y: dx = g there.
func gradMaxUnpool(n *Node) ([]string, error) {
	at := n.Emit("GatherElements", emit.Attrs{"axis": onnx.IntAttr(0)}, n.Flat(n.Dy[0], -1), n.Flat(n.Inputs[1], -1))
	return one(n.Reshape(at, n.Shape(n.Inputs[0])))
}

// enlarge repeats every element of v over its window.
func (n *Node) enlarge(v string, w Window) string {
	scales := []float32{1, 1}
	for _, s := range w.Stride {
		scales = append(scales, float32(s))
	}
	return n.Emit("Resize", emit.Attrs{
		"mode": onnx.StringAttr("nearest"), "nearest_mode": onnx.StringAttr("floor"),
		"coordinate_transformation_mode": onnx.StringAttr("asymmetric"),
	}, v, "", n.Float32s(scales, int64(len(scales))))
}

// y = the largest of x over all positions, as ReduceMax.
func gradGlobalMaxPool(n *Node) ([]string, error) {
	return one(n.toEqual(n.Dy[0], n.Outputs[0], emit.SpatialAxes(len(n.Shape(n.Inputs[0])), false)))
}
