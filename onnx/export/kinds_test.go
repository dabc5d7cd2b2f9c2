package export

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"winnow/internal/option"
	"winnow/onnx/bundle"
)

var writeDocs = flag.Bool("update", false, "write the tables of losses and optimizers into docs/recipe.md")

// What a loss or an optimizer reads has its defaults; what it does not read is refused.
func TestKinds(t *testing.T) {
	kinds(t, &lossChoice, NewLoss, checkLoss, func(l *bundle.Loss) *string { return &l.Name })
	kinds(t, &optimizerChoice, NewOptimizer, checkOptimizer, func(o *bundle.Optimizer) *string { return &o.Name })
}

func kinds[T any](t *testing.T, c *choice[T], defaults func(string) T, check func(*T) error, name func(*T) *string) {
	known := map[string]bool{}
	for _, row := range c.options {
		known[row.Name] = true
	}
	for _, k := range c.kinds {
		for read := range k.reads {
			if !known[read] {
				t.Errorf("%s reads %q, which is no option", k.name, read)
			}
		}
		made := defaults(k.name)
		checked := made
		if err := check(&checked); err != nil {
			t.Errorf("%s with its defaults: %v", k.name, err)
		}
		if !reflect.DeepEqual(made, checked) {
			t.Errorf("%s has the defaults %+v, of which a check makes %+v", k.name, made, checked)
		}
		for _, row := range c.rows(k, false) {
			made := defaults(k.name)
			row.Set(&made, something(row.Default))
			err := check(&made)
			if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), `"`+row.Name+`"`) {
				t.Errorf("%s of %s, which does not read it: %v", row.Name, k.name, err)
			}
			if c.clear(k, &made); !reflect.DeepEqual(made, defaults(k.name)) {
				t.Errorf("%s of %s is not cleared: %+v", row.Name, k.name, made)
			}
		}
		for _, row := range c.rows(k, true) {
			if _, number := row.Default.(float64); !number {
				continue
			}
			made := defaults(k.name)
			row.Set(&made, -1.0)
			if err := check(&made); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), `"`+row.Name+`"`) {
				t.Errorf("%s -1 of %s: %v", row.Name, k.name, err)
			}
		}
	}
	unknown := defaults("foo")
	if err := check(&unknown); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), `"`+c.flag+`"`) || !strings.Contains(err.Error(), c.kinds[1].name) {
		t.Errorf("unknown name: %v", err)
	}
	var empty T
	if err := check(&empty); err != nil || *name(&empty) != c.kinds[0].name {
		t.Errorf("no name is taken for %q: %v", *name(&empty), err)
	}
}

// something is a value other than the empty one.
func something(like any) any {
	switch like.(type) {
	case bool:
		return true
	case []float64:
		return []float64{0.5, 0.5}
	case string:
		return "x"
	}
	return 0.5
}

// Defaults that differ by kind, and settings that contradict each other.
func TestOptimizerSettings(t *testing.T) {
	for name, want := range map[string]bundle.Optimizer{
		bundle.SGD:     {Momentum: 0.9, WeightDecay: 5e-4},
		bundle.LARS:    {Momentum: 0.9, Trust: 0.001, WeightDecay: 5e-4},
		bundle.RMSprop: {Alpha: 0.99, Eps: 1e-8, WeightDecay: 5e-4},
		bundle.Adam:    {Betas: []float64{0.9, 0.999}, Eps: 1e-8, WeightDecay: 5e-4},
		bundle.LAMB:    {Betas: []float64{0.9, 0.999}, Eps: 1e-6, WeightDecay: 5e-4},
	} {
		want.Name = name
		if got := NewOptimizer(name); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	for _, o := range []bundle.Optimizer{
		{Nesterov: true}, {Name: bundle.Adam, Betas: []float64{0.9}}, {Name: bundle.Adam, Betas: []float64{0.9, 1}},
	} {
		if err := checkOptimizer(&o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, l := range []bundle.Loss{{SoftTargets: true, Smoothing: 0.1}, {Name: bundle.NoLoss, SoftTargets: true}} {
		if err := checkLoss(&l); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// TestKindsDocumented holds docs/recipe.md to the tables.
func TestKindsDocumented(t *testing.T) {
	const page = "../../docs/recipe.md"
	file, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	text = documented(t, text, "loss", Losses(), LossOptions())
	text = documented(t, text, "optimizer", Optimizers(), OptimizerOptions())
	if text == string(file) {
		return
	}
	if !*writeDocs {
		t.Fatalf("the tables of %s are not those of the code; go test ./onnx/export -run Documented -update writes them", page)
	}
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// documented is a page with the tables of a choice written anew.
func documented[T any](t *testing.T, page, what string, kinds []option.Kind, rows []option.Row[T]) string {
	t.Helper()
	table := func(head string, lines []string) {
		before, rest, found := strings.Cut(page, head)
		_, after, _ := strings.Cut(rest, "\n\n")
		if !found {
			t.Fatalf("no table %q", head)
		}
		page = before + head + strings.Join(lines, "\n") + "\n\n" + after
	}
	var lines []string
	for _, k := range kinds {
		lines = append(lines, fmt.Sprintf("| `%s` | %s |", k.Name, k.Doc))
	}
	table("| "+what+" | what |\n| --- | --- |\n", lines)
	lines = nil
	for _, row := range rows {
		shown := row.Shown
		if shown == "" {
			shown = fmt.Sprint(row.Default)
		}
		lines = append(lines, fmt.Sprintf("| `--%s` | %s | %s | %s |", row.Name, row.Doc, shown, row.Source))
	}
	table("| option of the "+what+" | what | default | source of the default |\n| --- | --- | --- | --- |\n", lines)
	return page
}
