package loader

import (
	"bytes"
	"testing"
)

// reference pads, crops and mirrors by the definition, one pixel at a time.
func reference(src []byte, c, h, w, pad, dy, dx int, flip bool) []byte {
	out := make([]byte, len(src))
	ph, pw := h+2*pad, w+2*pad
	for k := range c {
		padded := make([]byte, ph*pw)
		for y := range h {
			for x := range w {
				padded[(y+pad)*pw+x+pad] = src[(k*h+y)*w+x]
			}
		}
		for y := range h {
			for x := range w {
				from := x
				if flip {
					from = w - 1 - x
				}
				out[(k*h+y)*w+x] = padded[(y+pad+dy)*pw+from+pad+dx]
			}
		}
	}
	return out
}

func TestApplyAgainstDefinition(t *testing.T) {
	for _, s := range [][3]int{{1, 1, 1}, {1, 5, 4}, {3, 4, 5}} {
		c, h, w := s[0], s[1], s[2]
		src := make([]byte, c*h*w)
		for i := range src {
			src[i] = byte(i + 1)
		}
		const pad = 6 // more than either side
		for dy := -pad; dy <= pad; dy++ {
			for dx := -pad; dx <= pad; dx++ {
				for _, flip := range []bool{false, true} {
					got := bytes.Repeat([]byte{0xee}, len(src))
					apply(got, src, c, h, w, dy, dx, flip)
					if want := reference(src, c, h, w, pad, dy, dx, flip); !bytes.Equal(got, want) {
						t.Fatalf("shape %v, dy %d, dx %d, flip %v: got %v, want %v", s, dy, dx, flip, got, want)
					}
				}
			}
		}
	}
}

// TestDrawIsUniform: every place and both sides come up about equally often,
// and independently (chi-squared, 49 degrees of freedom, 0.9999 quantile 95).
func TestDrawIsUniform(t *testing.T) {
	a := Augment{CropPad: 2, HFlip: true}
	const n = 50000
	counts := map[[3]int]int{}
	for i := range uint32(n) {
		dy, dx, flip := a.draw(9, 4, i)
		k := [3]int{dy, dx, 0}
		if flip {
			k[2] = 1
		}
		counts[k]++
	}
	chi := 0.0
	for k, c := range counts {
		if k[0] < -2 || k[0] > 2 || k[1] < -2 || k[1] > 2 {
			t.Fatalf("offset %v outside the padding", k)
		}
		d := float64(c) - n/50
		chi += d * d / (n / 50)
	}
	if len(counts) != 50 || chi > 95 {
		t.Errorf("%d of 50 outcomes, chi-squared %.1f: want under 95", len(counts), chi)
	}
}

func TestDrawDependsOnSeedEpochAndIndex(t *testing.T) {
	a := Augment{CropPad: 100, HFlip: true}
	type outcome struct {
		dy, dx int
		flip   bool
	}
	draw := func(seed uint64, epoch int, index uint32) outcome {
		dy, dx, flip := a.draw(seed, epoch, index)
		return outcome{dy, dx, flip}
	}
	base := draw(1, 2, 3)
	if base != draw(1, 2, 3) {
		t.Error("the same arguments gave another outcome")
	}
	for _, other := range []outcome{draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4)} {
		if base == other {
			t.Errorf("%v for two of seed, epoch, index", base)
		}
	}
}

func BenchmarkAugment(b *testing.B) {
	src, dst := make([]byte, 3*32*32), make([]byte, 3*32*32)
	a := Augment{CropPad: 4, HFlip: true}
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i++ {
		dy, dx, flip := a.draw(1, 1, i)
		apply(dst, src, 3, 32, 32, dy, dx, flip)
	}
}
