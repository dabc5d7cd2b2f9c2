package loader

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader/raster"
)

// masked are images whose pixels are the numbers of their places, and masks that
// are the images: where a mask has followed its image, the two are alike.
type masked struct {
	h, w int
	file func(pix []byte, h, w int) []byte // of a mask; nil is raw
	off  int                               // added to the height of masks

	foreground byte
}

func (m masked) Len() int             { return 5 }
func (m masked) Name() string         { return "masked" }
func (m masked) Target(uint32) Target { return NoClass(MaskTarget) }
func (m masked) Shape() (c, h, w int) { return 1, m.h, m.w }
func (m masked) pixels(i uint32, h int) []byte {
	p := make([]byte, h*m.w)
	for k := range p {
		p[k] = byte(1 + (k+int(i))%200)
	}
	return p
}

func (m masked) Read(i uint32, r *Record) error {
	copy(r.Raw(1, m.h, m.w), m.pixels(i, m.h))
	return nil
}

func (m masked) Targets() []TargetSpec {
	return []TargetSpec{{Name: "mask", Kind: MaskTarget, Foreground: m.foreground}}
}

func (m masked) ReadTarget(i uint32, _ int, r *Record) error {
	h := m.h + m.off
	r.From = []byte("m")
	if m.file == nil {
		copy(r.Raw(1, h, m.w), m.pixels(i, h))
		return nil
	}
	file := m.file(m.pixels(i, h), h, m.w)
	copy(r.Encoded(len(file)), file)
	return nil
}

func greyFile(pix []byte, h, w int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, &image.Gray{Pix: pix, Stride: w, Rect: image.Rect(0, 0, w, h)}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func paletteFile(pix []byte, h, w int) []byte {
	m := &image.Paletted{Pix: pix, Stride: w, Rect: image.Rect(0, 0, w, h)}
	for k := range 256 {
		m.Palette = append(m.Palette, color.RGBA{byte(7 * k), byte(255 - k), 3, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func readMasks(t *testing.T, src *Source, o Options, each func(image, mask []byte)) error {
	t.Helper()
	o.BatchSize, o.Seed = 2, 9
	l, err := New(src, o)
	if err != nil {
		return err
	}
	for epoch := range 3 {
		it, err := l.Epoch(context.Background(), epoch, nil, nil)
		if err != nil {
			return err
		}
		for {
			b, err := it.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			mask := b.Targets[0]
			n := len(b.Images) / b.N
			for j := range b.N {
				each(b.Images[j*n:][:n], mask.Bytes[j*n:][:n])
			}
		}
	}
	return nil
}

// What moves an image without mixing its pixels moves its mask to the same places;
// what is uncovered is 0 in the one and MaskFill in the other.
func TestMasksFollowImages(t *testing.T) {
	shifted, err := Augment{CropPad: 3, HFlip: true}.Transform(1, 12, 10)
	if err != nil {
		t.Fatal(err)
	}
	moved := Images{Channels: 1, Height: 12, Width: 10, Interpolation: "bilinear", CropPct: 1, CropPad: 2, HFlip: 0.5, VFlip: 0.5, Rotation: 40,
		ColorJitter: [4]float64{}, Affine: Affine{}}
	turned, err := moved.Transform()
	if err != nil {
		t.Fatal(err)
	}
	for name, transform := range map[string]Transform{"as they are": nil, "shift": shifted, "images": turned} {
		for kind, file := range map[string]func([]byte, int, int) []byte{"raw": nil, "grey": greyFile, "palette": paletteFile} {
			src, err := NewSource(masked{h: 12, w: 10, file: file}, transform)
			if err != nil {
				t.Fatal(err)
			}
			uncovered, seen := 0, 0
			if err := readMasks(t, src, Options{}, func(image, mask []byte) {
				for k := range image {
					switch want := image[k]; {
					case want == 0 && mask[k] == MaskFill:
						uncovered++
					case want != mask[k]:
						t.Fatalf("%s, %s: pixel %d is %d, its mask %d", name, kind, k, want, mask[k])
					}
					seen++
				}
			}); err != nil {
				t.Fatal(err)
			}
			if seen != 15*120 || (uncovered > 0) != (transform != nil) {
				t.Errorf("%s, %s: %d pixels, %d uncovered", name, kind, seen, uncovered)
			}
		}
	}
}

// A mask that is made smaller takes the nearest pixel, and its crop is that of the image.
func TestMasksOfResizedImages(t *testing.T) {
	half := Images{Channels: 1, Height: 6, Width: 5, Interpolation: "bilinear", CropPct: 1}
	transform, err := half.Transform()
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewSource(masked{h: 12, w: 10}, transform)
	if err != nil {
		t.Fatal(err)
	}
	first := true
	if err := readMasks(t, src, Options{}, func(_, mask []byte) {
		for k := range mask {
			if y, x := k/5, k%5; first && mask[k] != byte(1+(2*y+1)*10+2*x+1) { // Pillow: floor((x + 0.5) * 2)
				t.Errorf("row %d, column %d is %d", y, x, mask[k])
			}
		}
		first = false
	}); err != nil {
		t.Fatal(err)
	}
	cut := Images{Channels: 1, Height: 12, Width: 10, Interpolation: "bilinear", Scale: [2]float64{0.2, 0.5}, Ratio: [2]float64{0.8, 1.2}}
	if transform, err = cut.Transform(); err != nil {
		t.Fatal(err)
	}
	if src, err = NewSource(masked{h: 48, w: 4}, transform); err != nil { // 4 wide: rows tell the box
		t.Fatal(err)
	}
	if err := readMasks(t, src, Options{}, func(image, mask []byte) {
		for k := range mask {
			if d := int(image[k]) - int(mask[k]); d < -8 || d > 8 {
				t.Fatalf("pixel %d is %d, its mask %d", k, image[k], mask[k])
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}

func TestBadMasks(t *testing.T) {
	lossy := func(pix []byte, h, w int) []byte {
		var b bytes.Buffer
		_ = jpeg.Encode(&b, &image.Gray{Pix: pix, Stride: w, Rect: image.Rect(0, 0, w, h)}, nil)
		return b.Bytes()
	}
	colours := func(_ []byte, h, w int) []byte {
		var b bytes.Buffer
		_ = png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, w, h)))
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		m    masked
		o    Options
		text string
	}{
		"size":    {masked{h: 12, w: 10, off: 1}, Options{}, "a mask of 13x10 on an image of 12x10"},
		"value":   {masked{h: 12, w: 10}, Options{MaskClasses: 20, MaskIgnore: 255}, "\"m\": bad data: value 20 at row 1, column 9"},
		"jpeg":    {masked{h: 12, w: 10, file: lossy}, Options{}, "JPEG"},
		"colours": {masked{h: 12, w: 10, file: colours}, Options{}, "a mask of colours"},
		"no file": {masked{h: 12, w: 10, file: func([]byte, int, int) []byte { return []byte("x") }}, Options{}, "cannot be read"},
	} {
		src, err := NewSource(c.m, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = readMasks(t, src, c.o, func([]byte, []byte) {})
		if !errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "sample 0 of") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	auto := Images{Channels: 1, Height: 12, Width: 10, Interpolation: "bilinear", CropPct: 1, Auto: TrivialAugment}
	transform, err := auto.Transform()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSource(masked{h: 12, w: 10}, transform); !errors.Is(err, ErrOptions) {
		t.Errorf("masks beside TrivialAugment: %v", err)
	}
}

// A mask that is read by itself is what a batch has.
func TestMaskAlone(t *testing.T) {
	half := Images{Channels: 1, Height: 6, Width: 5, Interpolation: "bilinear", CropPct: 1}
	transform, err := half.Transform()
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewSource(masked{h: 12, w: 10, file: greyFile}, transform)
	if err != nil {
		t.Fatal(err)
	}
	mask := make([]byte, 30)
	if err := src.ReadTarget(Draw{Index: 1}, 0, new(Scratch), mask); err != nil || mask[0] != 1+12 {
		t.Errorf("%v, %d", err, mask[0])
	}
}

// Masks as Pillow writes them have the numbers that Pillow reads, whatever the
// depth; what has no number of a class for each pixel is refused.
func TestMasksOfOtherDepths(t *testing.T) {
	for name, n := range map[string]int{"mask_1bit.png": 2, "mask_grey.png": 7, "mask_palette.png": 4, "mask_palette_2bit.png": 4, "mask_16bit.png": 200} {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var mask raster.Image
		if err := decodeMask(&mask, file); err != nil || mask.H != 4 || mask.W != 6 {
			t.Errorf("%s: %v, %dx%d", name, err, mask.H, mask.W)
			continue
		}
		for i, v := range mask.Pix {
			if want := (5*(i/6) + i%6) % n; int(v) != want {
				t.Errorf("%s: %d at %d, want %d", name, v, i, want)
				break
			}
		}
	}
	for name, want := range map[string]string{"mask_16bit_large.png": "16 bits with the value 260 at row 2, column 3", "mask_rgb.png": "a mask of colours", "mask_la.png": "a mask of colours", "mask.jpg": "JPEG"} {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var mask raster.Image
		if err := decodeMask(&mask, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// The foreground becomes class 1 before the mask is moved, so that what a change
// uncovers is still left out.
func TestForeground(t *testing.T) {
	white, err := os.ReadFile(filepath.Join("testdata", "mask_white.png"))
	if err != nil {
		t.Fatal(err)
	}
	m := masked{h: 4, w: 6, file: func([]byte, int, int) []byte { return white }, foreground: 255}
	shift := Augment{CropPad: 3}
	transform, err := shift.Transform(1, 4, 6)
	if err != nil {
		t.Fatal(err)
	}
	for name, tr := range map[string]Transform{"as it is": nil, "shifted": transform} {
		src, err := NewSource(m, tr)
		if err != nil {
			t.Fatal(err)
		}
		var seen [256]bool
		if err := readMasks(t, src, Options{MaskClasses: 2, MaskIgnore: 255}, func(_, mask []byte) {
			for _, v := range mask {
				seen[v] = true
			}
		}); err != nil {
			t.Fatal(err)
		}
		if !seen[0] || !seen[1] || seen[255] != (tr != nil) {
			t.Errorf("%s: classes 0 %v, 1 %v, left out %v", name, seen[0], seen[1], seen[255])
		}
	}
}
