package loader

import (
	"errors"
	"slices"
	"testing"
)

// A last batch of fewer samples than the least joins the one before it, and is
// one of its own where there is none; every sample comes once.
func TestLastBatchJoins(t *testing.T) {
	for _, c := range []struct {
		o    Options
		n    int
		want []int
	}{
		{Options{BatchSize: 8, MinBatch: 2}, 17, []int{8, 9}},
		{Options{BatchSize: 8, MinBatch: 2}, 16, []int{8, 8}},
		{Options{BatchSize: 8, MinBatch: 2}, 18, []int{8, 8, 2}},
		{Options{BatchSize: 8, MinBatch: 2}, 9, []int{9}},
		{Options{BatchSize: 8, MinBatch: 2}, 8, []int{8}},
		{Options{BatchSize: 8, MinBatch: 2}, 1, []int{1}},
		{Options{BatchSize: 2, MinBatch: 2}, 5, []int{2, 3}},
		{Options{BatchSize: 8, MinBatch: 4}, 19, []int{8, 11}},
		{Options{BatchSize: 8}, 17, []int{8, 8, 1}},
		{Options{BatchSize: 8, MinBatch: 2, DropLast: true}, 17, []int{8, 8}},
	} {
		c.o.Prefetch, c.o.Workers = 2, 2
		l, err := New(plain(t, ramp{n: 40}), c.o)
		if err != nil {
			t.Fatal(err)
		}
		indices := make([]uint32, c.n)
		for i := range indices {
			indices[i] = uint32(2 * i)
		}
		for number := range 3 { // a plan of another size each epoch
			e := readEpoch(t, l, number, indices, nil)
			if !slices.Equal(e.sizes, c.want) || !c.o.DropLast && !slices.Equal(e.indices, indices) {
				t.Errorf("%+v: batches of %v, want %v", c.o, e.sizes, c.want)
			}
			readEpoch(t, l, number, indices[:min(1+number, c.n)], nil)
		}
	}
	if _, err := New(plain(t, ramp{n: 40}), Options{BatchSize: 4, MinBatch: 5}); !errors.Is(err, ErrOptions) {
		t.Errorf("a smallest batch above the batch size: %v", err)
	}
}
