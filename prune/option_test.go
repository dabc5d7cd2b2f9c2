package prune

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of options into docs/pruning.md")

// TestOptionValues holds each option to its range, and to meaning what was said: 0 is 0.
func TestOptionValues(t *testing.T) {
	for i := range options {
		row := &options[i]
		o := Defaults()
		if got := row.Get(&o); got != row.Default {
			t.Errorf("%s: default %v, want %v", row.Name, got, row.Default)
		}
		var good, bad []any
		switch row.Default.(type) {
		case string:
			bad = []any{"x", ""}
			for _, w := range row.OneOf {
				good = append(good, w)
			}
		case float64:
			good, bad = []any{0.5}, []any{-0.1, math.NaN(), math.Inf(1)}
			if row.Open == "" {
				good = append(good, 0.0)
			} else {
				bad = append(bad, 0.0)
			}
		case int:
			good, bad = []any{7}, []any{0, -1}
		}
		for _, v := range good {
			if want := row.Wants(v); want != "" {
				t.Errorf("%s: %v: want %s", row.Name, v, want)
			}
			row.Set(&o, v)
			if r := o.Resolved(); row.Get(&r) != v && v != RescaleAuto {
				t.Errorf("%s: %v became %v", row.Name, v, row.Get(&r))
			}
		}
		for _, v := range bad {
			if row.Wants(v) == "" {
				t.Errorf("%s: %v is taken", row.Name, v)
			}
		}
	}
}

// TestKindsDiffer: a name in a table twice would hide its second row.
func TestKindsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range append(scorerNames(), policyNames()...) {
		if seen[name] {
			t.Errorf("%q stands in the tables twice", name)
		}
		seen[name] = true
	}
	for i := range options {
		if seen[options[i].Name] {
			t.Errorf("%q stands in the tables twice", options[i].Name)
		}
		seen[options[i].Name] = true
	}
}

// TestOptionsDocumented holds docs/pruning.md to the table of options.
func TestOptionsDocumented(t *testing.T) {
	const page, begin, end = "../docs/pruning.md", "| option | what | default | source of the default |\n| --- | --- | --- | --- |\n", "\n\n"
	var b strings.Builder
	for i := range options {
		row := &options[i]
		fmt.Fprintf(&b, "| `%s` | %s | %v | %s |\n", row.Name, strings.ReplaceAll(row.Doc, "|", `\|`), row.Default, row.Source)
	}
	want := strings.TrimSuffix(b.String(), "\n")
	text, err := os.ReadFile(page)
	must(t, err)
	head, rest, found := strings.Cut(string(text), begin)
	got, tail, _ := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s has no table of options", page)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the table of options in %s is not that of the code; go test ./prune -run Documented -update writes it", page)
	}
	must(t, os.WriteFile(page, []byte(head+begin+want+end+tail), 0o644))
}
