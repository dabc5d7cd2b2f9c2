package runtime

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A permutation has each number where its definition puts it, for random orders of
// dimensions of every kind, those of 1 among them.
func TestOperatorsOfPermutations(t *testing.T) {
	for _, threads := range []int{1, 3} {
		d := kernelDevice(t, threads)
		for i := range 80 {
			r := rand.New(rand.NewPCG(8, uint64(i)))
			rank := r.IntN(7)
			dims, perm, most := make([]int64, rank), r.Perm(rank), 1<<16
			for j := range dims {
				dims[j] = int64(1 + r.IntN(min(most, []int{3, 9, 40, 200}[r.IntN(4)])))
				most = max(most/int(dims[j]), 1)
			}
			t.Run(fmt.Sprintf("%v by %v, %d threads", dims, perm, threads), func(t *testing.T) { checkPermutation(t, d, dims, perm) })
		}
	}
}

func checkPermutation(t *testing.T, d *Device, dims []int64, perm []int) {
	t.Helper()
	rank := len(dims)
	x := make([]float32, product(dims))
	for i := range x {
		x[i] = float32(i)
	}
	out, order := make([]int64, rank), make([]int64, rank)
	for j, p := range perm {
		out[j], order[j] = dims[p], int64(p)
	}
	want := make([]float32, len(x))
	for i := range x {
		at, left := make([]int64, rank), int64(i)
		for j := rank - 1; j >= 0; j-- {
			at[j], left = left%dims[j], left/dims[j]
		}
		to := int64(0)
		for j, p := range perm {
			to = to*out[j] + at[p]
		}
		want[to] = x[i]
	}
	got, err := runNode(t, d, winnowNode("Permute", 1, 1, nil, intsAttribute("perm", order...)), [][]int64{dims}, [][]int64{out}, x)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got[0], want) {
		t.Error("a number is not where it belongs")
	}
}
