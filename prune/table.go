package prune

import (
	"math"

	"winnow/internal/spill"
)

// Scores without a number are NaN, in two kinds told apart by their bits.
const (
	unscoredBits = 0x7fc00000 // not observed yet, or not scorable: never pruned
	heldBits     = 0x7fc00001 // held out: in no plan
)

var (
	unscored = math.Float32frombits(unscoredBits)
	heldOut  = math.Float32frombits(heldBits)
)

// table is what a scorer writes and a policy reads: one contiguous array per
// quantity.
type table struct {
	n        int
	active   int       // samples that are not held out
	score    []float32 // nil if there is neither a scorer nor a holdout
	variance []float32 // running variance of the reports about the score; nil unless the policy asks
	alpha    float64
	bounded  bool // every score is a number within boundedLimit
}

// boundedLimit is far enough below the largest float32 that the difference of two
// numbers within it, and an average of them, is finite.
const boundedLimit = float32(1 << 126)

// countScored counts the samples with a score and notes whether every sample
// has one within boundedLimit.
func (t *table) countScored() int {
	var count, small int
	for _, s := range t.score {
		if s == s {
			count++
		}
		if s >= -boundedLimit && s <= boundedLimit {
			small++
		}
	}
	t.bounded = small == t.n
	return count
}

// scored counts the samples with a score.
func (t *table) scored() (count int) {
	for _, s := range t.score {
		if s == s {
			count++
		}
	}
	return count
}

func newTable(n int, scores, variance bool, holdout []uint32, alpha float64) *table {
	t := &table{n: n, active: n, alpha: alpha}
	if scores || len(holdout) > 0 {
		t.score = spill.Make[float32](n)
		for i := range t.score {
			t.score[i] = unscored
		}
	}
	if variance {
		t.variance = spill.Make[float32](n)
	}
	for _, i := range holdout {
		if math.Float32bits(t.score[i]) != heldBits {
			t.score[i] = heldOut
			t.active--
		}
	}
	return t
}

func isHeld(s float32) bool { return math.Float32bits(s) == heldBits }

// spread updates the exponentially weighted variance of sample i by report x
// (Finch 2009, equation 143), before its score changes. A first report leaves 0.
func (t *table) spread(i uint32, x float32) {
	if s := t.score[i]; s == s {
		d := float64(x) - float64(s)
		// Never infinite, which times a confidence of 0 would be no number.
		t.variance[i] = float32(min(t.alpha*(float64(t.variance[i])+(1-t.alpha)*d*d), math.MaxFloat32))
	}
}

// mean counts the samples with a score and gives the mean of their scores. The
// sum is taken in float64 over fixed blocks, so that it is exact for equal
// scores and does not lose small ones to a large total.
func (t *table) mean() (count int, mean float64) {
	var sum float64
	largest := math.Inf(-1)
	for lo := 0; lo < t.n; lo += sumBlock {
		var part float64
		var m int
		big := float32(math.Inf(-1))
		for _, s := range t.score[lo:min(lo+sumBlock, t.n)] {
			if s == s {
				part += float64(s)
				m++
				if s > big {
					big = s
				}
			}
		}
		sum += part
		count += m
		largest = max(largest, float64(big))
	}
	if count == 0 {
		return 0, 0
	}
	// A mean above every score is a rounding error, and would make equal
	// scores less than their own mean.
	return count, min(sum/float64(count), largest)
}

const sumBlock = 1 << 14

// ceil32 is the smallest float32 not below x, so that for any float32 s,
// s < ceil32(x) exactly if float64(s) < x.
func ceil32(x float64) float32 {
	c := float32(x)
	if float64(c) < x {
		c = math.Nextafter32(c, float32(math.Inf(1)))
	}
	return c
}

// keepCount is floor(ratio * m), where a product that misses a whole number by
// rounding alone counts as that number: (1-0.9)*10 is 1, not 0.
func keepCount(ratio float64, m int) int {
	x := ratio * float64(m)
	if r := math.Round(x); math.Abs(x-r) <= 1e-12*float64(m) {
		x = r
	}
	return min(max(int(math.Floor(x)), 0), m)
}

// within says whether every index is below n. Eight at a time, so that a large
// batch costs neither a bounds check nor a branch an index.
func within(indices []uint32, n int) bool {
	last := int64(n) - 1
	var a, b int64 // negative once an index is too large; two of them run side by side
	for len(indices) >= 8 {
		x := (*[8]uint32)(indices)
		a |= (last - int64(x[0])) | (last - int64(x[1])) | (last - int64(x[2])) | (last - int64(x[3]))
		b |= (last - int64(x[4])) | (last - int64(x[5])) | (last - int64(x[6])) | (last - int64(x[7]))
		indices = indices[8:]
	}
	for _, i := range indices {
		a |= last - int64(i)
	}
	return a|b >= 0
}

// bitset is one bit per sample.
type bitset []uint64

func newBitset(n int) bitset { return spill.Make[uint64]((n + 63) / 64) }

func (b bitset) get(i uint32) bool { return b[i>>6]>>(i&63)&1 != 0 }
func (b bitset) set(i uint32)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) clear(i uint32)    { b[i>>6] &^= 1 << (i & 63) }
