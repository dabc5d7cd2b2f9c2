package eval

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"winnow/internal/printable"
)

// Format is a form of a table.
type Format string

// Formats of a table.
const (
	Text     Format = "text"
	CSV      Format = "csv" // numbers as they are, a share of 1 for a percentage
	Markdown Format = "markdown"
)

// column is one of a table of T.
type column[T any] struct {
	key, head string          // in CSV, and for people; "" is not in that form
	text      func(*T) string // for people
	value     func(*T) any    // for CSV: a string, int, float64, *float64 or bool
}

// writeTable writes rows in a form, all their texts made fit for a terminal.
// pad is the space between columns of text.
func writeTable[T any](w io.Writer, f Format, columns []column[T], rows []T, pad int) error {
	var lines [][]string
	add := func(of func(*column[T]) string) {
		var line []string
		for i := range columns {
			if c := &columns[i]; f == CSV && c.key != "" || f != CSV && c.head != "" {
				line = append(line, printable.Text(of(c)))
			}
		}
		lines = append(lines, line)
	}
	add(func(c *column[T]) string {
		if f == CSV {
			return c.key
		}
		return c.head
	})
	for i := range rows {
		add(func(c *column[T]) string {
			if f == CSV {
				return plain(c.value(&rows[i]))
			}
			return c.text(&rows[i])
		})
	}
	if err := writeLines(w, f, lines, pad); err != nil {
		return fmt.Errorf("eval: table: %w", err)
	}
	return nil
}

func writeLines(w io.Writer, f Format, lines [][]string, pad int) error {
	switch f {
	case Text:
		t := tabwriter.NewWriter(w, 0, 0, pad, ' ', tabwriter.AlignRight)
		for _, line := range lines {
			fmt.Fprintln(t, strings.Join(line, "\t")+"\t")
		}
		return t.Flush()
	case CSV:
		return csv.NewWriter(w).WriteAll(lines)
	case Markdown:
		for i, line := range lines {
			for k := range line {
				line[k] = strings.ReplaceAll(line[k], "|", `\|`)
			}
			text := "| " + strings.Join(line, " | ") + " |\n"
			if i == 0 {
				text += "|---" + strings.Repeat("|---:", len(line)-1) + "|\n"
			}
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%w %q", ErrFormat, f)
}

// plain is a value of CSV.
func plain(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case *float64:
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}
