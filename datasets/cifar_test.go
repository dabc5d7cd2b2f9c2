package datasets

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"winnow/loader"
	"winnow/loader/loadertest"
)

const cifarCase = 3 // records of each file

// cifarPixels are the pixels of record i of a file.
func cifarPixels(file, i int) []byte {
	p := count(3 * cifarSide * cifarSide)
	p[0], p[1] = byte(file), byte(i)
	return p
}

// writeCIFAR writes the files of a set; a fine label is file*10+i, so below 100.
func writeCIFAR(set *cifarSet) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		for k, name := range append(append([]string{}, set.train...), set.test...) {
			var b bytes.Buffer
			for i := range cifarCase {
				if set.labels == 2 {
					b.WriteByte(19) // the coarse label
				}
				b.WriteByte(byte(k + i))
				b.Write(cifarPixels(k, i))
			}
			if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return ":" + dir
	}
}

func cifarWant(set *cifarSet) func(testing.TB) loadertest.Want {
	return func(testing.TB) (w loadertest.Want) {
		for k := range set.train {
			for i := range cifarCase {
				w.Labels = append(w.Labels, int64(k+i))
				w.Images = append(w.Images, cifarPixels(k, i))
			}
		}
		return w
	}
}

func TestCIFAR(t *testing.T) {
	dir := t.TempDir()
	spec := "cifar10" + writeCIFAR(&cifar10)(t, dir)
	if d := open(t, spec); d.ClassNames[3] != "cat" || d.Test.Len() != cifarCase {
		t.Errorf("classes %q, %d test samples", d.ClassNames, d.Test.Len())
	}
	names := []byte("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n")
	if err := os.WriteFile(filepath.Join(dir, "batches.meta.txt"), names, 0o644); err != nil {
		t.Fatal(err)
	}
	if d := open(t, spec); d.ClassNames[3] != "d" {
		t.Errorf("classes %q", d.ClassNames)
	}
	batch := filepath.Join(dir, "data_batch_2.bin")
	if err := os.WriteFile(batch, bytes.Repeat([]byte{10}, 3073), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, spec, loader.ErrBadData, "label 10 of record 0")
	if err := os.Truncate(batch, 3000); err != nil {
		t.Fatal(err)
	}
	refused(t, spec, loader.ErrBadData, "3000 bytes: want records of 3073")
	if err := os.Rename(batch, filepath.Join(dir, "data_batch_1")); err != nil {
		t.Fatal(err)
	}
	refused(t, spec, ErrMissing, "version for Python")
}
