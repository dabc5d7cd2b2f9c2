package datasets

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader"
)

// masks writes masks of 3x2 pixels with the values, 0 and the last.
func masks(t *testing.T, dir string, value byte, names ...string) {
	t.Helper()
	for _, name := range names {
		m := image.NewGray(image.Rect(0, 0, 3, 2))
		m.SetGray(1, 1, color.Gray{Y: value})
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func located(t *testing.T, r loader.Records) (names []string) {
	t.Helper()
	var x loader.Record
	for i := range uint32(r.Len()) {
		if err := r.(loader.Targeted).ReadTarget(i, 0, &x); err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.ToSlash(r.(loader.Located).Where(i))+"="+string(x.From))
	}
	return names
}

// Pairs are found in the folders that people have.
func TestLayoutsOfPairs(t *testing.T) {
	voc := tree(t, "JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/c.jpg", "JPEGImages/d.jpg")
	masks(t, voc, 2, "SegmentationClass/a.png", "SegmentationClass/b.png", "SegmentationClass/c.png")
	for name, text := range map[string]string{"train": "a\nc\n", "val": "b\r\n", "trainval": "a\nb\nc\n"} {
		at := filepath.Join(voc, "ImageSets", "Segmentation", name+".txt")
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	above := tree(t, "train/images/a.png", "train/images/b.png", "valid/images/c.png")
	masks(t, above, 1, "train/masks/a.png", "train/masks/b.png", "valid/masks/c.png")
	carvana := tree(t, "imgs/x_1.jpg", "imgs/x_2.jpg")
	masks(t, carvana, 255, "masks/x_1_mask.png", "masks/x_2_mask.png", "masks/x_3_mask.png")
	for spec, want := range map[string]struct{ train, test, note string }{
		"pairs:" + voc:   {"JPEGImages/a.jpg=SegmentationClass/a.png JPEGImages/c.jpg=SegmentationClass/c.png", "JPEGImages/b.jpg=SegmentationClass/b.png", "as Pascal VOC has them, of the lists in ImageSets/Segmentation"},
		"pairs:" + above: {"train/images/a.png=train/masks/a.png train/images/b.png=train/masks/b.png", "valid/images/c.png=valid/masks/c.png", ""},
		"pairs:" + carvana + ",images=imgs,ending=_mask.png,val=0.5": {"", "", `the first without one is "masks/x_3_mask.png"; masks: the first have 0 and 255 alone`},
	} {
		d := open(t, spec)
		if got := strings.Join(located(t, d.Train), " "); want.train != "" && got != want.train {
			t.Errorf("%s: training on %s", spec, got)
		}
		if got := strings.Join(located(t, d.Test), " "); want.test != "" && got != want.test {
			t.Errorf("%s: evaluation on %s", spec, got)
		}
		if got := strings.Join(d.Notes, "; "); !strings.Contains(got, want.note) || want.note == "" && got != "" {
			t.Errorf("%s: notes %q, want %q", spec, got, want.note)
		}
	}
	if d := open(t, "pairs:"+carvana+",images=imgs,ending=_mask.png,val=0.5,foreground=255"); strings.Contains(strings.Join(d.Notes, " "), "255 alone") || d.Train.(loader.Targeted).Targets()[0].Foreground != 255 {
		t.Errorf("foreground=255: notes %q", d.Notes)
	}
}

// What does not fit is said with what would.
func TestBadPairs(t *testing.T) {
	named := tree(t, "images/a.jpg")
	masks(t, named, 1, "masks/a_L.png")
	lossy := tree(t, "images/[a].jpg", "masks/[a].jpg")
	listed := tree(t, "images/a.jpg")
	masks(t, listed, 1, "masks/a.png")
	for name, text := range map[string]string{"lists/train.txt": "a\nnone\n", "twice/train.txt": "a\n", "twice/val.txt": "a\n"} {
		at := filepath.Join(listed, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	other := tree(t, "photos/a.jpg", "labels/a.jpg")
	for spec, want := range map[string]string{
		"pairs:" + named:                   `image "images/a.jpg" has no mask "masks/a.png": no such file or directory; "a_L.png" is there: ending=_L.png takes it`,
		"pairs:" + lossy:                   `"[a].jpg" is there, and JPEG changes a mask's values`,
		"pairs:" + listed + ",lists=lists": `train.txt has "none", and there is no such image`,
		"pairs:" + listed + ",lists=twice": `"a" stands in train.txt too`,
		"pairs:" + listed + ",lists=none":  `no train.txt or val.txt in "none"`,
		"pairs:" + other:                   `no folder "images"; there are ["labels" "photos"]: images=NAME,masks=NAME`,
	} {
		refused(t, spec, loader.ErrBadData, want)
	}
}

// Labels of a cell are apart by what the lines have, and a note says what it is.
func TestLabelsApart(t *testing.T) {
	dir := tree(t, "a.png", "b.png", "c.png")
	for cells, want := range map[[2]string]struct{ options, names, note string }{
		{`"cat|dog, brown"`, `"dog, brown"`}: {"", "cat,dog, brown", ""},
		{"cat;dog", " dog ;"}:                {"", "cat,dog", `apart by a semicolon, as in "cat;dog"`},
		{`"cat,dog"`, "dog"}:                 {"", "cat,dog", "apart by a comma"},
		{`"cat,dog"`, "ant"}:                 {",between=bar", "ant,cat,dog", ""},
		{"cat dog", "dog"}:                   {",between=space", "cat,dog", ""},
		{"cat dog", "dog"[:2]}:               {"", "cat dog,do", ""},
	} {
		path := filepath.Join(dir, "list.csv")
		if err := os.WriteFile(path, []byte("path,split,tags\na.png,train,"+cells[0]+"\nb.png,val,"+cells[1]+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		d := open(t, "csv:"+path+",labels=tags"+want.options)
		if got := strings.Join(d.ClassNames, ","); got != want.names {
			t.Errorf("%q: labels %q, want %q", cells, got, want.names)
		}
		if got := strings.Join(d.Notes, ";"); !strings.Contains(got, want.note) || want.note == "" && got != "" {
			t.Errorf("%q: notes %q, want %q", cells, got, want.note)
		}
	}
	path := filepath.Join(dir, "list.jsonl")
	if err := os.WriteFile(path, []byte(`{"path": "a.png", "split": "train", "tags": ["a;b", "c|d"]}`+"\n"+`{"path": "b.png", "split": "val", "tags": ["e"]}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if d := open(t, "jsonl:"+path+",labels=tags"); strings.Join(d.ClassNames, ",") != "a;b,c|d,e" {
		t.Errorf("labels of lists: %q", d.ClassNames)
	}
}
