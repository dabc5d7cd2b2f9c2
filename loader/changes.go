package loader

import (
	"cmp"
	"math"
	"strings"

	"winnow/internal/random"
	"winnow/loader/raster"
)

// Names of how pixels are had between pixels, and of what pads.
const (
	Nearest = "nearest"
	Reflect = "reflect"
)

// Defaults of a blur: timm's size, and torchvision's sigma.
const (
	DefaultBlurSize    = 23
	DefaultBlurSigmaLo = 0.1
	DefaultBlurSigmaHi = 2.0
	maxBlurSize        = 255
	maxBlurSigma       = 100
)

// Affine is torchvision's RandomAffine around the middle of the image: what is
// uncovered is black. The zero value changes nothing.
type Affine struct {
	Degrees   float64    `json:"degrees,omitempty"`  // turned by up to so many either way
	Translate [2]float64 `json:"translate,omitzero"` // moved by up to these shares of width and height
	Scale     [2]float64 `json:"scale,omitzero"`     // enlarged by a factor between these; zeros stand for 1
	Shear     [2]float64 `json:"shear,omitzero"`     // slanted by up to so many degrees along x and y
	Bilinear  bool       `json:"bilinear,omitempty"` // else nearest
}

// Blur is torchvision's GaussianBlur, of a share of the images.
type Blur struct {
	P     float64    `json:"p,omitempty"`
	Size  int        `json:"size,omitempty"` // pixels of the kernel's side, odd
	Sigma [2]float64 `json:"sigma,omitzero"` // drawn between these
}

const maxJitter = 10 // of brightness, contrast and saturation

// validateChanges is Validate for what happens to an image of the model's size.
func (o *Images) validateChanges(bad func(what, format string, args ...any) error) error {
	switch {
	case !(o.Rotation >= 0 && o.Rotation <= 180):
		return bad("rotation", "%v: want 0 to 180 degrees", o.Rotation)
	case o.Auto != "" && !isAuto(o.Auto):
		return bad("aa", "%q: want one of %s", o.Auto, strings.Join(autoNames(), ", "))
	case o.Auto == RandAugment && (o.AutoMagnitude < 0 || o.AutoMagnitude >= autoBins || o.AutoOps < 1 || o.AutoOps > maxAutoOps):
		return bad("aa", "randaug of strength %d, %d operations: want 0 to %d, and 1 to %d", o.AutoMagnitude, o.AutoOps, autoBins-1, maxAutoOps)
	case !share(o.Grey):
		return bad("grayscale-prob", "%v: want 0 to 1", o.Grey)
	case !(o.Erase >= 0 && o.Erase <= 1):
		return bad("reprob", "%v: want 0 to 1", o.Erase)
	}
	if err := cmp.Or(o.Affine.validate(bad), o.Blur.validate(bad, min(o.Height, o.Width))); err != nil {
		return err
	}
	for k, v := range o.ColorJitter {
		if most := [4]float64{maxJitter, maxJitter, maxJitter, 0.5}[k]; !(v >= 0 && v <= most) {
			return bad("color-jitter", "%v: want 0 to %v", v, most)
		}
	}
	return nil
}

func share(p float64) bool { return p >= 0 && p <= 1 }

func (a *Affine) validate(bad func(what, format string, args ...any) error) error {
	switch {
	case !(a.Degrees >= 0 && a.Degrees <= 180):
		return bad("affine-degrees", "%v: want 0 to 180", a.Degrees)
	case !share(a.Translate[0]) || !share(a.Translate[1]):
		return bad("affine-translate", "%v,%v: want shares of width and height, 0 to 1", a.Translate[0], a.Translate[1])
	case a.Scale != [2]float64{} && !(a.Scale[0] > 0 && a.Scale[0] <= a.Scale[1] && a.Scale[1] <= maxAffineScale):
		return bad("affine-scale", "%v,%v: want two factors above 0 and up to %d, the smaller first", a.Scale[0], a.Scale[1], maxAffineScale)
	case !(a.Shear[0] >= 0 && a.Shear[0] < 90 && a.Shear[1] >= 0 && a.Shear[1] < 90):
		return bad("affine-shear", "%v,%v: want degrees along x and y, 0 and below 90", a.Shear[0], a.Shear[1])
	}
	return nil
}

const maxAffineScale = 100

// validate is for images whose shorter side is side.
func (b *Blur) validate(bad func(what, format string, args ...any) error, side int) error {
	switch {
	case !share(b.P):
		return bad("gaussian-blur-prob", "%v: want 0 to 1", b.P)
	case b.P == 0:
		return nil
	case b.Size < 1 || b.Size%2 == 0 || b.Size > maxBlurSize:
		return bad("gaussian-blur-kernel", "%d: want an odd number of pixels, 1 to %d", b.Size, maxBlurSize)
	case b.Size/2 >= side:
		return bad("gaussian-blur-kernel", "%d: images are mirrored at their edges, and those of %d pixels take at most %d", b.Size, side, 2*side-1)
	case !(b.Sigma[0] > 0 && b.Sigma[0] <= b.Sigma[1] && b.Sigma[1] <= maxBlurSigma):
		return bad("gaussian-blur-sigma", "%v,%v: want two numbers above 0 and up to %d, the smaller first", b.Sigma[0], b.Sigma[1], maxBlurSigma)
	}
	return nil
}

// matrix draws where pixels come from, in an image of h x w.
func (a *Affine) matrix(r random.Stream, h, w int) raster.Matrix {
	within := func(most float64) float64 { return r.Between(-most, most) }
	angle := within(a.Degrees)
	x := int(math.RoundToEven(within(a.Translate[0] * float64(w))))
	y := int(math.RoundToEven(within(a.Translate[1] * float64(h))))
	scale := 1.0
	if drawn := r.Between(a.Scale[0], a.Scale[1]); a.Scale != [2]float64{} {
		scale = drawn
	}
	return raster.Affine(h, w, angle, x, y, scale, within(a.Shear[0]), within(a.Shear[1]))
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
