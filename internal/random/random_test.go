package random

import "testing"

// TestStream holds the words to the reference code of SplitMix64
// (Vigna, splitmix64.c), seed 1234567: the values that Rosetta Code and
// other implementations list for it.
func TestStream(t *testing.T) {
	s := Stream(1234567)
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := s.Next(); got != want {
			t.Errorf("word %d: %d, want %d", i, got, want)
		}
	}
}

// TestBelow: every value comes, none at or above n, all near n/k of the time.
func TestBelow(t *testing.T) {
	const n, draws = 7, 70000
	var count [n]int
	s := Stream(1)
	for range draws {
		count[s.Below(n)]++
	}
	for v, k := range count { // five deviations of a binomial count: sqrt(70000*(1/7)*(6/7)) = 93
		if k < draws/n-465 || k > draws/n+465 {
			t.Errorf("%d came %d times of %d", v, k, draws)
		}
	}
}
