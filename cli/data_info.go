package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
	"winnow/loader/raster"
)

type dataInfoOptions struct {
	Spec    string
	Sample  int
	Decoder string
	JSON    bool
}

func newDataInfoCommand(out *output) *cli.Command {
	var o dataInfoOptions
	return &cli.Command{
		Name:      "info",
		Usage:     "describe a data set: samples, classes, sizes, mean and standard deviation",
		ArgsUsage: "[SPEC]",
		Description: about(`Mean and standard deviation are of pixels from 0 to 1, by channel, as --mean and
--std take them; image files are decoded to three channels at their own size.`,
			[]int{0, 2, 3, 130}, "winnow data info folder:DIR", "winnow data info cifar10:DIR --json"),
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "sample", Value: 2000, Destination: &o.Sample, Category: flagsData, Usage: "take pixels and sizes from `N` images, evenly spaced; 0 is all"},
			decoderFlag(&o.Decoder),
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			args, err := positional(c, 0, 1, "")
			if err != nil {
				return err
			}
			o.Spec = specOr(args)
			return runDataInfo(c.Context, o, out)
		},
	}
}

// specOr is the one argument, or the default data.
func specOr(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return defaultData
}

// dataInfo is what info prints as JSON.
type dataInfo struct {
	Data    string   `json:"data"`
	Kind    string   `json:"kind"`
	Train   int      `json:"train"`
	Test    int      `json:"test"`
	Classes []string `json:"classes"`
	*datasets.Description
	Noise *datasets.Noise `json:"noise,omitempty"`
}

// openWith opens data and the decoder of its images.
func openWith(ctx context.Context, spec, decoder string, out *output) (*datasets.Dataset, raster.Decoder, error) {
	var none raster.Decoder
	if err := checkDecoder(decoder); err != nil {
		return nil, none, err
	}
	name, _, err := decoderHere(decoder)
	if err != nil {
		return nil, none, err
	}
	images, err := raster.NewDecoder(name)
	if err != nil {
		return nil, none, err
	}
	d, err := openData(ctx, spec, out, func(text string) { out.notef("note: %s", text) })
	return d, images, err
}

func runDataInfo(ctx context.Context, o dataInfoOptions, out *output) error {
	if o.Sample < 0 {
		return usagef("--sample %d: give 0 (all) or more", o.Sample)
	}
	d, decoder, err := openWith(ctx, o.Spec, o.Decoder, out)
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := datasets.Describe(ctx, d, decoder, o.Sample)
	if err != nil {
		return fmt.Errorf("data info: %w", err)
	}
	if o.JSON {
		return out.printJSON(dataInfo{o.Spec, d.Name, d.Train.Len(), d.Test.Len(), d.ClassNames, r, d.Noise})
	}
	size := func(s datasets.Size) string { return fmt.Sprintf("%dx%d", s.Height, s.Width) }
	sizes := size(r.Median)
	if r.Smallest != r.Largest {
		sizes = fmt.Sprintf("%s to %s, median %s (height x width)", size(r.Smallest), size(r.Largest), size(r.Median))
	}
	rows := [][]string{
		{"kind", d.Name},
		{"samples", fmt.Sprintf("%s train, %s test", countText(int64(d.Train.Len())), countText(int64(d.Test.Len())))},
		{"classes", classesText(d.ClassNames, r.TrainCounts)},
		{"imbalance", fmt.Sprintf("%.3g (largest class over smallest)", r.Imbalance)},
		{"images", sizes},
		{"mean", numbers(r.Mean)},
		{"std", numbers(r.Std)},
		{"from", counted(r.Sampled, "training image")},
	}
	if d.Noise != nil {
		rows = append(rows, []string{"noise", fmt.Sprintf("%s, %g of the training labels", d.Noise.Kind, d.Noise.Rate)})
	}
	out.table(rows)
	out.printf("\n--mean %s --std %s\n\n", numbers(r.Mean), numbers(r.Std))
	rows = rows[:0]
	for k, name := range d.ClassNames {
		rows = append(rows, []string{name, countText(int64(r.TrainCounts[k])) + " train", countText(int64(r.TestCounts[k])) + " test"})
	}
	out.table(rows)
	return nil
}

// classesText counts classes and names the smallest and the largest.
func classesText(names []string, counts []int) string {
	least, most := 0, 0
	for k, n := range counts {
		if n < counts[least] {
			least = k
		}
		if n > counts[most] {
			most = k
		}
	}
	if counts[least] == counts[most] {
		return fmt.Sprintf("%d, each with %s training samples", len(names), countText(int64(counts[most])))
	}
	return fmt.Sprintf("%d; %s has %s training samples, %s %s", len(names),
		names[least], countText(int64(counts[least])), names[most], countText(int64(counts[most])))
}

// numbers is a list as --mean takes it.
func numbers(v []float64) string {
	parts := make([]string, len(v))
	for i, x := range v {
		parts[i] = fmt.Sprintf("%.4f", x)
	}
	return strings.Join(parts, ",")
}
