package raster

import (
	"math"
	"slices"
)

// Filter is an interpolation kernel, zero outside +-support.
type Filter struct {
	name    string
	support float64
	at      func(x float64) float64
}

// The kernels by the names of torchvision and timm.
var (
	Bilinear = &Filter{"bilinear", 1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }}
	// Bicubic is Keys' kernel with a = -0.5, as Pillow has it.
	Bicubic = &Filter{"bicubic", 2, func(x float64) float64 {
		const a = -0.5
		switch x = math.Abs(x); {
		case x < 1:
			return ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			return (((x-5)*x+8)*x - 4) * a
		}
		return 0
	}}
)

// Filters are all kernels, the default first.
func Filters() []*Filter { return []*Filter{Bilinear, Bicubic} }

// Name is what users call the kernel.
func (f *Filter) Name() string { return f.name }

// coefBits is the precision of the coefficients: 8 bits of a pixel, 2 of
// headroom and a sign stay free in 32.
const coefBits = 32 - 8 - 2

// taps are the coefficients of one axis: output i is the sum over k of
// coef[i*size+k] times input first[i]+k, k below count[i].
type taps struct {
	in, out, lo, hi int
	from, span      float64
	filter          *Filter
	size            int
	first, count    []int
	coef            []int32
	real            []float64
}

// set computes the coefficients of outputs lo to hi of an axis that goes from
// span of in pixels, from one on, to out. A kernel that shrinks is widened by the factor, so that
// every input counts (antialiasing); the weights of an output add up to 1.
func (t *taps) set(in int, from, span float64, out, lo, hi int, f *Filter) {
	if t.in == in && t.from == from && t.span == span && t.out == out && t.lo == lo && t.hi == hi && t.filter == f {
		return
	}
	t.in, t.from, t.span, t.out, t.lo, t.hi, t.filter = in, from, span, out, lo, hi, f
	scale := span / float64(out)
	wide := max(1, scale)
	support := f.support * wide
	t.size = int(math.Ceil(support))*2 + 1
	n := hi - lo
	t.first = slices.Grow(t.first[:0], n)[:n]
	t.count = slices.Grow(t.count[:0], n)[:n]
	t.coef = slices.Grow(t.coef[:0], n*t.size)[:n*t.size]
	t.real = slices.Grow(t.real[:0], t.size)[:t.size]
	for i := range n {
		center := from + (float64(lo+i)+0.5)*scale
		first := max(0, int(center-support+0.5))
		count := min(in, int(center+support+0.5)) - first
		sum := 0.0
		for k := range count {
			t.real[k] = f.at((float64(k+first) - center + 0.5) / wide)
			sum += t.real[k]
		}
		t.first[i], t.count[i] = first, count
		for k := range count {
			w := t.real[k]
			if sum != 0 {
				w /= sum
			}
			t.coef[i*t.size+k] = int32(math.Floor(w*(1<<coefBits) + 0.5))
			if w < 0 {
				t.coef[i*t.size+k] = int32(math.Ceil(w*(1<<coefBits) - 0.5))
			}
		}
	}
}

// Resizer resizes images with memory that it keeps.
type Resizer struct {
	rows, columns taps
	half          []byte // one plane, resized along its rows
	sums          []int32
}

// Resize fills dst, whose shape is set and whose channels are those of src,
// with a part of what box becomes at h x w pixels: the part that begins at row
// y and column x. Pixels outside the box have no influence. Like Pillow 13, along
// rows first, unless the image grows only along them, and rounded to 8 bits
// between the two passes.
func (r *Resizer) Resize(dst, src *Image, box Box, h, w, y, x int, f *Filter) {
	if h == box.H && w == box.W {
		Crop(dst, src, Box{box.Y + y, box.X + x, dst.H, dst.W})
		return
	}
	r.columns.set(box.W, 0, float64(box.W), w, x, x+dst.W, f)
	r.rows.set(box.H, 0, float64(box.H), h, y, y+dst.H, f)
	r.apply(dst, src, box, h, w, y, x)
}

// Shrink fills dst with a box of src in units of 1/parts of its pixels, which
// has more pixels than dst both ways. Pixels wholly outside the box have no
// influence.
func (r *Resizer) Shrink(dst, src *Image, fine Box, parts int, f *Filter) {
	up := func(n int) int { return (n + parts - 1) / parts }
	box := Box{Y: fine.Y / parts, X: fine.X / parts}
	box.H, box.W = up(fine.Y+fine.H)-box.Y, up(fine.X+fine.W)-box.X
	real := func(n int) float64 { return float64(n) / float64(parts) }
	r.columns.set(box.W, real(fine.X%parts), real(fine.W), dst.W, 0, dst.W, f)
	r.rows.set(box.H, real(fine.Y%parts), real(fine.H), dst.H, 0, dst.H, f)
	r.apply(dst, src, box, dst.H, dst.W, 0, 0)
}

// apply resizes by the coefficients that are set.
func (r *Resizer) apply(dst, src *Image, box Box, h, w, y, x int) {
	if h < box.H && w > box.W {
		r.acrossFirst(dst, src, box)
		return
	}
	r.sums = slices.Grow(r.sums[:0], dst.W)[:dst.W]
	top, bottom := box.H, 0
	for i, first := range r.rows.first {
		top, bottom = min(top, first), max(bottom, first+r.rows.count[i])
	}
	for k := range src.C {
		plane := src.Plane(k)
		half, stride := plane[box.Y*src.W+box.X+x:], src.W
		above := 0 // rows of the box that half leaves out
		if w != box.W {
			r.half = slices.Grow(r.half[:0], (bottom-top)*dst.W)[:(bottom-top)*dst.W]
			for row := top; row < bottom; row++ {
				r.columns.alongRow(r.half[(row-top)*dst.W:][:dst.W], plane[(box.Y+row)*src.W+box.X:][:box.W])
			}
			half, stride, above = r.half, dst.W, top
		}
		out := dst.Plane(k)
		for i := range dst.H {
			line := out[i*dst.W:][:dst.W]
			if h == box.H {
				copy(line, half[(y+i-above)*stride:])
				continue
			}
			r.acrossRows(line, half[(r.rows.first[i]-above)*stride:], stride, r.rows.coef[i*r.rows.size:][:r.rows.count[i]])
		}
	}
}

// acrossFirst shrinks the columns, then lets the rows grow.
func (r *Resizer) acrossFirst(dst, src *Image, box Box) {
	r.sums = slices.Grow(r.sums[:0], box.W)[:box.W]
	r.half = slices.Grow(r.half[:0], box.W)[:box.W]
	for k := range src.C {
		in, out := src.Plane(k)[box.Y*src.W+box.X:], dst.Plane(k)
		for i := range dst.H {
			r.acrossRows(r.half, in[r.rows.first[i]*src.W:], src.W, r.rows.coef[i*r.rows.size:][:r.rows.count[i]])
			r.columns.alongRow(out[i*dst.W:][:dst.W], r.half)
		}
	}
}

func (t *taps) alongRow(dst, src []byte) {
	for i := range dst {
		coef := t.coef[i*t.size:][:t.count[i]]
		in := src[t.first[i]:][:len(coef)]
		sum := int32(1 << (coefBits - 1))
		for k, c := range coef {
			sum += c * int32(in[k])
		}
		dst[i] = clip8(sum >> coefBits)
	}
}

func (r *Resizer) acrossRows(dst, src []byte, stride int, coef []int32) {
	sums := r.sums[:len(dst)]
	for i := range sums {
		sums[i] = 1 << (coefBits - 1)
	}
	for k, c := range coef {
		in := src[k*stride:][:len(sums)]
		for i := range sums {
			sums[i] += c * int32(in[i])
		}
	}
	for i, s := range sums {
		dst[i] = clip8(s >> coefBits)
	}
}

// Crop copies a box of src, which has the shape of dst.
func Crop(dst, src *Image, box Box) {
	for k := range dst.C {
		in, out := src.Plane(k), dst.Plane(k)
		for i := range dst.H {
			copy(out[i*dst.W:][:dst.W], in[(box.Y+i)*src.W+box.X:])
		}
	}
}
