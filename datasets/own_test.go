package datasets

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader"
)

// ownFolder writes images of one byte with the labels, the last of them the test's.
func ownFolder(t *testing.T, dir string, labels ...byte) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n := len(labels) - 1
	for name, data := range map[string][]byte{
		trainImages: idxBytes(make([]byte, n), n, 1, 1), trainLabels: idxBytes(labels[:n], n),
		testImages: idxBytes(make([]byte, 1), 1, 1, 1), testLabels: idxBytes(labels[n:], 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestClassesOfOnesOwn(t *testing.T) {
	root := t.TempDir()
	five := ownFolder(t, filepath.Join(root, "five"), 0, 4, 1, 3)
	last := ownFolder(t, filepath.Join(root, "last"), 0, 1, 6)
	letters := ownFolder(t, filepath.Join(root, "letters"), 1, 26, 2, 26)
	comma := ownFolder(t, filepath.Join(root, `odd "name",classes=3`), 0, 1, 1)
	quoted := `"` + strings.ReplaceAll(comma, `"`, `""`) + `"`
	for _, c := range []struct {
		spec    string
		classes int
		first   int64 // the label of the first training sample
	}{
		{five, 5, 0}, {five + ",classes=7", 7, 0}, {last, 7, 0}, {letters, 27, 1}, {letters + ",label-offset=1", 26, 0},
		{letters + ",label-offset=1,classes=40", 40, 0}, {quoted, 2, 0}, {quoted + ",classes=4", 4, 0}, {"classes=4," + quoted, 4, 0},
	} {
		d, err := Open("mnist:"+c.spec, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		if label := d.Train.Target(0).Class(); len(d.ClassNames) != c.classes || len(loader.ClassesOf(d.Test)) != c.classes || label != c.first {
			t.Errorf("%s: %d classes, the first label %d", c.spec, len(d.ClassNames), label)
		}
		d.Close()
	}
	for spec, want := range map[string]error{
		five + ",classes=4": loader.ErrBadData, letters + ",label-offset=2": loader.ErrBadData, five + ",classes=0": ErrSpec,
		five + ",classes=257": ErrSpec, five + ",label-offset=-1": ErrSpec, `"` + five: ErrSpec, `"` + five + `"x`: ErrSpec,
		letters + ",label-offset=1,classes=256": ErrSpec,
	} {
		d, err := Open("mnist:"+spec, Options{})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", spec, err)
		}
		if d != nil {
			d.Close()
		}
	}
}

// TestTransposed: pixel (y, x) is the stored one of (x, y).
func TestTransposed(t *testing.T) {
	dir := t.TempDir()
	spec := "idx" + writeIDXCase(t, dir)
	stored, _ := readAll(t, open(t, spec).Train, 2)
	d := open(t, spec+",transpose=yes")
	if c, h, w := loader.ShapeOf(d.Train); c != 1 || h != 6 || w != 4 {
		t.Fatalf("%dx%dx%d", c, h, w)
	}
	got, _ := readAll(t, d.Train, 2)
	for i := range 2 {
		for y := range 6 {
			for x := range 4 {
				if got[i*24+y*4+x] != stored[i*24+x*6+y] {
					t.Fatalf("pixel %d,%d of sample %d", y, x, i)
				}
			}
		}
	}
}
