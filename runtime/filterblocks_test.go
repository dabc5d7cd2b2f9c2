package runtime

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A filter in blocks has each weight where its definition puts it, as it is and
// turned around, whatever the groups, the block and the number of threads.
func TestOperatorsOfFilters(t *testing.T) {
	for _, threads := range []int{1, 3} {
		d := kernelDevice(t, threads)
		for _, f := range []struct{ groups, k, c, h, w, block int }{
			{1, 8, 8, 1, 1, 8}, {1, 48, 24, 1, 1, 8}, {3, 16, 24, 3, 2, 8}, {2, 32, 16, 1, 4, 16}, {2, 32, 48, 1, 1, 16},
		} {
			for _, turned := range []bool{false, true} {
				t.Run(fmt.Sprintf("%+v, turned %v, %d threads", f, turned, threads), func(t *testing.T) {
					taps, b := f.h*f.w, f.block
					x := drawn(rand.New(rand.NewPCG(6, 6)), f.groups*f.k*f.c*taps)
					want := make([]float32, len(x))
					for i := range x {
						group, k, c, tap := i/(f.k*f.c*taps), i/(f.c*taps)%f.k, i/taps%f.c, i%taps
						at := (((group*f.k/b+k/b)*f.c/b+c/b)*taps+tap)*b*b + c%b*b + k%b
						if turned {
							at = (((group*f.c/b+c/b)*f.k/b+k/b)*taps+taps-1-tap)*b*b + k%b*b + c%b
						}
						want[at] = x[i]
					}
					shape := []int64{int64(f.groups * f.k), int64(f.c), int64(f.h), int64(f.w)}
					result, choice := slices.Clone(shape), int64(0)
					if turned {
						result[0], result[1], choice = int64(f.groups*f.c), int64(f.k), 1
					}
					model := winnowNode("FilterBlocks", 1, 1, map[string][]int64{"block": {int64(b)}, "group": {int64(f.groups)}, "turned": {choice}})
					got, err := runNode(t, d, model, [][]int64{shape}, [][]int64{result}, x)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got[0], want) {
						t.Error("a weight is not where it belongs")
					}
				})
			}
		}
	}
}
