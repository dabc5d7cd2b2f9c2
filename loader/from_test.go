package loader

import (
	"io"
	"slices"
	"testing"
)

// What follows the first steps of an epoch is the same whether they were read
// or not, with any number of workers, up to the end and beyond.
func TestEpochFrom(t *testing.T) {
	for _, workers := range []int{1, 3} {
		l := augmented(t, ramp{n: 103}, Augment{CropPad: 1, HFlip: true}, Options{BatchSize: 10, MinBatch: 4, Workers: workers, Prefetch: 2, Shuffle: true, Seed: 7})
		var all []Batch
		for first := range 12 {
			it, err := l.EpochFrom(t.Context(), 3, first, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if it.Steps() != 10 { // the last one joined
				t.Fatalf("%d steps", it.Steps())
			}
			at := min(first, 10)
			for {
				b, err := it.Next()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if first == 0 {
					all = append(all, Batch{Indices: slices.Clone(b.Indices), Images: slices.Clone(b.Images), Labels: slices.Clone(b.Labels)})
				} else if want := all[at]; !slices.Equal(b.Indices, want.Indices) || !slices.Equal(b.Images, want.Images) || !slices.Equal(b.Labels, want.Labels) {
					t.Errorf("from step %d: step %d is another batch", first, at)
				}
				at++
			}
			if at != 10 {
				t.Errorf("from step %d: ends after step %d", first, at)
			}
		}
	}
}
