package cli

import (
	"slices"
	"strconv"
	"strings"

	"winnow/onnx/export"
)

// renamed is a flag's old name, which works until the next release.
type renamed struct {
	command  string // as it is typed, "data show"
	old      string // without dashes
	takes    bool   // it has a value
	switched bool   // it had no value, and under the same name now has a number
	// now is what is to be written instead of the old name and its value; nil
	// where the value is none of the old meaning.
	now func(value string) []string
}

// oldNames is the table of old names.
var oldNames = []renamed{
	{"train", "b", true, false, func(v string) []string {
		if _, err := strconv.Atoi(v); err == nil {
			return nil // -b is the batch size
		}
		return []string{"--bundle", v}
	}},
	{"train", "reference", true, false, to("--prune-reference")},
	{"train", "rescale", true, false, to("--prune-rescale")},
	{"train", "amp", true, false, toPrecision},
	{"export", "amp", true, false, toPrecision},
	{"train", "model-ema", true, false, toAverage},
	{"export", "model-ema", true, false, toAverage},
	{"export", "scale", true, false, to("--pixel-scale")},
	{"eval", "scale", true, false, to("--pixel-scale")},
	{"export", "classes", true, false, to("--num-classes")},
	{"export", "reinit", true, false, func(v string) []string {
		if _, err := strconv.ParseInt(v, 10, 64); err != nil {
			return nil
		}
		return []string{"--reinit", "--init-seed", v}
	}},
	{"eval", "train", false, false, func(string) []string { return []string{"--split", "train"} }},
	{"eval", "limit-test", true, false, to("--limit")},
	{"train", flagHFlip, false, true, func(string) []string { return []string{"--" + flagHFlip, defaultFlip} }},
	{"data show", flagHFlip, false, true, func(string) []string { return []string{"--" + flagHFlip, defaultFlip} }},
	{"data show", "test", false, false, func(string) []string { return []string{"--split", "test"} }},
}

// to keeps the value under another name.
func to(flag string) func(string) []string {
	return func(value string) []string { return []string{flag, value} }
}

func toPrecision(v string) []string {
	if v != export.Float16 && v != export.BFloat16 {
		return nil
	}
	return []string{"--amp", "--amp-dtype", v}
}

func toAverage(v string) []string {
	decay, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil:
		return nil
	case decay == 0:
		return []string{"--model-ema=false"}
	}
	return []string{"--model-ema", "--model-ema-decay", v}
}

// modern writes an old flag of a command as it is written now. It looks at args
// from i on and returns how many of them that was, 0 where there is nothing old.
func modern(command string, args []string, i int) (now []string, n int) {
	name, value, joined := strings.Cut(args[i], "=")
	at := slices.IndexFunc(oldNames, func(r renamed) bool {
		return r.command == command && (name == "--"+r.old || name == "-"+r.old)
	})
	if at < 0 {
		return nil, 0
	}
	row := &oldNames[at]
	n = 1
	switch {
	case row.switched && i+1 < len(args) && isNumber(args[i+1]):
		return nil, 0
	case row.takes && joined:
	case row.takes && i+1 < len(args):
		value, n = args[i+1], 2
	case row.takes || joined:
		return nil, 0
	}
	if now = row.now(value); now == nil {
		return nil, 0
	}
	return now, n
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}
