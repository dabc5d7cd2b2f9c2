package loader

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestBadSamplesAreLeftOut: the others come with their own labels, targets, weights
// and images, in the same order, whatever the number of workers.
func TestBadSamplesAreLeftOut(t *testing.T) {
	bad := map[uint32]error{3: fmt.Errorf("%w: torn", ErrBadData), 17: fmt.Errorf("%w: cut", ErrBadData)}
	for i := uint32(20); i < 40; i++ { // the whole of two batches
		bad[i] = ErrBadData
	}
	src := ramp{n: 65, bad: bad}
	weights := make([]float32, src.n)
	for i := range weights {
		weights[i] = float32(i) / 2
	}
	for _, workers := range []int{1, 4} {
		var left BadSamples
		l := newLoader(t, src, Options{BatchSize: 10, Workers: workers, Prefetch: 3, OneHot: 10, Bad: &left})
		for number := range 2 {
			it, err := l.Epoch(t.Context(), number, nil, weights)
			if err != nil {
				t.Fatal(err)
			}
			var sizes []int
			var indices []uint32
			for {
				b, err := it.Next()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				sizes, indices = append(sizes, b.N), append(indices, b.Indices...)
				for k, i := range b.Indices {
					if b.Targets[0].Floats[10*k+int(i%10)] != 1 {
						t.Fatalf("sample %d: targets %v", i, b.Targets[0].Floats[10*k:][:10])
					}
					if b.Labels[k] != int64(i%10) || b.Weights[k] != float32(i)/2 || b.Images[k*24] != src.pixel(i) || len(b.Labels) != b.N || len(b.Weights) != b.N {
						t.Fatalf("sample %d: label %d, weight %v, pixel %d", i, b.Labels[k], b.Weights[k], b.Images[k*24])
					}
				}
			}
			want := slices.DeleteFunc(ascending(65), func(i uint32) bool { return bad[i] != nil })
			if !slices.Equal(sizes, []int{9, 9, 10, 10, 5}) || !slices.Equal(indices, want) {
				t.Errorf("%d workers: batches of %v, samples %v", workers, sizes, indices)
			}
		}
		list := left.List()
		if left.Count() != 22 || len(list) != 22 || list[0].Index != 3 || list[0].Reason != "bad data: torn" || list[0].Split != "ramp" {
			t.Errorf("%d left out, first %+v", left.Count(), list[0])
		}
	}
}

// TestTooFewLeft: a batch of fewer samples than may be is left out whole, other
// errors still end the epoch, and so does an epoch of bad samples alone.
func TestTooFewLeft(t *testing.T) {
	src := ramp{n: 8, bad: map[uint32]error{0: ErrBadData, 1: ErrBadData, 2: ErrBadData}}
	l := newLoader(t, src, Options{BatchSize: 4, MinBatch: 2, Bad: &BadSamples{}})
	if e := readSome(t, l); !slices.Equal(e, []uint32{4, 5, 6, 7}) {
		t.Errorf("samples %v", e)
	}
	src.bad[5] = io.ErrNoProgress
	it, err := l.Epoch(t.Context(), 1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := it.Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("an error of the system: %v", err)
	}
	for i := range uint32(8) {
		src.bad[i] = ErrBadData
	}
	if it, err = l.Epoch(t.Context(), 2, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := it.Next(); !errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), "none of its samples") {
		t.Errorf("nothing left: %v", err)
	}
}

func readSome(t *testing.T, l *Loader) (indices []uint32) {
	t.Helper()
	it, err := l.Epoch(t.Context(), 0, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for b, err := it.Next(); err == nil; b, err = it.Next() {
		indices = append(indices, b.Indices...)
	}
	return indices
}
