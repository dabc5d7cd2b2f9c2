package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// y = x * W + b, * a correlation: dx is g correlated with the filter turned
// around, dW is x correlated with g, db = sum of g over images and positions.
func gradConv(n *Node) ([]string, error) { return GradConv(n, nil) }

// GradConv is the rule of Conv with further forms, unless more is nil.
func GradConv(n *Node, more func(Conv) ConvForms) ([]string, error) {
	wShape := n.Shape(n.Inputs[1]).Ints()
	if len(wShape) < 3 {
		return nil, fmt.Errorf("filter of shape %v: %w", n.Shape(n.Inputs[1]), emit.ErrModel)
	}
	w, err := n.WindowOf(wShape[2:])
	if err != nil {
		return nil, err
	}
	c := Conv{Node: n, Window: w, Group: n.Int("group", 1), OutC: wShape[0], GroupC: wShape[1]}
	var forms ConvForms
	if more != nil {
		forms = more(c)
	}
	dx := make([]string, len(n.Inputs))
	if n.Want[0] {
		dx[0] = c.data(forms)
	}
	if n.Want[1] {
		dx[1] = c.filter(forms)
	}
	if len(n.Inputs) > 2 && n.Want[2] {
		dx[2] = n.ChannelSum(n.Dy[0])
	}
	return dx, nil
}

// y = x spread through W + b, the data gradient of a convolution that maps y
// to x: dx is that convolution of g, and dW its filter's gradient with g as
// the image and x as the adjoint; db = sum of g over images and positions.
func gradConvTranspose(n *Node) ([]string, error) { return GradConvTranspose(n, nil) }

// GradConvTranspose is the rule of ConvTranspose with further forms, unless more is nil.
func GradConvTranspose(n *Node, more func(Conv) ConvForms) ([]string, error) {
	shape := n.Shape(n.Inputs[1]).Ints() // input channels, output channels a group, kernel
	if len(shape) < 3 {
		return nil, fmt.Errorf("filter of shape %v: %w", n.Shape(n.Inputs[1]), emit.ErrModel)
	}
	if auto := n.Str("auto_pad", "NOTSET"); auto != "NOTSET" && auto != "" {
		return nil, fmt.Errorf("auto_pad %q has no gradient: %w", auto, ErrNoRule)
	}
	if n.Ints("output_shape", nil) != nil {
		return nil, fmt.Errorf("output_shape has no gradient: %w", ErrNoRule)
	}
	back := *n.Node // the convolution from y to x
	back.Inputs, back.Outputs = []string{n.Dy[0], n.Inputs[1]}, []string{n.Inputs[0]}
	mirror := &Node{Builder: n.Builder, Node: &back, Dy: []string{n.Inputs[0]}, Walk: n.Walk}
	w, err := mirror.WindowOf(shape[2:])
	if err != nil {
		return nil, err
	}
	for i := range w.End { // output padding lies beyond what any window reaches
		w.End[i] = max((w.Out[i]-1)*w.Stride[i]+w.extent(i)-w.In[i]-w.Begin[i], 0)
	}
	c := Conv{Node: mirror, Window: w, Group: n.Int("group", 1), OutC: shape[0], GroupC: shape[1]}
	var forms ConvForms
	if more != nil {
		forms = more(c)
	}
	dx := make([]string, len(n.Inputs))
	if n.Want[0] {
		pads := slices.Concat(w.Begin, w.End)
		dx[0] = n.Emit("Conv", emit.Attrs{
			"kernel_shape": onnx.IntsAttr(w.Kernel...), "dilations": onnx.IntsAttr(w.Dilation...),
			"strides": onnx.IntsAttr(w.Stride...), "pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(c.Group),
		}, n.Dy[0], n.Inputs[1])
	}
	if n.Want[1] {
		dx[1] = c.filter(forms)
	}
	if len(n.Inputs) > 2 && n.Want[2] {
		dx[2] = n.ChannelSum(n.Dy[0])
	}
	return dx, nil
}

// Conv is a convolution whose gradients are taken, with its geometry.
type Conv struct {
	*Node
	Window
	Group, OutC, GroupC int64 // groups, output channels, input channels a group
}

// ConvForms are further forms of a convolution's gradients.
type ConvForms struct {
	Data       []Form // go before the plain ones, and so do
	Filter     []Form // these
	FilterLast []Form // go behind the plain ones
}

// flipArea is the smallest output area at which the flipped filter was measured
// faster than ConvTranspose (ONNX Runtime CPU provider, 3x3 filters of 16 to 512 channels).
const flipArea = 144

// data is the gradient with respect to the image.
func (c Conv) data(more ConvForms) string {
	able := c.UnitStride()
	for i := range c.In {
		able = able && c.extent(i)-1 >= max(c.Begin[i], c.End[i])
	}
	transpose := Form{DataTranspose, func() string { return c.convTranspose(c.Dy[0], c.Inputs[1], c.Window, c.Group) }}
	flip := Form{DataFlip, c.dataFlip}
	forms := []Form{transpose}
	switch {
	case able && c.Area() >= flipArea:
		forms = []Form{flip, transpose}
	case able:
		forms = []Form{transpose, flip}
	}
	return c.choose(c.asCase(ConvData), c.Walk.Lowering.Data, slices.Concat(more.Data, forms))
}

// dataFlip is a convolution of the adjoint with the filter turned around.
func (c Conv) dataFlip() string {
	r := c.Rank()
	filter := c.Inputs[1]
	perm := []int64{1, 0}
	for i := range r {
		perm = append(perm, int64(2+i))
	}
	if c.Group == 1 {
		filter = c.Transpose(filter, perm...)
	} else {
		filter = c.Flat(filter, append([]int64{c.Group, c.OutC / c.Group, c.GroupC}, c.Kernel...)...)
		grouped := []int64{0, 2, 1}
		for i := range r {
			grouped = append(grouped, int64(3+i))
		}
		filter = c.Transpose(filter, grouped...)
		filter = c.Flat(filter, append([]int64{c.Group * c.GroupC, c.OutC / c.Group}, c.Kernel...)...)
	}
	filter = c.Reversed(filter, c.Kernel)
	pads := make([]int64, 2*r)
	for i := range r {
		pads[i], pads[r+i] = c.extent(i)-1-c.Begin[i], c.extent(i)-1-c.End[i]
	}
	return c.Emit("Conv", emit.Attrs{
		"kernel_shape": onnx.IntsAttr(c.Kernel...), "dilations": onnx.IntsAttr(c.Dilation...),
		"strides": onnx.IntsAttr(c.Stride...), "pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(c.Group),
	}, c.Dy[0], filter)
}

// filter is the gradient with respect to the filter: the patches of the input
// times the adjoint. Forms give its elements in the filter's order but of any
// shape: a branch that ended in a Reshape would copy them.
func (c Conv) filter(more ConvForms) string {
	forms := slices.Concat(more.Filter, c.PlainFilterForms(), more.FilterLast)
	dw := c.choose(c.asCase(ConvFilter), c.Walk.Lowering.Weight, forms)
	return c.Flat(dw, append([]int64{c.OutC, c.GroupC}, c.Kernel...)...)
}

// PlainFilterForms takes one product an image where its result is smaller than its
// operands, else one over the batch: where the two cross is where they were
// measured equally fast. A grouped convolution has one form only.
func (c Conv) PlainFilterForms() []Form {
	form := func(name string) Form { return Form{name, func() string { return c.PlainFilter(name) }} }
	columns := c.GroupC * c.TapCount()
	switch {
	case c.Group > 1:
		return []Form{form(WeightImages)}
	case c.OutC*columns > c.Area()*(c.OutC+columns):
		return []Form{form(WeightGemm), form(WeightImages), form(WeightTaps)}
	}
	return []Form{form(WeightImages), form(WeightGemm), form(WeightTaps)}
}

// PlainFilter is made of standard operators, for any number of images.
func (c Conv) PlainFilter(form string) string {
	if form == WeightTaps {
		return c.weightTaps()
	}
	patches := c.patches(c.Inputs[0], c.Window)
	switch {
	case c.Group > 1 && c.GroupC == 1 && c.OutC == c.Group:
		return c.weightDepthwise(patches)
	case c.Group > 1:
		return c.weightGrouped(patches)
	case form == WeightImages:
		return c.weightImages(patches)
	}
	return c.weightGemm(patches)
}

// weightImages is one product an image, summed.
func (c Conv) weightImages(patches string) string {
	patches = c.Flat(patches, 0, c.GroupC*c.TapCount(), c.Area())
	g := c.Flat(c.Dy[0], 0, c.OutC, c.Area())
	return c.Sum(c.MatMul(g, c.Transpose(patches, 0, 2, 1)), false, 0)
}

// weightGemm is one product over the whole batch, channels first.
func (c Conv) weightGemm(patches string) string {
	patches = c.Transpose(c.Flat(patches, 0, c.GroupC*c.TapCount(), c.Area()), 1, 0, 2)
	g := c.Transpose(c.Flat(c.Dy[0], 0, c.OutC, c.Area()), 1, 0, 2)
	return c.Gemm(c.Flat(g, c.OutC, -1), c.Flat(patches, c.GroupC*c.TapCount(), -1), false, true, 1)
}

// weightTaps is one product over the whole batch for each tap: nothing the
// size of all patches is written.
func (c Conv) weightTaps() string {
	perm := []int64{1, 0}
	for i := range c.Rank() {
		perm = append(perm, int64(2+i))
	}
	x := c.Transpose(c.Pad(c.Inputs[0], c.Begin, c.reached()), perm...)
	g := c.Flat(c.Transpose(c.Flat(c.Dy[0], 0, c.OutC, c.Area()), 1, 0, 2), c.OutC, -1)
	var parts []string
	c.taps(func(tap []int64) {
		part := c.Gemm(g, c.Flat(c.met(x, c.Window, tap), c.GroupC, -1), false, true, 1)
		parts = append(parts, c.Flat(part, c.OutC, c.GroupC, 1))
	})
	if len(parts) == 1 {
		return parts[0]
	}
	return c.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(2)}, parts...)
}

// weightGrouped is one product an image and group, summed.
func (c Conv) weightGrouped(patches string) string {
	patches = c.Flat(patches, 0, c.Group, c.GroupC*c.TapCount(), c.Area())
	g := c.Flat(c.Dy[0], 0, c.Group, c.OutC/c.Group, c.Area())
	return c.Sum(c.MatMul(g, c.Transpose(patches, 0, 1, 3, 2)), false, 0)
}

// weightDepthwise is one sum a channel and tap.
func (c Conv) weightDepthwise(patches string) string {
	g := c.Flat(c.Dy[0], 0, c.OutC, 1, c.Area())
	return c.Sum(c.Sum(c.Mul(patches, g), false, 3), false, 0)
}

// convTranspose spreads g over the input positions of w through the filter.
func (n *Node) convTranspose(g, filter string, w Window, group int64) string {
	r := w.Rank()
	pads, extra := make([]int64, 2*r), make([]int64, r)
	padded := w.symmetric() // other padding has no CUDA kernel: crop instead
	crop := !padded
	for i := range r {
		full := (w.Out[i]-1)*w.Stride[i] + w.extent(i)
		if padded {
			pads[i], pads[r+i] = w.Begin[i], w.End[i]
			extra[i] = w.In[i] + w.Begin[i] + w.End[i] - full
		} else {
			extra[i] = max(w.Begin[i]+w.In[i]-full, 0)
		}
		if extra[i] < 0 { // a window overhangs the padding (ceil_mode)
			padded, crop = false, true
		}
	}
	if !padded {
		clear(pads)
		for i := range r {
			extra[i] = max(w.Begin[i]+w.In[i]-(w.Out[i]-1)*w.Stride[i]-w.extent(i), 0)
		}
	}
	a := emit.Attrs{
		"strides": onnx.IntsAttr(w.Stride...), "dilations": onnx.IntsAttr(w.Dilation...),
		"kernel_shape": onnx.IntsAttr(w.Kernel...), "pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(group),
	}
	if slices.ContainsFunc(extra, func(x int64) bool { return x != 0 }) {
		a["output_padding"] = onnx.IntsAttr(extra...)
	}
	dx := n.Emit("ConvTranspose", a, g, filter)
	if crop {
		dx = n.Crop(dx, w.Begin, w.In)
	}
	return dx
}
