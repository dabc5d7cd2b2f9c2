package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"winnow/internal/option"
	"winnow/onnx/export"

	"github.com/urfave/cli/v2"
)

// ErrUsage marks a command line that cannot be understood.
var ErrUsage = errors.New("wrong usage")

// ErrInput marks bad input that was already explained on stdout, such as a
// bundle in which inspect found faults.
var ErrInput = errors.New("bad input")

// ErrRuntime marks a runtime library or device that cannot be used.
var ErrRuntime = errors.New("runtime unusable")

// marked is an error with its own text that is also one of the sentinels above:
// the sentinel decides the exit code and does not show in the message.
type marked struct {
	text string
	kind error
	err  error
}

func (e *marked) Error() string { return e.text }

func (e *marked) Unwrap() []error {
	if e.err == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.err}
}

func usagef(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &marked{text: err.Error(), kind: ErrUsage, err: errors.Unwrap(err)}
}

func inputf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &marked{text: err.Error(), kind: ErrInput, err: errors.Unwrap(err)}
}

// flagError turns the flag parser's complaint into a usage error that names
// the command, the flag as it is typed, and the nearest flag there is.
func flagError(c *cli.Context, err error) error {
	const unknown = "flag provided but not defined: -"
	name, text := c.Command.FullName(), err.Error()
	if c.Command.HelpName != "" {
		name = c.Command.HelpName
	}
	if given, ok := strings.CutPrefix(text, unknown); ok {
		given = strings.TrimLeft(given, "-")
		hint := ""
		if s := nearest(given, names(c.Command.Flags)); s != "" {
			hint = fmt.Sprintf(", did you mean --%s?", s)
		} else if given == "noise" && slices.Contains(names(c.Command.Flags), dataFlagName) {
			hint = "; wrong labels are a setting of the data, as in --data fashion-mnist:noise=0.2"
		}
		return usagef("unknown flag %q%s (see %s --help)", dashes(given), hint, name)
	}
	return usagef("%s (see %s --help)", retype(text), name)
}

// nearest is the name that was likely meant: one end of a word, or less than half
// of its letters wrong; "" for none.
func nearest(given string, names []string) (best string) {
	least := len(given)
	for _, name := range names {
		d := edits(given, name)
		if min(len(name), len(given)) >= 3 && (strings.HasPrefix(name, given) || strings.HasPrefix(given, name)) {
			d = 1
		}
		if d < least && 2*d < max(len(name), len(given)) {
			best, least = name, d
		}
	}
	return best
}

// edits is Levenshtein's distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := before
			if a[i] != b[j] {
				d = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// retype writes the flag in a parser's message the way it is typed.
func retype(text string) string {
	for _, mark := range []string{"for flag -", "needs an argument: -"} {
		if i := strings.Index(text, mark); i >= 0 {
			i += len(mark) - 1
			name, rest, _ := strings.Cut(strings.TrimLeft(text[i:], "-"), ":")
			if rest != "" {
				rest = ":" + rest
			}
			return text[:i] + dashes(name) + rest
		}
	}
	return text
}

// invalidOption is how packages name an option that a user may have set.
var invalidOption = regexp.MustCompile(`invalid option "([a-z0-9-]+)"`)

// asTyped writes the options that an error names the way their flags are typed.
func asTyped(app *cli.App, err error) error {
	if !errors.Is(err, option.ErrInvalid) && !errors.Is(err, export.ErrOptions) {
		return err
	}
	text := invalidOption.ReplaceAllStringFunc(err.Error(), func(found string) string {
		name := invalidOption.FindStringSubmatch(found)[1]
		for _, c := range app.Commands {
			if slices.Contains(names(c.Flags), name) {
				return "invalid option " + dashes(name)
			}
		}
		return found
	})
	return &marked{text: text, kind: ErrUsage, err: err}
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
