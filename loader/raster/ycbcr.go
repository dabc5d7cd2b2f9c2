package raster

import "image"

// convertYCbCr writes red, green and blue. Chroma that was halved is brought
// back by the triangle filter of libjpeg ("fancy upsampling", jdsample.c) or of
// libwebp, whose rounding differs; other factors repeat it.
func convertYCbCr(dst *Image, m *image.YCbCr, studio bool) {
	h, w := dst.H, dst.W
	ch, cw := (h+1)/2, (w+1)/2
	wide, high := true, true
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
	case image.YCbCrSubsampleRatio422:
		high, ch = false, h
	case image.YCbCrSubsampleRatio440:
		wide, cw = false, w
	default:
		wide, high = false, false
	}
	red, blue := dst.Plane(0), dst.Plane(2)
	line := make([]int32, cw)
	for y := range h {
		luma := m.Y[y*m.YStride:][:w]
		cr, cb := red[y*w:][:w], blue[y*w:][:w] // chroma of the row, until the colours take its place
		switch {
		case studio && wide && high:
			fancyWebP(cb, m.Cb, m.CStride, y, ch, cw)
			fancyWebP(cr, m.Cr, m.CStride, y, ch, cw)
		case wide || high:
			fancyJPEG(cb, m.Cb, m.CStride, y, ch, cw, wide, high, line)
			fancyJPEG(cr, m.Cr, m.CStride, y, ch, cw, wide, high, line)
		case m.SubsampleRatio == image.YCbCrSubsampleRatio444:
			copy(cb, m.Cb[y*m.CStride:])
			copy(cr, m.Cr[y*m.CStride:])
		default:
			for x := range w {
				o := m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)
				cb[x], cr[x] = m.Cb[o], m.Cr[o]
			}
		}
		if studio {
			studioToRGB(luma, cr, dst.Plane(1)[y*w:][:w], cb)
		} else {
			toRGB(luma, cr, dst.Plane(1)[y*w:][:w], cb)
		}
	}
}

// toRGB is JFIF's conversion in 16 bits, as libjpeg rounds it; r holds Cr and b
// Cb before.
func toRGB(luma, r, g, b []byte) {
	g, r, b = g[:len(luma)], r[:len(luma)], b[:len(luma)]
	for x, l := range luma {
		y, cb, cr := int32(l), int32(b[x])-128, int32(r[x])-128
		r[x] = clip8(y + (91881*cr+32768)>>16)
		g[x] = clip8(y + (-22554*cb-46802*cr+32768)>>16)
		b[x] = clip8(y + (116130*cb+32768)>>16)
	}
}

// studioToRGB is the conversion of BT.601 with luma in 16..235, in 14 bits, as
// libwebp has it (dsp/yuv.h).
func studioToRGB(luma, r, g, b []byte) {
	for x, l := range luma {
		y := int32(l) * 19077 >> 8
		u, v := int32(b[x]), int32(r[x])
		r[x] = clip8((y + (v * 26149 >> 8) - 14234) >> 6)
		g[x] = clip8((y - (u * 6419 >> 8) - (v * 13320 >> 8) + 8708) >> 6)
		b[x] = clip8((y + (u * 33050 >> 8) - 17685) >> 6)
	}
}

// fancyJPEG fills a row of chroma. Halved rows are a mean of the two nearest
// with weights 3 and 1, halved columns likewise.
func fancyJPEG(dst, plane []byte, stride, y, ch, cw int, wide, high bool, line []int32) {
	near := y
	var bias int32 // of rows alone: 1 above, 2 below
	far := y
	if high {
		near = y / 2
		if bias, far = 1, near-1; y%2 == 1 {
			bias, far = 2, near+1
		}
		far = max(0, min(ch-1, far))
	}
	a, b := plane[near*stride:][:cw], plane[far*stride:][:cw]
	switch {
	case !wide:
		for x := range dst {
			dst[x] = byte((3*int32(a[x]) + int32(b[x]) + bias) >> 2)
		}
		return
	case cw <= 2: // libjpeg repeats chroma of so narrow images
		for x := range dst {
			dst[x] = a[x/2]
		}
		return
	case high:
		for x := range a {
			line[x] = 3*int32(a[x]) + int32(b[x])
		}
		acrossColumns(dst, line, 4, 8, 7)
	default:
		for x := range a {
			line[x] = int32(a[x])
		}
		acrossColumns(dst, line, 2, 1, 2)
	}
}

// acrossColumns doubles a row whose sums are shifted right by shift: the ends
// are repeated, between them weights are 3 and 1, rounded by left and right.
func acrossColumns(dst []byte, in []int32, shift uint, left, right int32) {
	last := len(in) - 1
	for x := range dst {
		i := x / 2
		v := in[i]
		switch {
		case x == 0:
			if shift == 2 { // one row: as it is
				dst[x] = byte(v)
			} else {
				dst[x] = byte((4*v + left) >> shift)
			}
		case x%2 == 0:
			dst[x] = byte((3*v + in[i-1] + left) >> shift)
		case i == last:
			if shift == 2 {
				dst[x] = byte(v)
			} else {
				dst[x] = byte((4*v + right) >> shift)
			}
		default:
			dst[x] = byte((3*v + in[i+1] + right) >> shift)
		}
	}
}

// fancyWebP fills a row of chroma by libwebp's upsampler (dsp/upsampling.c):
// the mean of the four nearest with weights 9, 3, 3 and 1, in two roundings.
func fancyWebP(dst, plane []byte, stride, y, ch, cw int) {
	near := y / 2
	far := near - 1
	if y%2 == 1 {
		far = near + 1
	}
	far = max(0, min(ch-1, far))
	a, b := plane[near*stride:][:cw], plane[far*stride:][:cw]
	for x := range dst {
		i := x / 2
		j := i - 1
		if x%2 == 1 {
			j = i + 1
		}
		if j < 0 || j >= cw {
			dst[x] = byte((3*int32(a[i]) + int32(b[i]) + 2) >> 2)
			continue
		}
		// p is the nearest sample, q and r its neighbours, s the one across.
		p, q, r, s := int32(a[i]), int32(a[j]), int32(b[i]), int32(b[j])
		mean := p + q + r + s + 8
		dst[x] = byte(((mean+2*(q+r))>>3 + p) >> 1)
	}
}
