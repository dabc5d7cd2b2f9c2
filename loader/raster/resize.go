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
	first, count    []int32
	coef            []int32
	real            []float64
	sums            []int32
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
		t.first[i], t.count[i] = int32(first), int32(count)
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
	half          []byte // resized along one axis
	packed        Image  // pixels that came in planes
}

// Resize fills dst, which is in planes, whose shape is set and whose channels are
// those of src, with a part of what box becomes at h x w pixels: the part that
// begins at row y and column x. Pixels outside the box have no influence. Like
// Pillow 13, along rows first, unless the height loses more than twice the pixels
// that the width does, and rounded to 8 bits between the two passes.
func (r *Resizer) Resize(dst, src *Image, box Box, h, w, y, x int, f *Filter) {
	if h == box.H && w == box.W {
		Crop(dst, src, Box{box.Y + y, box.X + x, dst.H, dst.W})
		return
	}
	r.columns.set(box.W, 0, float64(box.W), w, x, x+dst.W, f)
	r.rows.set(box.H, 0, float64(box.H), h, y, y+dst.H, f)
	r.apply(dst, src, box, h < box.H && box.H-h > 2*(box.W-w))
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
	r.apply(dst, src, box, false)
}

// apply resizes by the coefficients that are set. Where a side keeps its length,
// they are 1 at one pixel and 0 at the others, which changes nothing.
func (r *Resizer) apply(dst, src *Image, box Box, rowsFirst bool) {
	if wide && src.C == 3 && !src.Packed { // which is faster than resizing planes
		src, box = r.pack(src, box), Box{H: box.H, W: box.W}
	}
	step, planes, plane := 1, src.C, src.H*src.W // from a pixel to the next, and from a part of Pix to the next
	if src.Packed {
		step, planes = src.C, 1
	}
	stride, out := src.W*step, dst.H*dst.W
	for k := range planes {
		from, to := src.Pix[k*plane+box.Y*stride+box.X*step:], dst.Pix[k*out:]
		if rowsFirst {
			width := box.W * step
			half := r.room(dst.H * width)
			r.rows.across(half, from, stride, width, 0)
			r.columns.along(to, out, half, width, dst.H, step)
			continue
		}
		top, bottom := r.rows.reach()
		n := (bottom - top) * dst.W
		half := r.room(n * step)
		r.columns.along(half, n, from[top*stride:], stride, bottom-top, step)
		for c := range step {
			r.rows.across(to[c*out:][:out], half[c*n:][:n], dst.W, dst.W, top)
		}
	}
}

// pack is a box of an image of three planes, pixel after pixel.
func (r *Resizer) pack(src *Image, box Box) *Image {
	p := &r.packed
	p.Reset(3, box.H, box.W)
	p.Packed = true
	for y := range box.H {
		at := (box.Y+y)*src.W + box.X
		red, green, blue := src.Plane(0)[at:][:box.W], src.Plane(1)[at:][:box.W], src.Plane(2)[at:][:box.W]
		out := p.Pix[3*y*box.W:][:3*box.W]
		for x, v := range red {
			pixel := out[3*x:][:3]
			pixel[0], pixel[1], pixel[2] = v, green[x], blue[x]
		}
	}
	return p
}

// slack is bytes behind pixels that may be read, though not used.
const slack = 1

// room is n bytes that one pass leaves to the next.
func (r *Resizer) room(n int) []byte {
	r.half = slices.Grow(r.half[:0], n+slack)[:n]
	return r.half
}

// reach is the inputs that outputs need, from one to before another.
func (t *taps) reach() (lo, hi int) {
	lo = t.in
	for i, first := range t.first {
		lo, hi = min(lo, int(first)), max(hi, int(first+t.count[i]))
	}
	return lo, hi
}

// along resizes rows along themselves. src has step channels, pixel after pixel,
// and stride bytes from a row to the next, dst a plane of each channel.
func (t *taps) along(dst []byte, plane int, src []byte, stride, rows, step int) {
	if step == 3 && cap(src) >= (rows-1)*stride+step*t.in+slack && t.alongWide(dst, plane, src, stride, rows) {
		return
	}
	n := len(t.first)
	for y := range rows {
		for c := range step {
			t.alongRow(dst[c*plane+y*n:][:n], src[y*stride+c:], step)
		}
	}
}

func (t *taps) alongRow(dst, src []byte, step int) {
	for i := range dst {
		coef := t.coef[i*t.size:][:t.count[i]]
		in := src[int(t.first[i])*step:]
		sum := int32(1 << (coefBits - 1))
		if step == 1 {
			for k, c := range coef {
				sum += c * int32(in[:len(coef)][k])
			}
		} else {
			for k, c := range coef {
				sum += c * int32(in[k*step])
			}
		}
		dst[i] = clip8(sum >> coefBits)
	}
}

// across resizes columns: it makes rows of so many bytes from those of src,
// which begins at input skip and has stride bytes from a row to the next.
func (t *taps) across(dst, src []byte, stride, width, skip int) {
	if t.acrossWide(dst, src, stride, width, skip) {
		return
	}
	t.sums = slices.Grow(t.sums[:0], width)[:width]
	for i, first := range t.first {
		t.acrossRow(dst[i*width:][:width], src[(int(first)-skip)*stride:], stride, t.coef[i*t.size:][:t.count[i]])
	}
}

func (t *taps) acrossRow(dst, src []byte, stride int, coef []int32) {
	sums := t.sums[:len(dst)]
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

// Crop copies a box of src to planes, of dst, whose shape it has.
func Crop(dst, src *Image, box Box) {
	step, plane := 1, src.H*src.W
	if src.Packed {
		step, plane = src.C, 1
	}
	for k := range dst.C {
		in, out := src.Pix[k*plane:], dst.Plane(k)
		for i := range dst.H {
			line, from := out[i*dst.W:][:dst.W], in[((box.Y+i)*src.W+box.X)*step:]
			if step == 1 {
				copy(line, from)
				continue
			}
			for j := range line {
				line[j] = from[j*step]
			}
		}
	}
}
