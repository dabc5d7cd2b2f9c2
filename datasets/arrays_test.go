package datasets

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/loader/loadertest"
)

// arrayImage is image i of testdata/arrays.py as planes.
func arrayImage(i, c int) []byte {
	const h, w = 5, 4
	out := make([]byte, 0, c*h*w)
	for k := range c {
		for y := range h {
			for x := range w {
				out = append(out, byte((i*31+y*7+x*3+k*50)%256))
			}
		}
	}
	return out
}

func arrayWant(c int) func(testing.TB) loadertest.Want {
	return func(testing.TB) (w loadertest.Want) {
		for i := range 12 {
			w.Labels = append(w.Labels, int64(i*2%5))
			w.Images = append(w.Images, arrayImage(i, c))
		}
		return w
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeNpzCase(t *testing.T, dir string) string {
	path := filepath.Join(dir, "set") // content tells, not the name
	copyFile(t, "testdata/medmnist.npz", path)
	return ":" + path
}

// unzip lays the members of an npz file in a folder.
func unzip(t *testing.T, file, dir string) {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func writeNpyCase(t *testing.T, dir string) string {
	unzip(t, "testdata/keras.npz", dir)
	return ":" + dir
}

func TestArraysOfEachForm(t *testing.T) {
	d := open(t, "npz:testdata/medmnist.npz")
	images, labels := readAll(t, d.Test, d.Test.Len())
	if len(labels) != 4 || !bytes.Equal(images[:60], arrayImage(100, 3)) || labels[1] != 2 || len(d.ClassNames) != 5 {
		t.Errorf("evaluation: labels %v, %d classes", labels, len(d.ClassNames))
	}
	d = open(t, "npz:testdata/floats.npz,val=0.3")
	all := map[string]int64{}
	for i := range 12 {
		all[string(arrayImage(i, 3))] = int64(i * 2 % 5)
	}
	count := 0
	for _, r := range []loader.Records{d.Train, d.Test} {
		images, labels := readAll(t, r, r.Len())
		for k, label := range labels {
			want, ok := all[string(images[k*60:][:60])]
			if !ok || want != label {
				t.Fatalf("image %d of %s: label %d", k, loader.NameOf(r), label)
			}
			count++
		}
	}
	if count != 12 {
		t.Errorf("%d samples", count)
	}
	if c, h, w := loader.ShapeOf(open(t, "npz:testdata/open.npz,layout=nchw").Train); c != 3 || h != 4 || w != 3 {
		t.Errorf("layout=nchw: %dx%dx%d", c, h, w)
	}
}

func TestBadArrays(t *testing.T) {
	for spec, text := range map[string]string{
		"npz:testdata/fortran.npz":                             "Fortran order",
		"npz:testdata/open.npz":                                "layout=nhwc",
		"npz:testdata/objects.npz":                             "elements of type",
		"npz:testdata/keras.npz,images=x_train":                "images=NAME,labels=NAME",
		"npz:testdata/keras.npz,images=a,labels=b":             `array "b"`,
		"npz:testdata/glyphs.sha256":                           "not a valid zip",
		"npz:testdata":                                         "not a regular file",
		"npy:testdata":                                         "no arrays of images",
		"npz:testdata/keras.npz,images=x_train,labels=x_train": "a class for each image",
	} {
		refused(t, spec, loader.ErrBadData, text)
	}
	dir := t.TempDir()
	unzip(t, "testdata/keras.npz", dir)
	if err := os.Truncate(filepath.Join(dir, "x_train.npy"), 200); err != nil {
		t.Fatal(err)
	}
	refused(t, "npy:"+dir, loader.ErrBadData, "the file has")
	data, err := os.ReadFile("testdata/keras.npz")
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, []byte("NUMPY"))+200]++
	cut := filepath.Join(dir, "damaged.npz")
	if err := os.WriteFile(cut, data, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, "npz:"+cut, loader.ErrBadData, "checksum")
}

func FuzzNpy(f *testing.F) {
	for _, name := range []string{"keras.npz", "floats.npz", "fortran.npz", "objects.npz"} {
		z, err := zip.OpenReader("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		for _, m := range z.File {
			r, err := m.Open()
			if err != nil {
				f.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
		z.Close()
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseNpy(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, loader.ErrBadData) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		a.blob = blob{data: data}
		if _, err := a.classes(); err != nil && !errors.Is(err, loader.ErrBadData) {
			t.Error(err)
		}
		r := &rawSet{parts: []rawPart{{blob: a.blob, start: a.start}}}
		if r.takeImages(a, "auto") == nil {
			r.labels = make([]int32, a.shape[0])
			if err := r.Read(uint32(a.shape[0]-1), new(loader.Record)); err != nil {
				t.Error(err)
			}
		}
	})
}
