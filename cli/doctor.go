package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/loader/raster"
	ortrun "winnow/runtime"
)

type doctorOptions struct {
	Device deviceOptions
	JSON   bool
}

func newDoctorCommand(out *output) *cli.Command {
	var o doctorOptions
	return &cli.Command{
		Name:  "doctor",
		Usage: "check whether ONNX Runtime and CUDA can be used, and if not, why",
		Description: about(`Checks what training needs: the ONNX Runtime library with its version and
providers, CUDA, the GPUs and the CPU, and what decodes JPEG. The exit code is 4 if the library, or the
device asked for, cannot be used.`,
			[]int{0, 2, 4},
			"winnow doctor",
			"winnow doctor --device cuda:0 --json"),
		Flags: append(o.Device.flags(), jsonFlag(&o.JSON)),
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			return runDoctor(c.Context, o, out)
		},
	}
}

// doctorReport is what doctor found.
type doctorReport struct {
	ortrun.Report
	JPEG        string `json:"jpeg_decoder"` // what --decoder auto takes
	JPEGLibrary string `json:"jpeg_library,omitempty"`
	JPEGReason  string `json:"jpeg_reason,omitempty"` // why it is not turbo
}

func (r *doctorReport) lookForTurbo() {
	d, err := raster.NewDecoder(raster.TurboDecoder)
	r.JPEG, r.JPEGLibrary = raster.TurboDecoder, d.File()
	if err != nil {
		r.JPEG, r.JPEGReason = raster.GoDecoder, err.Error()
	}
}

func (r *doctorReport) jpegLine() string {
	if r.JPEGReason != "" {
		return fmt.Sprintf("%-14s Go's decoder, slow: %s; %s\n", "jpeg", r.JPEGReason, installTurbo)
	}
	return fmt.Sprintf("%-14s libturbojpeg, %s\n", "jpeg", r.JPEGLibrary)
}

func runDoctor(ctx context.Context, o doctorOptions, out *output) error {
	opts, err := o.Device.resolve(func(string, ...any) {})
	if err != nil {
		return err
	}
	opts.Context = ctx
	r := doctorReport{Report: ortrun.Doctor(opts)}
	r.lookForTurbo()
	if o.JSON {
		if err := out.printJSON(r); err != nil {
			return err
		}
	} else {
		out.lines(r.String() + r.jpegLine())
	}
	if r.Err != nil {
		return r.Err
	}
	if strings.HasPrefix(o.Device.Device, "cuda") && !r.CUDA {
		return &marked{text: "doctor: device " + o.Device.Device + " cannot be used: " + r.CUDAReason, kind: ErrRuntime}
	}
	return nil
}
