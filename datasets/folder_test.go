package datasets

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/loader/loadertest"
)

// picture is an image file of one colour and k rows.
func picture(t testing.TB, kind string, k int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 5, k+1))
	for i := range m.Pix {
		if m.Pix[i] = byte(40*k + 20); i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	m.Set(1, 0, color.White)
	var b bytes.Buffer
	var err error
	if kind == "png" {
		err = png.Encode(&b, m)
	} else {
		err = jpeg.Encode(&b, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree writes files below a new folder; an empty one is a picture.
func tree(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range names {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, picture(t, "png", i%5), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeFolderCase(t *testing.T, dir string) string {
	for i, name := range folderCaseNames {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, folderCaseFile(t, i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return ":" + dir
}

// folderCaseNames are the training files in order, then those of evaluation.
var folderCaseNames = []string{"train/a/1.PNG", "train/a/deep/er/2.jpg", "train/a/z", "train/b c/1.jpeg", "val/a/1.png", "val/b c/2.png"}

func folderCaseFile(t testing.TB, i int) []byte {
	return picture(t, []string{"jpg", "png"}[i%2], i) // not what the name says
}

func folderWant(t testing.TB) (w loadertest.Want) {
	w.Labels = []int64{0, 0, 0, 1}
	for i := range w.Labels {
		w.Images = append(w.Images, folderCaseFile(t, i))
	}
	w.Allocations = 24 // a file is opened in each of the folders that lead to it
	return w
}

// names are the files of records, in order.
func names(r loader.Records) (list []string) {
	for i := range uint32(r.Len()) {
		list = append(list, fmt.Sprintf("%s=%d", r.(loader.Located).Where(i), r.Target(i).Class()))
	}
	return list
}

func TestFolderOfSplits(t *testing.T) {
	dir := tree(t, "train/cat/b.png", "train/cat/a.JPG", "train/dog/x/y.png", "train/dog/.hidden.png", "validation/dog/1.png", "test/cat/1.png")
	if err := os.WriteFile(filepath.Join(dir, "train", "cat", "notes.txt"), []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := open(t, "folder:"+dir)
	if got, want := names(d.Train), []string{"train/cat/a.JPG=0", "train/cat/b.png=0", "train/dog/x/y.png=1"}; !slices.Equal(got, want) {
		t.Errorf("training files %v, want %v", got, want)
	}
	if got, want := names(d.Test), []string{"validation/dog/1.png=1"}; !slices.Equal(got, want) {
		t.Errorf("evaluation files %v, want %v", got, want)
	}
	if got := names(open(t, "folder:"+dir+",eval=test").Test); !slices.Equal(got, []string{"test/cat/1.png=0"}) {
		t.Errorf("eval=test: %v", got)
	}
	if !slices.Equal(d.ClassNames, []string{"cat", "dog"}) || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "notes.txt") {
		t.Errorf("classes %q, notes %q", d.ClassNames, d.Notes)
	}
}

func TestFolderHeldBack(t *testing.T) {
	var files []string
	for class, n := range map[string]int{"a": 40, "b": 10, "c": 2, "d": 1} {
		for i := range n {
			files = append(files, fmt.Sprintf("%s/%02d.png", class, i))
		}
	}
	dir := tree(t, files...)
	split := func(spec string) (train, test []string) {
		d := open(t, "folder:"+dir+spec)
		return names(d.Train), names(d.Test)
	}
	train, test := split(",val=0.2")
	counts := map[string]int{}
	for _, name := range test {
		counts[name[:1]]++
		if slices.Contains(train, name) {
			t.Errorf("%s is in both splits", name)
		}
	}
	if len(train)+len(test) != 53 || counts["a"] != 8 || counts["b"] != 2 || counts["c"] != 1 || counts["d"] != 0 {
		t.Errorf("%d and %d files, held back by class: %v", len(train), len(test), counts)
	}
	if !slices.IsSorted(train) || !slices.IsSorted(test) {
		t.Error("not in the order of the names")
	}
	if _, again := split(",val=0.2"); !slices.Equal(test, again) {
		t.Error("the split does not repeat")
	}
	if _, other := split(",val=0.2,seed=1"); slices.Equal(test, other) {
		t.Error("another seed holds back the same")
	}
}

func TestFolderLinks(t *testing.T) {
	dir := tree(t, "a/1.png", "b/1.png", "elsewhere/x.png")
	outside := tree(t, "1.png")
	link := func(from, to string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	link("b/2.png", "../a/1.png")
	link("a/more", "../elsewhere")
	all := open(t, "folder:"+dir+",val=0.4")
	if got := append(names(all.Train), names(all.Test)...); len(got) != 5 {
		t.Errorf("files %v", got)
	}
	link("b/3.png", filepath.Join(outside, "1.png"))
	refused(t, "folder:"+dir, loader.ErrBadData, "b/3.png")
	os.Remove(filepath.Join(dir, "b/3.png"))
	link("b/up", "..")
	refused(t, "folder:"+dir, loader.ErrBadData, "in no circle")
}

// refused holds that a spec is refused in one line that has the text, with an error
// of a kind, nil for any.
func refused(t *testing.T, spec string, want error, text string) {
	t.Helper()
	d, err := Open(spec, Options{})
	if err == nil {
		d.Close()
	}
	if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: got %v, want %q", spec, err, text)
	}
}

func TestBadFolders(t *testing.T) {
	empty := t.TempDir()
	refused(t, "folder:"+empty, loader.ErrBadData, "no images in folders of classes")
	refused(t, "folder:"+filepath.Join(empty, "none"), os.ErrNotExist, "no such file")
	bare := tree(t, "a/1.png", "b/1.png")
	if err := os.Mkdir(filepath.Join(bare, "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	refused(t, "folder:"+bare, loader.ErrBadData, `class folder "c" holds no image`)
	refused(t, "folder:"+tree(t, "train/a/1.png", "train/b/1.png"), loader.ErrBadData, "no val, valid, validation, test to evaluate")
	refused(t, "folder:"+tree(t, "train/a/1.png", "val/z/1.png"), loader.ErrBadData, `class "z"`)
	refused(t, "folder:"+tree(t, "train/a/1.png", "val/a/1.png")+",val=0.1", ErrSpec, "has subfolders train and val")
	refused(t, "folder:"+tree(t, "a/1.png", "b/1.png"), loader.ErrBadData, "no class has two images")
	refused(t, "folder:"+tree(t, "a/1.png", "b\xff/1.png"), loader.ErrBadData, "not UTF-8")
	refused(t, "folder:"+filepath.Join(tree(t, "a/1.png"), "a", "1.png"), loader.ErrBadData, "not a folder")
	refused(t, "folder", ErrSpec, "no path")
	refused(t, "folder:x,val=1", ErrSpec, "above 0 and below 1")
}

// TestFolderThatChanges: a file that went or was cut is an error that names it.
func TestFolderThatChanges(t *testing.T) {
	dir := tree(t, "train/a/1.png", "train/a/2.png", "val/a/1.png")
	d := open(t, "folder:"+dir)
	pipeline := loader.Images{Channels: 3, Height: 4, Width: 4, Interpolation: "bilinear", CropPct: 1}
	transform, err := pipeline.Transform()
	if err != nil {
		t.Fatal(err)
	}
	src, err := loader.NewSource(d.Train, transform)
	if err != nil {
		t.Fatal(err)
	}
	read := func(i uint32) error { return src.Read(loader.Draw{Index: i}, new(loader.Scratch), make([]byte, 48)) }
	if err := os.Remove(filepath.Join(dir, "train/a/1.png")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "train/a/2.png"), 60); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{`("train/a/1.png"): bad data: no such file`, `("train/a/2.png"): bad data: bad image: `} {
		if err := read(uint32(i)); !errors.Is(err, loader.ErrBadData) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: want %s", err, text)
		}
	}
}
