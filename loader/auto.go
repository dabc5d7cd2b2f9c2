package loader

import (
	"math"

	"winnow/internal/random"
	"winnow/loader/raster"
)

// Policies of automatic augmentation, by their names in Images.
const (
	// RandAugment is Cubuk et al. 2020 (arXiv 1909.13719): a number of operations
	// drawn for each image, all of one strength.
	RandAugment = "randaugment"
	// TrivialAugment is Müller and Hutter 2021 (arXiv 2103.10158), its wide space:
	// one operation for each image, of a strength drawn with it.
	TrivialAugment = "trivialaugment"
)

// autoBins is the number of strengths, as torchvision's num_magnitude_bins.
const autoBins = 31

// Defaults of RandAugment, those of torchvision.
const (
	DefaultRandMagnitude = 9
	DefaultRandOps       = 2
)

const (
	maxAutoOps = 32
	maxJitter  = 10 // of brightness, contrast and saturation
)

// validateChanges is Validate for what happens to an image of the model's size.
func (o *Images) validateChanges(bad func(what, format string, args ...any) error) error {
	switch {
	case !(o.Rotation >= 0 && o.Rotation <= 180):
		return bad("rotation", "%v: want 0 to 180 degrees", o.Rotation)
	case o.Auto != "" && o.Auto != RandAugment && o.Auto != TrivialAugment:
		return bad("aug", "%q: want %s or %s", o.Auto, RandAugment, TrivialAugment)
	case o.Auto == RandAugment && (o.AutoMagnitude < 0 || o.AutoMagnitude >= autoBins || o.AutoOps < 1 || o.AutoOps > maxAutoOps):
		return bad("aug", "randaug of strength %d, %d operations: want 0 to %d, and 1 to %d", o.AutoMagnitude, o.AutoOps, autoBins-1, maxAutoOps)
	case !(o.Erase >= 0 && o.Erase <= 1):
		return bad("reprob", "%v: want 0 to 1", o.Erase)
	}
	for k, v := range o.ColorJitter {
		if most := [4]float64{maxJitter, maxJitter, maxJitter, 0.5}[k]; !(v >= 0 && v <= most) {
			return bad("color-jitter", "%v: want 0 to %v", v, most)
		}
	}
	return nil
}

// autoOp is a row of the table of operations.
type autoOp struct {
	name   string
	signed bool
	// rand and trivial are the operation's value at a strength of 0 to 1, in an
	// image of side pixels along the operation's axis.
	rand, trivial func(strength, side float64) float64
	rows          bool // the axis is that of rows
	apply         func(m *raster.Image, v float64, work []byte) []byte
}

func times(most float64) func(strength, _ float64) float64 {
	return func(strength, _ float64) float64 { return most * strength }
}

func none(float64, float64) float64 { return 0 }

// bits goes from 8 down by drop, rounded to the even half as torch does.
func bits(drop float64) func(strength, _ float64) float64 {
	return func(strength, _ float64) float64 { return math.RoundToEven(8 - drop*strength) }
}

func plainOp(f func(m *raster.Image, v float64)) func(*raster.Image, float64, []byte) []byte {
	return func(m *raster.Image, v float64, work []byte) []byte { f(m, v); return work }
}

// autoOps are the operations of torchvision's RandAugment and TrivialAugmentWide,
// with their ranges.
var autoOps = []autoOp{
	{name: "Identity", rand: none, trivial: none, apply: plainOp(func(*raster.Image, float64) {})},
	{name: "ShearX", signed: true, rand: times(0.3), trivial: times(0.99),
		apply: func(m *raster.Image, v float64, work []byte) []byte { return m.Warp(raster.Shear(v, 0), work) }},
	{name: "ShearY", signed: true, rand: times(0.3), trivial: times(0.99),
		apply: func(m *raster.Image, v float64, work []byte) []byte { return m.Warp(raster.Shear(0, v), work) }},
	{name: "TranslateX", signed: true, rand: func(s, side float64) float64 { return 150.0 / 331 * side * s }, trivial: times(32),
		apply: func(m *raster.Image, v float64, work []byte) []byte {
			return m.Warp(raster.Translation(int(v), 0), work)
		}},
	{name: "TranslateY", signed: true, rows: true, rand: func(s, side float64) float64 { return 150.0 / 331 * side * s }, trivial: times(32),
		apply: func(m *raster.Image, v float64, work []byte) []byte {
			return m.Warp(raster.Translation(0, int(v)), work)
		}},
	{name: "Rotate", signed: true, rand: times(30), trivial: times(135),
		apply: func(m *raster.Image, v float64, work []byte) []byte {
			return m.Warp(raster.Rotation(m.H, m.W, v), work)
		}},
	{name: "Brightness", signed: true, rand: times(0.9), trivial: times(0.99),
		apply: plainOp(func(m *raster.Image, v float64) { m.Brightness(float32(1 + v)) })},
	{name: "Color", signed: true, rand: times(0.9), trivial: times(0.99),
		apply: plainOp(func(m *raster.Image, v float64) { m.Saturation(float32(1 + v)) })},
	{name: "Contrast", signed: true, rand: times(0.9), trivial: times(0.99),
		apply: plainOp(func(m *raster.Image, v float64) { m.Contrast(float32(1 + v)) })},
	{name: "Sharpness", signed: true, rand: times(0.9), trivial: times(0.99),
		apply: func(m *raster.Image, v float64, work []byte) []byte { return m.Sharpness(float32(1+v), work) }},
	{name: "Posterize", rand: bits(4), trivial: bits(6),
		apply: plainOp(func(m *raster.Image, v float64) { m.Posterize(int(v)) })},
	{name: "Solarize", rand: func(s, _ float64) float64 { return 255 * (1 - s) }, trivial: func(s, _ float64) float64 { return 255 * (1 - s) },
		apply: plainOp(func(m *raster.Image, v float64) { m.Solarize(v) })},
	{name: "AutoContrast", rand: none, trivial: none, apply: plainOp(func(m *raster.Image, _ float64) { m.AutoContrast() })},
	{name: "Equalize", rand: none, trivial: none, apply: plainOp(func(m *raster.Image, _ float64) { m.Equalize() })},
}

// auto changes an image by the policy.
func (o *Images) auto(r random.Stream, m *raster.Image, work []byte) []byte {
	count := o.AutoOps
	if o.Auto == TrivialAugment {
		count = 1
	}
	for range count {
		op := &autoOps[r.Below(uint64(len(autoOps)))]
		value, bin := op.rand, uint64(o.AutoMagnitude)
		if drawn := r.Below(autoBins); o.Auto == TrivialAugment {
			value, bin = op.trivial, drawn
		}
		side := float64(m.W)
		if op.rows {
			side = float64(m.H)
		}
		v := value(float64(bin)/(autoBins-1), side)
		if sign := r.Next(); op.signed && sign>>63 == 1 {
			v = -v
		}
		work = op.apply(m, v, work)
	}
	return work
}

// jitter changes brightness, contrast, saturation and hue by factors drawn
// within their ranges, in an order that is drawn (torchvision's ColorJitter).
func (o *Images) jitter(r random.Stream, m *raster.Image) {
	order := [4]int{0, 1, 2, 3}
	for i := 3; i > 0; i-- {
		j := r.Below(uint64(i) + 1)
		order[i], order[j] = order[j], order[i]
	}
	var values [4]float64
	for k, most := range o.ColorJitter {
		if values[k] = r.Between(max(0, 1-most), 1+most); k == 3 {
			values[k] = r.Between(-most, most)
		}
	}
	for _, k := range order {
		if o.ColorJitter[k] == 0 {
			continue
		}
		switch k {
		case 0:
			m.Brightness(float32(values[k]))
		case 1:
			m.Contrast(float32(values[k]))
		case 2:
			m.Saturation(float32(values[k]))
		case 3:
			m.Hue(values[k])
		}
	}
}

// Ranges of the box that is erased: its share of the area, and its height over
// its width, torchvision's RandomErasing and Zhong et al. 2017 (arXiv 1708.04896).
var (
	eraseScale = [2]float64{0.02, 0.33}
	eraseRatio = [2]float64{0.3, 3.3}
)

// eraseBox draws the box; of a share and ratio that do not fit ten times, none.
func eraseBox(r *random.Stream, h, w int) (raster.Box, bool) {
	lo, hi := math.Log(eraseRatio[0]), math.Log(eraseRatio[1])
	for range 10 {
		area := float64(h*w) * r.Between(eraseScale[0], eraseScale[1])
		aspect := math.Exp(r.Between(lo, hi))
		bh, bw := int(math.RoundToEven(math.Sqrt(area*aspect))), int(math.RoundToEven(math.Sqrt(area/aspect)))
		if bh < h && bw < w {
			return raster.Box{Y: int(r.Below(uint64(h-bh) + 1)), X: int(r.Below(uint64(w-bw) + 1)), H: bh, W: bw}, true
		}
	}
	return raster.Box{}, false
}
