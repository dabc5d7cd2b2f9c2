package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"text/tabwriter"
	"unicode/utf16"

	"golang.org/x/term"

	"winnow/internal/printable"
	"winnow/runtime/mpi"
)

// output is where a command writes, and what the reader's end can show.
type output struct {
	stdout, stderr io.Writer
	tty            bool // stderr is a terminal: bars may be drawn
	color          bool // stdout is a terminal that wants colours
	width          func() int
}

func newOutput(stdout, stderr io.Writer) *output {
	o := &output{stdout: &results{w: stdout}, stderr: stderr}
	o.tty = isTerminal(stderr) && os.Getenv("TERM") != "dumb"
	_, job := mpi.InJob() // whose launcher may give it a terminal where the user's output is a file
	o.color = !job && isTerminal(stdout) && colorful(os.Getenv)
	o.width = func() int { return terminalWidth(stderr) }
	return o
}

// results lets work go on where what it prints arrives nowhere. A reader that has
// left, as head(1) does, wants no more; any other error is the command's at its end.
type results struct {
	w   io.Writer
	err error // the first one
}

func (r *results) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		return len(p), nil
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return n, err
}

// lost is the error of a command whose results, at least in part, arrived nowhere.
func (o *output) lost() error {
	if r, ok := o.stdout.(*results); ok && r.err != nil {
		return fmt.Errorf("what it printed is lost: %w", r.err)
	}
	return nil
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

// printf writes a line of result. Texts among args may come from files: they
// are escaped, so that they cannot steer the terminal, and cut.
func (o *output) printf(format string, args ...any) {
	_, _ = io.WriteString(o.stdout, string(o.sprintf(format, args...)))
}

// notef writes a notice about the work, its texts as printf does.
func (o *output) notef(format string, args ...any) {
	_, _ = io.WriteString(o.stderr, string(o.sprintf(format+"\n", args...)))
}

// lines writes a text of this program's own making line by line, each as printf does.
func (o *output) lines(text string) {
	for l := range strings.Lines(text) {
		o.printf("%s\n", strings.TrimSuffix(l, "\n"))
	}
}

// styled is text that is fit for the terminal as it is.
type styled string

// maxLine is the length, in characters, to which a text is cut.
const maxLine = 2000

// sprintf formats, with each text among args made fit for the terminal.
func (o *output) sprintf(format string, args ...any) styled {
	fit := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case styled:
			fit[i] = string(v)
		case error:
			fit[i] = printable.Cut(v.Error(), maxLine)
		case fmt.Stringer:
			fit[i] = printable.Cut(v.String(), maxLine)
		default:
			if fit[i] = a; reflect.ValueOf(a).Kind() == reflect.String {
				fit[i] = printable.Cut(fmt.Sprint(a), maxLine)
			}
		}
	}
	return styled(fmt.Sprintf(format, fit...))
}

// printJSON writes v indented, the form of every --json flag.
func (o *output) printJSON(v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	return o.writeJSON(text.Bytes())
}

// writeJSON writes JSON with every character in its strings that a terminal may
// obey as \u escapes: encoding/json leaves those beyond ASCII.
func (o *output) writeJSON(text []byte) error {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r == '\n' || r >= ' ' && !printable.Unsafe(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	_, err := io.WriteString(o.stdout, b.String())
	return err
}

// table writes rows in aligned columns, the first one two spaces in. Cells are
// made fit for the terminal.
func (o *output) table(rows [][]string) {
	cells := make([][]any, len(rows))
	for i, r := range rows {
		for _, cell := range r {
			cells[i] = append(cells[i], cell)
		}
	}
	o.styledTable(cells)
}

// styledTable is table of cells of which some may be styled; widths are counted
// with the style, so those stand in a last column or all in one.
func (o *output) styledTable(rows [][]any) {
	w := tabwriter.NewWriter(o.stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		for i, cell := range r {
			if i == 0 {
				_, _ = fmt.Fprint(w, "  ")
			} else {
				_, _ = fmt.Fprint(w, "\t")
			}
			text, ok := cell.(styled)
			if !ok {
				text = styled(printable.Text(fmt.Sprint(cell)))
			}
			_, _ = fmt.Fprint(w, string(text))
		}
		_, _ = fmt.Fprintln(w)
	}
	_ = w.Flush()
}

// ANSI styles, empty where colours are off.
const (
	styleBold  = "1"
	styleGreen = "32"
	styleRed   = "31"
	styleDim   = "2"
)

// style makes text fit for the terminal and, where colours are on, colours it.
func (o *output) style(code, text string) styled {
	fit := styled(printable.Cut(text, maxLine))
	if !o.color {
		return fit
	}
	return "\x1b[" + styled(code) + "m" + fit + "\x1b[0m"
}
