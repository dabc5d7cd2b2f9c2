package raster

import (
	"bytes"
	"testing"
)

// colourScene is the picture of testdata/colours.py.
func colourScene() *Image {
	m := &Image{}
	m.Reset(3, 23, 31)
	for c := range 3 {
		for y := range m.H {
			for x := range m.W {
				m.Plane(c)[y*m.W+x] = byte((x*x*3 + y*13 + c*41*(x%3) + (x/4+y/3)%2*70) % 251)
			}
		}
	}
	return m
}

// TestOperationsAreTorchvisions: to the bit.
func TestOperationsAreTorchvisions(t *testing.T) {
	type operation struct {
		Op    string
		Value float64
	}
	operations := map[string]func(m *Image, v float64){
		"brightness": func(m *Image, v float64) { m.Brightness(float32(v)) }, "contrast": func(m *Image, v float64) { m.Contrast(float32(v)) },
		"saturation": func(m *Image, v float64) { m.Saturation(float32(v)) }, "sharpness": func(m *Image, v float64) { m.Sharpness(float32(v), nil) },
		"hue": func(m *Image, v float64) { m.Hue(v) }, "posterize": func(m *Image, v float64) { m.Posterize(int(v)) },
		"solarize": func(m *Image, v float64) { m.Solarize(v) }, "autocontrast": func(m *Image, _ float64) { m.AutoContrast() },
		"equalize": func(m *Image, _ float64) { m.Equalize() }, "invert": func(m *Image, _ float64) { m.Invert() },
		"rotate": func(m *Image, v float64) { m.Warp(Rotation(m.H, m.W, v), nil) },
		"shearx": func(m *Image, v float64) { m.Warp(Shear(v, 0), nil) }, "sheary": func(m *Image, v float64) { m.Warp(Shear(0, v), nil) },
		"translatex": func(m *Image, v float64) { m.Warp(Translation(int(v), 0), nil) }, "translatey": func(m *Image, v float64) { m.Warp(Translation(0, int(v)), nil) },
	}
	pixels := fixture(t, "colours.rgb")
	seen := map[string]bool{}
	for _, c := range fixtures[operation](t, "colours.json") {
		m := colourScene()
		want := pixels[:len(m.Pix)]
		pixels = pixels[len(m.Pix):]
		seen[c.Op] = true
		operations[c.Op](m, c.Value)
		if !bytes.Equal(m.Pix, want) {
			mean, most := difference(m.Pix, want)
			t.Errorf("%s %v: differs by %.3f on average, %d at most", c.Op, c.Value, mean, most)
		}
	}
	if len(seen) != len(operations) {
		t.Errorf("%d of %d operations have a case", len(seen), len(operations))
	}
}

func TestErase(t *testing.T) {
	m := colourScene()
	before := bytes.Clone(m.Pix)
	m.Erase(Box{2, 3, 4, 5}, []byte{7, 8, 9})
	for c := range 3 {
		for y := range m.H {
			for x := range m.W {
				want := before[(c*m.H+y)*m.W+x]
				if y >= 2 && y < 6 && x >= 3 && x < 8 {
					want = byte(7 + c)
				}
				if m.Plane(c)[y*m.W+x] != want {
					t.Fatalf("pixel %d,%d of channel %d", y, x, c)
				}
			}
		}
	}
}
