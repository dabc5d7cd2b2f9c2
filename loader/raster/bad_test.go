package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bigPNG is the header of a PNG of w x h pixels and nothing more.
func bigPNG(w, h uint32) []byte {
	chunk := append([]byte("IHDR"), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)...)
	chunk = append(chunk, 8, 2, 0, 0, 0)
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
}

func TestBadFiles(t *testing.T) {
	good := fixture(t, "rgb.png")
	for name, c := range map[string]struct {
		data []byte
		want error
		text string
	}{
		"empty":       {nil, ErrImage, "want JPEG"},
		"text":        {[]byte("hello, world"), ErrImage, "begins with 68 65 6c 6c"},
		"huge":        {bigPNG(50000, 50000), ErrTooLarge, "50000x50000"},
		"long":        {bigPNG(MaxPixels+1, 1), ErrTooLarge, "at most"},
		"no pixels":   {bigPNG(20000, 10), ErrImage, "truncated PNG"},
		"cut":         {good[:len(good)/2], ErrImage, "PNG"},
		"damaged":     {bytes.Replace(bytes.Clone(good), []byte("IDAT"), []byte("IDAX"), 1), ErrImage, "PNG"},
		"jpeg cut":    {fixture(t, "jpeg420.jpg")[:400], ErrImage, "truncated JPEG"},
		"only a head": {[]byte("\xff\xd8\xff\xe0"), ErrImage, "truncated JPEG"},
	} {
		var m Image
		err := Decode(&m, c.data, 3)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLongImages: 20,000 x 10 pixels is an image like any other.
func TestLongImages(t *testing.T) {
	src := scene(10, 20000)
	var out Image
	out.Reset(3, 8, 8)
	new(Resizer).Resize(&out, src, src.Whole(), 8, 16000, 0, 7000, Bilinear)
}

// FuzzDecode: whatever the bytes, the end is pixels of the header's size or an
// error on one line, and no panic.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.[jpgbwt][pnimie]*")
	if err != nil || len(files) < 10 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, ".rgb") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, w, err := Size(data)
		if err == nil && h*w > 1<<20 {
			return // a big picture takes long, and says no more
		}
		for _, channels := range []int{1, 3} {
			var m Image
			switch err := Decode(&m, data, channels); {
			case err == nil && (m.C != channels || m.H != h || m.W != w || len(m.Pix) != channels*h*w):
				t.Errorf("%dx%dx%d with %d bytes of %dx%d", m.C, m.H, m.W, len(m.Pix), h, w)
			case err != nil && !errors.Is(err, ErrImage) && !errors.Is(err, ErrTooLarge) || err != nil && strings.Contains(err.Error(), "\n"):
				t.Errorf("%q", err)
			}
		}
	})
}
