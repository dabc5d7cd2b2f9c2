package cli

import (
	"github.com/urfave/cli/v2"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

// imageOptions are the arithmetic on images that is written into the graphs.
type imageOptions struct {
	Mean, Std  cli.Float64Slice
	Scale      float64
	FloatInput bool
}

func (o *imageOptions) flags() []cli.Flag {
	return append(o.normalizeFlags(flagsData),
		&cli.BoolFlag{Name: "float-input", Destination: &o.FloatInput, Category: flagsData,
			Usage: "make a training graph that takes images as float32, 0 to 255, instead of bytes"})
}

// normalizeFlags lists the flags of normalisation, all of one group.
func (o *imageOptions) normalizeFlags(group string) []cli.Flag {
	return []cli.Flag{
		&cli.Float64SliceFlag{Name: "mean", Destination: &o.Mean, Category: group, DefaultText: "0",
			Usage: "mean `M,M,M` of each channel, of pixels already scaled"},
		&cli.Float64SliceFlag{Name: "std", Destination: &o.Std, Category: group, DefaultText: "1",
			Usage: "standard deviation `S,S,S` of each channel, of pixels already scaled"},
		&cli.Float64Flag{Name: "pixel-scale", Value: export.DefaultScale, Destination: &o.Scale, Category: group, DefaultText: "1/255",
			Usage: "multiply pixels, 0 to 255, by `F`; mean and std come after"},
	}
}

// validate refuses what would make every image the same.
func (o *imageOptions) validate() error {
	if o.Scale == 0 {
		return usagef("--pixel-scale 0: give another factor")
	}
	return nil
}

func (o *imageOptions) normalize() bundle.Normalize {
	return bundle.Normalize{Scale: o.Scale, Mean: o.Mean.Value(), Std: o.Std.Value()}
}

// affine is the arithmetic of the options on a value of each channel: x*factor + offset.
func (o *imageOptions) affine(channels int) (factor, offset []float32) {
	mean, std := o.Mean.Value(), o.Std.Value()
	for c := range channels {
		m, s := 0.0, 1.0
		if len(mean) > 0 {
			m = mean[min(c, len(mean)-1)]
		}
		if len(std) > 0 {
			s = std[min(c, len(std)-1)]
		}
		factor = append(factor, float32(o.Scale/s))
		offset = append(offset, float32(-m/s))
	}
	return factor, offset
}

// normalizeFlagNames are the flags of normalisation.
func normalizeFlagNames() []string { return names(new(imageOptions).normalizeFlags("")) }
