package runtime

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Sums over the first dimensions are those of their definition, in float64, also of
// many rows, and have the same bits whatever the number of threads.
func TestOperatorsOfColumnSums(t *testing.T) {
	bits := map[string][]float32{}
	for _, threads := range []int{1, 3} {
		d := kernelDevice(t, threads)
		for _, c := range []struct {
			dims []int64
			axis int
			keep bool
		}{
			{[]int64{16, 17, 192}, 2, false}, {[]int64{16, 3000}, 1, true}, {[]int64{1, 5}, 1, false}, {[]int64{20000, 3}, 1, false},
			{[]int64{9, 16, 16, 77}, 3, true}, {[]int64{7, 2, 3}, 0, false}, {[]int64{130, 1}, 2, false},
		} {
			t.Run(fmt.Sprintf("%+v, %d threads", c, threads), func(t *testing.T) {
				x := drawn(rand.New(rand.NewPCG(6, uint64(c.axis))), int(product(c.dims)))
				columns := int(product(c.dims[c.axis:]))
				want, out, keep := make([]float64, columns), slices.Clone(c.dims[c.axis:]), int64(0)
				for i, v := range x {
					want[i%columns] += float64(v)
				}
				if c.keep {
					out, keep = append(slices.Repeat([]int64{1}, c.axis), out...), 1
				}
				got, err := runNode(t, d, winnowNode("ColumnSums", 1, 1, map[string][]int64{"axis": {int64(c.axis)}, "keepdims": {keep}}), [][]int64{c.dims}, [][]int64{out}, x)
				if err != nil {
					t.Fatal(err)
				}
				if e := far(got[0], want); !(e < 1e-6) {
					t.Errorf("the sums are off by %.1e", e)
				}
				if key := fmt.Sprint(c); bits[key] == nil {
					bits[key] = got[0]
				} else if !slices.Equal(got[0], bits[key]) {
					t.Error("another number of threads gives other bits")
				}
			})
		}
	}
}
