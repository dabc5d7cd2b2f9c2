package loader

import (
	"cmp"
	"fmt"
	"math"

	"winnow/internal/random"
	"winnow/loader/raster"
)

// Defaults of Images, those of torchvision.transforms.v2.RandomResizedCrop, and
// of timm's crop_pct.
const (
	DefaultScaleLo = 0.08
	DefaultScaleHi = 1.0
	DefaultRatioLo = 3.0 / 4
	DefaultRatioHi = 4.0 / 3
	DefaultCropPct = 0.875
)

// Images says how images of any size, files or raw, become those of a model.
// Its JSON form in a run lets evaluation repeat it.
type Images struct {
	Channels      int    `json:"channels"` // 1 (luma) or 3
	Height        int    `json:"height"`
	Width         int    `json:"width"`
	Interpolation string `json:"interpolation"` // bilinear or bicubic, antialiased, or random, which draws one of them

	// CropPct > 0 resizes so that the centre of the model's size is this share
	// of the shorter side, and cuts it out.
	CropPct float64 `json:"crop_pct,omitempty"`
	// Scale and Ratio, where CropPct is 0, bound the random crop that is resized
	// to the model's size: its share of the area, and its width over its height.
	Scale [2]float64 `json:"scale,omitzero"`
	Ratio [2]float64 `json:"ratio,omitzero"`

	// Decoder is what decodes JPEG: raster.TurboDecoder, or Go's where it is "".
	Decoder string `json:"decoder,omitempty"`
	// ScaledDecode lets a decoder that can shrink the image of a random crop by
	// 2, 4 or 8, where the crop stays reducingGap times the model's size.
	ScaledDecode bool `json:"scaled_decode,omitempty"`

	CropPad int     `json:"crop_pad,omitempty"`      // shift by up to so many pixels, what is uncovered black
	PadMode string  `json:"crop_pad_mode,omitempty"` // Reflect mirrors the image into what is uncovered
	HFlip   float64 `json:"hflip,omitempty"`         // probability of mirroring
	VFlip   float64 `json:"vflip,omitempty"`

	Rotation float64 `json:"rotation,omitempty"` // turn by up to so many degrees either way, what is uncovered black
	Affine   Affine  `json:"affine,omitzero"`
	// Auto is RandAugment, of AutoOps operations at strength AutoMagnitude of 0 to
	// 30, TrivialAugment, AutoImageNet or AutoCIFAR; "" is none.
	Auto          string `json:"auto,omitempty"`
	AutoOps       int    `json:"auto_ops,omitempty"`
	AutoMagnitude int    `json:"auto_magnitude,omitempty"`
	// ColorJitter is how far brightness, contrast, saturation and hue may go, as
	// torchvision's ColorJitter has it.
	ColorJitter [4]float64 `json:"color_jitter,omitzero"`
	Grey        float64    `json:"grayscale_prob,omitempty"` // probability of grey
	Blur        Blur       `json:"gaussian_blur,omitzero"`
	// Erase is the probability of filling a box with EraseFill, a byte a channel.
	Erase     float64 `json:"erase,omitempty"`
	EraseFill [3]byte `json:"erase_fill,omitzero"`
}

// Validate reports the first option out of range; the error wraps ErrOptions.
func (o *Images) Validate() error {
	bad := func(what, format string, args ...any) error {
		return fmt.Errorf("loader: %w %q: %w", ErrOptions, what, fmt.Errorf(format, args...))
	}
	pair := func(p [2]float64) bool { return p[0] > 0 && p[0] <= p[1] && !math.IsInf(p[1], 1) }
	switch {
	case o.Channels != 1 && o.Channels != 3:
		return bad("channels", "%d: images have 1 or 3; export the model for one of them", o.Channels)
	case o.Height < 1 || o.Width < 1 || o.Height > raster.MaxPixels/o.Width:
		return bad("image size", "%dx%d", o.Height, o.Width)
	case o.Interpolation != RandomFilter && filter(o.Interpolation) == nil:
		return bad("interpolation", "%q: want bilinear or bicubic", o.Interpolation)
	case o.CropPct != 0 && !(o.CropPct > 0 && o.CropPct <= 1):
		return bad("crop-pct", "%v: want above 0 and up to 1", o.CropPct)
	case o.CropPct == 0 && !(pair(o.Scale) && o.Scale[1] <= 1):
		return bad("scale", "%v,%v: want two shares of the area, above 0 and up to 1, the smaller first", o.Scale[0], o.Scale[1])
	case o.CropPct == 0 && !pair(o.Ratio):
		return bad("ratio", "%v,%v: want two ratios above 0, the smaller first", o.Ratio[0], o.Ratio[1])
	case o.CropPad < 0 || o.CropPad > MaxCropPad:
		return bad("crop-pad", "%d: want 0 to %d", o.CropPad, MaxCropPad)
	case o.PadMode != "" && o.PadMode != Reflect:
		return bad("crop-pad-mode", "%q: want constant or %s", o.PadMode, Reflect)
	case o.PadMode == Reflect && o.CropPad >= min(o.Height, o.Width):
		return bad("crop-pad", "%d: images of %dx%d are mirrored by at most %d pixels", o.CropPad, o.Height, o.Width, min(o.Height, o.Width)-1)
	case !share(o.HFlip):
		return bad("hflip", "%v: want 0 to 1", o.HFlip)
	case !share(o.VFlip):
		return bad("vflip", "%v: want 0 to 1", o.VFlip)
	}
	return cmp.Or(o.validateDecoder(bad), o.validateChanges(bad))
}

func (o *Images) validateDecoder(bad func(what, format string, args ...any) error) error {
	switch o.Decoder {
	case "", raster.GoDecoder, raster.TurboDecoder:
		return nil
	}
	return bad("decoder", "%q: want %s or %s", o.Decoder, raster.TurboDecoder, raster.GoDecoder)
}

// RandomFilter is an Interpolation that is drawn for each image.
const RandomFilter = "random"

// filter is nil for a name that is none.
func filter(name string) *raster.Filter {
	for _, f := range raster.Filters() {
		if f.Name() == name {
			return f
		}
	}
	return nil
}

// Transform is the options as a transform. Where the decoder's library is
// missing, the error wraps raster.ErrNoTurbo.
func (o Images) Transform() (Transform, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Decoder == "" {
		o.Decoder = raster.GoDecoder
	}
	decoder, err := raster.NewDecoder(o.Decoder)
	if err != nil {
		return nil, fmt.Errorf("loader: decoder %q: %w", o.Decoder, err)
	}
	return &images{o, filter(o.Interpolation), decoder}, nil
}

// Pipelines are what a run does to images: in training, and in evaluation.
type Pipelines struct {
	Train Images `json:"train"`
	Eval  Images `json:"eval"`
}

// Fits is whether an image has the model's size already.
func (o *Images) Fits(c, h, w int) bool { return c == o.Channels && h == o.Height && w == o.Width }

// images applies Images.
type images struct {
	Images
	kernel  *raster.Filter // nil: drawn
	decoder raster.Decoder
}

var _ Transform = (*images)(nil)

// Shape is that of the model.
func (t *images) Shape() (c, h, w int) { return t.Channels, t.Height, t.Width }

// Apply decodes, cuts, resizes, shifts and mirrors.
func (t *images) Apply(d Draw, s *Scratch, dst []byte) error {
	src := &s.image
	s.view = raster.Image{C: t.Channels, H: t.Height, W: t.Width, Pix: dst[:t.Channels*t.Height*t.Width]}
	out := &s.view
	kernel := t.kernel
	if kernel == nil {
		r := d.stream(purposeFilter)
		kernel = raster.Filters()[r.Below(uint64(len(raster.Filters())))]
	}
	if t.CropPct > 0 {
		if err := s.decode(t.decoder, t.Channels, 1); err != nil {
			return fmt.Errorf("%w: %w", ErrBadData, err)
		}
		h, w := t.beforeCrop(src.H, src.W)
		s.resizer.Resize(out, src, src.Whole(), h, w, centre(h, t.Height), centre(w, t.Width), kernel)
	} else {
		if err := t.crop(d, s, out, kernel); err != nil {
			return fmt.Errorf("%w: %w", ErrBadData, err)
		}
	}
	if t.CropPct > 0 {
		s.full = [2]int{src.H, src.W}
	}
	if t.CropPad > 0 {
		dy, dx, _ := Augment{CropPad: t.CropPad}.draw(d.Seed, d.Epoch, d.Index)
		if t.PadMode == Reflect {
			s.work = out.ShiftMirrored(dy, dx, s.work)
		} else {
			s.work = append(s.work[:0], out.Pix...)
			apply(out.Pix, s.work, out.C, out.H, out.W, dy, dx, false)
		}
	}
	if t.HFlip > 0 || t.VFlip > 0 {
		r := d.stream(purposeFlip)
		if r.Float() < t.HFlip {
			out.Flip()
		}
		if r.Float() < t.VFlip {
			out.FlipVertical()
		}
	}
	t.change(d, s, out)
	return nil
}

// change is what happens to an image of the model's size, in torchvision's order.
func (t *images) change(d Draw, s *Scratch, out *raster.Image) {
	if t.Rotation > 0 {
		r := d.stream(purposeRotate)
		s.work = out.Warp(raster.Rotation(out.H, out.W, r.Between(-t.Rotation, t.Rotation)), s.work)
	}
	if t.Affine != (Affine{}) {
		warp := out.Warp
		if t.Affine.Bilinear {
			warp = out.WarpBilinear
		}
		s.work = warp(t.Affine.matrix(d.stream(purposeAffine), out.H, out.W), s.work)
	}
	if t.Auto != "" {
		s.work = t.auto(d.stream(purposeAuto), out, s.work)
	}
	if t.ColorJitter != [4]float64{} {
		t.jitter(d.stream(purposeJitter), out)
	}
	if r := d.stream(purposeGrey); t.Grey > 0 && r.Float() < t.Grey {
		out.Grey()
	}
	if r := d.stream(purposeBlur); t.Blur.P > 0 && r.Float() < t.Blur.P {
		s.blurrer.Blur(out, t.Blur.Size, r.Between(t.Blur.Sigma[0], t.Blur.Sigma[1]))
	}
	if t.Erase > 0 {
		r := d.stream(purposeErase)
		if r.Float() < t.Erase {
			if box, ok := eraseBox(&r, out.H, out.W); ok {
				out.Erase(box, t.EraseFill[:out.C])
			}
		}
	}
}

// stream is the random numbers of a draw for one purpose.
func (d Draw) stream(purpose uint64) random.Stream {
	return random.Stream(random.Mix(random.Mix(random.Mix(d.Seed^purpose)+uint64(d.Epoch)) + uint64(d.Index)))
}

// reducingGap is how many times the model's size a crop of a shrunk image has
// at least: Pillow's documentation of Image.thumbnail says that from 2 on the
// result is hardly told from one without shrinking.
const reducingGap = 2

// crop decodes a record, draws a box of it and resizes that.
func (t *images) crop(d Draw, s *Scratch, out *raster.Image, kernel *raster.Filter) error {
	r := d.stream(purposeCrop)
	h, w, shrink := 0, 0, 1
	var box raster.Box
	if t.ScaledDecode && s.Record.C == 0 {
		var err error
		if h, w, err = t.decoder.With(s.Record.View).Size(s.Record.Data); err != nil {
			return err
		}
		box = randomBox(&r, h, w, t.Scale, t.Ratio)
		shrink = t.shrink(box)
	}
	if err := s.decode(t.decoder, t.Channels, shrink); err != nil {
		return err
	}
	src := &s.image
	if s.full = [2]int{h, w}; h == 0 {
		s.full = [2]int{src.H, src.W}
		box = randomBox(&r, src.H, src.W, t.Scale, t.Ratio)
	}
	if shrink > 1 && (src.H != h || src.W != w) { // the decoder shrinks this kind of file
		s.resizer.Shrink(out, src, box, shrink, kernel)
		return nil
	}
	s.resizer.Resize(out, src, box, t.Height, t.Width, 0, 0, kernel)
	return nil
}

// shrink is the factor by which an image can be shrunk before a box of it is resized.
func (t *images) shrink(box raster.Box) int {
	for _, by := range raster.Shrinks {
		if box.H >= reducingGap*by*t.Height && box.W >= reducingGap*by*t.Width {
			return by
		}
	}
	return 1
}

// decode puts the record's pixels into the scratch image, shrunk where the
// decoder can.
func (s *Scratch) decode(decoder raster.Decoder, channels, shrink int) error {
	r := &s.Record
	if r.C == 0 {
		return decoder.With(r.View).DecodePacked(&s.image, r.Data, channels, shrink)
	}
	raw := raster.Image{C: r.C, H: r.H, W: r.W, Pix: r.Data}
	s.image.Reset(raw.C, raw.H, raw.W)
	copy(s.image.Pix, raw.Pix)
	return s.image.SetChannels(channels)
}

// beforeCrop is the size whose centre is cut out: the model's size over CropPct
// on the side that needs more, the other in proportion, rounded down, as
// torchvision's Resize and timm's crop_pct have it.
func (t *images) beforeCrop(h, w int) (int, int) {
	needH, needW := int(float64(t.Height)/t.CropPct), int(float64(t.Width)/t.CropPct)
	if int64(needH)*int64(w) >= int64(needW)*int64(h) { // rows decide
		return needH, max(t.Width, int(int64(needH)*int64(w)/int64(h)))
	}
	return max(t.Height, int(int64(needW)*int64(h)/int64(w))), needW
}

// centre is where the middle size pixels of n begin; halves go to the even, as
// Python rounds.
func centre(n, size int) int { return int(math.RoundToEven(float64(n-size) / 2)) }

// randomBox draws the crop of torchvision's RandomResizedCrop: ten tries for a
// box of the area and ratio wanted, then the largest centred one of a ratio
// within bounds.
func randomBox(r *random.Stream, h, w int, scale, ratio [2]float64) raster.Box {
	const tries = 10
	lo, hi := math.Log(ratio[0]), math.Log(ratio[1])
	for range tries {
		area := float64(h) * float64(w) * r.Between(scale[0], scale[1])
		aspect := math.Exp(r.Between(lo, hi))
		bw, bh := int(math.RoundToEven(math.Sqrt(area*aspect))), int(math.RoundToEven(math.Sqrt(area/aspect)))
		if bw > 0 && bw <= w && bh > 0 && bh <= h {
			return raster.Box{Y: int(r.Below(uint64(h-bh) + 1)), X: int(r.Below(uint64(w-bw) + 1)), H: bh, W: bw}
		}
	}
	bh, bw := h, w
	switch in := float64(w) / float64(h); {
	case in < ratio[0]:
		bh = min(h, max(1, int(math.RoundToEven(float64(w)/ratio[0]))))
	case in > ratio[1]:
		bw = min(w, max(1, int(math.RoundToEven(float64(h)*ratio[1]))))
	}
	return raster.Box{Y: (h - bh) / 2, X: (w - bw) / 2, H: bh, W: bw}
}
