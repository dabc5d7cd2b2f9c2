package export

import (
	"math"

	"winnow/internal/elements"
	"winnow/onnx"
)

// What nobody trains can be told by its numbers where a formula made them:
// training and random first weights leave none of these patterns.

// longAxes counts the axes of more than one element.
func longAxes(dims []int64) (n int) {
	for _, d := range dims {
		if d > 1 {
			n++
		}
	}
	return n
}

// equalElements is whether all elements, more than one, are the same number.
func equalElements(t *onnx.Tensor) bool {
	const size = 4 // of a float32
	for i := range t.Data {
		if t.Data[i] != t.Data[i%size] {
			return false
		}
	}
	return len(t.Data) > size
}

// patternOf names the formula behind a tensor's numbers, "" if none is known.
func patternOf(t *onnx.Tensor) string {
	v := t.Float32s()
	switch {
	case len(v) < 2 || equalElements(t):
		return ""
	case isMask(v):
		return "mask"
	case isSteps(v):
		return "evenly spaced numbers"
	case isWaves(v, t.Dims):
		return "sines and cosines"
	case isGrid(v, t.Dims):
		return "grid of coordinates"
	}
	return ""
}

// isMask is whether numbers hide elements of something: all 0 or 1, or 0 and
// one far below 0, or some minus infinity or nearly so.
func isMask(v []float32) bool {
	const hidden, nearlyInfinite = -10, -1e4
	zeros, ones, other, low := 0, 0, 0, float32(0)
	for _, x := range v {
		switch {
		case x <= nearlyInfinite:
			return true
		case x == 0:
			zeros++
		case x == 1:
			ones++
		case x <= hidden && (low == 0 || x == low):
			low = x
		default:
			other++
		}
	}
	return other == 0 && zeros > 0 && (ones > 0) != (low < 0)
}

// isSteps is whether four or more numbers are evenly spaced, or each is the
// same multiple of the one before.
func isSteps(v []float32) bool {
	const least, tolerance = 4, 1e-4
	if len(v) < least {
		return false
	}
	step, ratio := float64(v[1])-float64(v[0]), float64(v[1])/float64(v[0])
	even, geometric := step != 0, v[0] != 0 && ratio > 0 && ratio != 1
	size := math.Max(math.Abs(float64(v[0])), math.Abs(float64(v[len(v)-1])))
	for i := 2; i < len(v) && (even || geometric); i++ {
		a, b := float64(v[i-1]), float64(v[i])
		even = even && math.Abs(b-a-step) <= tolerance*size
		geometric = geometric && math.Abs(b-a*ratio) <= 10*tolerance*math.Abs(b)
	}
	return even && math.Abs(step) > 10*tolerance*size || geometric
}

// waveTolerance is how far the squares of a sine and a cosine, in float16 at worst, may be from 1.
const waveTolerance = 4e-3

// isWaves is whether the elements along the last axis, or the second, pair up
// as sines and cosines: neighbours, halves, or halves of halves, as position
// tables of one and of two dimensions have them. Rows of zeros, of tokens that
// have no position, may be among them.
func isWaves(v []float32, dims []int64) bool {
	for _, axis := range []int{len(dims) - 1, 1} {
		if axis < 0 || axis >= len(dims) || dims[axis] < 4 || dims[axis]%2 != 0 {
			continue
		}
		n := int(dims[axis])
		partners := []func(int) int{func(i int) int { return i ^ 1 }, func(i int) int { return (i + n/2) % n }}
		if h := n / 2; n%4 == 0 {
			partners = append(partners, func(i int) int { return i/h*h + (i%h+h/2)%h })
		}
		for _, partner := range partners {
			if pairsUp(v, dims, axis, partner) {
				return true
			}
		}
	}
	return false
}

func pairsUp(v []float32, dims []int64, axis int, partner func(int) int) bool {
	behind, _ := elements.Count(dims[axis+1:])
	n, inner := int(dims[axis]), int(behind)
	total, rows, zero, flat := float64(0), 0, 0, true
	for start := 0; start < len(v); start += n * inner {
		for k := range inner {
			at := func(i int) float64 { return float64(v[start+i*inner+k]) }
			empty := true
			for i := range n {
				empty = empty && at(i) == 0
				flat = flat && math.Abs(at(i)) == math.Abs(float64(v[0]))
			}
			rows++
			if empty {
				zero++
				continue
			}
			for i := range n {
				square := at(i)*at(i) + at(partner(i))*at(partner(i))
				if total == 0 {
					total = square
				}
				if !(math.Abs(square-total) <= waveTolerance*total) {
					return false
				}
			}
		}
	}
	return rows > 1 && zero*2 < rows && !flat
}

// completes is whether two tensors are sine and cosine of the same angles.
func completes(a, b *onnx.Tensor) bool {
	x, y := a.Float32s(), b.Float32s()
	if len(x) != len(y) || len(x) < 4 || equalElements(a) && equalElements(b) {
		return false
	}
	for i := range x {
		if !(math.Abs(float64(x[i])*float64(x[i])+float64(y[i])*float64(y[i])-1) <= waveTolerance) {
			return false
		}
	}
	return true
}

// isGrid is whether a tensor holds coordinates: two or three numbers along the
// last axis or the one before the rest, each of which changes along one other
// axis alone and the same way everywhere.
func isGrid(v []float32, dims []int64) bool {
	for axis, d := range dims {
		if (d == 2 || d == 3) && longAxes(dims) == int(d)+1 && isGridAlong(v, dims, axis) {
			return true
		}
	}
	return false
}

func isGridAlong(v []float32, dims []int64, axis int) bool {
	stride := make([]int, len(dims))
	for i, s := len(dims)-1, 1; i >= 0; i-- {
		stride[i] = s
		s *= int(dims[i])
	}
	used := map[int]bool{}
	for c := range int(dims[axis]) {
		along := -1
		for other, d := range dims {
			if other == axis || d < 3 {
				continue
			}
			if v[c*stride[axis]] != v[c*stride[axis]+stride[other]] {
				if along >= 0 {
					return false
				}
				along = other
			}
		}
		if along < 0 || used[along] {
			return false
		}
		used[along] = true
		for i, x := range v {
			if i/stride[axis]%int(dims[axis]) == c && x != v[c*stride[axis]+i/stride[along]%int(dims[along])*stride[along]] {
				return false
			}
		}
	}
	return true
}

// fewValues is whether a tensor repeats a few numbers, as a table of distances does.
func fewValues(t *onnx.Tensor) bool {
	const most, times = 64, 4
	seen := map[float32]bool{}
	for _, x := range t.Float32s() {
		if seen[x] = true; len(seen) > most {
			return false
		}
	}
	return len(seen) > 1 && t.Len() >= times*len(seen)
}

// sameForEachGroup is whether a grouped convolution has the same filters, of
// more than one number that is not 0, for each of several groups, as a blur has.
func sameForEachGroup(t *onnx.Tensor, groups int64) bool {
	v := t.Float32s()
	if len(t.Dims) < 3 || groups < 2 || t.Dims[0]%groups != 0 || len(v) == 0 {
		return false
	}
	size, taps, first := len(v)/int(groups), 0, v[0]
	same := true
	for i, x := range v {
		if x != v[i%size] {
			return false
		}
		if i < size && x != 0 {
			taps++
		}
		same = same && x == first
	}
	spatial, _ := elements.Count(t.Dims[2:])
	if same { // one number all over is a mean, a sum, or a first value
		return spatial > 1 && (math.Abs(float64(first)*float64(spatial)-1) < 1e-4 || first == 1)
	}
	return spatial > 1 && taps > 1
}
