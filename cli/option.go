package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/internal/option"
	"winnow/prune"
)

// optionFlags are flags made of a table of options.
func optionFlags[T any](rows []option.Row[T], category string) []cli.Flag {
	var flags []cli.Flag
	for i := range rows {
		row := &rows[i]
		switch def := row.Default.(type) {
		case float64:
			f := &cli.Float64Flag{Name: row.Name, Value: def, Category: category, Usage: row.Doc}
			if def == 0 {
				f.DefaultText = "0"
			}
			flags = append(flags, f)
		case int:
			flags = append(flags, &cli.IntFlag{Name: row.Name, Value: def, Category: category, Usage: row.Doc})
		case string:
			flags = append(flags, &cli.StringFlag{Name: row.Name, Value: def, Category: category, Usage: row.Doc})
		}
	}
	return flags
}

// setOptions puts the flags that were given into o, and refuses a value out of range.
func setOptions[T any](c *cli.Context, rows []option.Row[T], o *T) error {
	for i := range rows {
		row := &rows[i]
		if !c.IsSet(row.Name) {
			continue
		}
		if want := row.Wants(c.Value(row.Name)); want != "" {
			return usagef("--%s %v: want %s", row.Name, c.Value(row.Name), want)
		}
		row.Set(o, c.Value(row.Name))
	}
	return nil
}

func kindNames(kinds []prune.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return strings.Join(names, ", ")
}
