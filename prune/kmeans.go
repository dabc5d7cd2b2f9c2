package prune

import (
	"math"
	"slices"
	"sort"
)

// kmeansBins is how many candidate boundaries one-dimensional k-means takes by
// rank, and again by value. Up to this many samples the result is exact.
const kmeansBins = 2048

// kmeans sorts keys (of floatKey) and splits them into at most groups runs of
// least within-group sum of squares, equal values never apart. It returns the
// end of each run, exclusive; there are fewer runs than groups if there are
// fewer distinct values.
//
// A dynamic program over candidate boundaries (every distinct value if there
// are few, else kmeansBins evenly by rank and as many evenly by value) finds
// the best split exactly, by divide and conquer on its monotone arg-min. Then
// Lloyd's iteration moves each boundary off the candidates, which can only
// lower the sum. O(n log n) for the sort, O(groups * bins * log bins) after.
func kmeans(keys []uint32, groups, threads int) []int {
	sortKeys(keys, threads)
	if len(keys) == 0 {
		return nil
	}
	s := newSpans(keys, candidates(keys))
	cuts := s.split(groups)
	s.lloyd(cuts)
	return cuts
}

// spans answers for sums over runs of sorted keys.
type spans struct {
	keys   []uint32
	origin float64   // the median: sums are of values about it, outwards from its rank, so that far values do not drown near ones
	pos    []int     // candidate boundaries, from 0 to len(keys)
	s1, s2 []float64 // sums of values and squares from pos[0] to pos[k], about the origin
}

func newSpans(keys []uint32, pos []int) *spans {
	s := &spans{keys: keys, pos: pos}
	mid := len(keys) / 2
	s.origin = float64(keyFloat(keys[mid]))
	s.s1 = make([]float64, len(s.pos))
	s.s2 = make([]float64, len(s.pos))
	m := sort.SearchInts(s.pos, mid)
	for k := m + 1; k < len(s.pos); k++ {
		a, b := s.sums(s.pos[k-1], s.pos[k])
		s.s1[k], s.s2[k] = s.s1[k-1]+a, s.s2[k-1]+b
	}
	for k := m - 1; k >= 0; k-- {
		a, b := s.sums(s.pos[k], s.pos[k+1])
		s.s1[k], s.s2[k] = s.s1[k+1]-a, s.s2[k+1]-b
	}
	return s
}

func (s *spans) sums(lo, hi int) (s1, s2 float64) {
	for _, k := range s.keys[lo:hi] {
		v := float64(keyFloat(k)) - s.origin
		s1 += v
		s2 += v * v
	}
	return s1, s2
}

// candidates are ranks where a group may begin, each at the first of a run of
// equal values.
func candidates(keys []uint32) []int {
	n := len(keys)
	var pos []int
	if n <= kmeansBins {
		for i := range keys {
			if i == 0 || keys[i] != keys[i-1] {
				pos = append(pos, i)
			}
		}
		return append(pos, n)
	}
	firstOf := func(k uint32) int {
		i, _ := slices.BinarySearch(keys, k)
		return i
	}
	low, high := float64(keyFloat(keys[0])), float64(keyFloat(keys[n-1]))
	for b := range kmeansBins {
		k := keys[int(int64(b)*int64(n)/kmeansBins)]
		// The run's end too, so that a heavy value can be a group of its own.
		pos = append(pos, firstOf(k), firstOf(k+1))
		v := low + (high-low)*float64(b)/kmeansBins
		pos = append(pos, firstOf(floatKey(ceil32(v))))
	}
	pos = append(pos, n)
	slices.Sort(pos)
	return slices.Compact(pos)
}

// cost is the within-group sum of squares between two candidates.
func (s *spans) cost(a, b int) float64 {
	n := float64(s.pos[b] - s.pos[a])
	d := s.s1[b] - s.s1[a]
	return max(0, s.s2[b]-s.s2[a]-d*d/n)
}

// split gives the ends of the best runs over the candidates.
func (s *spans) split(groups int) []int {
	bins := len(s.pos) - 1
	groups = min(groups, bins)
	best := make([]float64, bins+1) // best[j]: least cost of the first j bins in g groups
	next := make([]float64, bins+1)
	from := make([][]int32, groups+1)
	for j := 1; j <= bins; j++ {
		best[j] = s.cost(0, j)
	}
	for g := 2; g <= groups; g++ {
		from[g] = make([]int32, bins+1)
		s.layer(best, next, from[g], g, bins, g-1, bins-1)
		best, next = next, best
	}
	ends := make([]int, groups)
	j := bins
	for g := groups; g >= 1; g-- {
		ends[g-1] = s.pos[j]
		if g > 1 {
			j = int(from[g][j])
		}
	}
	return ends
}

// layer fills next[lo..hi], knowing that the arg-min lies in optLo..optHi.
func (s *spans) layer(best, next []float64, from []int32, lo, hi, optLo, optHi int) {
	for lo <= hi {
		mid := (lo + hi) / 2
		least, arg := math.Inf(1), optLo
		for k := optLo; k <= min(mid-1, optHi); k++ {
			if c := best[k] + s.cost(k, mid); c < least {
				least, arg = c, k
			}
		}
		next[mid], from[mid] = least, int32(arg)
		s.layer(best, next, from, lo, mid-1, optLo, arg)
		lo, optLo = mid+1, arg
	}
}

// maxLloyd bounds the iteration; from the program's answer a few steps settle it.
const maxLloyd = 50

// lloyd moves each boundary to the middle of the means beside it until nothing moves.
func (s *spans) lloyd(ends []int) {
	means := make([]float64, len(ends))
	for range maxLloyd {
		start := 0
		for g, e := range ends {
			a1 := s.upTo(e) - s.upTo(start)
			means[g] = s.origin + a1/float64(e-start)
			start = e
		}
		moved := false
		start = 0
		for g := range len(ends) - 1 {
			mid := (means[g] + means[g+1]) / 2
			// The first value above the middle begins the next group.
			e := sort.Search(len(s.keys), func(i int) bool { return float64(keyFloat(s.keys[i])) > mid })
			if e != ends[g] && e > start && e < ends[g+1] {
				ends[g] = e
				moved = true
			}
			start = ends[g]
		}
		if !moved {
			return
		}
	}
}

// upTo is the sum of the values before rank i, about the origin.
func (s *spans) upTo(i int) float64 {
	k := sort.SearchInts(s.pos, i+1) - 1
	a, _ := s.sums(s.pos[k], i)
	return s.s1[k] + a
}

const (
	sortBuckets = 1 << 12
	smallSort   = 1 << 12
)

// sortKeys sorts in place: one pass of an American flag sort (McIlroy, Bostic
// and McIlroy 1993) into buckets even over the range of the keys, then each
// bucket by itself, in parallel.
func sortKeys(keys []uint32, threads int) {
	n := len(keys)
	if n < smallSort {
		slices.Sort(keys)
		return
	}
	low, high := keys[0], keys[0]
	for _, k := range keys {
		low, high = min(low, k), max(high, k)
	}
	shift := 0
	for (high-low)>>shift >= sortBuckets {
		shift++
	}
	var end, at [sortBuckets]int
	for _, k := range keys {
		end[(k-low)>>shift]++
	}
	sum := 0
	for b := range end {
		at[b] = sum
		sum += end[b]
		end[b] = sum
	}
	begin := at
	for b := range end {
		for at[b] < end[b] {
			k := keys[at[b]]
			for {
				to := (k - low) >> shift
				if int(to) == b {
					break
				}
				k, keys[at[to]] = keys[at[to]], k
				at[to]++
			}
			keys[at[b]] = k
			at[b]++
		}
	}
	inParallel(threads, sortBuckets, 64, func(lo, hi int) {
		for b := lo; b < hi; b++ {
			slices.Sort(keys[begin[b]:end[b]])
		}
	})
}
