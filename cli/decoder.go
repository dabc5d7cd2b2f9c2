package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"winnow/loader"
	"winnow/loader/raster"
)

const decoderAuto = "auto"

func decoderFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "decoder", Value: decoderAuto, Destination: dst, Category: flagsData,
		Usage: "what decodes JPEG, `auto|turbo|go`: turbo is libturbojpeg, which gives Pillow's pixels and is faster; auto takes it where it is installed"}
}

func checkDecoder(name string) error {
	return oneOf("--decoder", name, decoderAuto, raster.TurboDecoder, raster.GoDecoder)
}

// installTurbo is how libturbojpeg is had.
const installTurbo = "apt install libturbojpeg0 or brew install jpeg-turbo has it, " + raster.TurboVariable + "=FILE names it"

// decoderHere is the decoder that --decoder stands for on this machine, and
// what is to be said of it, "" for nothing.
func decoderHere(name string) (decoder, said string, err error) {
	if name == raster.GoDecoder {
		return name, "", nil
	}
	d, err := raster.NewDecoder(raster.TurboDecoder)
	switch {
	case err == nil:
		return raster.TurboDecoder, fmt.Sprintf("images: JPEG is decoded by libturbojpeg (%s); --decoder go takes Go's decoder", d.File()), nil
	case name == raster.TurboDecoder:
		return "", "", &marked{text: fmt.Sprintf("--decoder turbo: %v; %s", err, installTurbo), kind: ErrRuntime, err: err}
	}
	return raster.GoDecoder, "images: JPEG is decoded by Go's decoder, which is several times slower than libturbojpeg (" + installTurbo + ")", nil
}

// evalDecoder is the decoder of an evaluation: that of the run, unless another
// is asked for, or it is not here.
func evalDecoder(name string, recorded *loader.Pipelines, notice func(string)) (string, error) {
	if name != decoderAuto || recorded == nil {
		decoder, said, err := decoderHere(name)
		if said != "" {
			notice(said)
		}
		return decoder, err
	}
	of := recorded.Eval.Decoder
	if of != raster.TurboDecoder {
		return of, nil
	}
	if _, err := raster.NewDecoder(of); err != nil {
		notice(fmt.Sprintf("images: the run's JPEG was decoded by libturbojpeg, which is not here (%s); Go's decoder rounds otherwise, by at most 3 grey levels", installTurbo))
		return raster.GoDecoder, nil
	}
	return of, nil
}
