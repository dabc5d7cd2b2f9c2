package cli

import (
	"github.com/urfave/cli/v2"

	"winnow/datasets"
)

type dataCacheOptions struct {
	Prune, All bool
	JSON       bool
}

func newDataCacheCommand(out *output) *cli.Command {
	var o dataCacheOptions
	return &cli.Command{
		Name:        "cache",
		Usage:       "list or remove the images unpacked from tar and parquet files",
		Description: about("", []int{0, 1, 2}, "winnow data cache", "winnow data cache --prune"),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "prune", Destination: &o.Prune, Category: flagsData, Usage: "remove what is damaged or unfinished, or whose source changed or is gone"},
			&cli.BoolFlag{Name: "all", Destination: &o.All, Category: flagsData, Usage: "with --prune: remove everything; it is made anew when it is needed"},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			return runDataCache(o, out)
		},
	}
}

func runDataCache(o dataCacheOptions, out *output) error {
	if o.All && !o.Prune {
		return usagef("--all: only with --prune")
	}
	var list []datasets.CacheFile
	var err error
	if o.Prune {
		list, err = datasets.PruneCache(o.All)
	} else {
		list, err = datasets.Caches()
	}
	if err != nil {
		return err
	}
	if o.JSON {
		if list == nil {
			list = []datasets.CacheFile{}
		}
		return out.printJSON(list)
	}
	sum := int64(0)
	rows := [][]string{}
	for _, c := range list {
		sum += c.Bytes
		rows = append(rows, []string{c.State, bytesText(c.Bytes), countText(int64(c.Samples)) + " images", c.Source})
	}
	out.table(rows)
	verb := "in"
	if o.Prune {
		verb = "removed from"
	}
	dir, err := datasets.CacheDir()
	if err != nil {
		return err
	}
	out.printf("%d files, %s, %s %s\n", len(list), bytesText(sum), verb, dir)
	return nil
}
