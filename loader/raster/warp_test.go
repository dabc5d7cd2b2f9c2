package raster

import (
	"testing"
)

// TestWarpsAreTorchvisions holds affine maps, blurring, greyscale and reflected
// padding against testdata/warps.py: to the bit, but for a level where blurring
// sums in another order, or where Pillow cuts what is a whole number but for the
// last bit of an angle's cosine.
func TestWarpsAreTorchvisions(t *testing.T) {
	type operation struct {
		Op     string
		Values []float64
	}
	affine := func(m *Image, v []float64) Matrix {
		return Affine(m.H, m.W, v[0], int(v[1]), int(v[2]), v[3], v[4], v[5])
	}
	operations := map[string]func(m *Image, v []float64){
		"affine":          func(m *Image, v []float64) { m.Warp(affine(m, v), nil) },
		"affine-bilinear": func(m *Image, v []float64) { m.WarpBilinear(affine(m, v), nil) },
		"blur":            func(m *Image, v []float64) { new(Blurrer).Blur(m, int(v[0]), v[1]) },
		"grey":            func(m *Image, _ []float64) { m.Grey() },
		"reflect":         func(m *Image, v []float64) { m.ShiftMirrored(int(v[0]), int(v[1]), nil) },
	}
	pixels := fixture(t, "warps.rgb")
	seen := map[string]bool{}
	for _, c := range fixtures[operation](t, "warps.json") {
		m := colourScene()
		want := pixels[:len(m.Pix)]
		pixels = pixels[len(m.Pix):]
		seen[c.Op] = true
		operations[c.Op](m, c.Values)
		mean, most := difference(m.Pix, want)
		t.Logf("%-16s %v: %.5f grey levels on average, %d at most", c.Op, c.Values, mean, most)
		limit := 0
		if c.Op == "blur" || c.Op == "affine-bilinear" {
			limit = 1
		}
		if most > limit || mean > 0.1 {
			t.Errorf("%s %v: differs by %.5f on average, %d at most", c.Op, c.Values, mean, most)
		}
	}
	if len(seen) != len(operations) {
		t.Errorf("%d of %d operations have a case", len(seen), len(operations))
	}
}
