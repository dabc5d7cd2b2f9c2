package prune

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func keysOf(v []float32) []uint32 {
	k := make([]uint32, len(v))
	for i, x := range v {
		k[i] = floatKey(x)
	}
	return k
}

// withinSS is the sum of squares about each run's mean, in two passes.
func withinSS(sorted []float32, ends []int) float64 {
	total, start := 0.0, 0
	for _, e := range ends {
		mean := 0.0
		for _, x := range sorted[start:e] {
			mean += float64(x)
		}
		mean /= float64(e - start)
		for _, x := range sorted[start:e] {
			total += (float64(x) - mean) * (float64(x) - mean)
		}
		start = e
	}
	return total
}

// exhaustive tries every split of sorted values into groups runs.
func exhaustive(sorted []float32, groups int) float64 {
	best := math.Inf(1)
	ends := make([]int, groups)
	ends[groups-1] = len(sorted)
	var try func(g, from int)
	try = func(g, from int) {
		if g == groups-1 {
			best = min(best, withinSS(sorted, ends))
			return
		}
		for e := from + 1; e <= len(sorted)-(groups-1-g); e++ {
			ends[g] = e
			try(g+1, e)
		}
	}
	try(0, 0)
	return best
}

// quadratic is the textbook dynamic program over every value, O(groups n^2).
func quadratic(sorted []float32, groups int) float64 {
	n := len(sorted)
	s1, s2 := make([]float64, n+1), make([]float64, n+1)
	mid := float64(sorted[n/2])
	for i, x := range sorted {
		v := float64(x) - mid
		s1[i+1], s2[i+1] = s1[i]+v, s2[i]+v*v
	}
	best := make([]float64, n+1)
	for j := range best {
		best[j] = math.Inf(1)
	}
	best[0] = 0
	for range groups {
		next := make([]float64, n+1)
		for j := range next {
			next[j] = math.Inf(1)
			for k := range j {
				d := s1[j] - s1[k]
				next[j] = min(next[j], best[k]+max(0, s2[j]-s2[k]-d*d/float64(j-k)))
			}
		}
		best = next
	}
	return best[n]
}

func checkRuns(tb testing.TB, sorted []float32, ends []int, groups int) {
	tb.Helper()
	distinct := len(slices.Compact(slices.Clone(sorted)))
	if len(ends) != min(groups, distinct) || (len(ends) > 0 && ends[len(ends)-1] != len(sorted)) {
		tb.Fatalf("%d groups %v of %d values, %d of them distinct", groups, ends, len(sorted), distinct)
	}
	last := 0
	for _, e := range ends {
		if e <= last || (e < len(sorted) && sorted[e] == sorted[e-1]) {
			tb.Fatalf("ends %v: an empty group or a split between equals", ends)
		}
		last = e
	}
}

func TestKMeansAgainstExhaustiveSearch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for trial := range 600 {
		n := 1 + rnd.IntN(11)
		v := make([]float32, n)
		for i := range v {
			switch trial % 3 {
			case 0:
				v[i] = float32(rnd.IntN(5)) // ties
			case 1:
				v[i] = float32(rnd.NormFloat64())
			case 2:
				v[i] = float32(math.Exp(4 * rnd.NormFloat64()))
			}
		}
		keys := keysOf(v)
		slices.Sort(v)
		for groups := 1; groups <= 5; groups++ {
			ends := kmeans(keys, groups, 1)
			checkRuns(t, v, ends, groups)
			got := withinSS(v, ends)
			want := exhaustive(v, len(ends))
			if got > want*(1+1e-9)+1e-12 {
				t.Fatalf("%v in %d groups: %v, best %v", v, groups, got, want)
			}
		}
	}
}

// distributions the scores of a training, and worse, may have.
var distributions = map[string]func(*rand.Rand) float32{
	"lognormal": lossLike,
	"uniform":   func(r *rand.Rand) float32 { return r.Float32() },
	"normal":    func(r *rand.Rand) float32 { return float32(r.NormFloat64()) },
	"ties":      func(r *rand.Rand) float32 { return float32(math.Round(20*r.ExpFloat64()) / 20) },
	"peaks": func(r *rand.Rand) float32 {
		return float32(r.IntN(7)*r.IntN(7)) + float32(r.NormFloat64())*0.01
	},
	"outliers": func(r *rand.Rand) float32 {
		if r.IntN(500) == 0 {
			return float32(1e4 * r.ExpFloat64())
		}
		return float32(r.NormFloat64())
	},
	"decades": func(r *rand.Rand) float32 { return float32(math.Pow(10, 12*r.Float64()-9)) },
	"far":     func(r *rand.Rand) float32 { return 1000 + float32(r.NormFloat64())*0.01 },
	"spike": func(r *rand.Rand) float32 {
		if r.IntN(10) > 0 {
			return 0.001 * r.Float32()
		}
		return float32(r.ExpFloat64())
	},
}

func TestKMeansWithinAThousandth(t *testing.T) {
	for name, draw := range distributions {
		rnd := rand.New(rand.NewPCG(2, 3))
		for _, n := range []int{2500} {
			v := make([]float32, n)
			for i := range v {
				v[i] = draw(rnd)
			}
			keys := keysOf(v)
			slices.Sort(v)
			for _, groups := range []int{6} {
				rnd.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
				ends := kmeans(keys, groups, 2)
				checkRuns(t, v, ends, groups)
				got, want := withinSS(v, ends), quadratic(v, groups)
				if got > want*1.001 {
					t.Errorf("%s, n=%d, %d groups: %v is %.4f%% above %v", name, n, groups, got, 100*(got/want-1), want)
				}
			}
		}
	}
}

// At sizes where the quadratic program takes hours, the same divide and
// conquer over every distinct value is the authority: it has no bins.
func TestKMeansWithinAThousandthAtSize(t *testing.T) {
	const n = 100_000
	for name, draw := range distributions {
		rnd := rand.New(rand.NewPCG(7, 8))
		v := make([]float32, n)
		for i := range v {
			v[i] = draw(rnd)
		}
		keys := keysOf(v)
		slices.Sort(v)
		for _, groups := range []int{5, 10} {
			ends := kmeans(keys, groups, 2)
			checkRuns(t, v, ends, groups)
			exact := exactSpans(keys)
			got, want := withinSS(v, ends), withinSS(v, exact.split(groups))
			if got > want*1.001 {
				t.Errorf("%s, %d groups: %v is %.4f%% above %v", name, groups, got, 100*(got/want-1), want)
			}
		}
	}
}

// exactSpans has every distinct value as a candidate.
func exactSpans(sorted []uint32) *spans {
	var pos []int
	for i := range sorted {
		if i == 0 || sorted[i] != sorted[i-1] {
			pos = append(pos, i)
		}
	}
	return newSpans(sorted, append(pos, len(sorted)))
}

func TestSortKeys(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	for name, draw := range distributions {
		for _, n := range []int{0, 1, 2, smallSort - 1, smallSort, 50_000} {
			keys := make([]uint32, n)
			for i := range keys {
				keys[i] = floatKey(draw(rnd))
			}
			want := slices.Clone(keys)
			slices.Sort(want)
			sortKeys(keys, 2)
			if !slices.Equal(keys, want) {
				t.Errorf("%s, n=%d: not sorted", name, n)
			}
		}
	}
	same := make([]uint32, 10_000)
	sortKeys(same, 2)
	wide := make([]uint32, 10_000)
	for i := range wide {
		wide[i] = rnd.Uint32()
	}
	wide[0], wide[1] = 0, math.MaxUint32
	sortKeys(wide, 2)
	if !slices.IsSorted(wide) {
		t.Error("the whole range is not sorted")
	}
}

func TestFloatKey(t *testing.T) {
	v := []float32{float32(math.Inf(-1)), -math.MaxFloat32, -1, -1e-45, 0, 1e-45, 1, math.MaxFloat32, float32(math.Inf(1))}
	for i := range v {
		if keyFloat(floatKey(v[i])) != v[i] {
			t.Errorf("%v does not come back", v[i])
		}
		if i > 0 && floatKey(v[i-1]) >= floatKey(v[i]) {
			t.Errorf("%v and %v out of order", v[i-1], v[i])
		}
	}
	if floatKey(float32(math.Copysign(0, -1))) != floatKey(0) {
		t.Error("-0 is not 0")
	}
}
