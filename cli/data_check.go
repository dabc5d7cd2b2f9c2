package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
)

type dataCheckOptions struct {
	Spec    string
	Workers int
	Near    int
	Decoder string
	JSON    bool
}

func newDataCheckCommand(out *output) *cli.Command {
	var o dataCheckOptions
	return &cli.Command{
		Name:      "check",
		Usage:     "decode every image of a data set and report what is wrong",
		ArgsUsage: "[SPEC]",
		Description: about(`Names every image that cannot be read, labels that are no class, and images of
the same bytes or that look alike, within and across the splits; counts files that EXIF says are to
be turned. The exit code is 3 where an image or a label is bad; duplicates are
told and no error.`,
			[]int{0, 2, 3, 130}, "winnow data check folder:DIR"),
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "workers", Destination: &o.Workers, Category: flagsMachine, DefaultText: "the processors", Usage: "decode `N` images at a time"},
			&cli.IntFlag{Name: "near", Value: datasets.DefaultNear, Destination: &o.Near, Category: flagsData, Usage: "images look alike where at most `N` of the 128 bits of their difference hashes differ; -1 leaves that away"},
			decoderFlag(&o.Decoder),
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			args, err := positional(c, 0, 1, "")
			if err != nil {
				return err
			}
			o.Spec = specOr(args)
			return runDataCheck(c.Context, o, out)
		},
	}
}

func runDataCheck(ctx context.Context, o dataCheckOptions, out *output) error {
	if o.Workers < 0 || o.Workers > 1024 {
		return usagef("--workers %d: give 1 to 1024", o.Workers)
	}
	if o.Near < -1 || o.Near > datasets.MaxNear {
		return usagef("--near %d: give -1 to %d", o.Near, datasets.MaxNear)
	}
	d, decoder, err := openWith(ctx, o.Spec, o.Decoder, out)
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := datasets.Check(ctx, d, decoder, o.Workers, o.Near, countProgress(out, "checking images"))
	if err != nil {
		return fmt.Errorf("data check: %q: %w", o.Spec, err)
	}
	if o.JSON {
		err = out.printJSON(f)
	} else {
		printFindings(f, d, out)
	}
	if err == nil && len(f.Bad)+len(f.Outside) > 0 {
		err = inputf("data check: %q: %d samples cannot be read, %d labels are no class", o.Spec, len(f.Bad), len(f.Outside))
	}
	return err
}

// shownGroups bounds how many groups of duplicates are named.
const shownGroups = 20

// shownNames bounds how many samples of a group are.
const shownNames = 10

func printFindings(f *datasets.Findings, d *datasets.Dataset, out *output) {
	classes := d.ClassNames
	name := func(s datasets.Sample) string {
		where := s.Where
		if where == "" {
			where = fmt.Sprintf("sample %d", s.Index)
		}
		return s.Split + ": " + where
	}
	for _, b := range f.Bad {
		out.printf("bad        %s: %s\n", name(b.Sample), b.Reason)
	}
	for _, s := range f.Outside {
		out.printf("no class   %s: label %d: want 0 to %d\n", name(s), s.Label, len(classes)-1)
	}
	groups := func(what string, list [][]datasets.Sample) {
		for _, g := range list[:min(len(list), shownGroups)] {
			names := make([]string, 0, shownNames+1)
			for _, s := range g[:min(len(g), shownNames)] {
				names = append(names, name(s))
			}
			if n := len(g) - shownNames; n > 0 {
				names = append(names, fmt.Sprintf("%d more", n))
			}
			out.printf("%-10s %s\n", what, strings.Join(names, ", "))
		}
		if n := len(list) - shownGroups; n > 0 {
			out.printf("%-10s %s more; --json lists all\n", what, counted(n, "group"))
		}
	}
	groups("same bytes", f.Duplicates)
	groups("look alike", f.Near)
	out.printf("%s checked: %d cannot be read, %d with a label that is no class, %s of the same bytes (%d across the splits, %d with labels that differ)\n",
		counted(f.Samples, "sample"), len(f.Bad), len(f.Outside), counted(len(f.Duplicates), "group"), f.Across, f.Contrary)
	if len(f.Near) > 0 {
		out.printf("%s look alike (%d across the splits, %d with labels that differ); --near sets how much\n", counted(len(f.Near), "group"), f.NearAcross, f.NearContrary)
	}
	if f.NearPartial {
		out.printf("so many look alike that not all were compared with each other\n")
	}
	if len(f.Turned) > 0 {
		var kinds []int
		sum := 0
		for k, n := range f.Turned {
			kinds, sum = append(kinds, k), sum+n
		}
		slices.Sort(kinds)
		turned := "they are taken as they are stored; exif=on turns them"
		if d.View.Upright {
			turned = "exif=on turns them"
		}
		var parts []string
		for _, k := range kinds {
			parts = append(parts, fmt.Sprintf("%d of orientation %d", f.Turned[k], k))
		}
		out.printf("EXIF says that %s are to be turned (%s); %s\n", counted(sum, "image"), strings.Join(parts, ", "), turned)
	}
}
