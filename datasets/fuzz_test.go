package datasets

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"winnow/loader"
)

// FuzzClassLists: lists of classes and cards of the hub end in names or an error.
func FuzzClassLists(f *testing.F) {
	for _, text := range []string{cardOne, cardTwo, infos, "a\nb\n", `["a", "b"]`, "---\na: &x 1\nb: *x\n---\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if names, err := parseClasses(text); err == nil {
			if checkClasses(names) != nil {
				t.Errorf("%q", names)
			}
			_, _ = folderIndex(names)
		}
		for _, read := range []func([]byte, string) ([][]string, error){infoClasses, cardClasses} {
			if names, err := hubNames(text, nil, parquetLabels, read); err == nil && names != nil && checkClasses(names) != nil {
				t.Errorf("%q", names)
			}
		}
	})
}

// FuzzCIFAR: a file of records gives images and labels of a class, or an error.
func FuzzCIFAR(f *testing.F) {
	set := &cifar100
	record := make([]byte, set.labels+3*cifarSide*cifarSide)
	f.Add(append(record, record...))
	f.Add(record[:100])
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "train.bin")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		d := &Dataset{ClassNames: set.classes}
		defer d.Close()
		r, err := set.split(d, dir, "train", set.train)
		if err != nil {
			if !errors.Is(err, loader.ErrBadData) {
				t.Error(err)
			}
			return
		}
		for i := range uint32(r.Len()) {
			if k := r.Target(i).Class(); k < 0 || k >= int64(len(set.classes)) || r.Read(i, new(loader.Record)) != nil {
				t.Errorf("sample %d is of class %d", i, k)
			}
		}
	})
}
