package loader

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"winnow/internal/missing"
	"winnow/internal/random"
	"winnow/loader/raster"
)

// scene is the picture of testdata/evaluation.py, as records of one image.
func scene(t testing.TB, h, w int) *Memory {
	t.Helper()
	pix := make([]byte, 3*h*w)
	for c := range 3 {
		for y := range h {
			for x := range w {
				pix[(c*h+y)*w+x] = byte((x*11 + y*5 + c*60 + (x/4+y/3)%2*70) % 256)
			}
		}
	}
	m, err := NewMemory("scene", 3, h, w, pix, []int64{0}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// view is what a pipeline makes of the first record.
func view(t testing.TB, r Records, o Images, d Draw) []byte {
	t.Helper()
	change, err := o.Transform()
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewSource(r, change)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, o.Channels*o.Height*o.Width)
	if err := src.Read(d, new(Scratch), dst); err != nil {
		t.Fatal(err)
	}
	return dst
}

// TestEvaluationIsTorchvisions: to the bit.
func TestEvaluationIsTorchvisions(t *testing.T) {
	text, err := os.ReadFile("testdata/evaluation.json")
	if err != nil {
		t.Fatal(err)
	}
	pixels, err := os.ReadFile("testdata/evaluation.rgb")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		H, W, Size    int
		CropPct       float64 `json:"crop_pct"`
		Interpolation string
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatal(err)
	}
	for _, c := range cases {
		n := 3 * c.Size * c.Size
		o := Images{Channels: 3, Height: c.Size, Width: c.Size, Interpolation: c.Interpolation, CropPct: c.CropPct}
		if got := view(t, scene(t, c.H, c.W), o, Draw{}); !bytes.Equal(got, pixels[:n]) {
			t.Errorf("%+v: other pixels", c)
		}
		pixels = pixels[n:]
	}
}

// TestRandomBoxes: areas and ratios are those asked for, the places fill the
// image, and where no ratio fits the largest box of the nearest is centred.
func TestRandomBoxes(t *testing.T) {
	scale, ratio := [2]float64{0.2, 0.4}, [2]float64{0.5, 2}
	const h, w, n = 400, 400, 20000
	r := random.Stream(1)
	area, logRatio, y, x := 0.0, 0.0, 0.0, 0.0
	for range n {
		b := randomBox(&r, h, w, scale, ratio)
		share, aspect := float64(b.H*b.W)/(h*w), float64(b.W)/float64(b.H)
		if b.Y < 0 || b.X < 0 || b.Y+b.H > h || b.X+b.W > w || share < 0.195 || share > 0.405 || aspect < 0.49 || aspect > 2.04 {
			t.Fatalf("box %+v: share %v, ratio %v", b, share, aspect)
		}
		area, logRatio = area+share/n, logRatio+math.Log(aspect)/n
		y, x = y+(float64(b.Y)+float64(b.H)/2)/(n*h), x+(float64(b.X)+float64(b.W)/2)/(n*w)
	}
	// No box of these is too large, so the means are those of the uniform draws.
	if math.Abs(area-0.3) > 0.002 || math.Abs(logRatio) > 0.012 || math.Abs(y-0.5) > 0.006 || math.Abs(x-0.5) > 0.006 {
		t.Errorf("mean share %.4f, log ratio %.4f, centre %.4f, %.4f", area, logRatio, y, x)
	}
	if b := randomBox(&r, 10, 1000, [2]float64{1, 1}, [2]float64{0.75, 4.0 / 3}); b.H != 10 || b.W != 13 || b.Y != 0 || b.X != 493 {
		t.Errorf("of a strip: %+v", b)
	}
	if b := randomBox(&r, 1, 1, [2]float64{0.08, 1}, [2]float64{0.75, 4.0 / 3}); b.H != 1 || b.W != 1 {
		t.Errorf("of one pixel: %+v", b)
	}
}

func TestImagesDependOnSeedEpochAndIndex(t *testing.T) {
	o := Images{Channels: 3, Height: 20, Width: 24, Interpolation: "bilinear", Scale: [2]float64{0.3, 0.9}, Ratio: [2]float64{0.75, 1.25}, CropPad: 3, HFlip: 0.5, VFlip: 0.5}
	pix := scene(t, 40, 50)
	double, err := NewMemory("two", 3, 40, 50, append(bytes.Clone(pix.images), pix.images...), []int64{0, 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := view(t, double, o, Draw{1, 2, 0})
	if !bytes.Equal(base, view(t, double, o, Draw{1, 2, 0})) {
		t.Error("the same draw gave another image")
	}
	for _, d := range []Draw{{2, 2, 0}, {1, 3, 0}, {1, 2, 1}} {
		if bytes.Equal(base, view(t, double, o, d)) {
			t.Errorf("draw %+v gave the same image", d)
		}
	}
}

// TestFlips: half of the images are mirrored, and a flip is exact.
func TestFlips(t *testing.T) {
	o := Images{Channels: 3, Height: 30, Width: 30, Interpolation: "bilinear", CropPct: 1}
	r := scene(t, 30, 30)
	still := view(t, r, o, Draw{})
	var mirrored, down []byte
	for c := range 3 {
		for y := range 30 {
			for x := range 30 {
				mirrored = append(mirrored, still[(c*30+y)*30+29-x])
				down = append(down, still[(c*30+29-y)*30+x])
			}
		}
	}
	o.HFlip = 0.5
	count := 0
	for epoch := range 400 {
		switch got := view(t, r, o, Draw{Epoch: epoch}); {
		case bytes.Equal(got, mirrored):
			count++
		case !bytes.Equal(got, still):
			t.Fatal("neither the image nor its mirror image")
		}
	}
	if count < 160 || count > 240 { // four standard deviations
		t.Errorf("%d of 400 mirrored", count)
	}
	o.HFlip, o.VFlip = 0, 1
	if !bytes.Equal(view(t, r, o, Draw{}), down) {
		t.Error("not turned upside down")
	}
}

func TestImagesAreChecked(t *testing.T) {
	good := Images{Channels: 3, Height: 8, Width: 8, Interpolation: "bilinear", Scale: [2]float64{0.08, 1}, Ratio: [2]float64{0.75, 1.33}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Images){
		"channels": func(o *Images) { o.Channels = 4 }, "image size": func(o *Images) { o.Width = 0 },
		"interpolation": func(o *Images) { o.Interpolation = "nearest" }, "crop-pct": func(o *Images) { o.CropPct = 1.5 },
		"scale": func(o *Images) { o.Scale[0] = 0 }, "ratio": func(o *Images) { o.Ratio = [2]float64{2, 1} },
		"crop-pad": func(o *Images) { o.CropPad = -1 }, "hflip": func(o *Images) { o.HFlip = math.NaN() }, "vflip": func(o *Images) { o.VFlip = 2 },
	} {
		o := good
		change(&o)
		if _, err := o.Transform(); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChannels: luma for a model of one channel, three alike for one of three.
func TestChannels(t *testing.T) {
	r := scene(t, 6, 6)
	grey := view(t, r, Images{Channels: 1, Height: 6, Width: 6, Interpolation: "bilinear", CropPct: 1}, Draw{})
	for i := range grey {
		want := 0.299*float64(r.images[i]) + 0.587*float64(r.images[36+i]) + 0.114*float64(r.images[72+i])
		if math.Abs(float64(grey[i])-want) > 0.51 {
			t.Fatalf("pixel %d is %d, luma %v", i, grey[i], want)
		}
	}
	one, err := NewMemory("grey", 1, 6, 6, grey, []int64{0}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := view(t, one, Images{Channels: 3, Height: 6, Width: 6, Interpolation: "bilinear", CropPct: 1}, Draw{}); !bytes.Equal(got, bytes.Repeat(grey, 3)) {
		t.Error("grey is not three channels alike")
	}
}

// oneFile is records of one image file.
type oneFile []byte

func (oneFile) Len() int             { return 1 }
func (oneFile) Target(uint32) Target { return Class(0) }
func (f oneFile) Read(_ uint32, r *Record) error {
	copy(r.Encoded(len(f)), f)
	return nil
}

// TestScaledDecode: a crop of an image that is shrunk while it is decoded is
// the same picture, and no crop is shrunk below twice the model's size.
func TestScaledDecode(t *testing.T) {
	if _, err := raster.NewDecoder(raster.TurboDecoder); err != nil {
		missing.Skip(t, "%v: make setup-jpeg installs it", err)
	}
	data, err := os.ReadFile("raster/testdata/draft.jpg") // 97 x 133
	if err != nil {
		t.Fatal(err)
	}
	shrunk := 0
	for _, size := range []int{8, 12, 20, 40} {
		o := Images{Channels: 3, Height: size, Width: size, Interpolation: "bilinear", Decoder: raster.TurboDecoder,
			Scale: [2]float64{0.2, 1}, Ratio: [2]float64{DefaultRatioLo, DefaultRatioHi}}
		for epoch := range 8 {
			full := view(t, oneFile(data), o, Draw{Epoch: epoch})
			scaled := o
			scaled.ScaledDecode = true
			got := view(t, oneFile(data), scaled, Draw{Epoch: epoch})
			sum := 0
			for i := range got {
				sum += max(int(got[i])-int(full[i]), int(full[i])-int(got[i]))
			}
			if mean := float64(sum) / float64(len(got)); mean > 2 {
				t.Errorf("%dx%d: pixels differ by %.2f on average", size, size, mean)
			} else if mean > 0 {
				shrunk++
			}
			if size == 40 && sum > 0 { // the image is less than twice 2 x 40 high and wide
				t.Error("a crop was shrunk below twice the model's size")
			}
		}
	}
	if shrunk < 12 {
		t.Errorf("%d crops were shrunk", shrunk)
	}
}
