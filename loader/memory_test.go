package loader

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestMemory(t *testing.T) {
	images := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	m, err := NewMemory("two", 1, 2, 2, images, []int64{1, 0}, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 4)
	if y, err := m.Read(1, dst); err != nil || y != 0 || !bytes.Equal(dst, images[4:]) {
		t.Errorf("sample 1: %v %v %v", y, dst, err)
	}
	if _, err := m.Read(2, dst); !errors.Is(err, ErrIndex) {
		t.Errorf("past the end: %v", err)
	}
	for _, labels := range [][]int64{{1}, {1, 2}, {-1, 0}} {
		if _, err := NewMemory("two", 1, 2, 2, images, labels, []string{"a", "b"}); !errors.Is(err, ErrBadData) {
			t.Errorf("labels %v: %v", labels, err)
		}
	}
}

func TestCachedReadsOnce(t *testing.T) {
	var reads atomic.Int64
	src := ramp{n: 100, hook: func(uint32) { reads.Add(1) }}
	c := NewCached(src, 60*24)
	check := func() {
		dst := make([]byte, 24)
		for i := range uint32(100) {
			y, err := c.Read(i, dst)
			if err != nil || y != src.Label(i) || !bytes.Equal(dst, src.image(i)) {
				t.Errorf("sample %d: label %d, %v, %v", i, y, dst, err)
			}
		}
	}
	check()
	check()
	if got := reads.Load(); got != 100+40 {
		t.Errorf("%d reads: want each sample once and 40 past the bound again", got)
	}
	c = NewCached(src, 1<<20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(check)
	}
	wg.Wait()
}

func TestCachedKeepsNothingOfAFailedRead(t *testing.T) {
	src := ramp{n: 2, bad: map[uint32]error{1: errors.New("no")}}
	c := NewCached(src, 1<<20)
	dst := make([]byte, 24)
	if _, err := c.Read(1, dst); err == nil {
		t.Fatal("the error was lost")
	}
	delete(src.bad, 1)
	if _, err := c.Read(1, dst); err != nil || !bytes.Equal(dst, src.image(1)) {
		t.Errorf("after the failure: %v %v", dst, err)
	}
}

func TestOptionalInterfaces(t *testing.T) {
	c := NewCached(ramp{n: 5}, 0)
	if NameOf(c) != "ramp" || TrueLabelOf(c, 4) != 4 || ClassesOf(c) != nil {
		t.Error("Cached does not pass its source's name, labels and classes on")
	}
	var bare struct{ Source }
	bare.Source = ramp{n: 5}
	if y, err := LabelOf(bare, 3); y != 3 || err != nil {
		t.Errorf("LabelOf by reading: %d, %v", y, err)
	}
	if _, err := LabelOf(c, 5); !errors.Is(err, ErrIndex) {
		t.Errorf("LabelOf past the end: %v", err)
	}
	if NameOf(bare) == "" {
		t.Error("no name")
	}
}
