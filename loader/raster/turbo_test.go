package raster

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"winnow/internal/missing"
)

// turboHere skips a test where libturbojpeg is missing, or fails it under CI=true.
func turboHere(t testing.TB) Decoder {
	d, err := NewDecoder(TurboDecoder)
	if err != nil {
		missing.Skip(t, "%v: make setup-jpeg installs it", err)
	}
	return d
}

// TestTurboIsPillows: JPEG by libturbojpeg has Pillow's pixels to the bit, but
// for four inks, which Go's decoder takes.
func TestTurboIsPillows(t *testing.T) {
	d := turboHere(t)
	var m Image
	for _, name := range []string{"jpeg444.jpg", "jpeg422.jpg", "jpeg420.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "onepixel.jpg", "twopixels.jpg", "rgb.png"} {
		data := fixture(t, name)
		h, w, err := d.Size(data)
		goH, goW, goErr := Size(data)
		if h != goH || w != goW || err != nil || goErr != nil {
			t.Errorf("%s: header of %dx%d, %v", name, h, w, err)
		}
		for channels, want := range map[int][]byte{1: fixture(t, name+".l"), 3: planar(fixture(t, name+".rgb"), 3)} {
			if err := d.Decode(&m, data, channels, 1); err != nil || m.C != channels || m.H != h || m.W != w {
				t.Fatalf("%s: %dx%dx%d: %v", name, m.C, m.H, m.W, err)
			}
			mean, most := difference(m.Pix, want)
			if most > 0 && name != "cmyk.jpg" || mean > 0.5 {
				t.Errorf("%s in %d channels: pixels differ by %.3f on average and %d at most", name, channels, mean, most)
			}
		}
	}
}

// TestTurboShrinksAsPillow: shrinking while decoding is Pillow's Image.draft, to the bit.
func TestTurboShrinksAsPillow(t *testing.T) {
	d := turboHere(t)
	type draft struct{ By, H, W int }
	data, pixels := fixture(t, "draft.jpg"), fixture(t, "draft.rgb")
	var m Image
	for _, c := range fixtures[draft](t, "draft.json") {
		want := planar(pixels[:3*c.H*c.W], 3)
		pixels = pixels[3*c.H*c.W:]
		if err := d.Decode(&m, data, 3, c.By); err != nil || m.H != c.H || m.W != c.W {
			t.Fatalf("by %d: %dx%d: %v", c.By, m.H, m.W, err)
		}
		if mean, most := difference(m.Pix, want); most > 0 {
			t.Errorf("by %d: pixels differ by %.3f on average and %d at most", c.By, mean, most)
		}
		if !slices.Contains(Shrinks[:], c.By) && c.By != 1 {
			t.Errorf("%d is not among the factors", c.By)
		}
	}
	if len(pixels) > 0 {
		t.Errorf("%d bytes left over", len(pixels))
	}
}

// TestShrinkIsPillows: boxes in parts of pixels, to the bit.
func TestShrinkIsPillows(t *testing.T) {
	type part struct {
		Box, Target []int
		Filter      string
	}
	full, pixels := fixture(t, "draft.rgb"), fixture(t, "parts.rgb")
	src := &Image{C: 3, H: 97, W: 133, Pix: planar(full[:3*97*133], 3)}
	var out Image
	var r Resizer
	for _, c := range fixtures[part](t, "parts.json") {
		n := 3 * c.Target[0] * c.Target[1]
		want := planar(pixels[:n], 3)
		pixels = pixels[n:]
		filter := Bilinear
		if c.Filter == "bicubic" {
			filter = Bicubic
		}
		out.Reset(3, c.Target[0], c.Target[1])
		r.Shrink(&out, src, Box{c.Box[0], c.Box[1], c.Box[2], c.Box[3]}, 8, filter)
		if mean, most := difference(out.Pix, want); most > 0 {
			t.Errorf("%+v: differs by %.3f on average, %d at most", c, mean, most)
		}
	}
	if len(pixels) > 0 {
		t.Errorf("%d bytes left over", len(pixels))
	}
}

// TestTurboWarningsAreErrors: what the library warns of gives no pixels.
func TestTurboWarningsAreErrors(t *testing.T) {
	d := turboHere(t)
	good := fixture(t, "draft.jpg")
	huge := bytes.Clone(good)
	at := bytes.Index(huge, []byte{0xff, 0xc0}) // start of frame: length, precision, height, width
	copy(huge[at+5:], []byte{0xc3, 0x50, 0xc3, 0x50})
	scan := bytes.Index(good, []byte{0xff, 0xda})
	for name, c := range map[string]struct {
		data []byte
		want error
		text string
	}{
		"cut":        {good[:len(good)*2/3], ErrImage, "Premature end"},
		"extraneous": {slices.Concat(good[:len(good)-2], []byte{0, 1, 2, 3, 4, 5, 6, 7}, good[len(good)-2:]), ErrImage, "extraneous"},
		"no scan":    {good[:scan], ErrImage, "JPEG"},
		"head alone": {good[:4], ErrImage, "truncated JPEG"},
		"huge":       {huge, ErrTooLarge, "50000x50000"},
	} {
		var m Image
		err := d.Decode(&m, c.data, 3, 1)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if c.want == ErrTooLarge && len(m.Pix) > 0 {
			t.Errorf("%s: %d bytes of pixels were made", name, len(m.Pix))
		}
	}
	var m Image // and a good one after them
	if err := d.Decode(&m, good, 3, 1); err != nil {
		t.Error(err)
	}
}

// TestTurboWorkers: many goroutines at once get the same pixels, and no image
// takes memory of its own.
func TestTurboWorkers(t *testing.T) {
	d := turboHere(t)
	data := fixture(t, "draft.jpg")
	var want Image
	if err := d.Decode(&want, data, 3, 1); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var m Image
			for i := range 20 {
				if err := d.Decode(&m, data, 3, 1+i%2); err != nil {
					t.Error(err)
				} else if i%2 == 0 && !bytes.Equal(m.Pix, want.Pix) {
					t.Error("other pixels")
				}
			}
		})
	}
	wg.Wait()
	if n := testing.AllocsPerRun(50, func() { _ = d.Decode(&want, data, 3, 1) }); n > 0 {
		t.Errorf("%v allocations an image", n)
	}
}

func TestDecoderNames(t *testing.T) {
	if _, err := NewDecoder("libjpeg"); err == nil || !strings.Contains(err.Error(), "turbo") {
		t.Error(err)
	}
	d, err := NewDecoder(GoDecoder)
	if err != nil || d.File() != "" {
		t.Error(d.File(), err)
	}
	var m Image
	if err := d.Decode(&m, fixture(t, "draft.jpg"), 3, 8); err != nil || m.H != 97 || m.W != 133 {
		t.Errorf("%dx%d: %v", m.H, m.W, err)
	}
}

// FuzzTurbo: as FuzzDecode, by libturbojpeg.
func FuzzTurbo(f *testing.F) {
	d := turboHere(f)
	for _, name := range []string{"jpeg444.jpg", "jpeg422.jpg", "jpeg420.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "onepixel.jpg"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, w, err := d.Size(data)
		if err == nil && h*w > 1<<20 {
			return
		}
		var m Image
		switch err := d.Decode(&m, data, 3, 2); {
		case err == nil && (m.C != 3 || len(m.Pix) != 3*m.H*m.W || m.H != h && m.H != shrunk(h, 2)):
			t.Errorf("%dx%d of %dx%d", m.H, m.W, h, w)
		case err != nil && !errors.Is(err, ErrImage) && !errors.Is(err, ErrTooLarge) || err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("%q", err)
		}
	})
}
