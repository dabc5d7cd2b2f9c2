package raster

import (
	"bytes"
	"testing"
)

// TestBlurKeepsAllocationsAndConstants: an even picture stays as it is, and
// memory is made once.
func TestBlurKeepsAllocationsAndConstants(t *testing.T) {
	m := &Image{}
	m.Reset(3, 24, 30)
	for i := range m.Pix {
		m.Pix[i] = 201
	}
	before := bytes.Clone(m.Pix)
	var b Blurrer
	b.Blur(m, 23, 2)
	if !bytes.Equal(before, m.Pix) {
		t.Error("an even picture changed")
	}
	if n := testing.AllocsPerRun(20, func() { b.Blur(m, 23, 1.7) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBlur(b *testing.B) {
	m := &Image{}
	m.Reset(3, 224, 224)
	var blur Blurrer
	b.ReportAllocs()
	for b.Loop() {
		blur.Blur(m, 23, 2)
	}
}
