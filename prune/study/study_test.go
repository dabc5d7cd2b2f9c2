package main

import (
	"math"
	"slices"
	"testing"
)

func TestRanksAndAUC(t *testing.T) {
	if r := ranks([]float64{5, 1, 5, 9}); !slices.Equal(r, []float64{2.5, 1, 2.5, 4}) {
		t.Errorf("ranks %v", r)
	}
	// Pairs: 3>1, 3>2, 2>1 and a tie of 2 and 2: 3.5 of 4.
	if a := auc([]float64{3, 2, 1, 2}, []bool{true, true, false, false}); a != 3.5/4 {
		t.Errorf("auc %v", a)
	}
}

// The filter's noise gain by its definition, the sum of squared weights.
func TestGain(t *testing.T) {
	for _, alpha := range []float64{0.5, 0.9} {
		for n := 1; n < 30; n++ {
			s := []float64{1}
			for range n - 1 {
				for k := range s {
					s[k] *= alpha
				}
				s = append(s, 1-alpha)
			}
			want := 0.0
			for _, w := range s {
				want += w * w
			}
			if math.Abs(gain(alpha, n)-want) > 1e-12 {
				t.Errorf("gain(%v, %d) = %v, want %v", alpha, n, gain(alpha, n), want)
			}
		}
	}
}

// The package's scorer follows the theory: within five standard errors,
// 5/sqrt(n), at every epoch looked at.
func TestBLSFollowsTheory(t *testing.T) {
	for _, r := range []blsRun{
		{alpha: 0.9, batch: 4, epochs: 20, shuffle: true},
		{alpha: 0.7, batch: 64, epochs: 20, shuffle: true},
		{alpha: 0.9, batch: 16, epochs: 20, shuffle: true, noise: 1},
		{alpha: 0.9, batch: 16, epochs: 5},
	} {
		m, err := r.measure([]int{1, 5, 20})
		if err != nil {
			t.Fatal(err)
		}
		for at, got := range m {
			if want := r.theory(at); math.Abs(got-want) > 5/math.Sqrt(blsSamples) {
				t.Errorf("%+v after %d epochs: %.4f, theory %.4f", r, at, got, want)
			}
		}
	}
}
