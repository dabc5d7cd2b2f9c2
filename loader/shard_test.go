package loader_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"winnow/loader"
)

// Shards of every batch, put one after the other, are the batch: an epoch is
// read once, as evenly as it goes, whatever the number of shards.
func TestShardsAreTheBatch(t *testing.T) {
	const n = 101
	images, labels := make([]byte, n), make([]int64, n)
	for i := range images {
		images[i] = byte(i)
	}
	records, err := loader.NewMemory("bytes", 1, 1, 1, images, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := loader.NewSource(records, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(s loader.Shard, least int) (batches [][]byte) {
		l, err := loader.New(src, loader.Options{BatchSize: 14, Shuffle: true, Seed: 3, MinBatch: least, Shard: s, Empty: s.Of > 1})
		if err != nil {
			t.Fatal(err)
		}
		it, err := l.Epoch(context.Background(), 2, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for {
			b, err := it.Next()
			if errors.Is(err, io.EOF) {
				return batches
			} else if err != nil {
				t.Fatal(err)
			}
			if b.N != len(b.Images) || b.N != len(b.Indices) {
				t.Fatalf("%d samples, %d images", b.N, len(b.Images))
			}
			batches = append(batches, slices.Clone(b.Images))
		}
	}
	for _, least := range []int{1, 2} {
		whole := read(loader.Shard{}, least)
		for of := 1; of <= 16; of++ {
			parts := make([][][]byte, of)
			for r := range of {
				parts[r] = read(loader.Shard{Index: r, Of: of}, least)
			}
			for k, batch := range whole {
				var all []byte
				small, large := n, 0
				for r := range of {
					part := parts[r][k]
					all = append(all, part...)
					large = max(large, len(part))
					if len(part) > 0 {
						small = min(small, len(part))
					}
				}
				if !slices.Equal(all, batch) {
					t.Fatalf("batch %d of %d shards: %v, want %v", k, of, all, batch)
				}
				if large-small > 1 || small < least {
					t.Errorf("batch %d of %d shards: %d to %d samples", k, of, small, large)
				}
				if most := (loader.Shard{Of: of}).Largest(len(batch), least); large > most {
					t.Errorf("batch %d of %d shards: %d samples, at most %d were promised", k, of, large, most)
				}
			}
		}
	}
}
