package raster

import "math"

// Blurrer blurs images; its memory grows to the largest. The zero value is ready.
type Blurrer struct {
	weights []float32 // from the middle out
	rows    []float32 // a plane after its horizontal pass
	line    []float32 // a row with what is reflected at both ends
	sums    []float32
}

// reach is how many sigma from the middle weights are kept: what lies beyond is
// less than 2e-9 of the whole.
const reach = 6

// Blur weighs the size x size pixels around each by a Gaussian of sigma, mirrored
// at the edges without repeating them, as torchvision's GaussianBlur. size is odd
// and no more than twice the shorter side less one. It works in float32.
func (b *Blurrer) Blur(m *Image, size int, sigma float64) {
	b.weigh(size, sigma)
	radius := len(b.weights) - 1
	b.rows, b.line, b.sums = grown(b.rows, m.H*m.W), grown(b.line, m.W+2*radius), grown(b.sums, m.W)
	for k := range m.C {
		plane := m.Plane(k)
		for y := range m.H {
			b.across(plane[y*m.W:][:m.W], b.rows[y*m.W:][:m.W], radius)
		}
		for y := range m.H {
			b.down(plane[y*m.W:][:m.W], y, m.H, m.W)
		}
	}
}

// weigh fills the weights, which sum to 1 over both sides.
func (b *Blurrer) weigh(size int, sigma float64) {
	half := size / 2
	b.weights = grown(b.weights, 1+min(half, int(math.Ceil(reach*sigma))))
	sum := 0.0
	for i := -half; i <= half; i++ {
		sum += math.Exp(-float64(i*i) / (2 * sigma * sigma))
	}
	for i := range b.weights {
		b.weights[i] = float32(math.Exp(-float64(i*i)/(2*sigma*sigma)) / sum)
	}
}

// across sums along a row.
func (b *Blurrer) across(row []byte, out []float32, radius int) {
	w := len(row)
	for x, v := range row {
		b.line[radius+x] = float32(v)
	}
	for i := 1; i <= radius; i++ {
		b.line[radius-i], b.line[radius+w-1+i] = float32(row[i]), float32(row[w-1-i])
	}
	for x := range out {
		out[x] = b.weights[0] * b.line[radius+x]
	}
	for i := 1; i <= radius; i++ {
		weight, left, right := b.weights[i], b.line[radius-i:][:w], b.line[radius+i:][:w]
		for x := range out {
			out[x] += weight * (left[x] + right[x])
		}
	}
}

// down sums along the columns, for one row of the result.
func (b *Blurrer) down(row []byte, y, h, w int) {
	sums := b.sums
	for x, v := range b.rows[y*w:][:w] {
		sums[x] = b.weights[0] * v
	}
	for i := 1; i < len(b.weights); i++ {
		weight := b.weights[i]
		above, below := b.rows[mirrored(y-i, h)*w:][:w], b.rows[mirrored(y+i, h)*w:][:w]
		for x := range sums {
			sums[x] += weight * (above[x] + below[x])
		}
	}
	for x, v := range sums {
		row[x] = clip8(int32(math.RoundToEven(float64(v))))
	}
}

// mirrored is where place i of n lies when both ends are mirrors; -n < i < 2n-1.
func mirrored(i, n int) int {
	if i < 0 {
		return -i
	}
	return min(i, 2*(n-1)-i)
}

func grown(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
