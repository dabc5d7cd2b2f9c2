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
