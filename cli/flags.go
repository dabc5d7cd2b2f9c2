package cli

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

func jsonFlag(dst *bool) cli.Flag {
	return &cli.BoolFlag{Name: "json", Destination: dst, Category: flagsOutput, Usage: "print the result as JSON"}
}

func overwriteFlag(dst *bool, what string) cli.Flag {
	return &cli.BoolFlag{Name: "overwrite", Destination: dst, Category: flagsOutput, Usage: "replace " + what}
}

// names lists the long names of flags.
func names(flags []cli.Flag) []string {
	list := make([]string, len(flags))
	for i, f := range flags {
		list[i] = f.Names()[0]
	}
	return list
}

// given lists those of the flags that are on the command line.
func given(c *cli.Context, flags []cli.Flag) []string {
	return slices.DeleteFunc(names(flags), func(name string) bool { return !c.IsSet(name) })
}

// oneOf refuses a value that is not among the known ones.
func oneOf(flag, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	if len(known) == 1 {
		return usagef("%s %q: there is only %s", flag, value, known[0])
	}
	return usagef("%s %q: give one of %s", flag, value, strings.Join(known, ", "))
}

// parseImageShape reads "3x32x32" as channels, height, width.
func parseImageShape(s string) (shape [3]int64, err error) {
	parts := strings.Split(s, "x")
	if len(parts) != len(shape) {
		return shape, usagef("--input-size %q: give CxHxW, such as 3x224x224", s)
	}
	for i, p := range parts {
		if shape[i], err = strconv.ParseInt(p, 10, 32); err != nil || shape[i] < 1 {
			return shape, usagef("--input-size %q: %q is no size", s, p)
		}
	}
	return shape, nil
}

func seedFlag(dst *uint64) cli.Flag {
	return &cli.Uint64Flag{Name: "seed", Destination: dst, Category: flagsRecipe, DefaultText: "0",
		Usage: "random seed `N` of the run: order, augmentation, dropout, pruning, and a shipped model's first weights"}
}

// dependents are flags that mean nothing without another one.
var dependents = [][2]string{{flagDecay, "model-ema"}, {flagPrecision, "amp"}}

// checkDependents refuses a flag that is given without the one it belongs to.
func checkDependents(c *cli.Context) error {
	for _, d := range dependents {
		if c.IsSet(d[0]) && !c.Bool(d[1]) {
			return usagef("--%s: only with --%s", d[0], d[1])
		}
	}
	return nil
}
