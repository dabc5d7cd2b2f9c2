package raster

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scene is the picture of testdata/pillow.py.
func scene(h, w int) *Image {
	m := &Image{}
	m.Reset(3, h, w)
	for c := range 3 {
		for y := range h {
			for x := range w {
				m.Plane(c)[y*w+x] = byte((x*11 + y*5 + c*60 + (x/4+y/3)%2*70) % 256)
			}
		}
	}
	return m
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func fixtures[T any](t *testing.T, name string) (list []T) {
	t.Helper()
	if err := json.Unmarshal(fixture(t, name), &list); err != nil || len(list) == 0 {
		t.Fatal(name, err)
	}
	return list
}

// planar turns [H, W, channels] into planes.
func planar(data []byte, channels int) []byte {
	n := len(data) / channels
	out := make([]byte, 0, len(data))
	for c := range channels {
		for i := range n {
			out = append(out, data[i*channels+c])
		}
	}
	return out
}

// difference is the mean and the largest absolute difference of pixels.
func difference(a, b []byte) (mean float64, most int) {
	sum := 0
	for i := range a {
		d := max(int(a[i])-int(b[i]), int(b[i])-int(a[i]))
		sum, most = sum+d, max(most, d)
	}
	return float64(sum) / float64(len(a)), most
}

// TestOddFiles: each file has the pixels that Pillow gives, JPEG's within what
// two right inverse cosine transforms may differ by.
func TestOddFiles(t *testing.T) {
	type odd struct {
		File  string
		H, W  int
		Exact bool
	}
	var m Image
	for _, f := range fixtures[odd](t, "odd.json") {
		data := fixture(t, f.File)
		if h, w, err := Size(data); err != nil || h != f.H || w != f.W {
			t.Errorf("%s: header of %dx%d, %v", f.File, h, w, err)
		}
		for channels, want := range map[int][]byte{1: fixture(t, f.File+".l"), 3: planar(fixture(t, f.File+".rgb"), 3)} {
			if err := Decode(&m, data, channels); err != nil {
				t.Errorf("%s: %v", f.File, err)
				continue
			}
			if m.C != channels || m.H != f.H || m.W != f.W || len(m.Pix) != len(want) {
				t.Errorf("%s: %dx%dx%d", f.File, m.C, m.H, m.W)
				continue
			}
			mean, most := difference(m.Pix, want)
			if f.Exact && most > 0 || mean > 0.5 || most > 4 {
				t.Errorf("%s in %d channels: pixels differ by %.2f on average and %d at most", f.File, channels, mean, most)
			}
			if strings.HasPrefix(f.File, "jpeg") || strings.HasSuffix(f.File, ".jpg") {
				t.Logf("%s in %d channels: pixels differ by %.2f on average and %d at most", f.File, channels, mean, most)
			}
		}
	}
}

// packed is an image with its pixels one after the other.
func packed(m *Image) *Image {
	p := &Image{Packed: true, C: m.C, H: m.H, W: m.W, Pix: make([]byte, len(m.Pix), len(m.Pix)+slack)}
	for k := range m.C {
		for i, v := range m.Plane(k) {
			p.Pix[i*m.C+k] = v
		}
	}
	return p
}

// TestResizeIsPillows: to the bit, in planes and packed, with vectors and without.
func TestResizeIsPillows(t *testing.T) {
	resizeIsPillows(t, func(m *Image) *Image { return m })
	resizeIsPillows(t, packed)
	if wide {
		wide = false
		defer func() { wide = true }()
		resizeIsPillows(t, func(m *Image) *Image { return m })
		resizeIsPillows(t, packed)
	}
}

func resizeIsPillows(t *testing.T, layout func(*Image) *Image) {
	t.Helper()
	type resized struct {
		Source, Target []int
		Box            []int
		Filter         string
	}
	pixels := fixture(t, "resized.rgb")
	var r Resizer
	var out, part Image
	for _, c := range fixtures[resized](t, "resized.json") {
		h, w := c.Target[0], c.Target[1]
		want := planar(pixels[:3*h*w], 3)
		pixels = pixels[3*h*w:]
		src, box := layout(scene(c.Source[0], c.Source[1])), Box{c.Box[0], c.Box[1], c.Box[2], c.Box[3]}
		filter := Bilinear
		if c.Filter == "bicubic" {
			filter = Bicubic
		}
		out.Reset(3, h, w)
		r.Resize(&out, src, box, h, w, 0, 0, filter)
		if !bytes.Equal(out.Pix, want) {
			mean, most := difference(out.Pix, want)
			t.Errorf("%+v: differs by %.3f on average, %d at most", c, mean, most)
		}
		// A part of it is the same pixels.
		y, x := h/3, w/4
		part.Reset(3, h-y-h/5, w-x-w/5)
		r.Resize(&part, src, box, h, w, y, x, filter)
		whole := out
		out = Image{}
		out.Reset(3, part.H, part.W)
		Crop(&out, &whole, Box{y, x, part.H, part.W})
		if !bytes.Equal(out.Pix, part.Pix) {
			t.Errorf("%+v: a part at %d,%d differs", c, y, x)
		}
	}
	if len(pixels) > 0 {
		t.Errorf("%d bytes left over", len(pixels))
	}
}
