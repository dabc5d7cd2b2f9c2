//go:build cgo && amd64 && (linux || darwin)

package raster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"winnow/internal/missing"
)

// TestVectorsGiveTheSamePixels: the loops in Go, which agree with Pillow, and
// those for wide registers, in planes and packed, over boxes of every kind.
func TestVectorsGiveTheSamePixels(t *testing.T) {
	if !wide {
		missing.Skip(t, "the processor has no AVX2")
	}
	defer func() { wide = true }()
	rng := rand.New(rand.NewPCG(1, 2))
	var r Resizer
	var plain, got Image
	for range 400 {
		src := noisy(rng, 3, 1+rng.IntN(150), 1+rng.IntN(150))
		box := Box{H: 1 + rng.IntN(src.H), W: 1 + rng.IntN(src.W)}
		box.Y, box.X = rng.IntN(src.H-box.H+1), rng.IntN(src.W-box.W+1)
		h, w := 1+rng.IntN(130), 1+rng.IntN(130)
		y, x := rng.IntN(h), rng.IntN(w)
		plain.Reset(3, 1+rng.IntN(h-y), 1+rng.IntN(w-x))
		got.Reset(3, plain.H, plain.W)
		f := Filters()[rng.IntN(len(Filters()))]
		what := fmt.Sprintf("%dx%d, %+v to %dx%d, %dx%d at %d,%d, %s", src.H, src.W, box, h, w, plain.H, plain.W, y, x, f.Name())
		wide = false
		r.Resize(&plain, src, box, h, w, y, x, f)
		wide = true
		for _, m := range []*Image{src, packed(src)} {
			r.Resize(&got, m, box, h, w, y, x, f)
			if !bytes.Equal(got.Pix, plain.Pix) {
				t.Fatalf("%s, packed %v: other pixels", what, m.Packed)
			}
		}
	}
}
