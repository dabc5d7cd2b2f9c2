package raster

import (
	"image"
	"image/color"
	"slices"
)

// Turn makes an image of an EXIF orientation upright; others than 2 to 8 leave
// it as it is. Planes and packed pixels are both taken.
func (m *Image) Turn(orientation int) {
	if orientation < 2 || orientation > 8 {
		return
	}
	// The pixel at (y, x) is the stored one at start + y*down + x*right.
	h, w := m.H, m.W
	if orientation >= transposed {
		h, w = w, h
	}
	last, end := m.W-1, (m.H-1)*m.W
	var start, down, right int
	switch orientation {
	case 2: // mirrored
		start, down, right = last, m.W, -1
	case 3: // upside down
		start, down, right = end+last, -m.W, -1
	case 4: // upside down and mirrored
		start, down, right = end, -m.W, 1
	case 5: // transposed
		start, down, right = 0, 1, m.W
	case 6: // to be turned clockwise
		start, down, right = end, 1, -m.W
	case 7: // transposed along the other diagonal
		start, down, right = end+last, -1, -m.W
	case 8: // to be turned counterclockwise
		start, down, right = last, -1, m.W
	}
	size, planes := 1, m.C
	if m.Packed {
		size, planes = m.C, 1
	}
	out := slices.Grow(m.spare[:0], len(m.Pix)+slack)[:len(m.Pix)]
	n := h * w * size
	for k := range planes {
		from, to := m.Pix[k*n:][:n], out[k*n:][:n]
		for y := range h {
			at := start + y*down
			for x := range w {
				for j := range size {
					to[(y*w+x)*size+j] = from[at*size+j]
				}
				at += right
			}
		}
	}
	m.H, m.W = h, w
	m.Pix, m.spare = out, m.Pix[:0]
}

// overWhite lays a decoded image, whose colours dst has, over white, as Pillow's
// Image.alpha_composite does, in 8 bits and rounded.
func overWhite(dst *Image, m image.Image) {
	alpha := alphaOf(m)
	if alpha == nil {
		return
	}
	_, premultiplied := m.(*image.RGBA)
	if _, wide := m.(*image.RGBA64); wide {
		premultiplied = true
	}
	planes := [3][]byte{dst.Plane(0), dst.Plane(1), dst.Plane(2)}
	for y := range dst.H {
		for x := range dst.W {
			a, i := uint32(alpha(x, y)), y*dst.W+x
			for _, plane := range planes {
				if premultiplied {
					plane[i] = byte(min(255, uint32(plane[i])+255-a))
					continue
				}
				t := uint32(plane[i])*a + 255*(255-a) + 128
				plane[i] = byte((t>>8 + t) >> 8)
			}
		}
	}
}

// alphaOf reads the opacity of a pixel, from the image's corner; nil where all
// are opaque.
func alphaOf(m image.Image) func(x, y int) byte {
	at := m.Bounds().Min
	switch m := m.(type) {
	case *image.NRGBA:
		return func(x, y int) byte { return m.Pix[m.PixOffset(at.X+x, at.Y+y)+3] }
	case *image.RGBA:
		return func(x, y int) byte { return m.Pix[m.PixOffset(at.X+x, at.Y+y)+3] }
	case *image.NRGBA64:
		return func(x, y int) byte { return m.Pix[m.PixOffset(at.X+x, at.Y+y)+6] }
	case *image.RGBA64:
		return func(x, y int) byte { return m.Pix[m.PixOffset(at.X+x, at.Y+y)+6] }
	case *image.NYCbCrA:
		return func(x, y int) byte { return m.A[m.AOffset(at.X+x, at.Y+y)] }
	case *image.Paletted:
		var table [256]byte
		for i, c := range m.Palette[:min(len(m.Palette), len(table))] {
			_, _, _, a := c.RGBA()
			table[i] = byte(a >> 8)
		}
		return func(x, y int) byte { return table[m.Pix[m.PixOffset(at.X+x, at.Y+y)]] }
	case interface{ Opaque() bool }:
		if m.Opaque() {
			return nil
		}
	}
	return func(x, y int) byte { return color.NRGBAModel.Convert(m.At(at.X+x, at.Y+y)).(color.NRGBA).A }
}
