// Package printable makes text from files fit for a terminal: what a file
// says must not move the cursor, change colours or reorder what is read.
package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText is the length, in characters, to which Text cuts.
const MaxText = 400

// Escape writes control characters, those that change the direction of text,
// and bytes that are no UTF-8 as Go escapes. Line ends and tabs are escaped too.
func Escape(s string) string {
	if clean(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case Unsafe(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func clean(s string) bool {
	for i, r := range s {
		if Unsafe(r) || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return false
		}
	}
	return true
}

// Unsafe is whether a terminal may take a character for a command: the
// controls C0 and C1, DEL, line and paragraph separators, and all format
// characters, the bidirectional ones among them (Unicode categories Cc, Cf, Zl, Zp).
func Unsafe(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Text is Escape for one value among others: what is over MaxText characters
// is cut, with the number of those left out.
func Text(s string) string { return Cut(s, MaxText) }

// Cut is Escape of the first and the last characters, limit in all, with the number of those left out between.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return Escape(s)
	}
	total := utf8.RuneCountInString(s)
	if total <= limit {
		return Escape(s)
	}
	tail := limit / 4
	head, end := 0, len(s)
	for range limit - tail {
		_, n := utf8.DecodeRuneInString(s[head:])
		head += n
	}
	for range tail {
		_, n := utf8.DecodeLastRuneInString(s[:end])
		end -= n
	}
	return fmt.Sprintf("%s...(%d characters more)...%s", Escape(s[:head]), total-limit, Escape(s[end:]))
}

// Lines is the text of an error of many lines in one line, each cut and
// those after the first few left out with their number.
func Lines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	left := len(lines) - maxLines
	if left > 0 {
		lines = lines[:maxLines]
	}
	for i, l := range lines {
		lines[i] = Cut(l, maxLine)
	}
	one := strings.Join(lines, "; ")
	if left > 0 {
		one += fmt.Sprintf("; and %d more", left)
	}
	return one
}

// Bounds of Lines.
const (
	maxLines = 20
	maxLine  = 1000
)
