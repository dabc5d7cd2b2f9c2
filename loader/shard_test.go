package loader_test

import (
	"context"
	"errors"
	"io"
	"maps"
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

// However many shards a batch has, each of its samples is mixed with the one it
// is mixed with in the whole.
func TestShardsMixAlike(t *testing.T) {
	const n, side, classes = 101, 4, 10
	images, labels := make([]byte, n*side*side), make([]int64, n)
	for i := range images {
		images[i] = byte(i*i%251 + i)
	}
	weights := make([]float32, n)
	for i := range labels {
		labels[i], weights[i] = int64(i%classes), float32(i)
	}
	records, err := loader.NewMemory("bytes", 1, side, side, images, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := loader.NewSource(records, nil)
	if err != nil {
		t.Fatal(err)
	}
	type sample struct {
		step    int
		image   string
		targets [classes]float32
		weight  float32
	}
	read := func(s loader.Shard, size, least int) map[uint32]sample {
		o := loader.Options{BatchSize: size, Shuffle: true, Seed: 3, MinBatch: least, Shard: s, Empty: s.Of > 1, OneHot: classes, Mix: loader.Mix{Mixup: 1, Cutmix: 1, Prob: 0.9, Switch: 0.5}}
		l, err := loader.New(src, o)
		if err != nil {
			t.Fatal(err)
		}
		it, err := l.Epoch(context.Background(), 2, nil, weights)
		if err != nil {
			t.Fatal(err)
		}
		all := map[uint32]sample{}
		for step := 0; ; step++ {
			b, err := it.Next()
			if errors.Is(err, io.EOF) {
				return all
			} else if err != nil {
				t.Fatal(err)
			}
			s.Pairs = s.Of > 1
			if most := s.Largest(size+least-1, least); b.N > most || b.N > 0 && b.N < least {
				t.Fatalf("a part of %d samples, want %d to %d", b.N, least, most)
			}
			for j, i := range b.Indices {
				all[i] = sample{step, string(b.Images[j*side*side:][:side*side]), [classes]float32(b.Targets[0].Floats[j*classes:]), b.Weights[j]}
			}
		}
	}
	for _, size := range []int{1, 7, 14, 100} {
		for _, least := range []int{1, min(2, size)} {
			whole := read(loader.Shard{}, size, least)
			if len(whole) != n {
				t.Fatalf("%d samples", len(whole))
			}
			for of := 2; of <= 5; of++ {
				all := map[uint32]sample{}
				for r := range of {
					for i, s := range read(loader.Shard{Index: r, Of: of}, size, least) {
						if _, twice := all[i]; twice {
							t.Fatalf("sample %d is in two shards", i)
						}
						all[i] = s
					}
				}
				if !maps.Equal(all, whole) {
					t.Errorf("batches of %d in %d shards of at least %d are not the whole", size, of, least)
				}
			}
		}
	}
}
