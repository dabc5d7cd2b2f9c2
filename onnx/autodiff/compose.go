package autodiff

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// composition emits operators that have rules in place of a node, and returns
// the value that stands for its output; "" where the node, changed, stays.
type composition func(n *Node) (string, error)

// compositions maps an operator to what replaces it before the backward walk:
// where its gradient is that of the parts, or a provider lacks its kernel.
var compositions = map[string]composition{
	"CastLike":                  composeCastLike,
	"Col2Im":                    composeCol2Im,
	"Conv":                      composeConv,
	"ConvTranspose":             composeConvTranspose,
	"GlobalLpPool":              composeGlobalLpPool,
	"LRN":                       composeLRN,
	"LpNormalization":           composeLpNormalization,
	"LpPool":                    composeLpPool,
	"MeanVarianceNormalization": composeMeanVariance,

	onnx.LaterDomain + ".AveragePool": composeAveragePool,
}

// Compose replaces the nodes of a graph, whose shapes are inferred, that have a composition.
func Compose(g *onnx.Graph) error {
	some := func(n *onnx.Node) bool { return compositions[Qualified(n)] != nil }
	if !slices.ContainsFunc(g.Nodes, some) {
		return nil
	}
	nodes := g.Nodes
	e := emit.New(g, infer.New(g))
	g.Nodes = nil
	for _, n := range nodes {
		if err := composeNode(e, n); err != nil {
			return err
		}
	}
	return e.Err
}

// composeNode adds a node, or what composes it.
func composeNode(e *emit.Builder, n *onnx.Node) error {
	c := compositions[Qualified(n)]
	if c == nil {
		e.Append(n)
		return nil
	}
	if err := e.Inf.Node(n); err != nil { // its geometry is that of its output
		return err
	}
	n = &onnx.Node{Name: n.Name, Op: n.Op, Domain: n.Domain, Inputs: n.Inputs, Outputs: n.Outputs, Attrs: maps.Clone(n.Attrs)}
	e.Within("", n)
	defer func() { e.Within("", nil) }()
	out, err := c(&Node{Builder: e, Node: n})
	if err != nil {
		return fmt.Errorf("autodiff: node %q (%s): %w", n.Name, n.Op, err)
	}
	if out == "" {
		e.Append(n)
	} else {
		e.Rename(out, n.Outputs[0])
	}
	return e.Err
}

// y = x in the type of the second input.
func composeCastLike(n *Node) (string, error) {
	to := n.DType(n.Inputs[1])
	if to == onnx.Undefined {
		return "", fmt.Errorf("the type of %q is unknown: %w", n.Inputs[1], emit.ErrModel)
	}
	return n.Cast(n.Inputs[0], to), nil
}

// powered is |x|^p.
func (n *Node) powered(x string, p int64) string {
	switch p {
	case 1:
		return n.Emit("Abs", nil, x)
	case 2:
		return n.Mul(x, x)
	}
	return n.Emit("Pow", nil, n.Emit("Abs", nil, x), n.Number(float64(p), x))
}

// root is s^(1/p) for s >= 0, of gradient 0 at 0, where it has none.
func (n *Node) root(s string, p int64) string {
	if p == 1 {
		return s
	}
	some := n.Greater(s, n.Number(0, s))
	safe := n.Where(some, s, n.Number(1, s))
	if p == 2 {
		safe = n.Emit("Sqrt", nil, safe)
	} else {
		safe = n.Emit("Pow", nil, safe, n.Number(1/float64(p), s))
	}
	return n.Where(some, safe, n.Number(0, s))
}

// order is the attribute p of a norm.
func (n *Node) order() (int64, error) {
	p := n.Int("p", 2)
	if p < 1 || p > 64 {
		return 0, fmt.Errorf("a norm of order %d: %w", p, emit.ErrModel)
	}
	return p, nil
}

// y = (sum of |x|^p over each window)^(1/p).
func composeLpPool(n *Node) (string, error) {
	p, err := n.order()
	if err != nil {
		return "", err
	}
	w, err := n.WindowOf(nil)
	if err != nil {
		return "", err
	}
	sum, err := n.windowSum(n.powered(n.Inputs[0], p), w)
	return n.root(sum, p), err
}

// y = (sum of |x|^p over all positions)^(1/p).
func composeGlobalLpPool(n *Node) (string, error) {
	p, err := n.order()
	rank := len(n.Shape(n.Inputs[0]))
	if err == nil && rank < 3 {
		err = fmt.Errorf("input of shape %v: %w", n.Shape(n.Inputs[0]), emit.ErrModel)
	}
	if err != nil {
		return "", err
	}
	return n.root(n.Sum(n.powered(n.Inputs[0], p), true, emit.SpatialAxes(rank, false)...), p), nil
}

// y = (sum of x over each window)/count, the definition of opset 19, which has
// dilations.
func composeAveragePool(n *Node) (string, error) {
	w, err := n.WindowOf(nil)
	if err != nil {
		return "", err
	}
	sum, err := n.windowSum(n.Inputs[0], w)
	if err != nil {
		return "", err
	}
	counts := w.counts(n.Int("count_include_pad", 0) != 0)
	return n.Div(sum, n.Float32s(counts, append([]int64{1, 1}, w.Out...)...)), nil
}

// windowSum is the sum of x over each window, channel by channel.
func (n *Node) windowSum(x string, w Window) (string, error) {
	channels := n.Shape(x)[1]
	if !channels.IsConst() || channels.N < 1 || channels.N*w.TapCount() > maxFilter || w.Area()*w.TapCount() > maxArea {
		return "", fmt.Errorf("%v channels: %w", channels, emit.ErrModel)
	}
	ones := slices.Repeat([]float32{1}, int(channels.N*w.TapCount()))
	return n.Emit("Conv", emit.Attrs{
		"kernel_shape": onnx.IntsAttr(w.Kernel...), "strides": onnx.IntsAttr(w.Stride...), "dilations": onnx.IntsAttr(w.Dilation...),
		"pads": onnx.IntsAttr(slices.Concat(w.Begin, w.reach())...), "group": onnx.IntAttr(channels.N),
	}, x, n.Float32s(ones, append([]int64{channels.N, 1}, w.Kernel...)...)), nil
}

// reach is the padding behind the image that the last window of each axis
// covers: with ceil_mode that may be more than the node's own.
func (w Window) reach() []int64 {
	end := make([]int64, w.Rank())
	for i := range end {
		end[i] = max(w.End[i], (w.Out[i]-1)*w.Stride[i]+w.extent(i)-w.In[i]-w.Begin[i])
	}
	return end
}

// y = x/norm(x) along an axis, 0 where the norm is.
func composeLpNormalization(n *Node) (string, error) {
	x, p := n.Inputs[0], n.Int("p", 2)
	if p != 1 && p != 2 {
		return "", fmt.Errorf("a norm of order %d: %w", p, emit.ErrModel)
	}
	axis, err := emit.Axis(n.Int("axis", -1), len(n.Shape(x)))
	if err != nil {
		return "", err
	}
	norm := n.root(n.Sum(n.powered(x, p), true, int64(axis)), p)
	return n.Div(x, n.Where(n.Greater(norm, n.Number(0, x)), norm, n.Number(1, x))), nil
}

// y = (x - mean)/(deviation + 1e-9) over axes.
func composeMeanVariance(n *Node) (string, error) {
	x := n.Inputs[0]
	rank := len(n.Shape(x))
	var axes []int64
	for _, a := range n.Ints("axes", []int64{0, 2, 3}) {
		axis, err := emit.Axis(a, rank)
		if err != nil {
			return "", err
		}
		axes = append(axes, int64(axis))
	}
	if len(axes) == 0 {
		return "", fmt.Errorf("no axes: %w", emit.ErrModel)
	}
	d := n.Sub(x, n.Mean(x, axes))
	deviation := n.root(n.Mean(n.Mul(d, d), axes), 2)
	return n.Div(d, n.Add(deviation, n.Number(1e-9, x))), nil
}

// y = x/(bias + alpha/size*s)^beta, s the sum of x^2 over size channels around
// each: a convolution of one position with a band of ones.
func composeLRN(n *Node) (string, error) {
	x, size := n.Inputs[0], n.Int("size", 0)
	s := n.Shape(x)
	if len(s) < 3 || !s[1].IsConst() || s[1].N*s[1].N > maxFilter || size < 1 || size > maxExtent {
		return "", fmt.Errorf("size %d over an input of shape %v: %w", size, s, emit.ErrModel)
	}
	c := s[1].N
	band := make([]float32, c*c)
	for i := range c {
		for j := max(0, i-(size-1)/2); j <= min(c-1, i+size/2); j++ {
			band[i*c+j] = 1
		}
	}
	filter := n.Float32s(band, append([]int64{c, c}, slices.Repeat([]int64{1}, len(s)-2)...)...)
	sum := n.Emit("Conv", nil, n.Mul(x, x), filter)
	scale := n.Number(float64(n.Float("alpha", 1e-4))/float64(size), x)
	d := n.Add(n.Mul(sum, scale), n.Number(float64(n.Float("bias", 1)), x))
	return n.Div(x, n.Emit("Pow", nil, d, n.Number(float64(n.Float("beta", 0.75)), x))), nil
}

// y = each column of x, one element a channel and tap, added where its window
// lies in the image: the transposed convolution with filters of a single 1.
func composeCol2Im(n *Node) (string, error) {
	image, err := n.known(1)
	if err != nil {
		return "", err
	}
	kernel, err := n.known(2)
	if err != nil {
		return "", err
	}
	r := len(image)
	w := Window{In: image, Kernel: kernel, Stride: n.spatial("strides", r, 1), Dilation: n.spatial("dilations", r, 1), Out: make([]int64, r)}
	pads := n.spatial("pads", 2*r, 0)
	x := n.Shape(n.Inputs[0])
	if r == 0 || len(kernel) != r || len(w.Stride) != r || len(w.Dilation) != r || len(pads) != 2*r || len(x) != 3 || !x[1:].IsConst() {
		return "", fmt.Errorf("columns of shape %v for blocks of %v in an image of %v: %w", x, kernel, image, emit.ErrModel)
	}
	w.Begin, w.End = pads[:r], pads[r:]
	for i := range r {
		if w.Stride[i] < 1 {
			return "", fmt.Errorf("strides %v: %w", w.Stride, emit.ErrModel)
		}
		w.Out[i] = (w.In[i]+w.Begin[i]+w.End[i]-w.extent(i))/w.Stride[i] + 1
	}
	if err := w.check(); err != nil {
		return "", err
	}
	taps := w.TapCount()
	channels := x[1].N / taps
	if x[1].N%taps != 0 || x[2].N != w.Area() || channels < 1 || channels*taps*taps > maxFilter {
		return "", fmt.Errorf("columns of shape %v for blocks of %v in an image of %v: %w", x, kernel, image, emit.ErrModel)
	}
	place := make([]float32, channels*taps*taps)
	for row := range channels * taps {
		place[row*taps+row%taps] = 1
	}
	columns := n.Flat(n.Inputs[0], append([]int64{0, x[1].N}, w.Out...)...)
	return n.convTranspose(columns, n.Float32s(place, append([]int64{channels * taps, 1}, kernel...)...), w, channels), nil
}

// spatial is an attribute of length numbers, def where it is left out.
func (n *Node) spatial(name string, length int, def int64) []int64 {
	if v := n.Ints(name, nil); len(v) > 0 {
		return v
	}
	return slices.Repeat([]int64{def}, length)
}

// composeConv writes the padding that auto_pad stands for where the kernel is
// dilated, which ONNX Runtime does not compute and PyTorch's older exporter writes.
func composeConv(n *Node) (string, error) {
	auto := n.Str("auto_pad", "")
	dilated := slices.ContainsFunc(n.Ints("dilations", nil), func(d int64) bool { return d != 1 })
	if !dilated || auto != "SAME_UPPER" && auto != "SAME_LOWER" {
		return "", nil
	}
	x, y, f := n.Shape(n.Inputs[0]), n.Shape(n.Outputs[0]), n.Shape(n.Inputs[1])
	if len(x) < 3 || len(y) != len(x) || len(f) != len(x) || !x[2:].IsConst() || !y[2:].IsConst() || !f[2:].IsConst() {
		return "", fmt.Errorf("filter of shape %v on %v: %w", f, x, emit.ErrModel)
	}
	r := len(x) - 2
	stride, dilation, pads := n.spatial("strides", r, 1), n.spatial("dilations", r, 1), make([]int64, 2*r)
	if len(stride) != r || len(dilation) != r {
		return "", fmt.Errorf("strides or dilations do not fit the rank of %v: %w", x, emit.ErrModel)
	}
	for i := range r {
		total := max((y[2+i].N-1)*stride[i]+(f[2+i].N-1)*dilation[i]+1-x[2+i].N, 0)
		pads[i], pads[r+i] = total/2, total-total/2
		if auto == "SAME_LOWER" {
			pads[i], pads[r+i] = pads[r+i], pads[i]
		}
	}
	delete(n.Attrs, "auto_pad")
	n.Attrs["pads"] = onnx.IntsAttr(pads...)
	return "", nil
}

// composeConvTranspose writes the padding that auto_pad or output_shape stand
// for: full is what the windows cover, and what of it is too much is cut, half
// at each end, the odd one at the end for SAME_UPPER, else at the beginning.
func composeConvTranspose(n *Node) (string, error) {
	auto, want := n.Str("auto_pad", ""), n.Ints("output_shape", nil)
	same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
	if !same && auto != "VALID" && len(want) == 0 {
		return "", nil
	}
	x, y, f := n.Shape(n.Inputs[0]), n.Shape(n.Outputs[0]), n.Shape(n.Inputs[1])
	if len(x) < 3 || len(y) != len(x) || len(f) != len(x) || !x[2:].IsConst() || !y[2:].IsConst() || !f[2:].IsConst() {
		return "", fmt.Errorf("filter of shape %v on %v: %w", f, x, emit.ErrModel)
	}
	r := len(x) - 2
	stride, dilation := n.spatial("strides", r, 1), n.spatial("dilations", r, 1)
	extra := slices.Clone(n.spatial("output_padding", r, 0))
	if len(stride) != r || len(dilation) != r || len(extra) != r {
		return "", fmt.Errorf("strides, dilations or output_padding do not fit the rank of %v: %w", x, emit.ErrModel)
	}
	pads := make([]int64, 2*r)
	for i := range r {
		full := (x[2+i].N-1)*stride[i] + (f[2+i].N-1)*dilation[i] + 1
		cut := max(full+extra[i]-y[2+i].N, 0)
		if len(want) > 0 && y[2+i].N > full {
			extra[i], cut = y[2+i].N-full, 0
		}
		pads[i], pads[r+i] = cut-cut/2, cut/2
		if auto == "SAME_UPPER" {
			pads[i], pads[r+i] = cut/2, cut-cut/2
		}
	}
	for _, name := range []string{"auto_pad", "output_shape", "output_padding"} {
		delete(n.Attrs, name)
	}
	n.Attrs["pads"] = onnx.IntsAttr(pads...)
	if slices.ContainsFunc(extra, func(v int64) bool { return v != 0 }) {
		n.Attrs["output_padding"] = onnx.IntsAttr(extra...)
	}
	return "", nil
}

// hasComposition is whether an operator of the default domain is composed of others.
func hasComposition(op string) bool {
	return compositions[op] != nil || compositions[onnx.LaterDomain+"."+op] != nil
}
