package raster

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// noisy is an image of random bytes, half of them at a bound, so that sums leave the range.
func noisy(rng *rand.Rand, c, h, w int) *Image {
	m := &Image{}
	m.Reset(c, h, w)
	for i := range m.Pix {
		m.Pix[i] = byte(rng.Uint32())
		if rng.IntN(2) == 0 {
			m.Pix[i] = byte(255 * rng.IntN(2))
		}
	}
	return m
}

// TestPackedIsDecode: an image left packed has the pixels of its planes.
func TestPackedIsDecode(t *testing.T) {
	d := turboHere(t)
	var planes, left, out Image
	for _, name := range []string{"jpeg420.jpg", "grey.jpg", "cmyk.jpg", "rgb.png"} {
		for _, channels := range []int{1, 3} {
			if err := d.Decode(&planes, fixture(t, name), channels, 1); err != nil {
				t.Fatal(err)
			}
			if err := d.DecodePacked(&left, fixture(t, name), channels, 1); err != nil {
				t.Fatal(err)
			}
			if want := name == "jpeg420.jpg" && channels == 3; left.Packed != want {
				t.Errorf("%s in %d channels: packed %v", name, channels, left.Packed)
			}
			out.Reset(left.C, left.H, left.W)
			if Crop(&out, &left, left.Whole()); !bytes.Equal(out.Pix, planes.Pix) {
				t.Errorf("%s in %d channels: other pixels", name, channels)
			}
		}
	}
}

// BenchmarkResize is a crop of a photograph brought to a model's size.
func BenchmarkResize(b *testing.B) {
	src := noisy(rand.New(rand.NewPCG(1, 2)), 3, 375, 500)
	defer func(old bool) { wide = old }(wide)
	for _, row := range []struct {
		name string
		src  *Image
		wide bool
	}{{"planes", src, false}, {"packed", packed(src), false}, {"planes, vectors", src, true}, {"packed, vectors", packed(src), true}} {
		b.Run(row.name, func(b *testing.B) {
			if row.wide && !wide {
				b.Skip("no vectors here")
			}
			was := wide
			defer func() { wide = was }()
			wide = row.wide
			var r Resizer
			var out Image
			out.Reset(3, 224, 224)
			for b.Loop() {
				r.Resize(&out, row.src, Box{20, 30, 300, 400}, 224, 224, 0, 0, Bilinear)
			}
		})
	}
}

// TestReverse: rows of any length.
func TestReverse(t *testing.T) {
	for n := range 70 {
		row, want := make([]byte, n), make([]byte, n)
		for i := range row {
			row[i], want[n-1-i] = byte(i+1), byte(i+1)
		}
		if Reverse(row); !bytes.Equal(row, want) {
			t.Errorf("%d bytes: %v", n, row)
		}
	}
}
