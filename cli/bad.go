package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"winnow/loader"
)

// onBadFlag says what becomes of images that cannot be read.
func onBadFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "on-bad", Value: badError, Destination: dst, Category: flagsData,
		Usage: "images that cannot be read, `error|skip`: skip leaves them out, and lists them at the end"}
}

const (
	badError = "error"
	badSkip  = "skip"
)

// badSamples collects what --on-bad skip leaves out; nil where it is an error.
func badSamples(onBad string) (*loader.BadSamples, error) {
	if err := oneOf("--on-bad", onBad, badError, badSkip); err != nil || onBad == badError {
		return nil, err
	}
	return &loader.BadSamples{}, nil
}

// shownBad bounds how many bad images are named.
const shownBad = 10

// printBad lists the images left out.
func printBad(bad *loader.BadSamples, out *output) {
	if bad == nil || bad.Count() == 0 {
		return
	}
	out.notef("note: %s images could not be read and were left out", countText(int64(bad.Count())))
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
