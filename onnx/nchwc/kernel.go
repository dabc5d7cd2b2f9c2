package nchwc

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// maxKernelWidth bounds the columns of an image for the operators of
// onnx.KernelDomain: a row of its tiles is worked on at once.
const maxKernelWidth = 512

// maxKernelFilter bounds a filter's channels, in times out: its parts take four
// times its memory.
const maxKernelFilter = 1 << 20

// maxKernelRank bounds the dimensions of what operators of rows take.
const maxKernelRank = 8

// canKernel is whether c is a convolution as the operators of package
// runtime/kernels take it, and they are there.
func (c blockedConv) canKernel() bool {
	b := c.block
	return c.Kernels && c.Rank() == 2 && c.Group == 1 && c.GroupC%b == 0 && c.OutC%b == 0 &&
		c.Kernel[0] == 3 && c.Kernel[1] == 3 && c.UnitStride() && c.Dilation[0] == 1 && c.Dilation[1] == 1 &&
		max(c.Begin[0], c.Begin[1], c.End[0], c.End[1]) <= 2 && min(c.Begin[0], c.Begin[1], c.End[0], c.End[1]) >= 0 &&
		max(c.In[1], c.Out[1]) <= maxKernelWidth && c.GroupC*c.OutC <= maxKernelFilter && c.DType(c.Inputs[0]) == onnx.Float32 && c.DType(c.Inputs[1]) == onnx.Float32
}

// kernel emits an operator of runtime/kernels, whose output has a shape that ONNX
// Runtime is told: it infers none, and plans memory by it.
func (l *Layout) kernel(op string, a emit.Attrs, inputs ...string) string {
	a["block"] = onnx.IntAttr(l.block)
	y := l.EmitIn(onnx.KernelDomain, op, 1, a, inputs...)[0]
	l.tell(y)
	return y
}

// tell says the types of values in the graph.
func (l *Layout) tell(names ...string) {
	for _, name := range names {
		if v, ok := l.Inf.Type(name); ok && l.Err == nil {
			if l.Graph.Values == nil {
				l.Graph.Values = map[string]onnx.Value{}
			}
			l.Graph.Values[name] = v
		}
	}
}

func (c blockedConv) kernelForward(x, filter, bias string) string {
	inputs := []string{x, filter}
	if bias != "" {
		inputs = append(inputs, bias)
	}
	return c.kernel("Conv3x3", emit.Attrs{"pads": onnx.IntsAttr(slices.Concat(c.Begin, c.End)...), "turned": onnx.IntAttr(0)}, inputs...)
}

func (c blockedConv) kernelData() string {
	back := make([]int64, 4)
	for i := range 2 {
		back[i], back[2+i] = 2-c.Begin[i], 2-c.End[i]
	}
	return c.ToPlain(c.kernel("Conv3x3", emit.Attrs{"pads": onnx.IntsAttr(back...), "turned": onnx.IntAttr(1)}, c.ToBlocks(c.Dy[0]), c.Inputs[1]))
}

func (c blockedConv) kernelFilter() string {
	return c.kernel("Conv3x3Filter", emit.Attrs{"pads": onnx.IntsAttr(slices.Concat(c.Begin, c.End)...)}, c.ToBlocks(c.Inputs[0]), c.ToBlocks(c.Dy[0]))
}

// kernelFilterBlocks is the filter in blocks, or turned around for the data gradient.
func (c blockedConv) kernelFilterBlocks(turned bool) string {
	a := emit.Attrs{"group": onnx.IntAttr(c.Group), "turned": onnx.IntAttr(0)}
	out, in := c.OutC, c.GroupC
	if turned {
		a["turned"], out, in = onnx.IntAttr(1), c.GroupC*c.Group, c.OutC/c.Group
	}
	filter := c.kernel("FilterBlocks", a, c.Flat(c.Inputs[1], c.OutC, c.GroupC, c.Window.Kernel[0], c.Window.Kernel[1]))
	return c.Flat(filter, out, in, c.Window.Kernel[0], c.Window.Kernel[1])
}

// NormForms are the layout's forms of what a batch normalisation is made of.
func (l *Layout) NormForms() autodiff.NormForms {
	return autodiff.NormForms{Centre: l.centre, Moments: l.moments, Sums: l.normSums, Combine: l.combineNorm}
}

func (l *Layout) moments(x string) (mean, variance string) {
	if !l.Kernels || l.of[x] == "" {
		return "", ""
	}
	out := l.EmitIn(onnx.KernelDomain, "Moments", 2, emit.Attrs{"block": onnx.IntAttr(l.block)}, l.of[x])
	return out[0], out[1]
}

func (l *Layout) normSums(g, x, mean string) (sum, product string) {
	out := l.EmitIn(onnx.KernelDomain, "NormSums", 2, emit.Attrs{"block": onnx.IntAttr(l.block)}, l.ToBlocks(g), l.of[x], mean)
	return out[0], out[1]
}

// affine is scaled blocks by an operator of runtime/kernels.
func (l *Layout) affine(s scaled) string {
	a, inputs := emit.Attrs{"relu": onnx.IntAttr(0)}, []string{s.x, s.mean, s.scale, s.shift}
	if s.relu {
		a["relu"] = onnx.IntAttr(1)
	}
	if s.plus != "" {
		inputs = append(inputs, s.plus)
	}
	if s.times != "" {
		inputs = append(inputs, s.times)
	}
	y := l.kernel("Affine", a, inputs...)
	if !s.relu {
		l.scaled[y] = &s
	}
	return y
}

// addScaled is the sum of a normalisation's blocks and others of their shape, in
// the normalisation's own pass; "" where there is none.
func (l *Layout) addScaled(inputs []string) string {
	for i, in := range inputs {
		s, other := l.scaled[l.of[in]], inputs[1-i]
		if s != nil && s.mean != "" && s.plus == "" && l.of[other] != "" && l.Shape(other).Equal(l.Shape(in)) {
			sum := *s
			sum.plus = l.of[other]
			return l.affine(sum)
		}
	}
	return ""
}

// y = max(x, 0): dx = g where y > 0.
func (l *Layout) gradRelu(n *autodiff.Node) ([]string, error) {
	y := l.of[n.Outputs[0]]
	if !l.Kernels || y == "" {
		return autodiff.Rules["Relu"](n)
	}
	return []string{l.ToPlain(l.kernel("Masked", emit.Attrs{}, l.ToBlocks(n.Dy[0]), y))}, nil
}

// kernelForms are the forms of a convolution's gradients that go before all others.
func (c blockedConv) kernelForms() autodiff.ConvForms {
	return autodiff.ConvForms{
		Data:   []autodiff.Form{{Name: autodiff.Kernel, Emit: c.kernelData}},
		Filter: []autodiff.Form{{Name: autodiff.Kernel, Emit: c.kernelFilter}},
	}
}
