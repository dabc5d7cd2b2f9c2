package datasets

import (
	"image"
	"math"

	"golang.org/x/image/vector"

	"winnow/internal/random"
)

// colour is red, green, blue in 0..255; grey pictures use the first.
type colour [3]int32

func clamp255(v int32) int32 { return max(0, min(255, v)) }

// canvas is one picture in the making, and the buffers to draw with.
type canvas struct {
	side   int
	raster *vector.Rasterizer
	mask   *image.Alpha
	pixels []colour
}

func newCanvas(side int) *canvas {
	return &canvas{
		side:   side,
		raster: vector.NewRasterizer(side, side),
		mask:   image.NewAlpha(image.Rect(0, 0, side, side)),
		pixels: make([]colour, side*side),
	}
}

// background fills the canvas with a linear gradient around base.
func (c *canvas) background(r *random.Stream, base colour, hard float64) {
	span := r.Between(0, 20+60*hard)
	sin, cos := math.Sincos(r.Between(0, 2*math.Pi))
	// 16 fractional bits; the gradient is 0 in the middle.
	dx := int32(span * cos / float64(c.side) * 65536)
	dy := int32(span * sin / float64(c.side) * 65536)
	half := int32(c.side / 2)
	for y := range c.side {
		v := (int32(y)-half)*dy - half*dx
		for x := range c.side {
			d := v >> 16
			c.pixels[y*c.side+x] = colour{base[0] + d, base[1] + d, base[2] + d}
			v += dx
		}
	}
}

// mixed is a colour between a and b, up to the share most of the way.
func (c *canvas) mixed(r *random.Stream, a, b colour, most float64) (m colour) {
	t := int32(256 * most * r.Between(0.4, 1))
	for k := range m {
		m[k] = a[k] + (b[k]-a[k])*t/256
	}
	return m
}

// affine maps (x, y) to (xx*x + xy*y + x0, yx*x + yy*y + y0).
type affine struct{ xx, xy, x0, yx, yy, y0 float64 }

// pose draws the size, rotation and slant of a character centred on (x, y).
func (c *canvas) pose(r *random.Stream, x, y float64) affine {
	size := r.Between(glyphScaleLo, glyphScaleHi) * float64(c.side)
	wide := size * (1 + r.Between(-glyphAspect, glyphAspect))
	shear := r.Between(-glyphShear, glyphShear)
	sin, cos := math.Sincos(r.Between(-glyphRotation, glyphRotation))
	return affine{
		xx: cos * wide, xy: cos*shear*wide - sin*size, x0: x,
		yx: sin * wide, yy: sin*shear*wide + cos*size, y0: y,
	}
}

// fit shrinks and moves a pose as far as it must for the character to stay a
// pixel inside the canvas.
func (c *canvas) fit(o *outline, m affine) affine {
	var loX, hiX, loY, hiY float64
	for _, p := range o.points {
		px, py := float64(p[0]), float64(p[1])
		x, y := float64(m.xx*px)+float64(m.xy*py), float64(m.yx*px)+float64(m.yy*py)
		loX, hiX = min(loX, x), max(hiX, x)
		loY, hiY = min(loY, y), max(hiY, y)
	}
	room := float64(c.side - 2)
	k := min(1, room/(hiX-loX), room/(hiY-loY))
	m.xx, m.xy, m.yx, m.yy = k*m.xx, k*m.xy, k*m.yx, k*m.yy
	m.x0 = max(1-float64(k*loX), min(room+1-float64(k*hiX), m.x0))
	m.y0 = max(1-float64(k*loY), min(room+1-float64(k*hiY), m.y0))
	return m
}

// outline adds a character to the path.
func (c *canvas) outline(o *outline, m affine) {
	start := 0
	for _, end := range o.ends {
		for i, p := range o.points[start:end] {
			px, py := float64(p[0]), float64(p[1])
			// Conversions keep the products from being fused with the sums,
			// which would change the last bit from one processor to another.
			x := float32(float64(m.xx*px) + float64(m.xy*py) + m.x0)
			y := float32(float64(m.yx*px) + float64(m.yy*py) + m.y0)
			if i == 0 {
				c.raster.MoveTo(x, y)
			} else {
				c.raster.LineTo(x, y)
			}
		}
		c.raster.ClosePath()
		start = end
	}
}

// stroke adds a straight line of random place, direction and width.
func (c *canvas) stroke(r *random.Stream) {
	side := float64(c.side)
	x, y := r.Between(0, side), r.Between(0, side)
	sin, cos := math.Sincos(r.Between(0, 2*math.Pi))
	long, wide := side*r.Between(0.2, 0.6), r.Between(0.4, 1.2)
	point := func(a, b float64) (float32, float32) {
		return float32(x + float64(a*cos) - float64(b*sin)), float32(y + float64(a*sin) + float64(b*cos))
	}
	c.raster.MoveTo(point(-long/2, -wide/2))
	c.raster.LineTo(point(long/2, -wide/2))
	c.raster.LineTo(point(long/2, wide/2))
	c.raster.LineTo(point(-long/2, wide/2))
	c.raster.ClosePath()
}

// fill paints the path, and empties it.
func (c *canvas) fill(ink colour) {
	c.raster.DrawOp = drawSrc
	c.raster.Draw(c.mask, c.mask.Rect, image.Opaque, image.Point{})
	c.raster.Reset(c.side, c.side)
	for i, a := range c.mask.Pix {
		if a == 0 {
			continue
		}
		p, t := &c.pixels[i], int32(a)+int32(a>>7) // 0..256
		for k := range p {
			p[k] += (ink[k] - p[k]) * t >> 8
		}
	}
}

// export adds noise and writes the picture as uint8 CHW.
func (c *canvas) export(r *random.Stream, dst []byte, channels int, hard float64) {
	// The sum of two bytes less their mean: triangular, deviation 104.
	amount := int32(r.Between(4, 12+28*hard) * 256 / 104)
	n := c.side * c.side
	for k := range channels {
		plane := dst[k*n:][:n]
		for i := 0; i < n; i += 4 { // the side is even
			x := r.Next()
			for j := range 4 {
				noise := int32(x&0xff) + int32(x>>8&0xff) - 255
				plane[i+j] = byte(clamp255(c.pixels[i+j][k] + noise*amount>>8))
				x >>= 16
			}
		}
	}
}
