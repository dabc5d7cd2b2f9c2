package loader

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"winnow/internal/random"
	"winnow/loader/raster"
)

// TestPoliciesAreTorchvisions holds AutoAugment's tables and strengths against
// testdata/policies.json.
func TestPoliciesAreTorchvisions(t *testing.T) {
	text, err := os.ReadFile("testdata/policies.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		ImageNet, CIFAR10 [][2][3]any
		Space             map[string]struct {
			Signed bool
			Values []float64
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string][][2][3]any{AutoImageNet: want.ImageNet, AutoCIFAR: want.CIFAR10} {
		if len(rows) == 0 || len(rows) != len(policies[name]) {
			t.Fatalf("%s: %d rows, want %d", name, len(policies[name]), len(rows))
		}
		for i, row := range rows {
			for k, s := range row {
				got := policies[name][i][k]
				if got.op != s[0] || got.p != s[1] || float64(got.bin) != max(s[2].(float64), 0) {
					t.Errorf("%s: step %d of row %d is %v, want %v", name, k, i, got, s)
				}
			}
		}
	}
	const h, w = 40, 90
	if len(want.Space) == 0 {
		t.Fatal("no operations")
	}
	for name, space := range want.Space {
		op := autoOps[opIndex[name]]
		side := float64(w)
		if op.rows {
			side = h
		}
		if op.name != name || op.signed != space.Signed {
			t.Errorf("%s is %s, signed %v", name, op.name, op.signed)
		}
		for k, v := range space.Values {
			if got := op.rand(float64(k)/(policyBins-1), side); math.Abs(got-v) > 2e-5*max(1, math.Abs(v)) {
				t.Errorf("%s at %d is %v, want %v", name, k, got, v)
			}
		}
	}
}

// TestPolicyRows: a row is drawn evenly, and its steps are done with their
// probabilities.
func TestPolicyRows(t *testing.T) {
	rows := [][2]step{{{"Invert", 0.25, 0}, {"Invert", 0, 0}}, {{"Posterize", 0, 0}, {"Invert", 1, 0}}}
	r := random.Stream(5)
	const n = 4000
	inverted := 0
	for range n {
		m := rasterOf(7)
		policy(random.Stream(r.Next()), rows, m, nil)
		if m.Pix[0] == 248 {
			inverted++
		} else if m.Pix[0] != 7 {
			t.Fatalf("a pixel of 7 became %d", m.Pix[0])
		}
	}
	if share := float64(inverted) / n; math.Abs(share-0.625) > 0.03 { // four standard deviations
		t.Errorf("inverted %.3f of the images, want 0.625", share)
	}
}

// TestAffineDraws: each parameter alone stays in its range, and fills it evenly.
func TestAffineDraws(t *testing.T) {
	const h, w, n = 40, 80, 4000
	for name, c := range map[string]struct {
		a      Affine
		value  func(m [6]float64) float64
		lo, hi float64
	}{
		"degrees": {Affine{Degrees: 30}, func(m [6]float64) float64 { return math.Atan2(m[1], m[0]) * 180 / math.Pi }, -30, 30},
		"x":       {Affine{Translate: [2]float64{0.5, 0}}, func(m [6]float64) float64 { return -m[2] }, -40, 40},
		"y":       {Affine{Translate: [2]float64{0, 0.5}}, func(m [6]float64) float64 { return -m[5] }, -20, 20},
		"scale":   {Affine{Scale: [2]float64{0.5, 2}}, func(m [6]float64) float64 { return 1 / m[0] }, 0.5, 2},
		"shear x": {Affine{Shear: [2]float64{20, 0}}, func(m [6]float64) float64 { return math.Atan(m[1]) * 180 / math.Pi }, -20, 20},
		"shear y": {Affine{Shear: [2]float64{0, 20}}, func(m [6]float64) float64 { return math.Atan(m[3]) * 180 / math.Pi }, -20, 20},
	} {
		sum, lo, hi := 0.0, math.Inf(1), math.Inf(-1)
		for i := range uint32(n) {
			v := c.value(c.a.matrix(Draw{Seed: 3, Index: i}.stream(purposeAffine), h, w))
			sum, lo, hi = sum+v/n, min(lo, v), max(hi, v)
		}
		span := c.hi - c.lo
		if lo < c.lo-1e-9 || hi > c.hi+1e-9 || lo > c.lo+0.01*span || hi < c.hi-0.01*span || math.Abs(sum-(c.lo+c.hi)/2) > 0.02*span {
			t.Errorf("%s: %.3f to %.3f, mean %.3f; want %v to %v", name, lo, hi, sum, c.lo, c.hi)
		}
	}
	if m := (&Affine{}).matrix(1, h, w); m != [6]float64{1, 0, 0, 0, 1, 0} {
		t.Errorf("no change is %v", m)
	}
}

// TestChangesHappen: greyscale and blurring of a share of the images, reflected
// padding in place of black.
func TestChangesHappen(t *testing.T) {
	base := Images{Channels: 3, Height: 30, Width: 30, Interpolation: "bilinear", CropPct: 1}
	r := scene(t, 30, 30)
	still := view(t, r, base, Draw{})
	for name, o := range map[string]Images{
		"grey": {Grey: 0.25},
		"blur": {Blur: Blur{P: 0.25, Size: 5, Sigma: [2]float64{1, 1}}},
	} {
		o.Channels, o.Height, o.Width, o.Interpolation, o.CropPct = 3, 30, 30, "bilinear", 1
		count := 0
		for epoch := range 400 {
			got := view(t, r, o, Draw{Epoch: epoch})
			if !bytes.Equal(got, still) {
				count++
			}
			if grey := bytes.Equal(got[:900], got[900:1800]) && bytes.Equal(got[:900], got[1800:]); name == "grey" && grey == bytes.Equal(got, still) {
				t.Fatal("changed, and not to grey")
			}
		}
		if count < 65 || count > 135 { // four standard deviations
			t.Errorf("%s: %d of 400 changed, want about 100", name, count)
		}
	}
	o := base
	o.CropPad, o.PadMode = 8, Reflect
	seen := map[string]bool{}
	for epoch := range 200 {
		got := view(t, r, o, Draw{Epoch: epoch})
		dy, dx, _ := Augment{CropPad: 8}.draw(0, epoch, 0)
		for c := range 3 {
			for y := range 30 {
				for x := range 30 {
					if want := still[(c*30+bounce(y+dy))*30+bounce(x+dx)]; got[(c*30+y)*30+x] != want {
						t.Fatalf("moved by %d, %d: pixel %d, %d of channel %d is %d, want %d", dy, dx, y, x, c, got[(c*30+y)*30+x], want)
					}
				}
			}
		}
		seen[string(got)] = true
	}
	if len(seen) < 80 {
		t.Errorf("%d images of 200 draws", len(seen))
	}
}

// bounce walks i steps from 0 between the walls 0 and 29.
func bounce(i int) int {
	at, way := 0, 1
	if i < 0 {
		return -i
	}
	for range i {
		if at+way > 29 || at+way < 0 {
			way = -way
		}
		at += way
	}
	return at
}

func TestChangesAreChecked(t *testing.T) {
	good := Images{Channels: 3, Height: 20, Width: 24, Interpolation: "bilinear", CropPct: 1}
	nan := math.NaN()
	for name, change := range map[string]func(*Images){
		"crop-pad-mode":        func(o *Images) { o.PadMode = "edge" },
		"crop-pad":             func(o *Images) { o.PadMode, o.CropPad = Reflect, 20 },
		"aa":                   func(o *Images) { o.Auto = "svhn" },
		"grayscale-prob":       func(o *Images) { o.Grey = nan },
		"affine-degrees":       func(o *Images) { o.Affine.Degrees = nan },
		"affine-translate":     func(o *Images) { o.Affine.Translate[1] = 1.5 },
		"affine-scale":         func(o *Images) { o.Affine.Scale = [2]float64{0, 1} },
		"affine-shear":         func(o *Images) { o.Affine.Shear[0] = 90 },
		"gaussian-blur-prob":   func(o *Images) { o.Blur.P = 2 },
		"gaussian-blur-kernel": func(o *Images) { o.Blur = Blur{P: 1, Size: 41, Sigma: [2]float64{1, 1}} },
		"gaussian-blur-sigma":  func(o *Images) { o.Blur = Blur{P: 1, Size: 3, Sigma: [2]float64{0, 1}} },
	} {
		o := good
		change(&o)
		if _, err := o.Transform(); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, size := range []int{4, 256} {
		o := good
		o.Blur = Blur{P: 1, Size: size, Sigma: [2]float64{1, 1}}
		if o.Validate() == nil {
			t.Errorf("a kernel of %d pixels is taken", size)
		}
	}
}

// rasterOf is an image whose pixels are all v.
func rasterOf(v byte) *raster.Image {
	m := &raster.Image{}
	m.Reset(3, 4, 4)
	for i := range m.Pix {
		m.Pix[i] = v
	}
	return m
}

// TestChangesWithAnyWorkers: batches through every change at once have the same
// bytes for any number of workers.
func TestChangesWithAnyWorkers(t *testing.T) {
	o := Images{Channels: 3, Height: 24, Width: 24, Interpolation: RandomFilter, Scale: [2]float64{0.2, 1}, Ratio: [2]float64{0.75, 1.33},
		CropPad: 3, PadMode: Reflect, HFlip: 0.3, VFlip: 0.3, Rotation: 20, Auto: AutoImageNet, ColorJitter: [4]float64{0.4, 0.4, 0.4, 0.1}, Grey: 0.2,
		Affine: Affine{Degrees: 10, Translate: [2]float64{0.1, 0.1}, Scale: [2]float64{0.9, 1.1}, Shear: [2]float64{5, 5}, Bilinear: true},
		Blur:   Blur{P: 0.5, Size: 5, Sigma: [2]float64{0.1, 2}}, Erase: 0.3}
	change, err := o.Transform()
	if err != nil {
		t.Fatal(err)
	}
	one := scene(t, 40, 50)
	many, err := NewMemory("many", 3, 40, 50, bytes.Repeat(one.images, 21), make([]int64, 21), nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewSource(many, change)
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	for _, workers := range []int{1, 3} {
		l, err := New(src, Options{BatchSize: 4, Workers: workers, Prefetch: 3, Shuffle: true, Seed: 2, OneHot: 3, Mix: Mix{Mixup: 1, Cutmix: 1, Prob: 0.8, Switch: 0.5}})
		if err != nil {
			t.Fatal(err)
		}
		it, err := l.Epoch(t.Context(), 3, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for b, err := it.Next(); err == nil; b, err = it.Next() {
			all = append(all, b.Images...)
		}
		if len(all) != 21*3*24*24 {
			t.Fatalf("%d bytes", len(all))
		}
		if first == nil {
			first = all
		} else if !bytes.Equal(first, all) {
			t.Errorf("%d workers: other bytes", workers)
		}
	}
}
