package raster

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// seen is an entry of testdata/view.json.
type seen struct {
	Name         string
	File, Pixels []byte
	H, W         int
}

func seenBy(t *testing.T) (turned, over []seen) {
	t.Helper()
	var both struct{ Turned, Over []seen }
	if err := json.Unmarshal(fixture(t, "view.json"), &both); err != nil || len(both.Turned) == 0 || len(both.Over) == 0 {
		t.Fatal(err)
	}
	return both.Turned, both.Over
}

// unpacked is an image's planes.
func unpacked(m *Image) []byte {
	if m.Packed {
		return planar(m.Pix, m.C)
	}
	return m.Pix
}

// TestUprightIsPillows: ImageOps.exif_transpose of Pillow, in planes and packed.
func TestUprightIsPillows(t *testing.T) {
	turned, _ := seenBy(t)
	names := []string{GoDecoder}
	if _, err := NewDecoder(TurboDecoder); err == nil {
		names = append(names, TurboDecoder)
	}
	for _, name := range names {
		d, err := NewDecoder(name)
		if err != nil {
			t.Fatal(err)
		}
		d = d.With(View{Upright: true})
		for _, c := range turned {
			want := planar(c.Pixels, 3)
			for what, decode := range map[string]func(*Image, []byte, int, int) error{"planes": d.Decode, "packed": d.DecodePacked} {
				var m Image
				if err := decode(&m, c.File, 3, 1); err != nil {
					t.Fatal(c.Name, err)
				}
				h, w, err := d.Size(c.File)
				if err != nil || m.H != c.H || m.W != c.W || h != c.H || w != c.W {
					t.Fatalf("%s: %dx%d, said to be %dx%d (%v), want %dx%d", c.Name, m.H, m.W, h, w, err, c.H, c.W)
				}
				most := 0
				if strings.HasPrefix(c.Name, "JPEG") && name == GoDecoder {
					most = 3 // it rounds otherwise
				}
				if _, diff := difference(unpacked(&m), want); diff > most {
					t.Errorf("%s by %s, %s: off by %d", c.Name, name, what, diff)
				}
			}
		}
		for _, c := range turned { // and not unless asked
			var plain, stored Image
			if err := d.With(View{}).Decode(&plain, c.File, 3, 1); err != nil {
				t.Fatal(err)
			}
			if err := Decode(&stored, c.File, 3); err != nil || plain.H != stored.H || plain.W != stored.W {
				t.Errorf("%s is turned unasked: %v", c.Name, err)
			}
		}
	}
}

// TestTurnMakesNoGarbage: turning swaps two buffers.
func TestTurnMakesNoGarbage(t *testing.T) {
	m := scene(40, 30)
	want := slices.Clone(m.Pix)
	m.Turn(6)
	m.Turn(8)
	if !bytes.Equal(m.Pix, want) {
		t.Error("a quarter there and back is another image")
	}
	if n := testing.AllocsPerRun(20, func() { m.Turn(5) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestOverWhiteIsPillows: alpha_composite over white of Pillow, in colour and in grey.
func TestOverWhiteIsPillows(t *testing.T) {
	_, over := seenBy(t)
	d := Decoder{}.With(View{White: true})
	for _, c := range over {
		var m, grey Image
		if err := d.Decode(&m, c.File, 3, 1); err != nil {
			t.Fatal(c.Name, err)
		}
		most := 0
		if strings.HasSuffix(c.Name, "jpg") {
			most = 3
		}
		want := planar(c.Pixels, 3)
		if _, diff := difference(m.Pix, want); m.H != c.H || m.W != c.W || diff > most {
			t.Errorf("%s: off by %d", c.Name, diff)
		}
		if err := d.Decode(&grey, c.File, 1, 1); err != nil {
			t.Fatal(c.Name, err)
		}
		if err := m.SetChannels(1); err != nil || !bytes.Equal(m.Pix, grey.Pix) {
			t.Errorf("%s: in grey not the luma of its colours: %v", c.Name, err)
		}
	}
}
