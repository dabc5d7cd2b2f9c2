package export

import (
	"fmt"
	"slices"
	"strings"

	"winnow/internal/option"
)

// kind is a loss or an optimizer.
type kind struct {
	name, doc string
	reads     reads
}

// reads has the options that a kind reads, each with its default there, nil for
// the option's own. What no kind of a table reads by name, all of them read.
type reads map[string]any

// choice is a table of kinds and of their options, which are fields of T.
type choice[T any] struct {
	flag    string // that takes a kind's name
	kinds   []kind
	options []option.Row[T]

	elsewhere func(name string) string // what a kind of another library is here, "" for none; nil knows none
}

func kindsOf[R any](rows []R, of func(*R) kind) (kinds []kind) {
	for i := range rows {
		kinds = append(kinds, of(&rows[i]))
	}
	return kinds
}

// list is the kinds as help lists them.
func (c *choice[T]) list() (list []option.Kind) {
	for _, k := range c.kinds {
		list = append(list, option.Kind{Name: k.name, Doc: k.doc})
	}
	return list
}

// names of the kinds that are so, or of all for nil.
func (c *choice[T]) names(so func(kind) bool) (list []string) {
	for _, k := range c.kinds {
		if so == nil || so(k) {
			list = append(list, k.name)
		}
	}
	return list
}

// kindOf is the one of a name.
func (c *choice[T]) kindOf(name string) (kind, error) {
	for _, k := range c.kinds {
		if k.name == name {
			return k, nil
		}
	}
	if c.elsewhere != nil {
		if text := c.elsewhere(name); text != "" {
			return kind{}, optionError(c.flag, "%.60q is %s here", name, text)
		}
	}
	return kind{}, optionError(c.flag, "%q is not known, want one of %s", name, strings.Join(c.names(nil), ", "))
}

// readers are the kinds that read an option by name.
func (c *choice[T]) readers(name string) []string {
	return c.names(func(k kind) bool { _, ok := k.reads[name]; return ok })
}

// rows are the options that a kind reads, with its defaults, or the others.
func (c *choice[T]) rows(k kind, read bool) (rows []option.Row[T]) {
	for _, row := range c.options {
		readers := c.readers(row.Name)
		if read != (len(readers) == 0 || slices.Contains(readers, k.name)) {
			continue
		}
		if def := k.reads[row.Name]; def != nil {
			row.Default = def
		}
		rows = append(rows, row)
	}
	return rows
}

// setDefaults gives o the defaults of all that a kind reads.
func (c *choice[T]) setDefaults(k kind, o *T) {
	for _, row := range c.rows(k, true) {
		row.Set(o, row.Default)
	}
}

// check fills in defaults of what a kind cannot go without, and refuses what
// is out of range or not read.
func (c *choice[T]) check(k kind, o *T) error {
	for _, row := range c.rows(k, true) {
		row.Resolve(o)
		if want := row.Wants(row.Get(o)); want != "" {
			return optionError(row.Name, "%v, want %s", row.Get(o), want)
		}
	}
	for _, row := range c.rows(k, false) {
		if row.IsSet(o) {
			return optionError(row.Name, "%s does not read it; it goes with %s", k.name, strings.Join(c.readers(row.Name), ", "))
		}
	}
	return nil
}

// clear empties what a kind does not read.
func (c *choice[T]) clear(k kind, o *T) {
	for _, row := range c.rows(k, false) {
		row.Clear(o)
	}
}

// shown are all options, behind the kinds that read them where not all do, and
// their defaults told by kind where they differ.
func (c *choice[T]) shown() []option.Row[T] {
	rows := slices.Clone(c.options)
	for i := range rows {
		if readers := c.readers(rows[i].Name); len(readers) > 0 {
			rows[i].Doc = strings.Join(readers, ", ") + ": " + rows[i].Doc
		}
		of := map[string][]string{}
		var own []string // texts of defaults, in the order of kinds
		for _, k := range c.kinds {
			if def := k.reads[rows[i].Name]; def != nil {
				text := fmt.Sprint(def)
				if of[text] == nil {
					own = append(own, text)
				}
				of[text] = append(of[text], k.name)
			}
		}
		for j, text := range own {
			own[j] = text + " for " + strings.Join(of[text], " and ")
		}
		if len(own) > 0 {
			rows[i].Shown = fmt.Sprintf("%s, else %v", strings.Join(own, ", "), rows[i].Default)
		}
	}
	return rows
}
