package elements

import (
	"math/big"
	"testing"
)

// Products of arbitrary precision decide what fits.
func TestCount(t *testing.T) {
	edges := []int64{0, 1, 2, 3, 7, 8, 1 << 20, 1<<31 - 1, 1 << 31, 1<<60 - 1, 1 << 60, 1<<63 - 1, -1, -1 << 63}
	for _, a := range edges {
		for _, b := range edges {
			for _, c := range edges {
				want, fits := big.NewInt(1), true
				for _, d := range []int64{a, b, c} {
					fits = fits && d >= 0
					if d > 0 {
						want.Mul(want, big.NewInt(d))
					}
				}
				fits = fits && want.Cmp(big.NewInt(Max)) <= 0
				if a == 0 || b == 0 || c == 0 {
					want.SetInt64(0)
				}
				n, ok := Count([]int64{a, b, c})
				if ok != fits || ok && n != want.Int64() {
					t.Errorf("%d x %d x %d: %d, %v", a, b, c, n, ok)
				}
			}
		}
	}
	if n, ok := Count(nil); n != 1 || !ok {
		t.Errorf("a scalar: %d, %v", n, ok)
	}
}
