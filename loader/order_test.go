package loader

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/internal/random"
)

func ascending(n int) []uint32 {
	s := make([]uint32, n)
	for i := range s {
		s[i] = uint32(i)
	}
	return s
}

// TestOrderAsDocumented repeats the documented algorithm in exact arithmetic.
func TestOrderAsDocumented(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 1000} {
		seed, epoch := uint64(42), 7
		got := ascending(n)
		Order(seed, epoch, got, nil)

		want := ascending(n)
		pcg := rand.NewPCG(random.Mix(seed^0x6f72646572), random.Mix(uint64(epoch)))
		for i := n - 1; i > 0; i-- {
			x := new(big.Int).SetUint64(pcg.Uint64())
			x.Mul(x, big.NewInt(int64(i+1))).Rsh(x, 64)
			j := int(x.Int64())
			want[i], want[j] = want[j], want[i]
		}
		if !slices.Equal(got, want) {
			t.Errorf("n = %d: order departs from its documentation", n)
		}
	}
}

func TestOrderMovesWeightsWithIndices(t *testing.T) {
	const n = 5000
	indices, weights := ascending(n), make([]float32, n)
	for i := range weights {
		weights[i] = float32(2 * i)
	}
	Order(1, 3, indices, weights)
	if slices.IsSorted(indices) {
		t.Fatal("not shuffled")
	}
	for k, i := range indices {
		if weights[k] != float32(2*i) {
			t.Fatalf("index %d came with weight %v", i, weights[k])
		}
	}
	slices.Sort(indices)
	if !slices.Equal(indices, ascending(n)) {
		t.Error("not a permutation")
	}
	bare := ascending(n)
	Order(1, 3, bare, nil)
	Order(1, 3, indices, nil)
	if !slices.Equal(bare, indices) {
		t.Error("weights change the order")
	}
}

// TestOrderIsUniform counts the 24 orders of 4 samples over epochs and over
// seeds: chi-squared with 23 degrees of freedom stays under its 0.9999
// quantile, 57.
func TestOrderIsUniform(t *testing.T) {
	const draws = 24000
	for _, vary := range []string{"epoch", "seed"} {
		counts := map[string]int{}
		for k := range draws {
			s := ascending(4)
			if vary == "epoch" {
				Order(5, k, s, nil)
			} else {
				Order(uint64(k), 5, s, nil)
			}
			counts[fmt.Sprint(s)]++
		}
		chi := 0.0
		for _, c := range counts {
			d := float64(c) - draws/24
			chi += d * d / (draws / 24)
		}
		if len(counts) != 24 || chi > 57 {
			t.Errorf("by %s: %d orders, chi-squared %.1f: want 24, under 57", vary, len(counts), chi)
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	const n = 1281167
	indices, weights := ascending(n), make([]float32, n)
	b.ReportAllocs()
	for k := 0; b.Loop(); k++ {
		Order(1, k, indices, weights)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}
