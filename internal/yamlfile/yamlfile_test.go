package yamlfile

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, text := range []string{"a: 1\nb: [x, 2.5]\nc: true\n", "{\"a\": 1,\n\t\"b\": [\"x\", 2.5],\n\t\"c\": true}"} {
		pairs, err := Parse([]byte(text))
		if err != nil || len(pairs) != 3 {
			t.Fatalf("%q: %v, %v", text, pairs, err)
		}
		var said []string
		for _, p := range pairs {
			said = append(said, p.Key+" "+p.Value.Kind())
		}
		if got := strings.Join(said, ", "); got != "a a whole number, b a list, c true or false" {
			t.Errorf("%q: %s", text, got)
		}
		if pairs[1].Line != 2 {
			t.Errorf("%q: line %d", text, pairs[1].Line)
		}
	}
	for _, text := range []string{"", "\n", "# only this\n", "---\n"} {
		if pairs, err := Parse([]byte(text)); err != nil || pairs != nil {
			t.Errorf("%q: %v, %v", text, pairs, err)
		}
	}
}

func TestRefused(t *testing.T) {
	bomb := "a: &a [x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [*" + strings.Repeat(string(c-1)+", *", 8) + string(c-1) + "]\n"
	}
	for name, c := range map[string]struct{ text, says string }{
		"a list":      {"- a\n", "a list"},
		"a text":      {"a\n", "a text"},
		"a key twice": {"a: 1\nb: 2\na: 3\n", "line 3"},
		"two":         {"a: 1\n---\nb: 1\n", "second document"},
		"aliases":     {bomb, "line 1: anchors"},
		"deep":        {strings.Repeat("[", 1<<19), "brackets"},
		"deeper":      {"a: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "deep"},
		"indented":    {"a:\n" + indented(40), "deep"},
		"open":        {"a: [1,\n", "line"},
		"tabs":        {"a:\n\tb: 1\n", "line 2"},
		"a list key":  {"? [a]\n: 1\n", "a list for a key"},
		"binary":      {"\x00\x01\x02", "bad YAML"},
		"long":        {strings.Repeat("#", MaxSize+1), "at most"},
	} {
		_, err := Parse([]byte(c.text))
		if !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func indented(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

// FuzzParse: no text makes the reader panic or grow, and pairs have keys once.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"a: 1\nb: [x, 2.5]\n", `{"a": {"b": null}}`, "a: &x 1\nb: *x\n", "--- |\n  x\n...\n", "? a\n: b\n", "a: !!binary eA==\n", "%YAML 1.2\n---\na: 'x'\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		pairs, err := Parse(text)
		if err != nil && !errors.Is(err, ErrBad) {
			t.Errorf("%v", err)
		}
		seen := map[string]bool{}
		for _, p := range pairs {
			if seen[p.Key] || p.Value.node == nil || p.Line < 1 {
				t.Errorf("%+v", p)
			}
			seen[p.Key] = true
			p.Value.Kind()
		}
	})
}

// Every text comes back as it was, from one line.
func TestLine(t *testing.T) {
	for _, want := range []string{"", "x", "0.1", "true", "null", "a: b", "# c", "- d", "tar:x-{0..9}.tar", "two\nlines", "\x1b[2J\u202e", `"quoted"`, "~", "0x1F", "1e3", "*a", strings.Repeat("long ", 60)} {
		text, err := Line("key", want)
		if err != nil {
			t.Fatal(err)
		}
		pairs, err := Parse([]byte(text))
		if err != nil || len(pairs) != 1 || pairs[0].Value.Kind() != Text || pairs[0].Value.Text() != want {
			t.Errorf("%q: %q, %+v, %v", want, text, pairs, err)
		}
		if strings.Count(text, "\n") != 1 {
			t.Errorf("%q: %q", want, text)
		}
	}
}
