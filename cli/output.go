package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"golang.org/x/term"
)

// output is where a command writes, and what the reader's end can show.
type output struct {
	stdout, stderr io.Writer
	tty            bool // stderr is a terminal: bars may be drawn
	color          bool // stdout is a terminal that wants colours
	width          func() int
}

func newOutput(stdout, stderr io.Writer) *output {
	o := &output{stdout: stdout, stderr: stderr}
	o.tty = isTerminal(stderr) && os.Getenv("TERM") != "dumb"
	o.color = isTerminal(stdout) && colorful(os.Getenv)
	o.width = func() int { return terminalWidth(stderr) }
	return o
}

// colorful reports whether the environment wants colours on a terminal.
func colorful(getenv func(string) string) bool {
	return getenv("TERM") != "dumb" && getenv("NO_COLOR") == ""
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const fallbackWidth = 80

func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return fallbackWidth
}

// printf writes a line of result.
func (o *output) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(o.stdout, format, args...)
}

// notef writes a notice about the work.
func (o *output) notef(format string, args ...any) {
	_, _ = fmt.Fprintf(o.stderr, format+"\n", args...)
}

// printJSON writes v indented, the form of every --json flag.
func (o *output) printJSON(v any) error {
	enc := json.NewEncoder(o.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table writes rows in aligned columns, the first one two spaces in.
func (o *output) table(rows [][]string) {
	w := tabwriter.NewWriter(o.stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		for i, cell := range r {
			if i == 0 {
				_, _ = fmt.Fprint(w, "  ")
			} else {
				_, _ = fmt.Fprint(w, "\t")
			}
			_, _ = fmt.Fprint(w, cell)
		}
		_, _ = fmt.Fprintln(w)
	}
	_ = w.Flush()
}

// ANSI styles, empty where colours are off. Tables count bytes, so a styled
// cell may only stand in a last column.
const (
	styleBold  = "1"
	styleGreen = "32"
	styleRed   = "31"
	styleDim   = "2"
)

func (o *output) style(code, text string) string {
	if !o.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
