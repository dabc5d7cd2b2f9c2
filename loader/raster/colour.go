package raster

import "math"

// blend goes from a to b by factor, past b where it is over 1, in float32 and cut
// to bytes, as Pillow's Image.blend. It writes to b.
func blend(a, b []byte, factor float32) {
	for i, y := range b {
		b[i] = blended(a[i], y, factor)
	}
}

func blended(x, y byte, factor float32) byte {
	v := float32(x) + float32(factor*float32(int32(y)-int32(x)))
	switch {
	case v <= 0:
		return 0
	case v >= 255:
		return 255
	}
	return byte(v)
}

// Brightness scales the pixels by factor; 1 changes nothing.
func (m *Image) Brightness(factor float32) {
	m.apply(func(v byte) byte { return blended(0, v, factor) })
}

// Contrast moves the pixels from the mean luma by factor.
func (m *Image) Contrast(factor float32) {
	sum := 0
	n := m.H * m.W
	for i := range n {
		sum += int(m.lumaAt(i))
	}
	mean := byte(float64(sum)/float64(n) + 0.5)
	m.apply(func(v byte) byte { return blended(mean, v, factor) })
}

func (m *Image) lumaAt(i int) byte {
	if m.C < 3 {
		return m.Pix[i]
	}
	n := m.H * m.W
	return luma(m.Pix[i], m.Pix[n+i], m.Pix[2*n+i])
}

// Saturation moves the colours from their luma by factor; grey stays.
func (m *Image) Saturation(factor float32) {
	if m.C < 3 {
		return
	}
	n := m.H * m.W
	for i := range n {
		grey := m.lumaAt(i)
		for k := range 3 {
			m.Pix[k*n+i] = blended(grey, m.Pix[k*n+i], factor)
		}
	}
}

// Grey puts the luma into all channels.
func (m *Image) Grey() {
	if m.C < 3 {
		return
	}
	n := m.H * m.W
	r, g, b := m.Plane(0), m.Plane(1), m.Plane(2)
	for i := range n {
		grey := luma(r[i], g[i], b[i])
		r[i], g[i], b[i] = grey, grey, grey
	}
}

// Sharpness moves the pixels from their smoothed values by factor: a mean of 3x3
// with weight 5 in the middle, edges left alone (Pillow's SMOOTH).
func (m *Image) Sharpness(factor float32, work []byte) []byte {
	work = append(work[:0], m.Pix...)
	side, middle := float32(1.0)/13, float32(5.0)/13
	for k := range m.C {
		in, out := m.Plane(k), work[k*m.H*m.W:][:m.H*m.W]
		for y := 1; y < m.H-1; y++ {
			above, row, below := in[(y-1)*m.W:][:m.W], in[y*m.W:][:m.W], in[(y+1)*m.W:][:m.W]
			for x := 1; x < m.W-1; x++ {
				v := float32(0.5)
				v += float32(below[x-1])*side + float32(below[x])*side + float32(below[x+1])*side
				v += float32(row[x-1])*side + float32(row[x])*middle + float32(row[x+1])*side
				v += float32(above[x-1])*side + float32(above[x])*side + float32(above[x+1])*side
				out[y*m.W+x] = byte(min(max(v, 0), 255))
			}
		}
	}
	blend(work, m.Pix, factor)
	return work
}

// Hue turns the colours by a share of the circle, -0.5 to 0.5, in Pillow's HSV of
// bytes; grey stays.
func (m *Image) Hue(shift float64) {
	if m.C < 3 {
		return
	}
	turn := byte(int64(shift * 255))
	r, g, b := m.Plane(0), m.Plane(1), m.Plane(2)
	for i := range r {
		h, s, v := toHSV(r[i], g[i], b[i])
		r[i], g[i], b[i] = fromHSV(h+turn, s, v)
	}
}

func toHSV(r, g, b byte) (h, s, v byte) {
	most, least := max(r, g, b), min(r, g, b)
	if most == least {
		return 0, 0, most
	}
	span := float32(most - least)
	rc, gc, bc := float32(most-r)/span, float32(most-g)/span, float32(most-b)/span
	var hue float32
	switch most {
	case r:
		hue = bc - gc
	case g:
		hue = float32(2.0 + float64(rc) - float64(bc))
	default:
		hue = float32(4.0 + float64(gc) - float64(rc))
	}
	hue = float32(math.Mod(float64(hue)/6+1, 1))
	return clip8(int32(float64(hue) * 255)), clip8(int32(float64(span/float32(most)) * 255)), most
}

func fromHSV(h, s, v byte) (r, g, b byte) {
	if s == 0 {
		return v, v, v
	}
	sector := math.Floor(float64(h) * 6 / 255)
	f := float64(float32(float64(h)*6/255 - sector))
	fs := float64(float32(s) / 255)
	part := func(x float64) byte { return clip8(int32(math.Round(x))) }
	p, q, t := part(float64(v)*(1-fs)), part(float64(v)*(1-fs*f)), part(float64(v)*(1-fs*(1-f)))
	switch int(sector) % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	}
	return v, p, q
}

// apply maps every byte through f.
func (m *Image) apply(f func(byte) byte) {
	var table [256]byte
	for i := range table {
		table[i] = f(byte(i))
	}
	for i, v := range m.Pix {
		m.Pix[i] = table[v]
	}
}

// Invert takes every byte from 255.
func (m *Image) Invert() { m.apply(func(v byte) byte { return 255 - v }) }

// Posterize keeps the upper bits of every byte.
func (m *Image) Posterize(bits int) {
	mask := byte(0xff << (8 - bits))
	m.apply(func(v byte) byte { return v & mask })
}

// Solarize inverts the bytes from threshold on.
func (m *Image) Solarize(threshold float64) {
	m.apply(func(v byte) byte {
		if float64(v) < threshold {
			return v
		}
		return 255 - v
	})
}

// AutoContrast stretches each channel to 0..255.
func (m *Image) AutoContrast() {
	for k := range m.C {
		plane := Image{C: 1, H: m.H, W: m.W, Pix: m.Plane(k)}
		lo, hi := byte(255), byte(0)
		for _, v := range plane.Pix {
			lo, hi = min(lo, v), max(hi, v)
		}
		if hi <= lo {
			continue
		}
		scale := 255 / float64(hi-lo)
		offset := -float64(lo) * scale
		plane.apply(func(v byte) byte { return clip8(int32(float64(float64(v)*scale) + offset)) })
	}
}

// Equalize makes each channel's histogram as even as it can be.
func (m *Image) Equalize() {
	for k := range m.C {
		plane := Image{C: 1, H: m.H, W: m.W, Pix: m.Plane(k)}
		var counts [256]int
		for _, v := range plane.Pix {
			counts[v]++
		}
		kinds, last := 0, 0
		for _, n := range counts {
			if n > 0 {
				kinds++
				last = n
			}
		}
		step := (len(plane.Pix) - last) / 255
		if kinds <= 1 || step == 0 {
			continue
		}
		var table [256]byte
		n := step / 2
		for i, c := range counts {
			table[i] = clip8(int32(n / step))
			n += c
		}
		plane.apply(func(v byte) byte { return table[v] })
	}
}

// Erase fills a box of each channel with its byte of fill.
func (m *Image) Erase(box Box, fill []byte) {
	for k := range m.C {
		plane := m.Plane(k)
		for y := box.Y; y < box.Y+box.H; y++ {
			row := plane[y*m.W+box.X:][:box.W]
			for x := range row {
				row[x] = fill[min(k, len(fill)-1)]
			}
		}
	}
}
