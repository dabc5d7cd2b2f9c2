package raster

import (
	"bytes"
	"slices"
	"testing"
)

// TestOrientation: what Pillow wrote (testdata/exif.py), and what has none.
func TestOrientation(t *testing.T) {
	turned := fixture(t, "orientation6.jpg")
	if got := Orientation(turned); got != 6 {
		t.Errorf("%d: want 6", got)
	}
	for _, name := range []string{"jpeg420.jpg", "rgb.png"} {
		if got := Orientation(fixture(t, name)); got != 0 {
			t.Errorf("%s: %d", name, got)
		}
	}
	// The same structure in the other byte order.
	big := slices.Concat([]byte("\xff\xd8\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x03\x00\x00\x00\x00\x00\x00"), []byte("\xff\xda"))
	if got := Orientation(big); got != 3 {
		t.Errorf("big-endian: %d: want 3", got)
	}
	for n := range turned {
		Orientation(turned[:n]) // cut anywhere: no panic
	}
	at := bytes.Index(turned, []byte("Exif"))
	bad := bytes.Clone(turned)
	copy(bad[at+10:], "\xff\xff\xff\xff")
	if got := Orientation(bad); got != 0 {
		t.Errorf("a directory outside the file: %d", got)
	}
}
