package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/prune"
)

// pruneFlags are those of the table of pruning options.
func pruneFlags() []cli.Flag {
	var flags []cli.Flag
	for _, row := range prune.UserOptions() {
		switch def := row.Default.(type) {
		case float64:
			flags = append(flags, &cli.Float64Flag{Name: row.Name, Value: def, Category: flagsPrune, Usage: row.Doc})
		case int:
			flags = append(flags, &cli.IntFlag{Name: row.Name, Value: def, Category: flagsPrune, Usage: row.Doc})
		case string:
			flags = append(flags, &cli.StringFlag{Name: row.Name, Value: def, Category: flagsPrune, Usage: row.Doc})
		}
	}
	return flags
}

// setPruning puts the flags that were given into o, and refuses a value out of range.
func setPruning(c *cli.Context, o *prune.Options) error {
	for _, row := range prune.UserOptions() {
		if !c.IsSet(row.Name) {
			continue
		}
		if want := row.Wants(c.Value(row.Name)); want != "" {
			return usagef("--%s %v: want %s", row.Name, c.Value(row.Name), want)
		}
		if err := row.Set(o, c.Value(row.Name)); err != nil {
			return err
		}
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
