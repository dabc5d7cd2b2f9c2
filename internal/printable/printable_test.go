package printable

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"conv1.weight":        "conv1.weight",
		"größe 日本 é":          "größe 日本 é",
		"\x1b[2J\a":           `\x1b[2J\a`,
		"a\nb\tc\r":           `a\nb\tc\r`,
		"\u009b31m":           `\u009b31m`,
		"\x7f":                `\x7f`,
		"abc\u202etxt.exe":    `abc\u202etxt.exe`,
		"\u2066x\u2069\u200f": `\u2066x\u2069\u200f`,
		"\u2028\u2029":        `\u2028\u2029`,
		"\xff\x9b":            `\xff\x9b`,
		"\uFFFD":              "\uFFFD",
		"\U000E0041":          `\U000e0041`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCutTellsHowMuch(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	got := Text(long)
	if n := utf8.RuneCountInString(got); n > MaxText+50 || !strings.Contains(got, "1048176 characters more") {
		t.Errorf("%d characters: %q", n, got)
	}
	if got := Cut("\x1b"+long+"end", 8); !strings.HasPrefix(got, `\x1b`) || !strings.HasSuffix(got, "nd") {
		t.Errorf("%q", got)
	}
	if got := Text(strings.Repeat("é", MaxText)); got != strings.Repeat("é", MaxText) {
		t.Errorf("text that fits was changed")
	}
}

func TestLines(t *testing.T) {
	got := Lines(strings.Repeat("a\x1b\n", 10000))
	if !strings.HasSuffix(got, "; and 9980 more") || strings.ContainsAny(got, "\x1b\n") || len(got) > 500 {
		t.Errorf("%q", got)
	}
	if got := Lines("one\ntwo"); got != "one; two" {
		t.Errorf("%q", got)
	}
}
