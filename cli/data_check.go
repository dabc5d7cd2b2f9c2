package cli

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
)

// describedImages is how many training images data info reads by default.
const describedImages = 2000

type dataInfoOptions struct {
	Spec   string
	Sample int
	JSON   bool
}

func newDataInfoCommand(out *output) *cli.Command {
	var o dataInfoOptions
	return &cli.Command{
		Name:        "info",
		Usage:       "count classes and compute mean and standard deviation of data",
		ArgsUsage:   "SPEC",
		Description: about("", []int{0, 2, 3}, "winnow data info folder:DIR"),
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "sample", Value: describedImages, Destination: &o.Sample, Category: flagsData,
				Usage: "training images `N` to read, evenly spaced; 0 reads all"},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "data")
			if err != nil {
				return err
			}
			o.Spec = args[0]
			return runDataInfo(c.Context, o, out)
		},
	}
}

// dataInfo is the JSON form of data info.
type dataInfo struct {
	Data        string    `json:"data"`
	Train       int       `json:"train"`
	Test        int       `json:"test"`
	Classes     []string  `json:"classes"`
	TrainCounts []int     `json:"train_counts"`
	TestCounts  []int     `json:"test_counts"`
	Imbalance   float64   `json:"imbalance"` // the largest class over the smallest
	Mean        []float64 `json:"mean"`
	Std         []float64 `json:"std"`
	Sampled     int       `json:"sampled"`
	Sizes       [2][2]int `json:"smallest_and_largest"` // height, width
}

func runDataInfo(ctx context.Context, o dataInfoOptions, out *output) error {
	d, err := openData(ctx, o.Spec, out, func(text string) { out.notef("note: %s", text) })
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := datasets.Describe(d, o.Sample)
	if err != nil {
		return err
	}
	info := dataInfo{Data: o.Spec, Train: d.Train.Len(), Test: d.Test.Len(), Classes: d.ClassNames, TrainCounts: r.TrainCounts, TestCounts: r.TestCounts,
		Mean: r.Mean, Std: r.Std, Sampled: r.Sampled, Sizes: [2][2]int{r.Smallest, r.Largest}}
	if least := slices.Min(r.TrainCounts); least > 0 {
		info.Imbalance = float64(slices.Max(r.TrainCounts)) / float64(least)
	}
	if o.JSON {
		return out.printJSON(info)
	}
	numbers := func(v []float64) string {
		parts := make([]string, len(v))
		for k, x := range v {
			parts[k] = fmt.Sprintf("%.4f", x)
		}
		return strings.Join(parts, ",")
	}
	out.table([][]string{
		{"samples", fmt.Sprintf("%s train, %s test", countText(int64(info.Train)), countText(int64(info.Test)))},
		{"classes", fmt.Sprintf("%d, the largest %.3g times the smallest", len(d.ClassNames), info.Imbalance)},
		{"sizes", fmt.Sprintf("%dx%d to %dx%d (width x height)", r.Smallest[1], r.Smallest[0], r.Largest[1], r.Largest[0])},
		{"mean", numbers(r.Mean)},
		{"std", numbers(r.Std)},
	})
	out.printf("\nSizes, mean and std are those of %s training images, pixels from 0 to 1:\n--mean %s --std %s\n\n", countText(int64(r.Sampled)), numbers(r.Mean), numbers(r.Std))
	rows := [][]string{}
	for k, name := range d.ClassNames {
		rows = append(rows, []string{name, countText(int64(r.TrainCounts[k])) + " train", countText(int64(r.TestCounts[k])) + " test"})
	}
	out.table(rows)
	return nil
}

type dataCheckOptions struct {
	Spec    string
	Workers int
	JSON    bool
}

func newDataCheckCommand(out *output) *cli.Command {
	var o dataCheckOptions
	return &cli.Command{
		Name:        "check",
		Usage:       "read every image: bad files, exact duplicates, labels outside the classes",
		ArgsUsage:   "SPEC",
		Description: about("", []int{0, 2, 3}, "winnow data check folder:DIR"),
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "workers", Destination: &o.Workers, Category: flagsMachine, DefaultText: "the processors", Usage: "images `N` to read at once"},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "data")
			if err != nil {
				return err
			}
			o.Spec = args[0]
			return runDataCheck(c.Context, o, out)
		},
	}
}

// shownFindings bounds how many of each finding are printed.
const shownFindings = 20

func runDataCheck(ctx context.Context, o dataCheckOptions, out *output) error {
	d, err := openData(ctx, o.Spec, out, func(text string) { out.notef("note: %s", text) })
	if err != nil {
		return err
	}
	defer d.Close()
	if o.Workers < 1 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	f, err := datasets.Check(ctx, d, o.Workers, countProgress(out, "checking images"))
	if err != nil {
		return err
	}
	if o.JSON {
		if err := out.printJSON(f); err != nil {
			return err
		}
	} else {
		printFindings(f, out)
	}
	if f.BadCount > 0 || f.LabelsOutside > 0 {
		return inputf("data check: %q: %d images cannot be read, %d labels are outside the classes", o.Spec, f.BadCount, f.LabelsOutside)
	}
	return nil
}

func printFindings(f *datasets.Findings, out *output) {
	for _, b := range f.Bad[:min(len(f.Bad), shownFindings)] {
		where := b.Where
		if where == "" {
			where = fmt.Sprintf("%s, sample %d", b.Split, b.Index)
		}
		out.printf("bad        %s: %s\n", where, b.Reason)
	}
	for _, d := range f.Duplicates[:min(len(f.Duplicates), shownFindings)] {
		also := ""
		if d.OtherClass {
			also += ", of another class"
		}
		if d.Across {
			also += ", across splits"
		}
		out.printf("duplicate  %s is %s%s\n", d.Second, d.First, also)
	}
	out.printf("%s images: %s cannot be read, %s are exact duplicates (%s of them across splits), %s labels are outside the classes\n",
		countText(int64(f.Samples)), countText(int64(f.BadCount)), countText(int64(f.DuplicateCount)), countText(int64(f.AcrossCount)), countText(int64(f.LabelsOutside)))
}
