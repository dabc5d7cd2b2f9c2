package cli

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
)

type dataConvertOptions struct {
	Spec, To  string
	ShardSize int
	JSON      bool
}

func newDataConvertCommand(out *output) *cli.Command {
	var o dataConvertOptions
	return &cli.Command{
		Name:      "convert",
		Usage:     "write a data set as a folder, tar shards or parquet files",
		ArgsUsage: "SPEC KIND:DIR",
		Description: about(`Any data becomes a folder for each class (folder:DIR), WebDataset shards
(tar:DIR) or an image set of Hugging Face's (parquet:DIR), with its splits and the
names of its classes. The bytes of image files are kept as they are; raw images
become PNG, which loses nothing. DIR appears whole, and must not be there yet.`,
			[]int{0, 1, 2, 3, 130}, "winnow data convert folder:photos tar:shards", "winnow data convert cifar10:DIR parquet:cifar"),
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "shard-size", Value: datasets.DefaultShardBytes / 1e6, Destination: &o.ShardSize, Category: flagsOutput, Usage: "begin a new tar or parquet file after `N` MB of images"},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			args, err := positional(c, 2, 2, "what to convert, and KIND:DIR to write")
			if err != nil {
				return err
			}
			o.Spec, o.To = args[0], args[1]
			return runDataConvert(c.Context, o, out)
		},
	}
}

func runDataConvert(ctx context.Context, o dataConvertOptions, out *output) error {
	if o.ShardSize < 1 || o.ShardSize > 1<<20 {
		return usagef("--shard-size %d: give 1 to %d", o.ShardSize, 1<<20)
	}
	d, err := openData(ctx, o.Spec, out, func(text string) { out.notef("note: %s", text) })
	if err != nil {
		return err
	}
	defer d.Close()
	c, err := datasets.Convert(ctx, d, o.To, datasets.ConvertOptions{ShardBytes: int64(o.ShardSize) * 1e6, Progress: countProgress(out, "converting")})
	if errors.Is(err, datasets.ErrOccupied) {
		return usagef("%w", err)
	}
	if err != nil {
		return err
	}
	if o.JSON {
		return out.printJSON(c)
	}
	out.printf("%s train, %s test of %q, %s in %s: --data %s\n", countText(int64(c.Train)), countText(int64(c.Test)), o.Spec,
		bytesText(c.Bytes), counted(c.Files, "file"), c.Spec)
	if c.AsPNG > 0 {
		out.printf("%s raw and became PNG\n", counted(c.AsPNG, "image"))
	}
	return nil
}
