package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
	"winnow/loader"
	"winnow/loader/raster"
	"winnow/onnx/bundle"
	"winnow/train"
)

// Presets of --aug.
const (
	augNone     = "none"
	augCIFAR    = "cifar"
	augImageNet = "imagenet"
	augTrivial  = "trivial"
	augRandom   = "randaug"
)

// preset is a parsed --aug.
type preset struct {
	name           string // one of the names above, "" where the data decides
	magnitude, ops int    // of randaug
}

// resizes is whether images are cut at random and resized.
func (p preset) resizes() bool {
	return p.name == augImageNet || p.name == augTrivial || p.name == augRandom
}

// parsePreset reads "randaug:M:N" and the names alone.
func parsePreset(text string) (preset, error) {
	p := preset{name: text, magnitude: loader.DefaultRandMagnitude, ops: loader.DefaultRandOps}
	if rest, ok := strings.CutPrefix(text, augRandom+":"); ok {
		m, n, both := strings.Cut(rest, ":")
		var errM, errN error
		p.name = augRandom
		if p.magnitude, errM = strconv.Atoi(m); both {
			p.ops, errN = strconv.Atoi(n)
		}
		if errM != nil || errN != nil {
			return p, usagef("--aug %q: give randaug:STRENGTH:OPERATIONS, such as randaug:9:2", text)
		}
	}
	return p, oneOf("--aug", p.name, "", augNone, augCIFAR, augImageNet, augTrivial, augRandom)
}

// transformOptions say what happens to images on the way to the model.
type transformOptions struct {
	Aug           string
	Augment       loader.Augment
	VFlip         float64
	Scale, Ratio  string
	CropPct       float64
	Interpolation string
	Rotation      float64
	ColorJitter   string
	Erase         float64
	OnBad         string
	Decoder       string
	ScaledDecode  bool
	given         func(flag string) bool
}

// onBadFlag says what becomes of images that cannot be read.
func onBadFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "on-bad", Value: badError, Destination: dst, Category: flagsData,
		Usage: "images that cannot be read, `error|skip`: skip leaves them out, and lists them at the end"}
}

const (
	badError = "error"
	badSkip  = "skip"
)

// badSamples collects what --on-bad skip leaves out; nil where it is an error.
func badSamples(onBad string) (*loader.BadSamples, error) {
	if err := oneOf("--on-bad", onBad, badError, badSkip); err != nil || onBad == badError {
		return nil, err
	}
	return &loader.BadSamples{}, nil
}

// shownBad bounds how many bad images are named.
const shownBad = 10

// printBad lists the images left out.
func printBad(bad *loader.BadSamples, out *output) {
	if bad == nil || bad.Count() == 0 {
		return
	}
	out.notef("note: %s images could not be read and were left out", countText(int64(bad.Count())))
	list := bad.List()
	for _, b := range list[:min(len(list), shownBad)] {
		where := b.Where
		if where == "" {
			where = fmt.Sprintf("sample %d", b.Index)
		}
		out.notef("  %s: %s: %s", b.Split, where, b.Reason)
	}
	if n := bad.Count() - shownBad; n > 0 {
		out.notef("  and %s more", countText(int64(n)))
	}
}

func (o *transformOptions) flags() []cli.Flag {
	pair := func(lo, hi float64) string { return fmt.Sprintf("%.3g,%.3g", lo, hi) }
	return []cli.Flag{
		&cli.StringFlag{Name: "aug", Destination: &o.Aug, Category: flagsData, DefaultText: "imagenet for files of images, else none",
			Usage: "augmentation `PRESET`: none; cifar (--crop-pad 4 --hflip); imagenet (random resized crops and --hflip); trivial (imagenet and TrivialAugment); randaug:M:N (imagenet and RandAugment of N operations, strength M of 30)"},
		&cli.IntFlag{Name: "crop-pad", Destination: &o.Augment.CropPad, Category: flagsData, DefaultText: "0",
			Usage: "random crop after padding by `P` pixels"},
		&cli.BoolFlag{Name: "hflip", Destination: &o.Augment.HFlip, Category: flagsData,
			Usage: "random horizontal flip; --hflip=false leaves a preset's out"},
		&cli.Float64Flag{Name: "vflip", Destination: &o.VFlip, Category: flagsData, DefaultText: "0",
			Usage: "probability `P` of a vertical flip"},
		&cli.StringFlag{Name: "scale", Destination: &o.Scale, Category: flagsData, DefaultText: pair(loader.DefaultScaleLo, loader.DefaultScaleHi),
			Usage: "random resized crop: smallest and largest share `LO,HI` of the area"},
		&cli.StringFlag{Name: "ratio", Destination: &o.Ratio, Category: flagsData, DefaultText: pair(loader.DefaultRatioLo, loader.DefaultRatioHi),
			Usage: "random resized crop: smallest and largest width over height `LO,HI`"},
		&cli.Float64Flag{Name: "crop-pct", Destination: &o.CropPct, Category: flagsData, DefaultText: fmt.Sprintf("%v, and 1 with --aug cifar", loader.DefaultCropPct),
			Usage: "evaluation: share `P` of the shorter side that the centre crop takes"},
		&cli.StringFlag{Name: "interpolation", Value: "bilinear", Destination: &o.Interpolation, Category: flagsData,
			Usage: "how images are resized, `NAME`: bilinear, bicubic; both antialiased"},
		decoderFlag(&o.Decoder),
		&cli.BoolFlag{Name: "scaled-decode", Value: true, Destination: &o.ScaledDecode, Category: flagsData,
			Usage: "let libturbojpeg halve, quarter or eighth a JPEG as it decodes, where a random crop stays twice the model's size; --scaled-decode=false decodes all pixels"},
		&cli.Float64Flag{Name: "rotation", Destination: &o.Rotation, Category: flagsData, DefaultText: "0",
			Usage: "random rotation by up to `D` degrees either way"},
		&cli.StringFlag{Name: "color-jitter", Destination: &o.ColorJitter, Category: flagsData, DefaultText: "off",
			Usage: "jitter of brightness, contrast, saturation and hue, `B[,C,S[,H]]`; B alone stands for the first three"},
		&cli.Float64Flag{Name: "reprob", Destination: &o.Erase, Category: flagsData, DefaultText: "0",
			Usage: "probability `P` of erasing a box, to the mean colour of the model's normalisation"},
		onBadFlag(&o.OnBad),
	}
}

// resized are the flags that only images which are resized have a use for.
var resizedFlags = []string{"vflip", "scale", "ratio", "crop-pct", "interpolation", "scaled-decode", "rotation", "color-jitter", "reprob"}

// validate looks at what needs no data.
func (o *transformOptions) validate() error {
	aug, err := parsePreset(o.Aug)
	if err != nil {
		return err
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
	probe, err := o.images([3]int64{3, 32, 32}, aug)
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
	p.Train.CropPad, p.Train.VFlip = o.Augment.CropPad, o.VFlip
	p.Train.Rotation, p.Train.Erase = o.Rotation, o.Erase
	if p.Train.ColorJitter, err = parseJitter(o.ColorJitter); err != nil {
		return p, err
	}
	flip := o.Augment.HFlip
	switch {
	case aug.resizes():
		switch aug.name {
		case augTrivial:
			p.Train.Auto = loader.TrivialAugment
		case augRandom:
			p.Train.Auto, p.Train.AutoMagnitude, p.Train.AutoOps = loader.RandAugment, aug.magnitude, aug.ops
		}
		p.Train.CropPct = 0
		if p.Train.Scale, err = parsePair("--scale", o.Scale, loader.DefaultScaleLo, loader.DefaultScaleHi); err != nil {
			return p, err
		}
		if p.Train.Ratio, err = parsePair("--ratio", o.Ratio, loader.DefaultRatioLo, loader.DefaultRatioHi); err != nil {
			return p, err
		}
		flip = flip || !o.given("hflip")
	case aug.name == augCIFAR:
		if !o.given("crop-pad") {
			p.Train.CropPad = cifarPad
		}
		flip = flip || !o.given("hflip")
	}
	if flip {
		p.Train.HFlip = 0.5
	}
	return p, nil
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

// meanColour is the byte of each channel that the model's normalisation makes 0.
func meanColour(n bundle.Normalize) (fill [3]byte) {
	for k := range fill {
		if len(n.Mean) > 0 && n.Scale != 0 {
			fill[k] = byte(min(max(math.Round(n.Mean[min(k, len(n.Mean)-1)]/n.Scale), 0), 255))
		}
	}
	return fill
}

// cifarPad is the padding of He et al. 2015 (arXiv 1512.03385), section 4.2.
const cifarPad = 4

// sources puts the images of both splits through their transforms.
func (o *transformOptions) sources(run *train.Options, training, test loader.Records, notice func(string)) error {
	c, _, _ := loader.ShapeOf(training)
	aug, err := parsePreset(o.Aug)
	if err != nil {
		return err
	}
	if aug.name == "" && c > 0 {
		aug.name = augNone
	} else if aug.name == "" {
		aug.name = augImageNet
	}
	if c > 0 && !aug.resizes() { // as they are
		return o.rawSources(run, training, test, aug.name)
	}
	p, err := o.images(run.Bundle.Manifest.ImageShape, aug)
	if err != nil {
		return err
	}
	if c == 0 {
		name, said, err := decoderHere(o.Decoder)
		if err != nil {
			return err
		}
		p.Train.Decoder, p.Eval.Decoder = name, name
		p.Train.ScaledDecode = name == raster.TurboDecoder && o.ScaledDecode && p.Train.CropPct == 0
		if said != "" {
			notice(said)
		}
	}
	if c > 0 && !o.given("crop-pct") && p.Eval.Fits(loader.ShapeOf(training)) {
		p.Eval.CropPct = 1 // raw images of the model's size are evaluated as they are
	}
	if p.Train.Erase > 0 {
		p.Train.EraseFill = meanColour(run.Bundle.Manifest.Normalize)
	}
	if o.Aug == "" {
		notice(fmt.Sprintf("images: %s (--aug %s, the default for files of images); evaluation: %s", p.Train.Text(), aug.name, p.Eval.Text()))
	}
	run.Pipelines = &p
	if run.Train, err = through(training, p.Train); err != nil {
		return err
	}
	if run.Unaugmented, err = through(training, p.Eval); err != nil {
		return err
	}
	run.Test, err = through(test, p.Eval)
	return err
}

func (o *transformOptions) rawSources(run *train.Options, training, test loader.Records, aug string) error {
	for _, flag := range resizedFlags {
		if o.given(flag) {
			return usagef("--%s: only with --aug %s, or images that are files", flag, augImageNet)
		}
	}
	if aug == augCIFAR {
		if !o.given("crop-pad") {
			o.Augment.CropPad = cifarPad
		}
		if !o.given("hflip") {
			o.Augment.HFlip = true
		}
		run.Augment = o.Augment
	}
	augment, err := o.Augment.Transform(loader.ShapeOf(training))
	if err != nil {
		return err
	}
	if run.Train, err = loader.NewSource(training, augment); err != nil {
		return err
	}
	if run.Unaugmented, err = loader.NewSource(training, nil); err != nil {
		return err
	}
	run.Test, err = loader.NewSource(test, nil)
	return err
}

// through is records through a pipeline.
func through(r loader.Records, p loader.Images) (*loader.Source, error) {
	t, err := p.Transform()
	if err != nil {
		return nil, err
	}
	return loader.NewSource(r, t)
}

// evalSource puts images as evaluation sees them: as the run did, where one is
// evaluated, as they are where they are of one shape, else resized and cut.
func evalSource(r loader.Records, shape [3]int64, recorded *loader.Pipelines, decoder string, notice func(string)) (*loader.Source, error) {
	c, _, _ := loader.ShapeOf(r)
	if recorded == nil && c > 0 {
		return loader.NewSource(r, nil)
	}
	p := loader.Images{Channels: int(shape[0]), Height: int(shape[1]), Width: int(shape[2]), Interpolation: "bilinear", CropPct: loader.DefaultCropPct}
	if recorded != nil {
		p = recorded.Eval
	} else {
		notice("images: " + p.Text())
	}
	if c == 0 {
		var err error
		if p.Decoder, err = evalDecoder(decoder, recorded, notice); err != nil {
			return nil, err
		}
	}
	return through(r, p)
}

// limitedSplits are the first samples of both splits.
func limitedSplits(d *datasets.Dataset, training, test int) (a, b loader.Records, err error) {
	if a, err = limited(d.Train, training, "--limit-train"); err != nil {
		return nil, nil, err
	}
	b, err = limited(d.Test, test, "--limit-test")
	return a, b, err
}
