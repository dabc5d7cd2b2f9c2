package datasets

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"winnow/internal/files"
	"winnow/internal/spill"
	"winnow/loader"
)

// targeted is records with targets that are no class, beside them or in the place
// of it.
type targeted struct {
	wrapper
	class bool // the records have classes too
	list  []target
}

// listed is a new list of files, whose samples have targets in t beside or in the
// place of a class.
func (d *Dataset) listed(name string, root *files.Folder, t *targeted) *fileSet {
	s := &fileSet{name: name, root: root, classList: d.ClassNames}
	t.Records = s
	d.closers = append(d.closers, s, t)
	return s
}

// whole are the records once all files are listed: the list itself where there
// is nothing beside a class.
func (t *targeted) whole() loader.Records {
	s := t.Records.(*fileSet)
	s.clip()
	if len(t.list) == 0 {
		return s
	}
	return t
}

// target is one of them: numbers for each sample, or the files of masks.
type target struct {
	spec   loader.TargetSpec
	floats []float32 // [samples, count]
	values []byte    // the same of another type
	masks  *paths    // below root
	root   *files.Folder
	from   []byte // the file of an array
}

var (
	_ loader.Targeted = (*targeted)(nil)
	_ loader.Located  = (*targeted)(nil)
	_ io.Closer       = (*targeted)(nil)
)

// Close gives the tables back.
func (t *targeted) Close() error {
	for i := range t.list {
		spill.Free(t.list[i].floats)
		spill.Free(t.list[i].values)
		if t.list[i].masks != nil {
			t.list[i].masks.free()
		}
	}
	t.list = nil
	return nil
}

// Targets lists them, the class first.
func (t *targeted) Targets() (specs []loader.TargetSpec) {
	if t.class {
		specs = append(specs, loader.TargetSpec{Name: loader.ClassName, Kind: loader.ClassTarget, Type: loader.Int64})
	}
	for i := range t.list {
		specs = append(specs, t.list[i].spec)
	}
	return specs
}

// Target is the class, where there is one.
func (t *targeted) Target(i uint32) loader.Target {
	if t.class {
		return t.Records.Target(i)
	}
	return loader.NoClass(t.list[0].spec.Kind)
}

// ReadTarget copies numbers, or reads the file of a mask.
func (t *targeted) ReadTarget(i uint32, k int, r *loader.Record) error {
	if t.class {
		k--
	}
	if int64(i) >= int64(t.Len()) || k < 0 || k >= len(t.list) {
		return loader.ErrIndex
	}
	x := &t.list[k]
	switch n := x.spec.Count(); {
	case x.masks != nil:
		if err := readImage(x.root, x.masks.at(i), r); err != nil {
			return fmt.Errorf("mask %q: %w", x.masks.at(i), err)
		}
		r.From = x.masks.at(i)
	case x.spec.Kind == loader.MaskTarget:
		r.From = x.from
		dst := r.Raw(1, x.spec.Shape[0], x.spec.Shape[1])
		copy(dst, x.values[int(i)*len(dst):])
	case x.floats != nil:
		dst := r.Encoded(4 * n)
		for j, v := range x.floats[int(i)*n:][:n] {
			binary.LittleEndian.PutUint32(dst[4*j:], math.Float32bits(v))
		}
	default:
		dst := r.Encoded(x.spec.Size())
		copy(dst, x.values[int(i)*len(dst):])
	}
	return nil
}

// maxVector bounds the numbers of a line, and the labels that there are.
const maxVector = 1 << 16

// columns are what a manifest has beside the class: numbers by columns, several
// labels in one, and the path of a mask.
type columns struct {
	numbers []string
	labels  string
	between string // labels of a cell, "" where lines are to say it
	mask    string
	white   byte // the value of masks that is class 1, 0 for none
}

// columnsOf reads the settings.
func columnsOf(v *manifestOptions) columns {
	c := columns{labels: v.labels, between: separators[v.between], mask: v.mask, white: byte(v.foreground)}
	if v.vector != "" {
		c.numbers = strings.Split(v.vector, "+")
	}
	return c
}

// any is whether there is anything but a class.
func (c *columns) any() bool { return c.numbers != nil || c.labels != "" || c.mask != "" }

// has is whether a column is one of them.
func (c *columns) has(name string) bool {
	return slices.Contains(c.numbers, name) || name == c.labels || name == c.mask
}

// read takes the cells of a line into its entry.
func (c *columns) read(e *entry, cell func(string) (string, bool)) error {
	for _, name := range c.numbers {
		text, ok := cell(name)
		if !ok {
			return fmt.Errorf("no column %q", name)
		}
		numbers, err := readNumbers(text)
		if err != nil {
			return fmt.Errorf("column %q: %w", name, err)
		}
		if e.numbers = append(e.numbers, numbers...); len(e.numbers) > maxVector {
			return fmt.Errorf("over %d numbers", maxVector)
		}
	}
	var ok bool
	if c.labels != "" {
		if e.labels, ok = cell(c.labels); !ok {
			return fmt.Errorf("no column %q", c.labels)
		}
		if list, isList := strings.CutPrefix(e.labels, listMark); isList {
			var names []string
			if json.Unmarshal([]byte(list), &names) != nil {
				return fmt.Errorf("column %q: %s: want a list of names", c.labels, list)
			}
			e.labels = listSeparator + strings.Join(names, listSeparator)
		}
	}
	if c.mask != "" {
		switch e.mask, ok = cell(c.mask); {
		case !ok:
			return fmt.Errorf("no column %q", c.mask)
		case e.mask == "":
			return fmt.Errorf("column %q is empty: want the path of a mask", c.mask)
		}
	}
	return nil
}

// readNumbers reads one number, or several apart by spaces.
func readNumbers(text string) (numbers []float32, err error) {
	fields := strings.Fields(text)
	if list, ok := strings.CutPrefix(text, listMark); ok {
		if json.Unmarshal([]byte(list), &numbers) != nil {
			return nil, fmt.Errorf("%s: want a list of numbers", list)
		}
		return numbers, nil
	}
	if len(fields) == 0 {
		return nil, errors.New("empty: want a number")
	}
	for _, field := range fields {
		v, err := strconv.ParseFloat(field, 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%q: want a number", field)
		}
		numbers = append(numbers, float32(v))
	}
	return numbers, nil
}

// separators part the labels of a cell; commas part the settings of --data too,
// so all go by names.
var separators = map[string]string{"bar": "|", "semicolon": ";", "comma": ",", "space": " "}

// separatorNames are those that are looked for, the likeliest first.
var separatorNames = []string{"bar", "semicolon", "comma"}

// listSeparator begins, and parts, the labels of a list, which no text does.
const listSeparator = "\x1f"

// split is the labels of a cell.
func (c *columns) split(text string) []string {
	if strings.HasPrefix(text, listSeparator) {
		return strings.Split(text, listSeparator)
	}
	return strings.Split(text, c.between)
}

// separate settles what parts labels where nothing says it: a bar, or what the
// lines have in its place. It gives a note of anything but a bar.
func (c *columns) separate(lines *entries) (note string, err error) {
	if c.between != "" {
		return "", nil
	}
	found := map[string]string{}
	err = lines.each(func(e *entry) error {
		for _, name := range separatorNames {
			if found[name] == "" && !strings.HasPrefix(e.labels, listSeparator) && strings.Contains(e.labels, separators[name]) {
				found[name] = e.labels
			}
		}
		return nil
	})
	c.between = separators["bar"]
	for _, name := range separatorNames {
		if text := found[name]; text != "" {
			if c.between = separators[name]; name != "bar" {
				note = fmt.Sprintf("labels of column %q are apart by a %s, as in %.40q; between=bar takes each cell for one", c.labels, name, text)
			}
			break
		}
	}
	return note, err
}

// labelNames lists the labels of all entries, sorted.
func (c *columns) labelNames(lines *entries) ([]string, error) {
	seen := map[string]bool{}
	err := lines.each(func(e *entry) error {
		for _, name := range c.split(e.labels) {
			if name = strings.TrimSpace(name); name != "" {
				seen[name] = true
			}
		}
		if len(seen) > maxVector {
			return e.errorf("over %d labels", maxVector)
		}
		return nil
	})
	return sortedNames(seen), err
}

// targets are those of the columns, with no samples yet.
func (c *columns) targets(root *files.Folder) (list []target) {
	vector := func(name string) target {
		return target{spec: loader.TargetSpec{Name: name, Kind: loader.VectorTarget, Type: loader.Float32}}
	}
	if c.labels != "" {
		list = append(list, vector(c.labels))
	}
	switch len(c.numbers) {
	case 0:
	case 1:
		list = append(list, vector(c.numbers[0]))
	default:
		list = append(list, vector("vector"))
	}
	if c.mask != "" {
		list = append(list, target{spec: loader.TargetSpec{Name: c.mask, Kind: loader.MaskTarget, Type: loader.Uint8, Foreground: c.white}, masks: &paths{}, root: root})
	}
	return list
}

// add appends a line's values to targets; names are those of labels.
func (c *columns) add(list []target, e *entry, names []string) error {
	if c.labels != "" {
		t := &list[0]
		list = list[1:]
		t.spec.Shape = []int{len(names)}
		row := make([]float32, len(names))
		for _, name := range c.split(e.labels) {
			if at, ok := slices.BinarySearch(names, strings.TrimSpace(name)); ok {
				row[at] = 1
			}
		}
		t.floats = spill.Append(t.floats, row...)
	}
	if c.numbers != nil {
		t := &list[0]
		list = list[1:]
		if t.spec.Shape == nil {
			t.spec.Shape = []int{len(e.numbers)}
		}
		if n := t.spec.Shape[0]; len(e.numbers) != n {
			return e.errorf("%q has a vector of %d numbers, those before have %d", e.path, len(e.numbers), n)
		}
		t.floats = spill.Append(t.floats, e.numbers...)
	}
	if c.mask != "" {
		list[0].masks.add(e.mask)
	}
	return nil
}

// arrayTargets makes the targets that are arrays of their own, named with the
// prefix or ending that the images' array has.
func arrayTargets(a arrays, list, images string, r *rawSet) (targets []target, err error) {
	for _, name := range strings.Split(list, "+") {
		full := name
		switch {
		case strings.HasSuffix(images, "_images"): // train_images
			full = strings.TrimSuffix(images, "images") + name
		case strings.HasPrefix(images, "x_"): // x_train
			full = name + strings.TrimPrefix(images, "x")
		}
		t, err := arrayTarget(a, full, r)
		if err != nil {
			return nil, fmt.Errorf("array %q: %w", full, err)
		}
		t.spec.Name = name
		targets = append(targets, t)
	}
	return targets, nil
}

// elementOf is the type that a NumPy type is delivered in.
func elementOf(dtype string) loader.Element {
	switch dtype[1:] {
	case "f4", "f8", "f2":
		return loader.Float32
	case "u1", "b1":
		return loader.Uint8
	case "i4":
		return loader.Int32
	}
	return loader.Int64
}

func arrayTarget(a arrays, name string, r *rawSet) (t target, err error) {
	values, err := a.load(name)
	if err != nil {
		return t, err
	}
	defer func() { _ = values.close() }() // only read
	if len(values.shape) == 0 || values.shape[0] != r.Len() {
		return t, fmt.Errorf("%w: shape %v for %d images", loader.ErrBadData, values.shape, r.Len())
	}
	if values.fortran && len(values.shape) > 1 {
		return t, fmt.Errorf("%w: stored by column (Fortran order): save it as numpy.ascontiguousarray", loader.ErrBadData)
	}
	shape := values.shape[1:]
	t.spec = loader.TargetSpec{Kind: loader.TensorTarget, Type: elementOf(values.dtype), Shape: slices.Clone(shape)}
	switch {
	case t.spec.Type == loader.Float32 && len(shape) < 2:
		t.spec.Kind = loader.VectorTarget
		if len(shape) == 0 {
			t.spec.Shape = []int{1}
		}
	case t.spec.Type == loader.Uint8 && len(shape) == 2 && shape[0] == r.h && shape[1] == r.w:
		t.spec.Kind = loader.MaskTarget
	}
	if n := int64(values.count()); n*int64(t.spec.Type.Size()) > maxTargetBytes {
		return t, fmt.Errorf("%w: shape %v needs over %d bytes", loader.ErrBadData, values.shape, int64(maxTargetBytes))
	}
	if t.spec.Type == loader.Float32 {
		t.floats = spill.Make[float32](values.count())
		return t, values.each(func(i int, x float64) error {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("%w: number %d of sample %d is %v", loader.ErrBadData, i%t.spec.Count(), i/t.spec.Count(), x)
			}
			t.floats[i] = float32(x)
			return nil
		})
	}
	t.values = spill.Make[byte](values.count() * t.spec.Type.Size())
	return t, values.each(func(i int, x float64) error {
		switch t.spec.Type {
		case loader.Uint8:
			t.values[i] = byte(x)
		case loader.Int32:
			binary.LittleEndian.PutUint32(t.values[4*i:], uint32(int32(x)))
		default:
			binary.LittleEndian.PutUint64(t.values[8*i:], uint64(int64(x)))
		}
		return nil
	})
}

// maxTargetBytes bounds an array of targets, which is held in memory.
const maxTargetBytes = 8 << 30
