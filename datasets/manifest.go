package datasets

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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
	offset                            int
}

var manifestRows = []option.Row[manifestOptions]{
	{Name: "image", Doc: "column `NAME` of the image's path, else path, image, file, filename, file_name, filepath, file_path, image_path, image_name, image_id or id; where the files have an ending that paths lack, it is found", Default: "",
		Field: func(o *manifestOptions) any { return &o.image }},
	{Name: "label", Doc: "column `NAME` of the class, a name or a number from 0, else label, class or target", Default: "",
		Field: func(o *manifestOptions) any { return &o.label }},
	{Name: "label-offset", Doc: "label `N` of the first class, where labels are numbers", Default: 0, Hi: maxManifestClasses,
		Field: func(o *manifestOptions) any { return &o.offset }},
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
	imageColumns = []string{"path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_path", "image_name", "image_id", "id"}
	labelColumns = []string{"label", "class", "target"}
	splitColumns = []string{"split"}

	weightColumns = []string{"weight"}
)

func csvFormat() *format {
	return manifestFormat("csv", "a table of image paths and classes, its first line the names of the columns, apart by commas, else tabs or semicolons", []string{".csv", ".tsv"}, readCSV)
}

func jsonlFormat() *format {
	return manifestFormat("jsonl", "a JSON object a line with an image's path and class", []string{".jsonl"}, readJSONL)
}

func manifestFormat(kind, about string, endings []string, read rowReader) *format {
	return newFormat(format{
		info: Info{Name: kind, Example: kind + ":FILE,root=DIR", About: about}, path: needsPath, encoded: true,
		sniff: func(path string) bool {
			st, err := os.Stat(path)
			return err == nil && st.Mode().IsRegular() && slices.Contains(endings, strings.ToLower(filepath.Ext(path)))
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
	dir := v.root
	if dir == "" {
		dir = filepath.Dir(s.path)
	}
	if err := lines.read(s.path, dir, v, read); err != nil {
		return nil, err
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

// fromManifest makes both splits of checked lines.
func (d *Dataset) fromManifest(lines *entries, root *files.Folder, v *manifestOptions, s *spec, o Options) error {
	more := columnsOf(v)
	classOf, labels, err := d.manifestNames(lines, &more, v.offset)
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
	paths := finder{root: root}
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
		path, err := paths.find(filepath.FromSlash(e.path))
		if err != nil {
			return e.errorf("%q: %w", e.path, err)
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
	if paths.ending != "" {
		d.notef("paths lack the ending of their files: %s is added", paths.ending)
	}
	if trainFiles.weights != nil {
		d.notef("the manifest's weights multiply the losses of its samples in training; weight=%s leaves them away", weightOff)
	}
	return d.split(train.whole(), test.whole(), len(lines.splits) > 0, v.val, o.Seed)
}

// manifestNames settles the names of classes and of labels, and gives the class
// of each label, -1 where there are none.
func (d *Dataset) manifestNames(lines *entries, more *columns, offset int) (classOf func(string) int64, labels []string, err error) {
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
		if d.ClassNames, classOf, err = manifestClasses(slices.Collect(maps.Keys(lines.labels)), int64(offset)); err == nil && offset == 0 && !lines.labels["0"] && lines.labels["1"] && d.ClassNames[0] == "0" {
			d.notef("no sample is of class 0; label-offset=1 is for labels that begin at 1")
		}
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

// manifestClasses takes labels for numbers where all are, from an offset on, else
// for names, which are then sorted.
func manifestClasses(labels []string, offset int64) (names []string, classOf func(string) int64, err error) {
	least, most, numbers := int64(math.MaxInt64), int64(-1), true
	seen := map[string]int64{}
	for _, label := range labels {
		if _, ok := seen[label]; ok {
			continue
		}
		seen[label] = 0
		k, err := strconv.ParseInt(label, 10, 32)
		numbers = numbers && err == nil && k >= 0 && k < maxManifestClasses
		least, most = min(least, k), max(most, k)
	}
	if len(seen) > maxManifestClasses {
		return nil, nil, fmt.Errorf("%w: %d classes: want at most %d", loader.ErrBadData, len(seen), maxManifestClasses)
	}
	if numbers && offset > least {
		return nil, nil, fmt.Errorf("%w: label %d is below label-offset=%d", loader.ErrBadData, least, offset)
	}
	if numbers {
		return numbered(int(most-offset) + 1), func(label string) int64 {
			k, _ := strconv.ParseInt(label, 10, 32) // checked above
			return k - offset
		}, nil
	}
	if offset != 0 {
		return nil, nil, fmt.Errorf("%w: label-offset=%d: the labels are names", ErrSpec, offset)
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
