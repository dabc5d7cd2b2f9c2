package nchwc

import (
	"math"
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// over lists the rules of operators that have another gradient in blocks;
// each falls back on the plain one.
func (l *Layout) over() map[string]autodiff.Rule {
	return map[string]autodiff.Rule{
		"Conv":               func(n *autodiff.Node) ([]string, error) { return autodiff.GradConv(n, l.convForms) },
		"ConvTranspose":      func(n *autodiff.Node) ([]string, error) { return autodiff.GradConvTranspose(n, l.convForms) },
		"MaxPool":            l.gradMaxPool,
		"AveragePool":        l.gradAveragePool,
		"GlobalAveragePool":  l.gradGlobalAveragePool,
		"BatchNormalization": func(n *autodiff.Node) ([]string, error) { return autodiff.GradBatchNorm(n, l.NormForms()) },
		"LayerNormalization": l.gradLayerNorm,
		"Clip":               l.gradClip,
		"Relu":               l.gradRelu,
		"Concat":             l.gradConcat,
	}
}

// Rule is the rule of an operator that goes before the plain one; nil for none.
func (l *Layout) Rule(op string) autodiff.Rule { return l.rules[op] }

// convForms are the forms of a convolution's gradients in blocks. A convolution
// over images goes first where it spares patches.
func (l *Layout) convForms(plain autodiff.Conv) (f autodiff.ConvForms) {
	c := blockedConv{l, plain}
	if c.canKernel() {
		return c.kernelForms()
	}
	if c.canBlockData() {
		f.Data = append(f.Data, autodiff.Form{Name: autodiff.DataBlocked, Emit: func() string { return c.together().dataBlocked() }})
		if c.canWinograd(c.In[0]) {
			f.Data = c.withWinograd(f.Data, autodiff.Form{Name: autodiff.DataWinograd, Emit: c.dataWinograd})
		}
	}
	batch := autodiff.Form{Name: autodiff.WeightBatch, Emit: func() string {
		return c.wholeOrPlain(func() string { return c.apart(c.together().weightBatch()) })
	}}
	if c.canBlockWeight() && c.TapCount() > 1 {
		f.Filter = append(f.Filter, batch)
		if c.canWinograd(c.Out[0]) {
			f.Filter = c.withWinograd(f.Filter, autodiff.Form{Name: autodiff.WeightWinograd, Emit: func() string { return c.wholeOrPlain(c.weightWinograd) }})
		}
	}
	if c.canWeighImages() {
		f.Filter = append(f.Filter, autodiff.Form{Name: autodiff.WeightEach, Emit: c.weightEach})
	}
	if c.canBlockWeight() && c.TapCount() == 1 {
		f.FilterLast = append(f.FilterLast, batch)
	}
	return f
}

// withWinograd is forms with Winograd's before or behind the others.
func (c blockedConv) withWinograd(forms []autodiff.Form, w autodiff.Form) []autodiff.Form {
	if c.likesWinograd() {
		return append([]autodiff.Form{w}, forms...)
	}
	return append(forms, w)
}

// wholeOrPlain is a filter's gradient as given for whole blocks of images, and
// in a plain form for other numbers of them.
func (c blockedConv) wholeOrPlain(whole func() string) string {
	plain := c.PlainFilterForms()[0].Name
	switch n := c.Shape(c.Dy[0])[0]; {
	case n.IsConst() && n.N%c.block == 0:
		return whole()
	case !n.IsConst() && c.whole != "":
		return c.If(c.whole, whole, func() string { return c.outOfBlocks().PlainFilter(plain) })
	}
	return c.PlainFilter(plain)
}

// y = the largest element of each window, pooled in blocks.
func (l *Layout) gradMaxPool(n *autodiff.Node) ([]string, error) {
	return autodiff.GradMaxPool(n, autodiff.PoolForms{
		More: func(w autodiff.Window) []autodiff.Form {
			if l.Kernels && l.of[n.Inputs[0]] != "" && l.of[n.Outputs[0]] != "" {
				return []autodiff.Form{{Name: autodiff.Kernel, Emit: func() string { return l.maxPoolKernel(n, w) }}}
			}
			if !l.canBlockPool(n, w) {
				return nil
			}
			return []autodiff.Form{{Name: autodiff.PoolBlocked, Emit: func() string { return l.maxPoolBlocked(n, w) }}}
		},
		Indices: func() string { // the forward pass pools blocks, which give none
			if l.of[n.Outputs[0]] == "" {
				return ""
			}
			return n.EmitIn("", "MaxPool", 2, n.Attrs, n.Inputs[0])[1]
		},
	})
}

// y = the mean of windows side by side: dx repeats g, divided by the taps.
func (l *Layout) gradAveragePool(n *autodiff.Node) ([]string, error) {
	w, err := n.WindowOf(nil)
	if err != nil {
		return nil, err
	}
	size, _ := w.Tiled()
	if !w.SideBySide() || l.of[n.Inputs[0]] == "" || !slices.Equal(size, w.In) {
		return autodiff.Rules["AveragePool"](n)
	}
	g := n.Div(n.Dy[0], n.Number(float64(w.TapCount()), n.Dy[0]))
	return []string{l.ToPlain(l.enlargeBlocked(l.ToBlocks(g), w.Kernel[0], w.Kernel[1]))}, nil
}

// y = the mean of x over all positions: dx = g/positions, spread.
func (l *Layout) gradGlobalAveragePool(n *autodiff.Node) ([]string, error) {
	x := n.Inputs[0]
	if l.of[x] == "" {
		return autodiff.Rules["GlobalAveragePool"](n)
	}
	count, err := n.CountOf(x, emit.SpatialAxes(len(n.Shape(x)), false))
	if err != nil {
		return nil, err
	}
	return []string{l.ToPlain(l.blockedSpread(n.Div(n.Dy[0], count), x))}, nil
}

// combineNorm is a*g + b*(x - mean) + c by channel, "" where x has no blocked form.
func (l *Layout) combineNorm(g, x, mean, a, b, c string) string {
	in := l.of[x]
	if in == "" {
		return ""
	}
	if mean != "" {
		return l.ToPlain(l.scaleBlocked(scaled{x: in, mean: mean, scale: b, shift: c, plus: l.ToBlocks(g), times: a}))
	}
	rest := l.scaleBlocked(scaled{x: in, scale: b, shift: c})
	return l.ToPlain(l.scaleBlocked(scaled{x: l.ToBlocks(g), scale: a, plus: rest}))
}

// y = min(max(x, lo), hi): dx = g where (y - lo)*(hi - y) > 0; blocks have no Where.
func (l *Layout) gradClip(n *autodiff.Node) ([]string, error) {
	y := n.Outputs[0]
	if l.of[y] == "" || !finite(n.Graph.Initializers[n.Input(1)]) || !finite(n.Graph.Initializers[n.Input(2)]) {
		return autodiff.Rules["Clip"](n)
	}
	inside := n.Mul(n.Sub(y, n.Inputs[1]), n.Sub(n.Inputs[2], y))
	return []string{n.Mul(n.Dy[0], n.Positive(inside))}, nil
}

// finite is whether t is a float32 number neither infinite nor close to it.
func finite(t *onnx.Tensor) bool {
	return t != nil && t.DType == onnx.Float32 && t.Len() == 1 && math.Abs(float64(t.Float32s()[0])) < 1e18
}

// y = x1, x2, ... one behind the other along the channels: each dx is its stretch of g.
func (l *Layout) gradConcat(n *autodiff.Node) ([]string, error) {
	if l.of[n.Outputs[0]] == "" || !l.canConcat(n.Int("axis", 0), n.Inputs...) {
		return autodiff.Rules["Concat"](n)
	}
	dx, at := make([]string, len(n.Inputs)), int64(0)
	for i, in := range n.Inputs {
		s := n.Shape(in)
		if n.Want[i] {
			part := n.Slice(l.blockRows(l.ToBlocks(n.Dy[0])), []int64{at / l.block}, []int64{(at + s[1].N) / l.block}, []int64{1}, []int64{1})
			dx[i] = l.ToPlain(n.Flat(part, 0, s[1].N, s[2].N, s[3].N))
		}
		at += s[1].N
	}
	return dx, nil
}

var _ autodiff.Layout = (*Layout)(nil)
