package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/internal/option"
)

// optionFlags are flags made of a table of options.
func optionFlags[T any](rows []option.Row[T], category string) []cli.Flag {
	var flags []cli.Flag
	for i := range rows {
		row := &rows[i]
		shown := row.Shown
		if shown == "" && (row.Default == 0.0 || row.Default == 0) {
			shown = "0" // without, an empty flag shows none
		}
		switch def := row.Default.(type) {
		case float64:
			flags = append(flags, &cli.Float64Flag{Name: row.Name, Value: def, DefaultText: shown, Category: category, Usage: row.Doc})
		case int:
			flags = append(flags, &cli.IntFlag{Name: row.Name, Value: def, DefaultText: shown, Category: category, Usage: row.Doc})
		case string:
			flags = append(flags, &cli.StringFlag{Name: row.Name, Value: def, DefaultText: shown, Category: category, Usage: row.Doc})
		case bool:
			flags = append(flags, &cli.BoolFlag{Name: row.Name, Value: def, DefaultText: shown, Category: category, Usage: row.Doc})
		case []float64:
			flags = append(flags, &cli.Float64SliceFlag{Name: row.Name, Value: cli.NewFloat64Slice(def...), DefaultText: shown, Category: category, Usage: row.Doc})
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
		value := c.Value(row.Name)
		if _, list := row.Default.([]float64); list {
			value = c.Float64Slice(row.Name)
		}
		if want := row.Wants(value); want != "" {
			return usagef("--%s %v: want %s", row.Name, value, want)
		}
		row.Set(o, value)
	}
	return nil
}

func kindNames(kinds []option.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return strings.Join(names, ", ")
}
