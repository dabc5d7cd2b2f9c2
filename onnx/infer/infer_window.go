package infer

import (
	"slices"

	"winnow/internal/elements"
	"winnow/onnx"
)

const nchwc = "com.microsoft.nchwc."

var windowRules = map[string]inferRule{
	"Conv": inferConv, "ConvTranspose": inferConvTranspose, "ConvInteger": inferConvInteger,
	"MaxPool": inferPool, "AveragePool": inferPool, "LpPool": inferPool, onnx.LaterDomain + ".AveragePool": inferPool,
	"GlobalAveragePool": inferGlobalPool, "GlobalMaxPool": inferGlobalPool, "GlobalLpPool": inferGlobalPool,
	"MaxUnpool": inferMaxUnpool, "Col2Im": inferCol2Im,

	nchwc + "Conv": inferConv, nchwc + "MaxPool": inferPool, nchwc + "AveragePool": inferPool,
	nchwc + "GlobalAveragePool": inferGlobalPool, nchwc + "GlobalMaxPool": inferGlobalPool,
	nchwc + "Upsample": inferBlockedUpsample, nchwc + "ReorderInput": inferReorderInput, nchwc + "ReorderOutput": inferReorderOutput,
}

// window holds the attributes of a sliding window, one entry per spatial axis.
type window struct {
	kernel, strides, dilations []int64
	begin, end                 []int64 // pads
	auto                       string
	ceil                       bool
	dilated                    bool // auto_pad pads for the kernel as it is dilated, as a convolution's definition has it
}

// maxPad bounds each number of a window, and what an axis is padded by: no
// image is as long, and sums of them stay far from overflow.
const maxPad = 1 << 31

func (c call) window(kernel []int64) (window, error) {
	rank := len(kernel)
	w := window{
		kernel: kernel, auto: c.n.Str("auto_pad", "NOTSET"),
		ceil: c.n.Int("ceil_mode", 0) != 0,
	}
	var err error
	list := func(name string, n int, def, low int64) []int64 {
		v := c.n.Ints(name, nil)
		if len(v) == 0 {
			v = make([]int64, n)
			for i := range v {
				v[i] = def
			}
		}
		if len(v) != n {
			err = shapeErrorf("%s has %d entries, not %d", name, len(v), n)
			return make([]int64, n)
		}
		for _, x := range v {
			if x < low || x > maxPad {
				err = shapeErrorf("%s %d, want %d to %d", name, x, low, int64(maxPad))
			}
		}
		return v
	}
	w.strides = list("strides", rank, 1, 1)
	w.dilations = list("dilations", rank, 1, 1)
	pads := list("pads", 2*rank, 0, -maxPad)
	if w.auto != "NOTSET" && w.auto != "" {
		pads = make([]int64, 2*rank)
	}
	w.begin, w.end = pads[:rank], pads[rank:]
	for _, k := range kernel {
		if k < 0 || k > maxPad {
			err = shapeErrorf("kernel %d", k)
		}
	}
	return w, err
}

// same reports padding that keeps the length, up to the stride.
func (w window) same() bool { return w.auto == "SAME_UPPER" || w.auto == "SAME_LOWER" }

// out is the number of places of the window along spatial axis i of length d.
func (w window) out(in *Inference, i int, d onnx.Dim) (onnx.Dim, error) {
	k, s := w.kernel[i], w.strides[i]
	extent := k
	if k > 0 {
		e, ok := mul64(w.dilations[i], k-1)
		if !ok || e > 1<<40 {
			return d, shapeErrorf("dilated kernel is too large")
		}
		extent = e + 1
	}
	pad := w.begin[i] + w.end[i]
	if w.same() {
		switch {
		case (extent == k || w.dilated) && d.N%s == 0:
			return onnx.Dim{N: d.N / s, Sym: d.Sym}, nil
		case !d.IsConst():
			return in.unknownDim(), nil
		case extent == k || w.dilated:
			return onnx.Const(ceilDiv(d.N, s)), nil
		}
		// ONNX Runtime's poolings pad for the kernel as it is without dilation.
		pad = max(0, (ceilDiv(d.N, s)-1)*s+k-d.N)
	}
	rest := pad - extent
	round := floorDiv
	if w.ceil {
		round = ceilDiv
	}
	if !d.IsConst() {
		// (c*S + rest)/s + 1 is a multiple of S where s divides c and the rest cancels.
		if d.N%s == 0 && round(rest, s)+1 == 0 {
			return onnx.Dim{N: d.N / s, Sym: d.Sym}, nil
		}
		return in.unknownDim(), nil
	}
	span, ok := add64(d.N, rest)
	if !ok || span < 0 {
		return d, shapeErrorf("window of %d over %d with padding %d", extent, d.N, pad)
	}
	n := round(span, s) + 1
	if w.ceil {
		// A window that would start behind the image and its left padding is dropped.
		if start, ok := mul64(n-1, s); !ok || start >= d.N+w.begin[i] {
			n--
		}
	}
	return onnx.Const(n), nil
}

func inferConv(c call) error { return convType(c, c.dtype(0)) }

func inferConvInteger(c call) error { return convType(c, onnx.Int32) }

func convType(c call, dt onnx.DType) error {
	x, f := c.shape(0), c.shape(1)
	if x == nil && f == nil {
		c.set(0, dt, nil)
		return nil
	}
	rank := len(x)
	if x == nil {
		rank = len(f)
	}
	if rank < 3 {
		return shapeErrorf("rank %d, at least 3 wanted", rank)
	}
	if x != nil && f != nil && len(x) != len(f) {
		return shapeErrorf("filter of rank %d for rank %d", len(f), len(x))
	}
	out := c.in.unknownShape(rank)
	if x != nil {
		out[0] = x[0]
	}
	if f != nil {
		out[1] = f[0]
	}
	if x != nil && f != nil && c.n.Domain == "" {
		group := c.n.Int("group", 1)
		if in, ok := mulDims(f[1], onnx.Const(group)); ok {
			if _, err := same(x[1], in); err != nil {
				return shapeErrorf("%v channels for a filter of %v in %d groups", x[1], f[1], group)
			}
		}
		if f[0].IsConst() && (group < 1 || f[0].N%group != 0) {
			return shapeErrorf("%v output channels in %d groups", f[0], group)
		}
	}
	kernel := c.n.Ints("kernel_shape", nil)
	if len(kernel) == 0 && f != nil {
		kernel = f[2:].Ints()
	}
	if x != nil && kernel != nil {
		if len(kernel) != rank-2 {
			return shapeErrorf("kernel_shape has %d entries, not %d", len(kernel), rank-2)
		}
		if f != nil {
			for i, k := range kernel {
				if _, err := same(f[2+i], onnx.Const(k)); err != nil {
					return shapeErrorf("kernel_shape %v of filter %v", kernel, f)
				}
			}
		}
		w, err := c.window(kernel)
		if err != nil {
			return err
		}
		w.dilated = true
		for i := range kernel {
			if out[2+i], err = w.out(c.in, i, x[2+i]); err != nil {
				return err
			}
		}
	} else if x != nil {
		c.sameWidth(x, out)
	}
	c.set(0, dt, out)
	return nil
}

// sameWidth keeps the spatial axes of a window whose kernel is not known but padded to stay as wide.
func (c call) sameWidth(x, out onnx.Shape) {
	if a := c.n.Str("auto_pad", ""); a != "SAME_UPPER" && a != "SAME_LOWER" {
		return
	}
	for _, s := range c.n.Ints("strides", nil) {
		if s != 1 {
			return
		}
	}
	copy(out[2:], x[2:])
}

func inferPool(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	if x == nil {
		c.set(0, dt, nil)
		c.set(1, onnx.Int64, nil)
		return nil
	}
	kernel := c.n.Ints("kernel_shape", nil)
	if len(x) < 3 || len(kernel) != len(x)-2 {
		return shapeErrorf("kernel_shape %v over rank %d", kernel, len(x))
	}
	w, err := c.window(kernel)
	if err != nil {
		return err
	}
	out := slices.Clone(x)
	for i := range kernel {
		if out[2+i], err = w.out(c.in, i, x[2+i]); err != nil {
			return err
		}
	}
	c.set(0, dt, out)
	c.set(1, onnx.Int64, out)
	return nil
}

func inferGlobalPool(c call) error {
	out := slices.Clone(c.shape(0))
	for i := 2; i < len(out); i++ {
		out[i] = onnx.Const(1)
	}
	c.set(0, c.dtype(0), out)
	return nil
}

func inferConvTranspose(c call) error {
	x, f := c.shape(0), c.shape(1)
	if x == nil || f == nil {
		c.set(0, c.dtype(0), nil)
		return nil
	}
	if len(x) < 3 || len(x) != len(f) {
		return shapeErrorf("filter of rank %d for rank %d", len(f), len(x))
	}
	if _, err := same(x[1], f[0]); err != nil {
		return shapeErrorf("%v channels for a filter of %v", x[1], f[0])
	}
	rank := len(x) - 2
	out := c.in.unknownShape(len(x))
	out[0] = x[0]
	group := c.n.Int("group", 1)
	if group < 1 {
		return shapeErrorf("group %d", group)
	}
	if d, ok := mulDims(f[1], onnx.Const(group)); ok {
		out[1] = d
	}
	kernel := c.n.Ints("kernel_shape", nil)
	if len(kernel) == 0 {
		kernel = f[2:].Ints()
	}
	extra := c.n.Ints("output_padding", make([]int64, rank))
	want := c.n.Ints("output_shape", nil)
	switch {
	case len(want) > 0:
		if len(want) != rank {
			return shapeErrorf("output_shape has %d entries, not %d", len(want), rank)
		}
		copy(out[2:], onnx.ShapeOf(want...))
	case kernel == nil:
	case len(kernel) != rank || len(extra) != rank:
		return shapeErrorf("kernel_shape %v, output_padding %v over rank %d", kernel, extra, len(x))
	default:
		w, err := c.window(kernel)
		if err != nil {
			return err
		}
		for _, e := range extra {
			if e < 0 || e > maxPad {
				return shapeErrorf("output_padding %d, want 0 to %d", e, int64(maxPad))
			}
		}
		for i, d := range x[2:] {
			scaled, ok := mulDims(d, onnx.Const(w.strides[i]))
			if !ok {
				continue
			}
			reach, ok := mul64(w.dilations[i], kernel[i]-1)
			if !ok || reach > 1<<40 || extra[i] < 0 || extra[i] > 1<<31 {
				return shapeErrorf("dilated kernel is too large")
			}
			rest := reach + 1 - w.strides[i] + extra[i] - w.begin[i] - w.end[i]
			if w.same() {
				rest = min(rest, 0) // the length times the stride, unless the kernel is shorter than the stride
			}
			if o, ok := addDims(scaled, onnx.Const(rest)); ok {
				if o.IsConst() && o.N < 0 {
					return shapeErrorf("output of length %v", o)
				}
				out[2+i] = o
			}
		}
	}
	c.set(0, c.dtype(0), out)
	return nil
}

// inferBlockedUpsample is the provider's own Upsample, whose scales are whole
// numbers, of the last axes.
func inferBlockedUpsample(c call) error {
	s, scales := slices.Clone(c.shape(0)), c.n.Ints("scales", nil)
	if len(scales) != len(s) {
		return shapeErrorf("scales has %d entries, not %d", len(scales), len(s))
	}
	for i, x := range scales {
		if x < 1 || x > maxPad {
			return shapeErrorf("scales %d, want 1 to %d", x, int64(maxPad))
		}
		switch n, ok := elements.Count([]int64{s[i].N, x}); {
		case x == 1:
		case !s[i].IsConst():
			s[i] = c.in.unknownDim()
		case !ok:
			return shapeErrorf("%d times %d", s[i].N, x)
		default:
			s[i] = onnx.Const(n)
		}
	}
	c.set(0, c.dtype(0), s)
	return nil
}

// nchwcBlock is a multiple of every block size ONNX Runtime uses.
const nchwcBlock = 16

func inferReorderInput(c call) error {
	s := slices.Clone(c.shape(0))
	if len(s) >= 3 {
		if c.n.Int("channels_last", 0) != 0 {
			last := s[len(s)-1]
			copy(s[2:], s[1:len(s)-1])
			s[1] = last
		}
		if s[1].N%nchwcBlock != 0 {
			s[1] = c.in.unknownDim()
		}
	}
	c.set(0, c.dtype(0), s)
	return nil
}

func inferReorderOutput(c call) error {
	s := slices.Clone(c.shape(0))
	if len(s) >= 3 {
		s[1] = onnx.Const(c.n.Int("channels", 0))
		if c.n.Int("channels_last", 0) != 0 {
			ch := s[1]
			copy(s[1:], s[2:])
			s[len(s)-1] = ch
		}
	}
	c.set(0, c.dtype(0), s)
	return nil
}

// inferMaxUnpool gives the size that the third input says, or the least that pools to the input's.
func inferMaxUnpool(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	if x == nil {
		c.set(0, dt, nil)
		return nil
	}
	kernel := c.n.Ints("kernel_shape", nil)
	if len(x) < 3 || len(kernel) != len(x)-2 {
		return shapeErrorf("kernel_shape %v over rank %d", kernel, len(x))
	}
	out := slices.Clone(x)
	if c.has(2) {
		want, ok := c.content(2)
		if ok && len(want) != len(x) {
			return shapeErrorf("%d sizes for rank %d", len(want), len(x))
		}
		for i := range out {
			out[i] = c.in.unknownDim()
			if ok && !anyElement(want[i]) && want[i].N >= 0 {
				out[i] = want[i]
			}
		}
		c.set(0, dt, out)
		return nil
	}
	w, err := c.window(kernel)
	if err != nil {
		return err
	}
	for i, k := range kernel {
		out[2+i] = c.in.unknownDim()
		if d := x[2+i]; d.IsConst() && d.N < 1<<31 {
			out[2+i] = onnx.Const(max((d.N-1)*w.strides[i]+k-w.begin[i]-w.end[i], 0))
		}
	}
	c.set(0, dt, out)
	return nil
}

// inferCol2Im gives [N, C, image...] for columns [N, C*taps, positions].
func inferCol2Im(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	image, okImage := c.content(1)
	block, okBlock := c.ints(2)
	if x == nil || !okImage {
		c.set(0, dt, nil)
		return nil
	}
	if len(x) != 3 {
		return shapeErrorf("columns of rank %d, not 3", len(x))
	}
	out := append(onnx.Shape{x[0], c.in.unknownDim()}, image...)
	if okBlock {
		taps, ok := elements.Count(block)
		if !ok || taps < 1 || len(block) != len(image) {
			return shapeErrorf("a block of %v in an image of %v", block, image)
		}
		if x[1].N%taps != 0 {
			return shapeErrorf("%v rows for a block of %v", x[1], block)
		}
		if d, ok := divDims(x[1], onnx.Const(taps)); ok {
			out[1] = d
		}
	}
	c.set(0, dt, out)
	return nil
}
