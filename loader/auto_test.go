package loader

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"testing"

	"winnow/internal/random"
)

// TestStrengthsAreTorchvisions holds the table of operations, its ranges and
// signs against torchvision's, for every strength.
func TestStrengthsAreTorchvisions(t *testing.T) {
	text, err := os.ReadFile("testdata/magnitudes.json")
	if err != nil {
		t.Fatal(err)
	}
	var spaces map[string]map[string]struct {
		Signed bool
		Values []float64
	}
	if err := json.Unmarshal(text, &spaces); err != nil {
		t.Fatal(err)
	}
	const h, w = 40, 90
	for name, space := range spaces {
		if len(space) != drawnOps {
			t.Errorf("%s: %d operations, want %d", name, drawnOps, len(space))
		}
		for _, op := range autoOps[:drawnOps] {
			want, ok := space[op.name]
			if !ok || want.Signed != op.signed {
				t.Errorf("%s: %s: there %v, signed %v", name, op.name, ok, op.signed)
				continue
			}
			value, side := op.rand, float64(w)
			if name == "trivial" {
				value = op.trivial
			}
			if op.rows {
				side = h
			}
			for k, v := range want.Values {
				if got := value(float64(k)/(autoBins-1), side); math.Abs(got-v) > 2e-5*max(1, math.Abs(v)) {
					t.Errorf("%s: %s at %d is %v, want %v", name, op.name, k, got, v)
				}
			}
		}
	}
}

// TestChangesArePure: the same draw gives the same image whatever the scratch
// held before, and another draw another.
func TestChangesArePure(t *testing.T) {
	base := Images{Channels: 3, Height: 24, Width: 32, Interpolation: "bilinear", CropPct: 1}
	for name, change := range map[string]func(*Images){
		"randaugment":    func(o *Images) { o.Auto, o.AutoOps, o.AutoMagnitude = RandAugment, 2, 9 },
		"trivialaugment": func(o *Images) { o.Auto = TrivialAugment },
		"jitter":         func(o *Images) { o.ColorJitter = [4]float64{0.4, 0.4, 0.4, 0.1} },
		"rotation":       func(o *Images) { o.Rotation = 30 },
		"imagenet":       func(o *Images) { o.Auto = AutoImageNet },
		"cifar10":        func(o *Images) { o.Auto = AutoCIFAR },
		"affine": func(o *Images) {
			o.Affine = Affine{Degrees: 20, Translate: [2]float64{0.2, 0.1}, Scale: [2]float64{0.8, 1.2}, Shear: [2]float64{10, 5}}
		},
		"bilinear": func(o *Images) { o.Affine = Affine{Degrees: 20, Bilinear: true} },
		"blur":     func(o *Images) { o.Blur = Blur{P: 0.9, Size: 23, Sigma: [2]float64{0.1, 2}} },
		"reflect":  func(o *Images) { o.CropPad, o.PadMode = 4, Reflect },
		"interpolation": func(o *Images) {
			o.Interpolation, o.CropPct, o.Scale, o.Ratio = RandomFilter, 0, [2]float64{0.2, 1}, [2]float64{0.75, 1.33}
		},
		"erase": func(o *Images) { o.Erase, o.EraseFill = 1, [3]byte{1, 2, 3} },
	} {
		o := base
		change(&o)
		transform, err := o.Transform()
		if err != nil {
			t.Fatal(name, err)
		}
		src, err := NewSource(scene(t, 30, 40), transform)
		if err != nil {
			t.Fatal(err)
		}
		var scratch Scratch
		seen := map[string]bool{}
		dst := make([]byte, 3*24*32)
		for epoch := range 60 {
			if err := src.Read(Draw{Epoch: epoch}, &scratch, dst); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(dst, view(t, scene(t, 30, 40), o, Draw{Epoch: epoch})) {
				t.Fatalf("%s: epoch %d differs with a fresh scratch", name, epoch)
			}
			seen[string(dst)] = true
		}
		if len(seen) < 20 {
			t.Errorf("%s: %d images of 60 draws", name, len(seen))
		}
		for range 200 { // until all memory is there
			if err := src.Read(Draw{}, &scratch, dst); err != nil {
				t.Fatal(err)
			}
		}
		epoch := 0
		if n := testing.AllocsPerRun(100, func() { epoch++; _ = src.Read(Draw{Epoch: epoch}, &scratch, dst) }); n > 0 {
			t.Errorf("%s: %v allocations a sample", name, n)
		}
	}
}

// TestEraseBoxes: the areas and ratios are those asked for.
func TestEraseBoxes(t *testing.T) {
	r := random.Stream(3)
	const h, w = 200, 300
	area, n := 0.0, 0
	for range 5000 {
		b, ok := eraseBox(&r, h, w)
		if !ok {
			continue
		}
		n++
		share, aspect := float64(b.H*b.W)/(h*w), float64(b.H)/float64(b.W)
		if b.Y < 0 || b.X < 0 || b.Y+b.H > h || b.X+b.W > w || share < 0.0185 || share > 0.335 || aspect < 0.28 || aspect > 3.5 {
			t.Fatalf("box %+v: share %v, ratio %v", b, share, aspect)
		}
		area += share
	}
	if n < 4990 || math.Abs(area/float64(n)-0.175) > 0.02 {
		t.Errorf("%d boxes, mean share %.3f", n, area/float64(n))
	}
}
