package datasets

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"winnow/internal/random"
	"winnow/loader/raster"
)

// TestHashesArePillows: testdata/near.py prints them.
func TestHashesArePillows(t *testing.T) {
	var h hasher
	for name, want := range map[string]hash128{
		"rgb.png":       {0xa94950c387b5276b, 0xc75e18e3a79c6b7b},
		"grey.png":      {0x894950c387b5276b, 0xcf5e18e3a79c6b7b},
		"lossless.webp": {0xa94950c387b5276b, 0xc75e18e3a79c6b7b},
		"palette.bmp":   {0xa94950c387b5276b, 0xc75e18e3a79c6b7b},
		"rgb.tif":       {0xa94950c387b5276b, 0xc75e18e3a79c6b7b},
		"onepixel.png":  {0x0, 0x0},
	} {
		data, err := os.ReadFile(filepath.Join("../loader/raster/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var m raster.Image
		if err := raster.Decode(&m, data, 3); err != nil {
			t.Fatal(err)
		}
		if got := h.hash(&m); got != want {
			t.Errorf("%s: %#x, want %#x", name, got, want)
		}
	}
}

// TestNearGroups holds the bands against all pairs, for planted neighbours and
// for hashes at every distance around the limit.
func TestNearGroups(t *testing.T) {
	r := random.Stream(3)
	var hashes []hash128
	for range 150 {
		h := hash128{r.Next(), r.Next()}
		hashes = append(hashes, h)
		for range r.Below(4) {
			for range r.Below(9) { // flips may meet
				bit := r.Below(128)
				if bit < 64 {
					h.columns ^= 1 << bit
				} else {
					h.rows ^= 1 << (bit - 64)
				}
			}
			hashes = append(hashes, h)
		}
	}
	skip := func(i int) bool { return i%13 == 0 }
	for _, most := range []int{0, 1, 2, 4, 7, MaxNear} {
		all := newSets(len(hashes))
		for i := range hashes {
			for j := range i {
				if !skip(i) && !skip(j) && hashes[i].distance(hashes[j]) <= most {
					all.join(uint32(i), uint32(j))
				}
			}
		}
		want := all.groups()
		got, partial := nearGroups(hashes, skip, most)
		if !reflect.DeepEqual(got, want) || partial || most > 2 && len(want) < 20 {
			t.Errorf("up to %d bits: %d groups (%v), want %d", most, len(got), partial, len(want))
		}
	}
	same := make([]hash128, 5*maxBucket) // one image for all: no time of a square, and still one group
	groups, partial := nearGroups(same, func(int) bool { return false }, 4)
	if len(groups) != 1 || len(groups[0]) != len(same) || !partial {
		t.Errorf("%d groups of the same image, %v", len(groups), partial)
	}
}
