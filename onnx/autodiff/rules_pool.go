package autodiff

import (
	"fmt"

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
	if n.Int("storage_order", 0) != 0 {
		return nil, fmt.Errorf("storage_order 1: %w", ErrModel)
	}
	x := n.Inputs[0]
	if len(n.Outputs) == 1 || n.Outputs[1] == "" {
		n.Outputs = append(n.Outputs[:1], n.fresh("MaxPoolIndices"))
		n.inf.Set(onnx.Value{Name: n.Outputs[1], DType: onnx.Int64, Shape: n.shape(n.Outputs[0])})
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
	dx := n.op("ScatterElements", a, n.flat(n.zerosLike(x), -1), n.flat(n.Outputs[1], -1), n.flat(n.dy[0], -1))
	return []string{n.reshape(dx, n.shape(x))}, nil
}

// y = the mean of each window: dx spreads g, divided by how many elements its
// window counts, over the window.
func gradAveragePool(n *node) ([]string, error) {
	w, err := n.windowOf(nil)
	if err != nil {
		return nil, err
	}
	channels := n.shape(n.Inputs[0])[1]
	if !channels.IsConst() || channels.N*w.tapCount() > maxArea {
		return nil, fmt.Errorf("%v channels: %w", channels, ErrModel)
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

func (w window) tapCount() int64 {
	k := int64(1)
	for _, d := range w.kernel {
		k *= d
	}
	return k
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
	return []string{n.broadcast(n.div(n.dy[0], count), n.Inputs[0])}, nil
}
