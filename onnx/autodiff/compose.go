package autodiff

import (
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
	"winnow/onnx/infer"
)

// composition emits operators that have rules in place of a node, and returns
// the value that stands for its output; "" where the node, changed, stays.
type composition func(n *node) (string, error)

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

// compose replaces the nodes of a graph, whose shapes are inferred, that have a composition.
func compose(g *onnx.Graph) error {
	some := func(n *onnx.Node) bool { return compositions[qualified(n)] != nil }
	if !slices.ContainsFunc(g.Nodes, some) {
		return nil
	}
	nodes := g.Nodes
	e := newEmitter(g, infer.New(g))
	g.Nodes = nil
	for _, n := range nodes {
		if err := e.composed(n); err != nil {
			return err
		}
	}
	return e.err
}

// composed adds a node, or what composes it.
func (e *emitter) composed(n *onnx.Node) error {
	c := compositions[qualified(n)]
	if c == nil {
		e.add(n)
		return nil
	}
	if err := e.inf.Node(n); err != nil { // its geometry is that of its output
		return err
	}
	n = &onnx.Node{Name: n.Name, Op: n.Op, Domain: n.Domain, Inputs: n.Inputs, Outputs: n.Outputs, Attrs: maps.Clone(n.Attrs)}
	e.within("", n)
	defer func() { e.within("", nil) }()
	out, err := c(&node{emitter: e, Node: n})
	if err != nil {
		return fmt.Errorf("autodiff: node %q (%s): %w", n.Name, n.Op, err)
	}
	if out == "" {
		e.add(n)
	} else {
		e.rename(out, n.Outputs[0])
	}
	return e.err
}

// y = x in the type of the second input.
func composeCastLike(n *node) (string, error) {
	to := n.dtype(n.Inputs[1])
	if to == onnx.Undefined {
		return "", fmt.Errorf("the type of %q is unknown: %w", n.Inputs[1], ErrModel)
	}
	return n.cast(n.Inputs[0], to), nil
}

// powered is |x|^p.
func (n *node) powered(x string, p int64) string {
	switch p {
	case 1:
		return n.op("Abs", nil, x)
	case 2:
		return n.mul(x, x)
	}
	return n.op("Pow", nil, n.op("Abs", nil, x), n.number(float64(p), x))
}

// root is s^(1/p) for s >= 0, of gradient 0 at 0, where it has none.
func (n *node) root(s string, p int64) string {
	if p == 1 {
		return s
	}
	some := n.greater(s, n.number(0, s))
	safe := n.where(some, s, n.number(1, s))
	if p == 2 {
		safe = n.op("Sqrt", nil, safe)
	} else {
		safe = n.op("Pow", nil, safe, n.number(1/float64(p), s))
	}
	return n.where(some, safe, n.number(0, s))
}

// order is the attribute p of a norm.
func (n *node) order() (int64, error) {
	p := n.Int("p", 2)
	if p < 1 || p > 64 {
		return 0, fmt.Errorf("a norm of order %d: %w", p, ErrModel)
	}
	return p, nil
}

// y = (sum of |x|^p over each window)^(1/p).
func composeLpPool(n *node) (string, error) {
	p, err := n.order()
	if err != nil {
		return "", err
	}
	w, err := n.windowOf(nil)
	if err != nil {
		return "", err
	}
	sum, err := n.windowSum(n.powered(n.Inputs[0], p), w)
	return n.root(sum, p), err
}

// y = (sum of |x|^p over all positions)^(1/p).
func composeGlobalLpPool(n *node) (string, error) {
	p, err := n.order()
	rank := len(n.shape(n.Inputs[0]))
	if err == nil && rank < 3 {
		err = fmt.Errorf("input of shape %v: %w", n.shape(n.Inputs[0]), ErrModel)
	}
	if err != nil {
		return "", err
	}
	return n.root(n.sum(n.powered(n.Inputs[0], p), true, spatialAxes(rank, false)...), p), nil
}

// y = (sum of x over each window)/count, the definition of opset 19, which has
// dilations.
func composeAveragePool(n *node) (string, error) {
	w, err := n.windowOf(nil)
	if err != nil {
		return "", err
	}
	sum, err := n.windowSum(n.Inputs[0], w)
	if err != nil {
		return "", err
	}
	counts := w.counts(n.Int("count_include_pad", 0) != 0)
	return n.div(sum, n.floats(counts, append([]int64{1, 1}, w.out...)...)), nil
}

// windowSum is the sum of x over each window, channel by channel.
func (n *node) windowSum(x string, w window) (string, error) {
	channels := n.shape(x)[1]
	if !channels.IsConst() || channels.N < 1 || channels.N*w.tapCount() > maxFilter || w.area()*w.tapCount() > maxArea {
		return "", fmt.Errorf("%v channels: %w", channels, ErrModel)
	}
	ones := slices.Repeat([]float32{1}, int(channels.N*w.tapCount()))
	return n.op("Conv", attrs{
		"kernel_shape": onnx.IntsAttr(w.kernel...), "strides": onnx.IntsAttr(w.stride...), "dilations": onnx.IntsAttr(w.dilation...),
		"pads": onnx.IntsAttr(slices.Concat(w.begin, w.reach())...), "group": onnx.IntAttr(channels.N),
	}, x, n.floats(ones, append([]int64{channels.N, 1}, w.kernel...)...)), nil
}

// reach is the padding behind the image that the last window of each axis
// covers: with ceil_mode that may be more than the node's own.
func (w window) reach() []int64 {
	end := make([]int64, w.rank())
	for i := range end {
		end[i] = max(w.end[i], (w.out[i]-1)*w.stride[i]+w.extent(i)-w.in[i]-w.begin[i])
	}
	return end
}

// y = x/norm(x) along an axis, 0 where the norm is.
func composeLpNormalization(n *node) (string, error) {
	x, p := n.Inputs[0], n.Int("p", 2)
	if p != 1 && p != 2 {
		return "", fmt.Errorf("a norm of order %d: %w", p, ErrModel)
	}
	axis, err := axisOf(n.Int("axis", -1), len(n.shape(x)))
	if err != nil {
		return "", err
	}
	norm := n.root(n.sum(n.powered(x, p), true, int64(axis)), p)
	return n.div(x, n.where(n.greater(norm, n.number(0, x)), norm, n.number(1, x))), nil
}

// y = (x - mean)/(deviation + 1e-9) over axes.
func composeMeanVariance(n *node) (string, error) {
	x := n.Inputs[0]
	rank := len(n.shape(x))
	var axes []int64
	for _, a := range n.Ints("axes", []int64{0, 2, 3}) {
		axis, err := axisOf(a, rank)
		if err != nil {
			return "", err
		}
		axes = append(axes, int64(axis))
	}
	if len(axes) == 0 {
		return "", fmt.Errorf("no axes: %w", ErrModel)
	}
	d := n.sub(x, n.mean(x, axes))
	deviation := n.root(n.mean(n.mul(d, d), axes), 2)
	return n.div(d, n.addOp(deviation, n.number(1e-9, x))), nil
}

// y = x/(bias + alpha/size*s)^beta, s the sum of x^2 over size channels around
// each: a convolution of one position with a band of ones.
func composeLRN(n *node) (string, error) {
	x, size := n.Inputs[0], n.Int("size", 0)
	s := n.shape(x)
	if len(s) < 3 || !s[1].IsConst() || s[1].N*s[1].N > maxFilter || size < 1 || size > maxExtent {
		return "", fmt.Errorf("size %d over an input of shape %v: %w", size, s, ErrModel)
	}
	c := s[1].N
	band := make([]float32, c*c)
	for i := range c {
		for j := max(0, i-(size-1)/2); j <= min(c-1, i+size/2); j++ {
			band[i*c+j] = 1
		}
	}
	filter := n.floats(band, append([]int64{c, c}, slices.Repeat([]int64{1}, len(s)-2)...)...)
	sum := n.op("Conv", nil, n.mul(x, x), filter)
	scale := n.number(float64(n.Float("alpha", 1e-4))/float64(size), x)
	d := n.addOp(n.mul(sum, scale), n.number(float64(n.Float("bias", 1)), x))
	return n.div(x, n.op("Pow", nil, d, n.number(float64(n.Float("beta", 0.75)), x))), nil
}

// y = each column of x, one element a channel and tap, added where its window
// lies in the image: the transposed convolution with filters of a single 1.
func composeCol2Im(n *node) (string, error) {
	image, err := n.known(1)
	if err != nil {
		return "", err
	}
	kernel, err := n.known(2)
	if err != nil {
		return "", err
	}
	r := len(image)
	w := window{in: image, kernel: kernel, stride: n.spatial("strides", r, 1), dilation: n.spatial("dilations", r, 1), out: make([]int64, r)}
	pads := n.spatial("pads", 2*r, 0)
	x := n.shape(n.Inputs[0])
	if r == 0 || len(kernel) != r || len(w.stride) != r || len(w.dilation) != r || len(pads) != 2*r || len(x) != 3 || !x[1:].IsConst() {
		return "", fmt.Errorf("columns of shape %v for blocks of %v in an image of %v: %w", x, kernel, image, ErrModel)
	}
	w.begin, w.end = pads[:r], pads[r:]
	for i := range r {
		if w.stride[i] < 1 {
			return "", fmt.Errorf("strides %v: %w", w.stride, ErrModel)
		}
		w.out[i] = (w.in[i]+w.begin[i]+w.end[i]-w.extent(i))/w.stride[i] + 1
	}
	if err := w.check(); err != nil {
		return "", err
	}
	taps := w.tapCount()
	channels := x[1].N / taps
	if x[1].N%taps != 0 || x[2].N != w.area() || channels < 1 || channels*taps*taps > maxFilter {
		return "", fmt.Errorf("columns of shape %v for blocks of %v in an image of %v: %w", x, kernel, image, ErrModel)
	}
	place := make([]float32, channels*taps*taps)
	for row := range channels * taps {
		place[row*taps+row%taps] = 1
	}
	columns := n.flat(n.Inputs[0], append([]int64{0, x[1].N}, w.out...)...)
	return n.convTranspose(columns, n.floats(place, append([]int64{channels * taps, 1}, kernel...)...), w, channels), nil
}

// spatial is an attribute of length numbers, def where it is left out.
func (n *node) spatial(name string, length int, def int64) []int64 {
	if v := n.Ints(name, nil); len(v) > 0 {
		return v
	}
	return slices.Repeat([]int64{def}, length)
}

// composeConv writes the padding that auto_pad stands for where the kernel is
// dilated, which ONNX Runtime does not compute and PyTorch's older exporter writes.
func composeConv(n *node) (string, error) {
	auto := n.Str("auto_pad", "")
	dilated := slices.ContainsFunc(n.Ints("dilations", nil), func(d int64) bool { return d != 1 })
	if !dilated || auto != "SAME_UPPER" && auto != "SAME_LOWER" {
		return "", nil
	}
	x, y, f := n.shape(n.Inputs[0]), n.shape(n.Outputs[0]), n.shape(n.Inputs[1])
	if len(x) < 3 || len(y) != len(x) || len(f) != len(x) || !x[2:].IsConst() || !y[2:].IsConst() || !f[2:].IsConst() {
		return "", fmt.Errorf("filter of shape %v on %v: %w", f, x, ErrModel)
	}
	r := len(x) - 2
	stride, dilation, pads := n.spatial("strides", r, 1), n.spatial("dilations", r, 1), make([]int64, 2*r)
	if len(stride) != r || len(dilation) != r {
		return "", fmt.Errorf("strides or dilations do not fit the rank of %v: %w", x, ErrModel)
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
func composeConvTranspose(n *node) (string, error) {
	auto, want := n.Str("auto_pad", ""), n.Ints("output_shape", nil)
	same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
	if !same && auto != "VALID" && len(want) == 0 {
		return "", nil
	}
	x, y, f := n.shape(n.Inputs[0]), n.shape(n.Outputs[0]), n.shape(n.Inputs[1])
	if len(x) < 3 || len(y) != len(x) || len(f) != len(x) || !x[2:].IsConst() || !y[2:].IsConst() || !f[2:].IsConst() {
		return "", fmt.Errorf("filter of shape %v on %v: %w", f, x, ErrModel)
	}
	r := len(x) - 2
	stride, dilation := n.spatial("strides", r, 1), n.spatial("dilations", r, 1)
	extra := slices.Clone(n.spatial("output_padding", r, 0))
	if len(stride) != r || len(dilation) != r || len(extra) != r {
		return "", fmt.Errorf("strides, dilations or output_padding do not fit the rank of %v: %w", x, ErrModel)
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
