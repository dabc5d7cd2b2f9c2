package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"winnow/loader"
	"winnow/loader/raster"
	"winnow/run"
)

// onBadFlag says what becomes of images that cannot be read.
func onBadFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: flagOnBad, Value: badError, Destination: dst, Category: flagsData,
		Usage: "images that cannot be read, `error|skip`: skip leaves them out, and lists them at the end"}
}

// onBadOfRunFlag is that of a command on a run, which was trained with one already.
func onBadOfRunFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: flagOnBad, Destination: dst, Category: flagsData, DefaultText: "what the run was trained with, or error",
		Usage: "images that cannot be read, `error|skip`: skip leaves them out, and lists them at the end"}
}

// onBadOf is what was given, or what a run was trained with, which is said.
func onBadOf(path, given string, notice func(string)) string {
	if given != "" || !run.Begun(path) {
		return given
	}
	last, err := run.Last(path)
	if err != nil || last.Typed.Flags[flagOnBad] != badSkip {
		return badError
	}
	notice(fmt.Sprintf("images that cannot be read are left out, as the run was trained; --%s %s ends at the first", flagOnBad, badError))
	return badSkip
}

const (
	flagOnBad = "on-bad"

	badError = "error"
	badSkip  = "skip"
)

// badSamples collects what --on-bad skip leaves out; nil where it is an error, as
// it is where nothing was said.
func badSamples(onBad string) (*loader.BadSamples, error) {
	if onBad == "" {
		return nil, nil
	}
	if err := oneOf("--on-bad", onBad, badError, badSkip); err != nil || onBad == badError {
		return nil, err
	}
	return &loader.BadSamples{}, nil
}

// sayOnBad has a command that was ended by an image say how to go on without it.
func sayOnBad(c *cli.Command) {
	action := c.Action
	if action == nil || !slices.Contains(names(c.Flags), flagOnBad) {
		return
	}
	c.Action = func(ctx *cli.Context) error {
		err := action(ctx)
		if errors.Is(err, raster.ErrImage) && ctx.String(flagOnBad) != badSkip {
			return fmt.Errorf("%w; --%s %s leaves out what cannot be read", err, flagOnBad, badSkip)
		}
		return err
	}
}

// shownBad bounds how many bad images are named.
const shownBad = 10

// printBad lists the images left out.
func printBad(bad *loader.BadSamples, out *output) {
	if bad == nil || bad.Count() == 0 {
		return
	}
	out.notef("note: left out %s that could not be read", counted(bad.Count(), "image"))
	list := bad.List()
	for _, b := range list[:min(len(list), shownBad)] {
		where := b.Where
		if where == "" {
			where = fmt.Sprintf("sample %d", b.Index)
		}
		out.notef("  %s: %s: %s", b.Split, where, b.Reason)
	}
	if n := bad.Count() - shownBad; n > 0 {
		out.notef("  and %s more", countText(int64(n)))
	}
}
