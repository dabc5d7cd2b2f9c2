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
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"winnow/internal/files"
	"winnow/internal/option"
	"winnow/loader"
)

// Bounds of a manifest.
const (
	maxManifest     = 1 << 30 // bytes
	maxManifestLine = 1 << 20 // of JSON
)

// manifestOptions are the settings of csv:FILE and jsonl:FILE.
type manifestOptions struct {
	image, label, split, weight, root string
	vector, labels, between, mask     string
	foreground                        int
	val                               float64
}

var manifestRows = []option.Row[manifestOptions]{
	{Name: "image", Doc: "column `NAME` of the image's path, else path, image, file, filename or file_name", Default: "",
		Field: func(o *manifestOptions) any { return &o.image }},
	{Name: "label", Doc: "column `NAME` of the class, a name or a number from 0, else label, class or target", Default: "",
		Field: func(o *manifestOptions) any { return &o.label }},
	{Name: "vector", Doc: "columns `NAME+NAME...` of numbers to be learned, one for each output, or of several apart by spaces; of 0 and 1, a column for each label", Default: "",
		Field: func(o *manifestOptions) any { return &o.vector }},
	{Name: "labels", Doc: "column `NAME` of several labels, apart by a bar, else a semicolon, else a comma", Default: "",
		Field: func(o *manifestOptions) any { return &o.labels }},
	{Name: "between", Doc: "what parts the labels of a cell", Default: "auto", OneOf: []string{"auto", "bar", "semicolon", "comma", "space"},
		Field: func(o *manifestOptions) any { return &o.between }},
	{Name: "mask", Doc: "column `NAME` of the path of a mask, a PNG whose pixels are the numbers of classes", Default: "",
		Field: func(o *manifestOptions) any { return &o.mask }},
	{Name: "foreground", Doc: "value `V` of masks that is class 1, 0 for none: 255 of masks of black and white", Default: 0, Hi: 255,
		Field: func(o *manifestOptions) any { return &o.foreground }},
	{Name: "split", Doc: "column `NAME` that says train, val or test, else split, where there is one", Default: "",
		Field: func(o *manifestOptions) any { return &o.split }},
	{Name: "weight", Doc: "column `NAME` of the sample's weight, which multiplies its loss in training, else weight, where there is one; off for none", Default: "",
		Field: func(o *manifestOptions) any { return &o.weight }},
	{Name: "root", Doc: "folder `DIR` that paths begin at, else that of the manifest", Default: "",
		Field: func(o *manifestOptions) any { return &o.root }},
	{Name: "val", Doc: "share `P` of each class held back for evaluation, drawn by seed, where no column says the split", Default: defaultVal, Hi: 1, Open: "both",
		Field: func(o *manifestOptions) any { return &o.val }},
}

// Columns by the names that manifests give them.
var (
	imageColumns = []string{"path", "image", "file", "filename", "file_name"}
	labelColumns = []string{"label", "class", "target"}
	splitColumns = []string{"split"}

	weightColumns = []string{"weight"}
)

func csvFormat() *format {
	return manifestFormat("csv", "a table of image paths and classes, its first line the names of the columns", ".csv", readCSV)
}

func jsonlFormat() *format {
	return manifestFormat("jsonl", "a JSON object a line with an image's path and class", ".jsonl", readJSONL)
}

// rowReader calls row with the cells of each line, by column.
type rowReader func(r io.Reader, row func(line int, cell func(column string) (string, bool)) error) error

func manifestFormat(kind, about, ending string, read rowReader) *format {
	return newFormat(format{
		info: Info{Name: kind, Example: kind + ":FILE,root=DIR", About: about}, path: needsPath, encoded: true,
		sniff: func(path string) bool {
			st, err := os.Stat(path)
			return err == nil && st.Mode().IsRegular() && strings.EqualFold(filepath.Ext(path), ending)
		},
	}, manifestRows, func(s *spec, v *manifestOptions, o Options) (*Dataset, error) {
		d, err := openManifest(s, v, o, read)
		if err != nil {
			return nil, fmt.Errorf("datasets: %s %q: %w", kind, s.path, err)
		}
		return d, nil
	})
}

func openManifest(s *spec, v *manifestOptions, o Options, read rowReader) (*Dataset, error) {
	var lines entries
	defer lines.free()
	if err := lines.read(s.path, v, read); err != nil {
		return nil, err
	}
	dir := v.root
	if dir == "" {
		dir = filepath.Dir(s.path)
	}
	root, err := files.OpenFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("root %q: %w", dir, reason(err))
	}
	d := &Dataset{closers: []io.Closer{root}}
	if err := d.fromManifest(&lines, root, v, s, o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// read reads and checks all lines of a manifest.
func (s *entries) read(path string, v *manifestOptions, read rowReader) error {
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
	err = read(bufio.NewReader(io.LimitReader(f, size)), func(line int, cell func(string) (string, bool)) error {
		e := entry{line: line}
		var ok bool
		if e.path, ok = column(cell, v.image, imageColumns); !ok {
			return columnError("image", v.image, imageColumns)
		}
		if e.label, ok = column(cell, v.label, labelColumns); !ok && (v.label != "" || !more.any()) {
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
		if e.path == "" || e.label == "" && !e.classless {
			return errors.New("the path or the label is empty")
		}
		if e.mask != "" && !filepath.IsLocal(filepath.FromSlash(e.mask)) {
			return fmt.Errorf("path %q leads out of the root; give paths below it, and root=DIR for another root", e.mask)
		}
		if !filepath.IsLocal(filepath.FromSlash(e.path)) {
			return fmt.Errorf("path %q leads out of the root; give paths below it, and root=DIR for another root", e.path)
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

func columnError(what, asked string, known []string) error {
	if asked != "" {
		return fmt.Errorf("no column %q", asked)
	}
	return fmt.Errorf("no column %s: name it with %s=NAME", strings.Join(known, ", "), what)
}

func readCSV(r io.Reader, row func(int, func(string) (string, bool)) error) error {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	head, err := c.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("empty")
	} else if err != nil {
		return err
	}
	at := map[string]int{}
	for i, name := range head {
		name = strings.TrimPrefix(strings.TrimSpace(name), "\ufeff")
		if _, twice := at[name]; twice {
			return fmt.Errorf("line 1: column %q stands twice", name)
		}
		at[name] = i
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
			return fmt.Errorf("line %d: %w", line, err)
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
			return fmt.Errorf("line %d: %w", n, err)
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

// fromManifest makes both splits of checked lines.
func (d *Dataset) fromManifest(lines *entries, root *files.Folder, v *manifestOptions, s *spec, o Options) error {
	more := columnsOf(v)
	classOf, labels, err := d.manifestNames(lines, &more)
	if err != nil {
		return err
	}
	evaluated := ""
	for _, name := range evalNames {
		if slices.Contains(lines.splits, name) {
			evaluated = name
			break
		}
	}
	train := &targeted{class: !lines.classless, list: more.targets(root)}
	test := &targeted{class: !lines.classless, list: more.targets(root)}
	trainFiles := d.listed(s.name+" train", root, train)
	testFiles := d.listed(s.name+" val", root, test)
	if err := lines.each(func(e *entry) error {
		to, set := train, trainFiles
		switch {
		case len(lines.splits) == 0 || slices.Contains(trainNames, e.split):
		case e.split == evaluated:
			to, set = test, testFiles
		case slices.Contains(evalNames, e.split):
			return nil
		default:
			return e.errorf("split %q: want train, val or test", e.split)
		}
		path := filepath.FromSlash(e.path)
		if info, err := root.Stat(path); err != nil {
			return e.errorf("%q: %w", e.path, reason(err))
		} else if !info.Mode().IsRegular() {
			return e.errorf("%q: %w", e.path, files.ErrNotRegular)
		}
		if err := set.add(path, classOf(e.label)); err != nil {
			return err
		}
		if err := set.weigh(e.weight); err != nil {
			return e.errorf("%w", err)
		}
		return more.add(to.list, e, labels)
	}); err != nil {
		return err
	}
	if trainFiles.weights != nil {
		d.notef("the manifest's weights multiply the losses of its samples in training; weight=%s leaves them away", weightOff)
	}
	return d.split(train.whole(), test.whole(), len(lines.splits) > 0, v.val, o.Seed)
}

// manifestNames settles the names of classes and of labels, and gives the class
// of each label, -1 where there are none.
func (d *Dataset) manifestNames(lines *entries, more *columns) (classOf func(string) int64, labels []string, err error) {
	classOf = func(string) int64 { return -1 }
	if more.labels != "" {
		note, err := more.separate(lines)
		if err == nil {
			labels, err = more.labelNames(lines)
		}
		if err != nil {
			return nil, nil, err
		}
		if note != "" {
			d.notef("%s", note)
		}
	}
	switch {
	case !lines.classless:
		d.ClassNames, classOf, err = manifestClasses(slices.Collect(maps.Keys(lines.labels)))
	case more.labels != "":
		d.ClassNames = labels
	case more.mask == "" && len(more.numbers) > 1:
		d.ClassNames = more.numbers
	}
	return classOf, labels, err
}

// split takes the splits that the data has, else holds a share of train back.
func (d *Dataset) split(train, test loader.Records, given bool, val float64, seed uint64) error {
	switch {
	case !given:
		kept, held, err := heldBack(train, val, seed)
		if err != nil {
			return err
		}
		d.Train, d.Test = kept, held
		d.closers = append(d.closers, kept, held)
		d.notef("of %d images, %d are held back for evaluation: val=%v of each class, drawn with seed %d", train.Len(), d.Test.Len(), val, seed)
	case train.Len() == 0:
		return fmt.Errorf("%w: no sample is of the split train", loader.ErrBadData)
	case test.Len() == 0:
		return fmt.Errorf("%w: no sample is of a split to evaluate: %s", loader.ErrBadData, strings.Join(evalNames, ", "))
	default:
		d.Train, d.Test = train, test
	}
	return nil
}

// maxManifestClasses bounds numbers that stand for classes, and names.
const maxManifestClasses = 1 << 20

// manifestClasses takes labels for numbers where all are, else for names, which
// are then sorted.
func manifestClasses(labels []string) (names []string, classOf func(string) int64, err error) {
	most, numbers := int64(-1), true
	seen := map[string]int64{}
	for _, label := range labels {
		if _, ok := seen[label]; ok {
			continue
		}
		seen[label] = 0
		k, err := strconv.ParseInt(label, 10, 32)
		numbers = numbers && err == nil && k >= 0 && k < maxManifestClasses
		most = max(most, k)
	}
	if len(seen) > maxManifestClasses {
		return nil, nil, fmt.Errorf("%w: %d classes: want at most %d", loader.ErrBadData, len(seen), maxManifestClasses)
	}
	if numbers {
		return numbered(int(most) + 1), func(label string) int64 {
			k, _ := strconv.ParseInt(label, 10, 32) // checked above
			return k
		}, nil
	}
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	for k, name := range names {
		seen[name] = int64(k)
	}
	return names, func(label string) int64 { return seen[label] }, nil
}
