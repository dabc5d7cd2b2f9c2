package cli

import (
	"fmt"
	"math"
	"slices"

	"winnow/datasets"
	"winnow/loader"
	"winnow/loader/raster"
	"winnow/onnx/bundle"
	"winnow/train"
)

// meanColour is the byte of each channel that the model's normalisation makes 0.
func meanColour(n bundle.Normalize) (fill [3]byte) {
	for k := range fill {
		if len(n.Mean) > 0 && n.Scale != 0 {
			fill[k] = byte(min(max(math.Round(n.Mean[min(k, len(n.Mean)-1)]/n.Scale), 0), 255))
		}
	}
	return fill
}

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
	p, err := o.images(run.Bundle.Manifest.ImageShape, aug)
	if err != nil {
		return err
	}
	if raw := c > 0 && !aug.resizes(); raw && (!o.changes() || !p.Eval.Fits(loader.ShapeOf(training))) { // as they are
		return o.rawSources(run, training, test, aug.name)
	} else if raw {
		if err := o.refuse(resizedFlags); err != nil {
			return err
		}
		p.Train.CropPct = 1
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
	if o.Aug == "" && c == 0 {
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

// changes is whether a flag asks for what raw images as they are cannot have.
func (o *transformOptions) changes() bool {
	flip, _ := parseFlip(o.HFlip) // validate has looked at it
	return slices.ContainsFunc(changeFlags, o.given) || flip != 0 && flip != 0.5
}

// refuse is an error where one of the flags is given for raw images.
func (o *transformOptions) refuse(flags []string) error {
	for _, flag := range flags {
		if o.given(flag) {
			return usagef("--%s: only with --aug %s, or images that are files", flag, augImageNet)
		}
	}
	return nil
}

func (o *transformOptions) rawSources(run *train.Options, training, test loader.Records, aug string) error {
	if err := o.refuse(resizedFlags); err != nil {
		return err
	}
	if o.changes() {
		c, h, w := loader.ShapeOf(training)
		shape := run.Bundle.Manifest.ImageShape
		return usagef("images of %dx%dx%d are changed only where the model takes that size, and it takes %dx%dx%d; --aug %s resizes them",
			c, h, w, shape[0], shape[1], shape[2], augImageNet)
	}
	if aug == augCIFAR {
		if !o.given("crop-pad") {
			o.Augment.CropPad = cifarPad
		}
		if !o.given(flagHFlip) {
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
