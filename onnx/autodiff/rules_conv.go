package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
)

// y = x * W + b, * a correlation: dx is g correlated with the filter turned
// around, dW is x correlated with g, db = sum of g over images and positions.
func gradConv(n *node) ([]string, error) {
	wShape := n.shape(n.Inputs[1]).Ints()
	if len(wShape) < 3 {
		return nil, fmt.Errorf("filter of shape %v: %w", n.shape(n.Inputs[1]), ErrModel)
	}
	w, err := n.windowOf(wShape[2:])
	if err != nil {
		return nil, err
	}
	c := conv{node: n, window: w, group: n.Int("group", 1), outC: wShape[0], groupC: wShape[1]}
	dx := make([]string, len(n.Inputs))
	if n.want[0] {
		dx[0] = c.data()
	}
	if n.want[1] {
		dx[1] = c.weight()
	}
	if len(n.Inputs) > 2 && n.want[2] {
		dx[2] = n.channelSum(n.dy[0])
	}
	return dx, nil
}

// y = x spread through W + b, the data gradient of a convolution that maps y
// to x: dx is that convolution of g, and dW its filter's gradient with g as
// the image and x as the adjoint; db = sum of g over images and positions.
func gradConvTranspose(n *node) ([]string, error) {
	shape := n.shape(n.Inputs[1]).Ints() // input channels, output channels a group, kernel
	if len(shape) < 3 {
		return nil, fmt.Errorf("filter of shape %v: %w", n.shape(n.Inputs[1]), ErrModel)
	}
	if auto := n.Str("auto_pad", "NOTSET"); auto != "NOTSET" && auto != "" {
		return nil, fmt.Errorf("auto_pad %q has no gradient: %w", auto, ErrNoRule)
	}
	if n.Ints("output_shape", nil) != nil {
		return nil, fmt.Errorf("output_shape has no gradient: %w", ErrNoRule)
	}
	back := *n.Node // the convolution from y to x
	back.Inputs, back.Outputs = []string{n.dy[0], n.Inputs[1]}, []string{n.Inputs[0]}
	mirror := &node{emitter: n.emitter, Node: &back, dy: []string{n.Inputs[0]}, lower: n.lower}
	w, err := mirror.windowOf(shape[2:])
	if err != nil {
		return nil, err
	}
	for i := range w.end { // output padding lies beyond what any window reaches
		w.end[i] = max((w.out[i]-1)*w.stride[i]+w.extent(i)-w.in[i]-w.begin[i], 0)
	}
	c := conv{node: mirror, window: w, group: n.Int("group", 1), outC: shape[0], groupC: shape[1]}
	dx := make([]string, len(n.Inputs))
	if n.want[0] {
		pads := slices.Concat(w.begin, w.end)
		dx[0] = n.op("Conv", attrs{
			"kernel_shape": onnx.IntsAttr(w.kernel...), "dilations": onnx.IntsAttr(w.dilation...),
			"strides": onnx.IntsAttr(w.stride...), "pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(c.group),
		}, n.dy[0], n.Inputs[1])
	}
	if n.want[1] {
		dx[1] = c.weight()
	}
	if len(n.Inputs) > 2 && n.want[2] {
		dx[2] = n.channelSum(n.dy[0])
	}
	return dx, nil
}

type conv struct {
	*node
	window
	group, outC, groupC int64 // groups, output channels, input channels a group
}

// convTranspose spreads g over the input positions of w through the filter.
func (e *emitter) convTranspose(g, filter string, w window, group int64) string {
	r := w.rank()
	pads, extra := make([]int64, 2*r), make([]int64, r)
	padded := w.symmetric() // other padding has no CUDA kernel: crop instead
	crop := !padded
	for i := range r {
		full := (w.out[i]-1)*w.stride[i] + w.extent(i)
		if padded {
			pads[i], pads[r+i] = w.begin[i], w.end[i]
			extra[i] = w.in[i] + w.begin[i] + w.end[i] - full
		} else {
			extra[i] = max(w.begin[i]+w.in[i]-full, 0)
		}
		if extra[i] < 0 { // a window overhangs the padding (ceil_mode)
			padded, crop = false, true
		}
	}
	if !padded {
		clear(pads)
		for i := range r {
			extra[i] = max(w.begin[i]+w.in[i]-(w.out[i]-1)*w.stride[i]-w.extent(i), 0)
		}
	}
	a := attrs{
		"strides": onnx.IntsAttr(w.stride...), "dilations": onnx.IntsAttr(w.dilation...),
		"kernel_shape": onnx.IntsAttr(w.kernel...), "pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(group),
	}
	if slices.ContainsFunc(extra, func(x int64) bool { return x != 0 }) {
		a["output_padding"] = onnx.IntsAttr(extra...)
	}
	dx := e.op("ConvTranspose", a, g, filter)
	if crop {
		dx = e.crop(dx, w.begin, w.in)
	}
	return dx
}

// data is the gradient with respect to the image.
func (c conv) data() string {
	switch c.lower.data(c) {
	case DataBlocked:
		return c.dataBlocked()
	case DataFlip:
		return c.dataFlip()
	}
	return c.convTranspose(c.dy[0], c.Inputs[1], c.window, c.group)
}

func (c conv) dataFlip() string {
	r := c.rank()
	filter := c.Inputs[1]
	perm := []int64{1, 0}
	for i := range r {
		perm = append(perm, int64(2+i))
	}
	if c.group == 1 {
		filter = c.transpose(filter, perm...)
	} else {
		filter = c.flat(filter, append([]int64{c.group, c.outC / c.group, c.groupC}, c.kernel...)...)
		grouped := []int64{0, 2, 1}
		for i := range r {
			grouped = append(grouped, int64(3+i))
		}
		filter = c.transpose(filter, grouped...)
		filter = c.flat(filter, append([]int64{c.group * c.groupC, c.outC / c.group}, c.kernel...)...)
	}
	filter = c.reversed(filter, c.kernel)
	pads := make([]int64, 2*r)
	for i := range r {
		pads[i], pads[r+i] = c.extent(i)-1-c.begin[i], c.extent(i)-1-c.end[i]
	}
	return c.op("Conv", attrs{
		"kernel_shape": onnx.IntsAttr(c.kernel...), "dilations": onnx.IntsAttr(c.dilation...),
		"strides": onnx.IntsAttr(c.stride...), "pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(c.group),
	}, c.dy[0], filter)
}

// weight is the gradient with respect to the filter: the patches of the input
// times the adjoint. Patches are [N, C, taps, positions], so that what comes
// out has the filter's own order.
func (c conv) weight() string {
	return c.flat(c.weightIn(c.lower.weight(c)), append([]int64{c.outC, c.groupC}, c.kernel...)...)
}

// weightIn is the elements of the gradient in one form, in the filter's order
// but of any shape: a branch that ended in a Reshape would copy them.
func (c conv) weightIn(form string) string {
	switch form {
	case WeightEach:
		return c.weightEach()
	case WeightGemm, WeightImages, WeightTaps:
		return c.weightPlain(form)
	}
	form = c.plainForms()[0]
	switch n := c.shape(c.dy[0])[0]; {
	case n.IsConst() && n.N%c.blocks.size == 0:
		return c.weightBatch()
	case !n.IsConst() && c.blocks.whole != "":
		return c.either(c.blocks.whole, c.weightBatch, func() string { return c.plainly().weightPlain(form) })
	}
	return c.weightPlain(form)
}

// weightPlain is made of standard operators, for any number of images.
func (c conv) weightPlain(form string) string {
	if form == WeightTaps {
		return c.weightTaps()
	}
	patches := c.patches(c.Inputs[0], c.window)
	switch {
	case c.group > 1 && c.groupC == 1 && c.outC == c.group:
		return c.weightDepthwise(patches)
	case c.group > 1:
		return c.weightGrouped(patches)
	case form == WeightImages:
		return c.weightImages(patches)
	}
	return c.weightGemm(patches)
}

// weightImages is one product an image, summed.
func (c conv) weightImages(patches string) string {
	patches = c.flat(patches, 0, c.groupC*c.tapCount(), c.area())
	g := c.flat(c.dy[0], 0, c.outC, c.area())
	return c.sum(c.matmul(g, c.transpose(patches, 0, 2, 1)), false, 0)
}

// weightGemm is one product over the whole batch, channels first.
func (c conv) weightGemm(patches string) string {
	patches = c.transpose(c.flat(patches, 0, c.groupC*c.tapCount(), c.area()), 1, 0, 2)
	g := c.transpose(c.flat(c.dy[0], 0, c.outC, c.area()), 1, 0, 2)
	return c.gemm(c.flat(g, c.outC, -1), c.flat(patches, c.groupC*c.tapCount(), -1), false, true, 1)
}

// weightTaps is one product over the whole batch for each tap: nothing the
// size of all patches is written.
func (c conv) weightTaps() string {
	perm := []int64{1, 0}
	for i := range c.rank() {
		perm = append(perm, int64(2+i))
	}
	x := c.transpose(c.pad(c.Inputs[0], c.begin, c.reached()), perm...)
	g := c.flat(c.transpose(c.flat(c.dy[0], 0, c.outC, c.area()), 1, 0, 2), c.outC, -1)
	var parts []string
	c.taps(func(tap []int64) {
		part := c.gemm(g, c.flat(c.met(x, c.window, tap), c.groupC, -1), false, true, 1)
		parts = append(parts, c.flat(part, c.outC, c.groupC, 1))
	})
	if len(parts) == 1 {
		return parts[0]
	}
	return c.op("Concat", attrs{"axis": onnx.IntAttr(2)}, parts...)
}

// weightGrouped is one product an image and group, summed.
func (c conv) weightGrouped(patches string) string {
	patches = c.flat(patches, 0, c.group, c.groupC*c.tapCount(), c.area())
	g := c.flat(c.dy[0], 0, c.group, c.outC/c.group, c.area())
	return c.sum(c.matmul(g, c.transpose(patches, 0, 1, 3, 2)), false, 0)
}

// weightDepthwise is one sum a channel and tap.
func (c conv) weightDepthwise(patches string) string {
	g := c.flat(c.dy[0], 0, c.outC, 1, c.area())
	return c.sum(c.sum(c.mul(patches, g), false, 3), false, 0)
}
