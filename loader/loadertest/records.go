package loadertest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"winnow/internal/race"
	"winnow/loader"
)

// Want is what a set of records is known to hold.
type Want struct {
	Labels []int64  // of every sample
	Images [][]byte // raw pixels or files of the first samples; nil where the format draws them itself
	// Allocations is how many a read may make once it is warm: 0, but for
	// formats that open a file for each sample.
	Allocations float64
}

// Records holds records against what every format keeps. open gives the same
// records each time; they are closed by the caller.
func Records(t *testing.T, open func(t *testing.T) loader.Records, want Want) {
	r := open(t)
	t.Run("targets", func(t *testing.T) { targets(t, r, want) })
	t.Run("images", func(t *testing.T) { images(t, r, want) })
	t.Run("any order, any number of readers", func(t *testing.T) { concurrent(t, r) })
	t.Run("opened again", func(t *testing.T) { again(t, r, open(t)) })
	t.Run("past the end", func(t *testing.T) { pastEnd(t, r) })
	t.Run("no garbage", func(t *testing.T) { noGarbage(t, r, want.Allocations) })
}

func targets(t *testing.T, r loader.Records, want Want) {
	if r.Len() != len(want.Labels) || r.Len() == 0 {
		t.Fatalf("%d samples: want %d", r.Len(), len(want.Labels))
	}
	if loader.NameOf(r) == fmt.Sprintf("%T", r) {
		t.Error("no name to show in errors")
	}
	classes := loader.ClassesOf(r)
	if classes == nil {
		t.Error("no classes")
	}
	for i := range uint32(r.Len()) {
		target := r.Target(i)
		if target.Kind() != loader.ClassTarget || target.Class() != want.Labels[i] || target.Class() < 0 || target.Class() >= int64(len(classes)) {
			t.Fatalf("sample %d: target of kind %d, class %d of %d: want %d", i, target.Kind(), target.Class(), len(classes), want.Labels[i])
		}
	}
}

func images(t *testing.T, r loader.Records, want Want) {
	c, h, w := loader.ShapeOf(r)
	var record loader.Record
	for i := range uint32(r.Len()) {
		if err := r.Read(i, &record); err != nil {
			t.Fatalf("sample %d: %v", i, err)
		}
		raw := record.C > 0
		switch {
		case raw && len(record.Data) != record.C*record.H*record.W:
			t.Fatalf("sample %d: %d bytes for an image of %dx%dx%d", i, len(record.Data), record.C, record.H, record.W)
		case len(record.Data) == 0:
			t.Fatalf("sample %d is empty", i)
		case c > 0 && (record.C != c || record.H != h || record.W != w):
			t.Fatalf("sample %d is %dx%dx%d, and all are said to be %dx%dx%d", i, record.C, record.H, record.W, c, h, w)
		case int(i) < len(want.Images) && !bytes.Equal(record.Data, want.Images[i]):
			t.Fatalf("sample %d has other bytes than were stored", i)
		}
	}
}

// all reads every sample with one record, in the order of step.
func all(t *testing.T, r loader.Records, start, step int) [][]byte {
	var record loader.Record
	out := make([][]byte, r.Len())
	for k := range out {
		i := (start + k*step) % r.Len()
		if err := r.Read(uint32(i), &record); err != nil {
			t.Errorf("sample %d: %v", i, err)
			return nil
		}
		out[i] = append(bytes.Clone(record.Data), fmt.Sprint(record.C, record.H, record.W)...)
	}
	return out
}

func concurrent(t *testing.T, r loader.Records) {
	want := all(t, r, 0, 1)
	var readers sync.WaitGroup
	for k := range 4 {
		readers.Go(func() {
			got := all(t, r, k, r.Len()-1) // backwards
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("sample %d differs for reader %d", i, k)
					return
				}
			}
		})
	}
	readers.Wait()
}

func again(t *testing.T, r, other loader.Records) {
	a, b := all(t, r, 0, 1), all(t, other, 0, 1)
	if len(a) != len(b) {
		t.Fatalf("%d samples, and %d when opened again", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) || r.Target(uint32(i)) != other.Target(uint32(i)) {
			t.Fatalf("sample %d is another when opened again", i)
		}
	}
}

func pastEnd(t *testing.T, r loader.Records) {
	for _, i := range []uint32{uint32(r.Len()), math.MaxUint32} {
		if err := r.Read(i, new(loader.Record)); !errors.Is(err, loader.ErrIndex) {
			t.Errorf("sample %d of %d: %v: want ErrIndex", i, r.Len(), err)
		}
	}
}

func noGarbage(t *testing.T, r loader.Records, most float64) {
	var record loader.Record
	n := uint32(r.Len())
	read := func(i uint32) {
		if err := r.Read(i%n, &record); err != nil {
			t.Fatal(err)
		}
		r.Target(i % n)
	}
	for i := range n {
		read(i)
	}
	i := uint32(0)
	if got := testing.AllocsPerRun(int(4*n), func() { read(i); i++ }); got > most && !race.Enabled {
		t.Errorf("%v allocations a sample: want at most %v", got, most)
	}
}
