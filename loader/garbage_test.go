package loader

import (
	"os"
	"testing"

	"winnow/internal/missing"
	"winnow/loader/raster"
)

// TestViewsMakeNoGarbage: once memory has grown to the largest image, a view of
// a sample is read, decoded by libturbojpeg and changed without an allocation.
func TestViewsMakeNoGarbage(t *testing.T) {
	jpeg, err := os.ReadFile("raster/testdata/draft.jpg")
	if err != nil {
		t.Fatal(err)
	}
	decoder := raster.TurboDecoder
	if _, err := raster.NewDecoder(decoder); err != nil {
		missing.Skip(t, "%v: make setup-jpeg installs it", err)
	}
	crop := Images{Channels: 3, Height: 20, Width: 20, Interpolation: "bilinear", Decoder: decoder, ScaledDecode: true, HFlip: 0.5,
		Scale: [2]float64{DefaultScaleLo, DefaultScaleHi}, Ratio: [2]float64{DefaultRatioLo, DefaultRatioHi}}
	with := func(change func(*Images)) Images {
		o := crop
		change(&o)
		return o
	}
	views := map[string]Images{
		"random crops": crop,
		"grey":         with(func(o *Images) { o.Channels = 1 }),
		"evaluation":   with(func(o *Images) { o.CropPct, o.HFlip = 0.875, 0 }),
		"shifted":      with(func(o *Images) { o.CropPad, o.VFlip = 4, 0.5 }),
		"changed":      with(func(o *Images) { o.Rotation, o.ColorJitter, o.Erase = 30, [4]float64{0.4, 0.4, 0.4, 0.1}, 0.5 }),
	}
	for _, name := range autoNames() {
		views[name] = with(func(o *Images) { o.Auto, o.AutoOps, o.AutoMagnitude = name, 2, 9 })
	}
	raw := scene(t, 28, 32)
	for what, o := range views {
		change, err := o.Transform()
		if err != nil {
			t.Fatal(what, err)
		}
		noGarbage(t, what, oneFile(jpeg), change)
		noGarbage(t, what+", of raw pixels", raw, change)
	}
	shift, err := Augment{CropPad: 4, HFlip: true}.Transform(3, 28, 32)
	if err != nil {
		t.Fatal(err)
	}
	noGarbage(t, "raw pixels moved", raw, shift)
	noGarbage(t, "raw pixels", raw, nil)
}

// noGarbage reads so many views that most kinds of them have come before it counts.
func noGarbage(t *testing.T, what string, r Records, change Transform) {
	t.Helper()
	src, err := NewSource(r, change)
	if err != nil {
		t.Fatal(what, err)
	}
	c, h, w := src.Shape()
	dst, scratch, epoch := make([]byte, c*h*w), new(Scratch), 0
	read := func() {
		for range 200 {
			epoch++
			if err := src.Read(Draw{Epoch: epoch}, scratch, dst); err != nil {
				t.Fatal(what, err)
			}
		}
	}
	read()
	if n := testing.AllocsPerRun(1, read); n > 0 {
		t.Errorf("%s: %v allocations for 200 views", what, n)
	}
}
