package datasets

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/loader/raster"
)

// checkedFolder is a folder of images with one of each thing that Check finds.
func checkedFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	raster := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("../loader/raster/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, data := range map[string][]byte{
		"train/a/1.jpg": raster("jpeg444.jpg"), "train/a/2.jpg": raster("jpeg420.jpg"), "train/a/3.jpg": raster("orientation6.jpg"),
		"train/a/cut.jpg": raster("jpeg422.jpg")[:400], "train/b/1.png": raster("rgb.png"), "train/b/2.jpg": raster("jpeg444.jpg"),
		"val/a/1.jpg": raster("jpeg420.jpg"), "val/a/2.jpg": raster("jpeg420.jpg"), "val/b/text.png": []byte("no image"), "val/b/1.gif": raster("still.gif"),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheck(t *testing.T) {
	d := open(t, "folder:"+checkedFolder(t))
	var first *Findings
	for _, workers := range []int{1, 4} {
		calls, last := 0, 0
		f, err := Check(t.Context(), d, raster.Decoder{}, workers, DefaultNear, func(done, total int) {
			if calls++; total != 10 {
				t.Errorf("%d in all", total)
			}
			last = max(last, done)
		})
		if err != nil || calls != 10 || last != 10 {
			t.Fatalf("%d calls, the last at %d: %v", calls, last, err)
		}
		var bad []string
		for _, b := range f.Bad {
			bad = append(bad, b.Where)
			if b.Reason == "" {
				t.Errorf("%s without a reason", b.Where)
			}
		}
		if want := []string{"train/a/cut.jpg", "val/b/text.png"}; !reflect.DeepEqual(bad, want) {
			t.Errorf("bad are %v: want %v", bad, want)
		}
		var groups [][]string
		for _, g := range f.Duplicates {
			var names []string
			for _, s := range g {
				names = append(names, s.Where)
			}
			groups = append(groups, names)
		}
		if want := [][]string{{"train/a/1.jpg", "train/b/2.jpg"}, {"train/a/2.jpg", "val/a/1.jpg", "val/a/2.jpg"}}; !reflect.DeepEqual(groups, want) {
			t.Errorf("duplicates are %v: want %v", groups, want)
		}
		var near [][]string
		for _, g := range f.Near {
			var names []string
			for _, s := range g {
				names = append(names, s.Where)
			}
			near = append(near, names)
		}
		// The same picture in several formats and qualities, across the splits and classes.
		if want := [][]string{{"train/a/1.jpg", "train/a/2.jpg", "train/b/1.png", "train/b/2.jpg", "val/a/1.jpg", "val/a/2.jpg", "val/b/1.gif"}}; !reflect.DeepEqual(near, want) || f.NearAcross != 1 || f.NearContrary != 1 || f.NearPartial {
			t.Errorf("near duplicates are %v, %d, %d: want %v", near, f.NearAcross, f.NearContrary, want)
		}
		if f.Samples != 10 || f.Across != 1 || f.Contrary != 1 || len(f.Outside) != 0 || !reflect.DeepEqual(f.Turned, map[int]int{6: 1}) {
			t.Errorf("%+v", f)
		}
		if first != nil && !reflect.DeepEqual(first, f) {
			t.Error("another number of workers finds other things")
		}
		first = f
	}
}

func TestCheckLabelsAndEnds(t *testing.T) {
	d := open(t, "glyphs:train=20,test=10")
	d.ClassNames = d.ClassNames[:9] // the tenth label is no class then
	f, err := Check(t.Context(), d, raster.Decoder{}, 0, DefaultNear, nil)
	if err != nil || len(f.Outside) != 3 || len(f.Bad)+len(f.Duplicates) != 0 {
		t.Errorf("%+v: %v", f, err)
	}
	for _, s := range f.Outside {
		if s.Label != 9 {
			t.Errorf("label %d", s.Label)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ctx, d, raster.Decoder{}, 2, DefaultNear, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDescribeFiles(t *testing.T) {
	dir := checkedFolder(t)
	if _, err := Describe(t.Context(), open(t, "folder:"+dir), raster.Decoder{}, 0); !errors.Is(err, loader.ErrBadData) {
		t.Errorf("a bad file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "train/a/cut.jpg")); err != nil {
		t.Fatal(err)
	}
	r, err := Describe(t.Context(), open(t, "folder:"+dir), raster.Decoder{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.TrainCounts, []int{3, 2}) || r.Imbalance != 1.5 || r.Sampled != 5 || len(r.Mean) != 3 ||
		r.Smallest != (Size{4, 8}) || r.Largest != (Size{17, 21}) || r.Median != (Size{17, 21}) {
		t.Errorf("%+v", r)
	}
}

// Masks are read with their images: one that is no image, or of another size,
// is a bad sample.
func TestCheckMasks(t *testing.T) {
	dir := t.TempDir()
	of := func(h, w int) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, data := range map[string][]byte{
		"images/train/a.png": of(4, 6), "masks/train/a.png": of(4, 6), "images/train/b.png": of(4, 6), "masks/train/b.png": of(6, 4),
		"images/train/c.png": of(4, 6), "masks/train/c.png": []byte("\x89PNG\r\n"), "images/val/d.png": of(4, 6), "masks/val/d.png": of(4, 6),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Check(t.Context(), open(t, "pairs:"+dir), raster.Decoder{}, 1, -1, nil)
	if err != nil || len(f.Bad) != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
	for i, want := range []string{`mask "masks/train/b.png": bad data: a mask of 6x4 on an image of 4x6`, `mask "masks/train/c.png": bad data: a mask that cannot be read`} {
		if !strings.HasPrefix(f.Bad[i].Reason, want) {
			t.Errorf("%q, want %q", f.Bad[i].Reason, want)
		}
	}
}
