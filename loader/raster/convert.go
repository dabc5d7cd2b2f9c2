package raster

import (
	"image"
	"image/color"
)

// convert writes a decoded image into planes. studio says that YCbCr is of
// WebP, with luma in 16..235; white that what is transparent lets white through.
func convert(dst *Image, m image.Image, channels int, studio, white bool) {
	b := m.Bounds()
	h, w := b.Dy(), b.Dx()
	if isGrey(m) {
		dst.Reset(channels, h, w)
		greyPlane(dst.Plane(0), m, h, w)
		for k := 1; k < channels; k++ {
			copy(dst.Plane(k), dst.Plane(0))
		}
		return
	}
	dst.Reset(3, h, w)
	switch m := m.(type) {
	case *image.YCbCr:
		convertYCbCr(dst, m, studio)
	case *image.NYCbCrA:
		convertYCbCr(dst, &m.YCbCr, studio)
	case *image.RGBA:
		interleaved(dst, m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 4, 1)
	case *image.NRGBA:
		interleaved(dst, m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 4, 1)
	case *image.RGBA64:
		interleaved(dst, m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 8, 2)
	case *image.NRGBA64:
		interleaved(dst, m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, 8, 2)
	case *image.Paletted:
		paletted(dst, m)
	case *image.CMYK:
		cmyk(dst, m)
	default:
		anyImage(dst, m)
	}
	if white {
		overWhite(dst, m)
	}
	if channels == 1 {
		dst.grey()
	}
}

func isGrey(m image.Image) bool {
	switch m.(type) {
	case *image.Gray, *image.Gray16:
		return true
	}
	return false
}

func greyPlane(plane []byte, m image.Image, h, w int) {
	switch m := m.(type) {
	case *image.Gray:
		for y := range h {
			copy(plane[y*w:][:w], m.Pix[y*m.Stride:])
		}
	case *image.Gray16:
		for y := range h {
			line, in := plane[y*w:][:w], m.Pix[y*m.Stride:]
			for x := range line {
				line[x] = in[2*x]
			}
		}
	}
}

// interleaved takes the first byte of each of red, green and blue, which are
// channel bytes apart in pixels of size bytes.
func interleaved(dst *Image, pix []byte, stride, size, channel int) {
	r, g, b := dst.Plane(0), dst.Plane(1), dst.Plane(2)
	for y := range dst.H {
		in := pix[y*stride:]
		o := y * dst.W
		for x := range dst.W {
			p := in[x*size : x*size+2*channel+1]
			r[o+x], g[o+x], b[o+x] = p[0], p[channel], p[2*channel]
		}
	}
}

func paletted(dst *Image, m *image.Paletted) {
	var table [256][3]byte
	for i, c := range m.Palette {
		if i > 255 {
			break
		}
		switch c := c.(type) { // the colour of an entry without its transparency
		case color.NRGBA:
			table[i] = [3]byte{c.R, c.G, c.B}
		case color.RGBA:
			table[i] = [3]byte{c.R, c.G, c.B}
		default:
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			table[i] = [3]byte{n.R, n.G, n.B}
		}
	}
	r, g, b := dst.Plane(0), dst.Plane(1), dst.Plane(2)
	for y := range dst.H {
		in := m.Pix[y*m.Stride:][:dst.W]
		o := y * dst.W
		for x, i := range in {
			c := &table[i]
			r[o+x], g[o+x], b[o+x] = c[0], c[1], c[2]
		}
	}
}

// cmyk multiplies each ink's rest by that of black, in 8 bits and rounded, as
// Pillow does.
func cmyk(dst *Image, m *image.CMYK) {
	planes := [3][]byte{dst.Plane(0), dst.Plane(1), dst.Plane(2)}
	for y := range dst.H {
		in := m.Pix[y*m.Stride:]
		for x := range dst.W {
			p := in[4*x:][:4]
			light := 255 - int32(p[3])
			for k, plane := range planes {
				t := int32(p[k])*light + 128
				plane[y*dst.W+x] = clip8(light - (t>>8+t)>>8)
			}
		}
	}
}

func anyImage(dst *Image, m image.Image) {
	r, g, b := dst.Plane(0), dst.Plane(1), dst.Plane(2)
	at := m.Bounds().Min
	for y := range dst.H {
		for x := range dst.W {
			c := color.NRGBAModel.Convert(m.At(at.X+x, at.Y+y)).(color.NRGBA)
			i := y*dst.W + x
			r[i], g[i], b[i] = c.R, c.G, c.B
		}
	}
}
