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
	// AutoImageNet and AutoCIFAR are the policies that Cubuk et al. 2018 (arXiv
	// 1805.09501) found on these data: two operations for each image.
	AutoImageNet = "autoaugment-imagenet"
	AutoCIFAR    = "autoaugment-cifar10"
)

// autoBins is the number of strengths, as torchvision's num_magnitude_bins.
const autoBins = 31

// Defaults of RandAugment, those of torchvision.
const (
	DefaultRandMagnitude = 9
	DefaultRandOps       = 2
)

const maxAutoOps = 32

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

// drawnOps are how many of autoOps, from the first on, RandAugment and
// TrivialAugment draw from.
const drawnOps = 14

// autoOps are the operations of torchvision's RandAugment, TrivialAugmentWide and
// AutoAugment, with their ranges.
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
	{name: "Invert", rand: none, apply: plainOp(func(m *raster.Image, _ float64) { m.Invert() })}, // of AutoAugment alone
}

// do is the operation at a strength, the other way with negative.
func (op *autoOp) do(m *raster.Image, value func(strength, side float64) float64, strength float64, negative bool, work []byte) []byte {
	side := float64(m.W)
	if op.rows {
		side = float64(m.H)
	}
	v := value(strength, side)
	if op.signed && negative {
		v = -v
	}
	return op.apply(m, v, work)
}

// auto changes an image by the policy.
func (o *Images) auto(r random.Stream, m *raster.Image, work []byte) []byte {
	if rows := policies[o.Auto]; rows != nil {
		return policy(r, rows, m, work)
	}
	count := o.AutoOps
	if o.Auto == TrivialAugment {
		count = 1
	}
	for range count {
		op := &autoOps[r.Below(drawnOps)]
		value, bin := op.rand, uint64(o.AutoMagnitude)
		if drawn := r.Below(autoBins); o.Auto == TrivialAugment {
			value, bin = op.trivial, drawn
		}
		work = op.do(m, value, float64(bin)/(autoBins-1), r.Next()>>63 == 1, work)
	}
	return work
}
