package runtime

import (
	"math/rand/v2"
	"testing"
)

// The gradient of a filter by channel is that of its definition, in float64, with
// windows that overhang the image on every side, and has the same bits whatever
// the number of threads.
func TestOperatorsOfChannelFilters(t *testing.T) {
	one := [2]int{1, 1}
	anyThreads(t, []windows{
		{3, 16, 9, 12, [2]int{3, 3}, one, one, one, [2]int{9, 12}, 8},
		{5, 8, 2, 2, [2]int{5, 5}, one, one, [2]int{2, 2}, [2]int{2, 2}, 8}, // no tap meets all
		{2, 24, 14, 11, [2]int{7, 7}, one, one, [2]int{3, 3}, [2]int{14, 11}, 8},
		{40, 8, 11, 10, [2]int{3, 5}, [2]int{2, 2}, one, [2]int{1, 2}, [2]int{6, 5}, 8},
		{2, 8, 12, 13, [2]int{3, 3}, one, [2]int{2, 3}, [2]int{2, 3}, [2]int{12, 13}, 8},
		{2, 8, 9, 9, [2]int{2, 4}, [2]int{1, 3}, [2]int{3, 1}, [2]int{0, 1}, [2]int{6, 3}, 8},
		{3, 32, 8, 9, [2]int{3, 3}, [2]int{2, 2}, one, one, [2]int{4, 5}, 16},
		{1, 16, 1, 6, [2]int{1, 5}, one, one, [2]int{0, 2}, [2]int{1, 6}, 16},
	}, checkChannelFilter)
}

func checkChannelFilter(t *testing.T, d *Device, p windows) []float32 {
	t.Helper()
	r := rand.New(rand.NewPCG(7, uint64(p.h)))
	area, out, taps := p.h*p.w, p.result[0]*p.result[1], p.kernel[0]*p.kernel[1]
	x, dy := drawn(r, p.images*p.channels*area), drawn(r, p.images*p.channels*out)
	want := make([]float64, p.channels*taps)
	for plane := range p.images * p.channels {
		for o := range out {
			for k := range taps {
				if place, inside := p.at(o, k); inside {
					want[plane%p.channels*taps+k] += float64(x[plane*area+place]) * float64(dy[plane*out+o])
				}
			}
		}
	}
	image, result := p.shapes()
	filter := []int64{int64(p.channels), 1, int64(p.kernel[0]), int64(p.kernel[1])}
	got, err := runNode(t, d, p.node("ChannelFilter", 2), [][]int64{image, result}, [][]int64{filter}, p.inBlocks(x, area), p.inBlocks(dy, out))
	if err != nil {
		t.Fatal(err)
	}
	if e := far(got[0], want); !(e < 1e-6) { // by norm: below 3e-7 was measured
		t.Errorf("the filter's gradient is off by %.1e", e)
	}
	return got[0]
}
