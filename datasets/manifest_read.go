package datasets

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"winnow/internal/files"
	"winnow/loader"
)

// rowReader calls row with the cells of each line, by column.
type rowReader func(r io.Reader, row func(line int, cell func(column string) (string, bool)) error) error

// read reads and checks all lines of a manifest.
func (s *entries) read(path, dir string, v *manifestOptions, read rowReader) error {
	f, size, err := files.Open(path)
	if errors.Is(err, files.ErrNotRegular) {
		return fmt.Errorf("%w: %w", loader.ErrBadData, err)
	} else if err != nil {
		return reason(err)
	}
	defer f.Close()
	if size > maxManifest {
		return fmt.Errorf("%w: %d bytes: want at most %d", loader.ErrBadData, size, maxManifest)
	}
	more := columnsOf(v)
	labels := slices.DeleteFunc(slices.Clone(labelColumns), more.has) // what is taken for something else is no class
	err = read(bufio.NewReader(io.LimitReader(f, size)), func(line int, cell func(string) (string, bool)) error {
		e := entry{line: line}
		var ok bool
		if e.path, ok = column(cell, v.image, imageColumns); !ok {
			return columnError("image", v.image, imageColumns)
		}
		if e.label, ok = column(cell, v.label, labels); !ok && (v.label != "" || !more.any()) {
			return columnError("label", v.label, labelColumns)
		}
		e.classless = !ok
		if err := more.read(&e, cell); err != nil {
			return err
		}
		if e.split, ok = column(cell, v.split, splitColumns); !ok && v.split != "" {
			return columnError("split", v.split, splitColumns)
		}
		if e.weight, err = v.weightOf(cell); err != nil {
			return err
		}
		if !utf8.ValidString(e.label) || !utf8.ValidString(e.split) {
			return errors.New("the label or the split is not UTF-8")
		}
		if name := listed(cell, v.label, labels); e.label == "" && name != "" {
			return fmt.Errorf("column %q is a list: labels=%s takes its names, vector=%s its numbers", name, name, name)
		}
		if e.path == "" || e.label == "" && !e.classless {
			return errors.New("the path or the label is empty")
		}
		for _, p := range []*string{&e.path, &e.mask} {
			*p = below(dir, *p)
			if *p != "" && !filepath.IsLocal(filepath.FromSlash(*p)) {
				return fmt.Errorf("path %q leads out of the root; give paths below it, and root=DIR for another root, such as root=/", *p)
			}
		}
		return s.add(&e)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	if s.n == 0 {
		return fmt.Errorf("%w: no samples", loader.ErrBadData)
	}
	return nil
}

// weightOff is the setting weight where a column of that name means something else.
const weightOff = "off"

// weightOf is a line's weight, -1 where it has none.
func (v *manifestOptions) weightOf(cell func(string) (string, bool)) (float32, error) {
	if v.weight == weightOff {
		return -1, nil
	}
	text, ok := column(cell, v.weight, weightColumns)
	if !ok && v.weight != "" {
		return 0, columnError("weight", v.weight, weightColumns)
	} else if !ok {
		return -1, nil
	}
	w, err := strconv.ParseFloat(strings.TrimSpace(text), 32)
	if err != nil || !(w >= 0 && w <= maxWeight) {
		return 0, fmt.Errorf("weight %q: want a number from 0 to %v; weight=%s leaves weights away", text, maxWeight, weightOff)
	}
	return float32(w), nil
}

// maxWeight bounds a sample's weight.
const maxWeight = 1e6

// column is the cell of the column asked for, else of the first known name.
func column(cell func(string) (string, bool), asked string, known []string) (string, bool) {
	one := func(name string) (string, bool) {
		text, ok := cell(name)
		if strings.HasPrefix(text, listMark) { // a list is no single thing
			text = ""
		}
		return text, ok
	}
	if asked != "" {
		return one(asked)
	}
	for _, name := range known {
		if text, ok := one(name); ok {
			return text, true
		}
	}
	return "", false
}

// listed is the name of the column that column finds, where it is a list.
func listed(cell func(string) (string, bool), asked string, known []string) string {
	if asked != "" {
		known = []string{asked}
	}
	for _, name := range known {
		if text, ok := cell(name); ok {
			if strings.HasPrefix(text, listMark) {
				return name
			}
			return ""
		}
	}
	return ""
}

func columnError(what, asked string, known []string) error {
	if asked != "" {
		return &noColumn{fmt.Sprintf("no column %q", asked)}
	}
	return &noColumn{fmt.Sprintf("no column %s: name it with %s=NAME", strings.Join(known, ", "), what)}
}

// noColumn is an error that the columns there are help with.
type noColumn struct{ text string }

// Error says what is missing.
func (e *noColumn) Error() string { return e.text }

// among adds the columns that there are.
func among(err error, columns []string) error {
	var missing *noColumn
	if errors.As(err, &missing) {
		return fmt.Errorf("%w; there are %s", err, nameList(columns))
	}
	return err
}

func readCSV(r io.Reader, row func(int, func(string) (string, bool)) error) error {
	b := bufio.NewReader(r)
	c := csv.NewReader(b)
	c.ReuseRecord = true
	first, _ := b.Peek(b.Size())
	first, _, _ = bytes.Cut(first, []byte("\n"))
	switch {
	case bytes.HasPrefix(first, []byte("\xff\xfe")) || bytes.HasPrefix(first, []byte("\xfe\xff")):
		return errors.New("UTF-16: save it as UTF-8")
	case bytes.ContainsRune(first, ','):
	case bytes.ContainsRune(first, '\t'):
		c.Comma = '\t'
	case bytes.ContainsRune(first, ';'):
		c.Comma = ';'
	}
	head, err := c.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("empty")
	} else if err != nil {
		return err
	}
	at := map[string]int{}
	names := slices.Clone(head)
	for i, name := range names {
		name = strings.TrimPrefix(strings.TrimSpace(name), "\ufeff")
		if _, twice := at[name]; twice {
			return fmt.Errorf("line 1: column %q stands twice", name)
		}
		at[name], names[i] = i, name
	}
	for i, name := range names { // Label is label, where there is no other
		if _, ok := at[strings.ToLower(name)]; !ok {
			at[strings.ToLower(name)] = i
		}
	}
	for {
		cells, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err // names the line
		}
		line, _ := c.FieldPos(0)
		if err := row(line, func(name string) (string, bool) {
			i, ok := at[name]
			if !ok {
				return "", false
			}
			return strings.Clone(cells[i]), true
		}); err != nil {
			return fmt.Errorf("line %d: %w", line, among(err, names))
		}
	}
}

func readJSONL(r io.Reader, row func(int, func(string) (string, bool)) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxManifestLine)
	n := 0
	for lines.Scan() {
		n++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(text, &object); err != nil {
			return fmt.Errorf("line %d: no JSON object: %w", n, err)
		}
		if err := row(n, func(name string) (string, bool) {
			raw, ok := object[name]
			if !ok {
				return "", false
			}
			return jsonText(raw), true
		}); err != nil {
			return fmt.Errorf("line %d: %w", n, among(err, slices.Sorted(maps.Keys(object))))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// listMark begins a cell that is a list of JSON, which no text does.
const listMark = "\x00"

// jsonText is a string or a number of JSON, a list behind listMark, "" for anything else.
func jsonText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if raw[0] == '[' {
		return listMark + string(raw)
	}
	if strings.ContainsAny(string(raw[:1]), "{n") { // an object, null
		return ""
	}
	return string(raw)
}
