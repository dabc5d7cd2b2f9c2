package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"winnow/runtime/install"
)

func newSetupCommand(out *output) *cli.Command {
	var cuda bool
	return &cli.Command{
		Name:  "setup",
		Usage: "install the ONNX Runtime library",
		Description: about(`Downloads ONNX Runtime `+install.Version+` into your cache folder and checks it by
SHA-256: through npm where that is installed, else from ONNX Runtime's releases.
What is already there is left alone.`,
			[]int{0, 1, 2, 4, 130},
			"winnow setup",
			"winnow setup --cuda"),
		Flags: []cli.Flag{&cli.BoolFlag{Name: "cuda", Destination: &cuda, Category: flagsMachine,
			Usage: "install the CUDA provider too; Linux x64 only, needs CUDA 13 and cuDNN 9"}},
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			return runSetup(c.Context, cuda, out)
		},
	}
}

func runSetup(ctx context.Context, cuda bool, out *output) error {
	_, err := install.Run(ctx, install.Options{CUDA: cuda, Say: out.notef})
	if errors.Is(err, install.ErrPlatform) {
		return &marked{text: err.Error(), kind: ErrRuntime, err: err}
	}
	return err
}
