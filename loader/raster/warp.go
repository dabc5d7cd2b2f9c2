package raster

import "math"

// Matrix takes a pixel of the result to where it comes from: (x, y) to
// (M[0]x + M[1]y + M[2], M[3]x + M[4]y + M[5]), of pixel centres.
type Matrix [6]float64

// Rotation turns by degrees against the clock around the middle of h x w pixels.
func Rotation(h, w int, degrees float64) Matrix {
	round := func(v float64) float64 { return math.Round(v*1e15) / 1e15 } // as Pillow's rotate
	sin, cos := math.Sincos(-math.Mod(degrees, 360) * math.Pi / 180)
	m := Matrix{round(cos), round(sin), 0, round(-sin), round(cos), 0}
	cx, cy := float64(w)/2, float64(h)/2
	m[2] = m[0]*-cx + m[1]*-cy + cx
	m[5] = m[3]*-cx + m[4]*-cy + cy
	return m
}

// Shear slants by the tangents x and y around the corner.
func Shear(x, y float64) Matrix {
	// The inverse of [1 -x; ...] as torchvision's _get_inverse_affine_matrix has
	// it for no angle: a = 1, b = -tan x, c = -tan y, d = tan y tan x + 1.
	sx, sy := math.Atan(x), math.Atan(y)
	a := math.Cos(-sy) / math.Cos(sy)
	b := -math.Cos(-sy) * math.Tan(sx) / math.Cos(sy)
	c := math.Sin(-sy) / math.Cos(sy)
	d := -math.Sin(-sy)*math.Tan(sx)/math.Cos(sy) + 1
	return Matrix{d, -b, 0, -c, a, 0}
}

// Affine turns by degrees, slants by the angles shearX and shearY in degrees and
// enlarges by scale, all around the middle of h x w pixels, and then moves by
// whole pixels: the inverse of T*C*RotateShearScale*C^-1 as torchvision's
// functional.affine defines it.
func Affine(h, w int, degrees float64, moveX, moveY int, scale, shearX, shearY float64) Matrix {
	rot, sx, sy := degrees*math.Pi/180, shearX*math.Pi/180, shearY*math.Pi/180
	a := math.Cos(rot-sy) / math.Cos(sy)
	b := -math.Cos(rot-sy)*math.Tan(sx)/math.Cos(sy) - math.Sin(rot)
	c := math.Sin(rot-sy) / math.Cos(sy)
	d := -math.Sin(rot-sy)*math.Tan(sx)/math.Cos(sy) + math.Cos(rot)
	m := Matrix{d / scale, -b / scale, 0, -c / scale, a / scale, 0}
	cx, cy := float64(w)*0.5, float64(h)*0.5
	m[2] = m[0]*(-cx-float64(moveX)) + m[1]*(-cy-float64(moveY)) + cx
	m[5] = m[3]*(-cx-float64(moveX)) + m[4]*(-cy-float64(moveY)) + cy
	return m
}

// Translation moves by whole pixels to the right and down.
func Translation(x, y int) Matrix {
	return Matrix{1, 0, -float64(x), 0, 1, -float64(y)}
}

// Warp moves each pixel by the nearest of m, black where there is none, in 16
// bits of fraction, as Pillow's transform with AFFINE and NEAREST.
func (img *Image) Warp(m Matrix, work []byte) []byte {
	work = append(work[:0], img.Pix...)
	fix := func(v float64) int64 { return int64(math.Floor(v*65536 + 0.5)) }
	dx, dy := [2]int64{fix(m[0]), fix(m[3])}, [2]int64{fix(m[1]), fix(m[4])}
	startX, startY := fix(m[2]+m[0]*0.5+m[1]*0.5), fix(m[5]+m[3]*0.5+m[4]*0.5)
	n := img.H * img.W
	for y := range img.H {
		at, down := startX, startY
		for x := range img.W {
			sx, sy := at>>16, down>>16
			to := y*img.W + x
			inside := sx >= 0 && sx < int64(img.W) && sy >= 0 && sy < int64(img.H)
			for k := range img.C {
				v := byte(0)
				if inside {
					v = work[k*n+int(sy)*img.W+int(sx)]
				}
				img.Pix[k*n+to] = v
			}
			at += dx[0]
			down += dx[1]
		}
		startX += dy[0]
		startY += dy[1]
	}
	return work
}

// WarpBilinear is Warp with the four pixels around each place weighed by their
// distance, as Pillow's transform with AFFINE and BILINEAR: what lies between the
// outermost centres and the edge takes the outermost pixels, and values are cut
// to bytes, not rounded.
func (img *Image) WarpBilinear(m Matrix, work []byte) []byte {
	work = append(work[:0], img.Pix...)
	n := img.H * img.W
	high, wide := float64(img.H), float64(img.W)
	for y := range img.H {
		for x := range img.W {
			to := y*img.W + x
			cx, cy := float64(x)+0.5, float64(y)+0.5
			sx := float64(m[0]*cx) + float64(m[1]*cy) + m[2]
			sy := float64(m[3]*cx) + float64(m[4]*cy) + m[5]
			if !(sx >= 0 && sx < wide && sy >= 0 && sy < high) {
				for k := range img.C {
					img.Pix[k*n+to] = 0
				}
				continue
			}
			sx, sy = sx-0.5, sy-0.5
			fx, fy := math.Floor(sx), math.Floor(sy)
			dx, dy := sx-fx, sy-fy
			x0, x1 := max(int(fx), 0), min(int(fx)+1, img.W-1)
			y0, y1 := max(int(fy), 0)*img.W, min(int(fy)+1, img.H-1)*img.W
			for k := range img.C {
				plane := work[k*n:][:n]
				upper := lerp(plane[y0+x0], plane[y0+x1], dx)
				lower := lerp(plane[y1+x0], plane[y1+x1], dx)
				img.Pix[k*n+to] = byte(upper + float64((lower-upper)*dy))
			}
		}
	}
	return work
}

func lerp(a, b byte, share float64) float64 {
	return float64(a) + float64((float64(b)-float64(a))*share)
}
