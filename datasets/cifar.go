package datasets

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"winnow/internal/files"
	"winnow/internal/option"
	"winnow/internal/spill"
	"winnow/loader"
)

// cifarSet is the binary version of CIFAR-10 or CIFAR-100 (Krizhevsky 2009):
// records of labels of a byte each, then 3x32x32 bytes by channel.
type cifarSet struct {
	kind, about string
	train, test []string
	python      []string // files of the version for Python, to tell users of it
	names       string   // file of the class names
	labels      int      // bytes before the pixels; the last is the class
	classes     []string // where there is no file of names
}

const cifarSide = 32

var cifar10 = cifarSet{
	kind: "cifar10", about: "CIFAR-10, the binary version: data_batch_1.bin to data_batch_5.bin and test_batch.bin",
	train: []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
	test:  []string{"test_batch.bin"}, python: []string{"data_batch_1", "test_batch"}, names: "batches.meta.txt", labels: 1,
	classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
}

var cifar100 = cifarSet{
	kind: "cifar100", about: "CIFAR-100, the binary version: train.bin and test.bin, fine labels",
	train: []string{"train.bin"}, test: []string{"test.bin"}, python: []string{"train", "test"}, names: "fine_label_names.txt", labels: 2,
	classes: numbered(100),
}

func cifarFormat(set *cifarSet) *format {
	return newFormat(format{
		info:  Info{Name: set.kind, Example: set.kind + ":DIR", About: set.about, Train: 50000, Test: 10000, Classes: len(set.classes), Shape: [3]int{3, cifarSide, cifarSide}},
		path:  needsPath,
		sniff: func(path string) bool { return set.absent(path) == "" },
	}, []option.Row[struct{}]{}, set.open)
}

// absent is a file of the set that the folder lacks, "" for none.
func (set *cifarSet) absent(dir string) string {
	for _, name := range append(append([]string{}, set.train...), set.test...) {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.IsDir() {
			return name
		}
	}
	return ""
}

func (set *cifarSet) open(s *spec, _ *struct{}, _ Options) (*Dataset, error) {
	if name := set.absent(s.path); name != "" {
		way := ""
		if _, err := os.Stat(filepath.Join(s.path, set.python[0])); err == nil {
			way = fmt.Sprintf("; %s is of the version for Python: fetch the binary version, or make an npz file of it by the lines of Python in docs/data.md", set.python[0])
		}
		return nil, fmt.Errorf("datasets: %s: folder %q: %w: no %s%s", set.kind, s.path, ErrMissing, name, way)
	}
	d := &Dataset{ClassNames: set.classNames(s.path)}
	var err error
	if d.Train, err = set.split(d, s.path, "train", set.train); err == nil {
		d.Test, err = set.split(d, s.path, "test", set.test)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("datasets: %s: %w", set.kind, err), d.Close())
	}
	return d, nil
}

// classNames are the lines of the file of names, where it has the right number.
func (set *cifarSet) classNames(dir string) []string {
	const limit = 1 << 16
	text, err := files.Read(filepath.Join(dir, set.names), limit)
	if err != nil {
		return set.classes
	}
	names := strings.Fields(string(bytes.ToValidUTF8(text, []byte("?"))))
	if len(names) != len(set.classes) {
		return set.classes
	}
	return names
}

func (set *cifarSet) split(d *Dataset, dir, split string, names []string) (*rawSet, error) {
	const pixels = 3 * cifarSide * cifarSide
	r := &rawSet{name: set.kind + " " + split, classes: d.ClassNames, c: 3, h: cifarSide, w: cifarSide}
	d.closers = append(d.closers, r)
	record := set.labels + pixels
	for _, name := range names {
		path := filepath.Join(dir, name)
		b, size, err := openBlob(path)
		if err != nil {
			return nil, err
		}
		r.parts = append(r.parts, rawPart{blob: b, first: len(r.labels), start: int64(set.labels), pitch: int64(record)})
		if size == 0 || size%int64(record) != 0 || size/int64(record) > maxSamples {
			return nil, fmt.Errorf("file %q: %w: %d bytes: want records of %d", path, loader.ErrBadData, size, record)
		}
		var label [2]byte
		for i := range size / int64(record) {
			if err := b.readAt(label[:set.labels], i*int64(record)); err != nil {
				return nil, fmt.Errorf("file %q: %w", path, err)
			}
			k := int(label[set.labels-1])
			if k >= len(d.ClassNames) {
				return nil, fmt.Errorf("file %q: %w: label %d of record %d: want 0 to %d", path, loader.ErrBadData, k, i, len(d.ClassNames)-1)
			}
			r.labels = spill.Append(r.labels, int32(k))
		}
	}
	return r, nil
}
