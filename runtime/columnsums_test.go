package runtime

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// leading is a sum over the first dimensions.
type leading struct {
	dims []int64
	axis int
	keep bool
}

// Sums over the first dimensions are those of their definition, in float64, also of
// many rows, and have the same bits whatever the number of threads.
func TestOperatorsOfColumnSums(t *testing.T) {
	anyThreads(t, []leading{
		{[]int64{16, 17, 192}, 2, false}, {[]int64{16, 3000}, 1, true}, {[]int64{1, 5}, 1, false}, {[]int64{20000, 3}, 1, false},
		{[]int64{9, 16, 16, 77}, 3, true}, {[]int64{7, 2, 3}, 0, false}, {[]int64{130, 1}, 2, false},
	}, checkColumnSums)
}

func checkColumnSums(t *testing.T, d *Device, c leading) []float32 {
	t.Helper()
	x := drawn(rand.New(rand.NewPCG(6, uint64(c.axis))), int(product(c.dims)))
	columns := int(product(c.dims[c.axis:]))
	want, out, keep := make([]float64, columns), slices.Clone(c.dims[c.axis:]), int64(0)
	for i, v := range x {
		want[i%columns] += float64(v)
	}
	if c.keep {
		out, keep = append(slices.Repeat([]int64{1}, c.axis), out...), 1
	}
	model := winnowNode("ColumnSums", 1, 1, map[string][]int64{"axis": {int64(c.axis)}, "keepdims": {keep}})
	got, err := runNode(t, d, model, [][]int64{c.dims}, [][]int64{out}, x)
	if err != nil {
		t.Fatal(err)
	}
	if e := far(got[0], want); !(e < 1e-6) {
		t.Errorf("the sums are off by %.1e", e)
	}
	return got[0]
}
