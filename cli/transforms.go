package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/loader"
)

// transformOptions say what happens to images on the way to the model.
type transformOptions struct {
	cropOptions
	colourOptions
	Aug, Auto    string
	Affine       affineOptions
	Mix          loader.Mix
	OnBad        string
	Decoder      string
	ScaledDecode bool
	given        func(flag string) bool
}

// cropOptions are the flags of what is cut out, resized, moved and mirrored.
type cropOptions struct {
	Augment       loader.Augment // of raw images; HFlip is filled in by validate
	PadMode       string
	HFlip         string
	VFlip         float64
	Scale, Ratio  string
	CropPct       float64
	Interpolation string
	TrainFilter   string
	Rotation      float64
}

// colourOptions are the flags of what changes colours.
type colourOptions struct {
	ColorJitter string
	Grey        float64
	Blur        loader.Blur
	BlurSigma   string
	Erase       float64
}

// affineOptions are the flags of torchvision's RandomAffine.
type affineOptions struct {
	Degrees          float64
	Translate, Scale string
	Shear            string
	Interpolation    string
}

const (
	flagHFlip  = "hflip"
	padBlack   = "constant"
	defaultHow = "bilinear"
)

// defaultFlip is what --hflip without a number meant when it took none.
const defaultFlip = "0.5"

func (o *transformOptions) flags() []cli.Flag {
	pair := func(lo, hi float64) string { return fmt.Sprintf("%.3g,%.3g", lo, hi) }
	flags := []cli.Flag{
		&cli.StringFlag{Name: "aug", Destination: &o.Aug, Category: flagsData, DefaultText: "imagenet for files of images, else none",
			Usage: "augmentation `PRESET` of the list above: none, cifar, imagenet, trivial, randaug:M:N"},
		&cli.StringFlag{Name: "aa", Destination: &o.Auto, Category: flagsData, DefaultText: "the preset's",
			Usage: "automatic augmentation `POLICY`: none; imagenet and cifar10 (AutoAugment); trivial (TrivialAugment, wide); randaug:M:N (N operations of strength M, 0 to 30)"},
		&cli.IntFlag{Name: "crop-pad", Destination: &o.Augment.CropPad, Category: flagsData, DefaultText: "0",
			Usage: "random crop after padding by `P` pixels"},
		&cli.StringFlag{Name: "crop-pad-mode", Value: padBlack, Destination: &o.PadMode, Category: flagsData,
			Usage: "what --crop-pad pads with, `constant|reflect`: black, or the image mirrored"},
		&cli.StringFlag{Name: flagHFlip, Destination: &o.HFlip, Category: flagsData, DefaultText: "the preset's, else 0",
			Usage: "probability `P` of a horizontal flip"},
		&cli.Float64Flag{Name: "vflip", Destination: &o.VFlip, Category: flagsData, DefaultText: "0",
			Usage: "probability `P` of a vertical flip"},
		&cli.StringFlag{Name: "scale", Destination: &o.Scale, Category: flagsData, DefaultText: pair(loader.DefaultScaleLo, loader.DefaultScaleHi),
			Usage: "random resized crop: smallest and largest share `LO,HI` of the area"},
		&cli.StringFlag{Name: "ratio", Destination: &o.Ratio, Category: flagsData, DefaultText: pair(loader.DefaultRatioLo, loader.DefaultRatioHi),
			Usage: "random resized crop: smallest and largest width over height `LO,HI`"},
		&cli.Float64Flag{Name: "crop-pct", Destination: &o.CropPct, Category: flagsData, DefaultText: fmt.Sprintf("%v, and 1 with --aug cifar", loader.DefaultCropPct),
			Usage: "evaluation: share `P` of the shorter side that the centre crop takes"},
		&cli.StringFlag{Name: "interpolation", Value: defaultHow, Destination: &o.Interpolation, Category: flagsData,
			Usage: "how images are resized, `NAME`: bilinear, bicubic; both antialiased"},
		&cli.StringFlag{Name: "train-interpolation", Destination: &o.TrainFilter, Category: flagsData, DefaultText: "that of --interpolation",
			Usage: "how images are resized in training, `NAME`: bilinear, bicubic, random (one of the two for each image)"},
		decoderFlag(&o.Decoder),
		&cli.BoolFlag{Name: "scaled-decode", Value: true, Destination: &o.ScaledDecode, Category: flagsData,
			Usage: "let libturbojpeg halve, quarter or eighth a JPEG as it decodes, where a random crop stays twice the model's size; --scaled-decode=false decodes all pixels"},
		&cli.Float64Flag{Name: "rotation", Destination: &o.Rotation, Category: flagsData, DefaultText: "0",
			Usage: "random rotation by up to `D` degrees either way"},
		&cli.StringFlag{Name: "color-jitter", Destination: &o.ColorJitter, Category: flagsData, DefaultText: "off",
			Usage: "jitter of brightness, contrast, saturation and hue, `B[,C,S[,H]]`; B alone stands for the first three"},
		&cli.Float64Flag{Name: "grayscale-prob", Destination: &o.Grey, Category: flagsData, DefaultText: "0",
			Usage: "probability `P` of grey"},
		&cli.Float64Flag{Name: "gaussian-blur-prob", Destination: &o.Blur.P, Category: flagsData, DefaultText: "0",
			Usage: "probability `P` of a Gaussian blur"},
		&cli.IntFlag{Name: "gaussian-blur-kernel", Value: loader.DefaultBlurSize, Destination: &o.Blur.Size, Category: flagsData,
			Usage: "side `N` of the blur's kernel, odd"},
		&cli.StringFlag{Name: "gaussian-blur-sigma", Destination: &o.BlurSigma, Category: flagsData, DefaultText: pair(loader.DefaultBlurSigmaLo, loader.DefaultBlurSigmaHi),
			Usage: "smallest and largest standard deviation of the blur, `LO,HI` pixels"},
		&cli.Float64Flag{Name: "reprob", Destination: &o.Erase, Category: flagsData, DefaultText: "0",
			Usage: "probability `P` of erasing a box, to the mean colour of the model's normalisation"},
		onBadFlag(&o.OnBad),
	}
	return slices.Concat(flags, o.Affine.flags(), mixFlags(&o.Mix))
}

func mixFlags(m *loader.Mix) []cli.Flag {
	return []cli.Flag{
		&cli.Float64Flag{Name: "mixup", Destination: &m.Mixup, Category: flagsData, DefaultText: "0, off",
			Usage: "mix the images and targets of a batch in pairs, by a share from Beta(`A`,A)"},
		&cli.Float64Flag{Name: "cutmix", Destination: &m.Cutmix, Category: flagsData, DefaultText: "0, off",
			Usage: "put a box of one image of a batch into another, and mix their targets, by a share from Beta(`A`,A)"},
		&cli.Float64Flag{Name: "mixup-prob", Value: loader.DefaultMixProb, Destination: &m.Prob, Category: flagsData,
			Usage: "probability `P` that a batch is mixed"},
		&cli.Float64Flag{Name: "mixup-switch-prob", Value: loader.DefaultMixSwitch, Destination: &m.Switch, Category: flagsData,
			Usage: "probability `P` of cutmix, where there are both"},
	}
}

func (o *affineOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.Float64Flag{Name: "affine-degrees", Destination: &o.Degrees, Category: flagsData, DefaultText: "0",
			Usage: "random affine map: turn by up to `D` degrees either way"},
		&cli.StringFlag{Name: "affine-translate", Destination: &o.Translate, Category: flagsData, DefaultText: "0,0",
			Usage: "random affine map: move by up to the shares `X,Y` of width and height"},
		&cli.StringFlag{Name: "affine-scale", Destination: &o.Scale, Category: flagsData, DefaultText: "1,1",
			Usage: "random affine map: enlarge by a factor between `LO,HI`"},
		&cli.StringFlag{Name: "affine-shear", Destination: &o.Shear, Category: flagsData, DefaultText: "0,0",
			Usage: "random affine map: slant by up to `X,Y` degrees along the two axes"},
		&cli.StringFlag{Name: "affine-interpolation", Value: loader.Nearest, Destination: &o.Interpolation, Category: flagsData,
			Usage: "random affine map: `nearest|bilinear`"},
	}
}

// Flags that only images which are resized have a use for, and flags of what is
// done to an image of the model's size.
var (
	resizedFlags = []string{"scale", "ratio", "crop-pct", "interpolation", "train-interpolation", "scaled-decode"}
	changeFlags  = []string{"aa", "crop-pad-mode", "vflip", "rotation", "affine-degrees", "affine-translate", "affine-scale", "affine-shear", "affine-interpolation",
		"color-jitter", "grayscale-prob", "gaussian-blur-prob", "gaussian-blur-kernel", "gaussian-blur-sigma", "reprob"}
)

// validate looks at what needs no data.
func (o *transformOptions) validate() error {
	aug, err := parsePreset(o.Aug)
	if err != nil {
		return err
	}
	for _, f := range [][2]string{{"gaussian-blur-prob", "gaussian-blur-kernel"}, {"gaussian-blur-prob", "gaussian-blur-sigma"}, {"crop-pad", "crop-pad-mode"}} {
		if o.given(f[1]) && !o.given(f[0]) && !(f[0] == "crop-pad" && aug.name == augCIFAR) {
			return usagef("--%s: only with --%s", f[1], f[0])
		}
	}
	if !aug.resizes() {
		aug.name = augImageNet
	}
	if _, err := badSamples(o.OnBad); err != nil {
		return err
	}
	if err := checkDecoder(o.Decoder); err != nil {
		return err
	}
	if err := o.Augment.Validate(); err != nil {
		return err
	}
	if err := o.Mix.Validate(); err != nil {
		return err
	}
	for _, f := range []string{"mixup-prob", "mixup-switch-prob"} {
		if o.given(f) && !o.Mix.Enabled() {
			return usagef("--%s: only with --mixup or --cutmix", f)
		}
	}
	flip, err := parseFlip(o.HFlip)
	if err != nil {
		return err
	}
	o.Augment.HFlip = flip > 0
	probe, err := o.images([3]int64{3, 2 * loader.MaxCropPad, 2 * loader.MaxCropPad}, aug) // of a size that no flag is too large for
	if err != nil {
		return err
	}
	for _, p := range []loader.Images{probe.Train, probe.Eval} {
		if err := p.Validate(); err != nil {
			return usagef("%w", err)
		}
	}
	return nil
}

// parseFlip reads --hflip, which was once a switch.
func parseFlip(text string) (float64, error) {
	switch text {
	case "", "false":
		return 0, nil
	case "true":
		text = defaultFlip
	}
	p, err := strconv.ParseFloat(text, 64)
	if err != nil || !(p >= 0 && p <= 1) {
		return 0, usagef("--%s %q: give a probability, 0 to 1", flagHFlip, text)
	}
	return p, nil
}

// parsePair reads "LO,HI".
func parsePair(flag, text string, lo, hi float64) ([2]float64, error) {
	if text == "" {
		return [2]float64{lo, hi}, nil
	}
	a, b, ok := strings.Cut(text, ",")
	x, errA := strconv.ParseFloat(strings.TrimSpace(a), 64)
	y, errB := strconv.ParseFloat(strings.TrimSpace(b), 64)
	if !ok || errA != nil || errB != nil {
		return [2]float64{}, usagef("%s %q: give two numbers, LO,HI", flag, text)
	}
	return [2]float64{x, y}, nil
}

// images is what the flags and a preset make of image files.
func (o *transformOptions) images(shape [3]int64, aug preset) (p loader.Pipelines, err error) {
	if err := oneOf("--interpolation", o.Interpolation, "bilinear", "bicubic"); err != nil {
		return p, err
	}
	p.Eval = loader.Images{Channels: int(shape[0]), Height: int(shape[1]), Width: int(shape[2]), Interpolation: o.Interpolation, CropPct: o.CropPct}
	if !o.given("crop-pct") {
		p.Eval.CropPct = loader.DefaultCropPct
		if aug.name == augCIFAR {
			p.Eval.CropPct = 1
		}
	} else if o.CropPct == 0 {
		return p, usagef("--crop-pct 0: give a share above 0 and up to 1")
	}
	p.Train = p.Eval
	t := &p.Train
	if o.TrainFilter != "" {
		t.Interpolation = o.TrainFilter
		if err := oneOf("--train-interpolation", o.TrainFilter, "bilinear", "bicubic", loader.RandomFilter); err != nil {
			return p, err
		}
	}
	t.CropPad, t.VFlip = o.Augment.CropPad, o.VFlip
	if t.HFlip, err = parseFlip(o.HFlip); err != nil {
		return p, err
	}
	switch {
	case aug.resizes():
		t.CropPct = 0
		if t.Scale, err = parsePair("--scale", o.Scale, loader.DefaultScaleLo, loader.DefaultScaleHi); err != nil {
			return p, err
		}
		if t.Ratio, err = parsePair("--ratio", o.Ratio, loader.DefaultRatioLo, loader.DefaultRatioHi); err != nil {
			return p, err
		}
	case aug.name == augCIFAR && !o.given("crop-pad"):
		t.CropPad = cifarPad
	}
	if (aug.resizes() || aug.name == augCIFAR) && !o.given(flagHFlip) {
		t.HFlip = 0.5
	}
	aug.policy.apply(t)
	return p, o.change(t)
}

// change puts in what is done to an image of the model's size.
func (o *transformOptions) change(t *loader.Images) (err error) {
	if o.given("aa") {
		p, err := parsePolicy(o.Auto)
		if err != nil {
			return err
		}
		p.apply(t)
	}
	if err := oneOf("--crop-pad-mode", o.PadMode, padBlack, loader.Reflect); err != nil {
		return err
	}
	if o.PadMode == loader.Reflect {
		t.PadMode = loader.Reflect
	}
	t.Rotation, t.Erase, t.Grey = o.Rotation, o.Erase, o.Grey
	if t.ColorJitter, err = parseJitter(o.ColorJitter); err != nil {
		return err
	}
	if o.Blur.P != 0 {
		t.Blur = o.Blur
		if t.Blur.Sigma, err = parsePair("--gaussian-blur-sigma", o.BlurSigma, loader.DefaultBlurSigmaLo, loader.DefaultBlurSigmaHi); err != nil {
			return err
		}
	}
	t.Affine, err = o.Affine.parse()
	return err
}

// parse makes the map; the zero value where no flag changes anything.
func (o *affineOptions) parse() (a loader.Affine, err error) {
	if err := oneOf("--affine-interpolation", o.Interpolation, loader.Nearest, defaultHow); err != nil {
		return a, err
	}
	a.Degrees = o.Degrees
	if a.Translate, err = parsePair("--affine-translate", o.Translate, 0, 0); err != nil {
		return a, err
	}
	if a.Scale, err = parsePair("--affine-scale", o.Scale, 0, 0); err != nil {
		return a, err
	}
	if o.Scale != "" && a.Scale == [2]float64{} {
		return a, usagef("--affine-scale %s: give two factors above 0", o.Scale)
	}
	if a.Shear, err = parsePair("--affine-shear", o.Shear, 0, 0); err != nil {
		return a, err
	}
	if a != (loader.Affine{}) {
		a.Bilinear = o.Interpolation != loader.Nearest
	}
	return a, nil
}

// parseJitter reads "B", "B,C,S" or "B,C,S,H".
func parseJitter(text string) (j [4]float64, err error) {
	if text == "" {
		return j, nil
	}
	parts := strings.Split(text, ",")
	if n := len(parts); n != 1 && n != 3 && n != 4 {
		return j, usagef("--color-jitter %q: give B, B,C,S or B,C,S,H", text)
	}
	for k, part := range parts {
		if j[k], err = strconv.ParseFloat(strings.TrimSpace(part), 64); err != nil {
			return j, usagef("--color-jitter %q: %q is no number", text, part)
		}
	}
	if len(parts) == 1 {
		j[1], j[2] = j[0], j[0]
	}
	return j, nil
}
