package datasets

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader"
)

// TestHabits: data as people have it works, or is refused with the way out.
func TestHabits(t *testing.T) {
	ownCache(t)
	write := func(dir, name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	loose := tree(t, "train/a/1.png", "train/b/1.png", "val/1.png", "val/2.png")
	refused(t, loose, loader.ErrBadData, `"val/1.png", have no class: list them in a table`)
	refused(t, tree(t, "1.png", "2.png"), ErrSpec, `"1.png" lie in no folder of a class`)
	refused(t, filepath.Join(loose, "val/1.png"), ErrSpec, "one image: give the folder")
	refused(t, write(t.TempDir(), "list.txt", "a 1\nb 2\n"), ErrSpec, "a list: give it a first line")

	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.Create("a/1.png"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	packed := write(t.TempDir(), "photos.zip", b.String())
	for _, spec := range []string{packed, "folder:" + packed} {
		refused(t, spec, nil, "a zip archive: unpack it, and give the folder")
	}
	arrow := t.TempDir()
	write(arrow, "train/data-00000-of-00001.arrow", "\xff\xff\xff\xff")
	for _, spec := range []string{arrow, arrow + "/train", "parquet:" + arrow} {
		refused(t, spec, nil, "to_parquet")
	}
	links := t.TempDir()
	if err := os.Symlink(filepath.Join(loose, "train/a"), filepath.Join(links, "a")); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{links, "folder:" + links} {
		refused(t, spec, nil, "csv:FILE,root=/")
	}

	// What systems leave beside images, and formats that are not read.
	mixed := tree(t, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "__MACOSX/a/._1.png", "a/._1.png", ".DS_Store")
	write(mixed, "a/Thumbs.db", "\xd0\xcf\x11\xe0")
	write(mixed, "a/3.heic", "\x00\x00\x00\x18ftypheic")
	write(mixed, "a/4", "\x00\x00\x00\x20ftypavif")
	d := open(t, mixed)
	if n := d.Train.Len() + d.Test.Len(); n != 4 || len(d.ClassNames) != 2 {
		t.Errorf("%d images of %q", n, d.ClassNames)
	}
	noted(t, d, "left out 2 images of formats that are not read", `"a/4" (AVIF)`)
	noted(t, d, "left out 1 files that are no images")
	write(mixed, "c/1.heic", "\x00\x00\x00\x18ftypmif1")
	refused(t, "folder:"+mixed, loader.ErrBadData, `class folder "c" holds no image of a format that is read: "c/1.heic" (HEIC); convert`)
	noted(t, open(t, tree(t, "photos/a/1.png", "photos/b/1.png")), `there is one class, "photos"`)
	refused(t, write(t.TempDir(), "x.jpg", "\xff\x0a0000000000"), ErrSpec, "JPEG XL is not read")
}

// noted holds that one note of a data set has the texts.
func noted(t *testing.T, d *Dataset, texts ...string) {
	t.Helper()
notes:
	for _, note := range d.Notes {
		for _, text := range texts {
			if !strings.Contains(note, text) {
				continue notes
			}
		}
		return
	}
	t.Errorf("no note %q among %q", texts, d.Notes)
}

// TestManifestHabits: separators, names of columns, paths and numbers as others write them.
func TestManifestHabits(t *testing.T) {
	dir := tree(t, "im/0.png", "im/1.png", "im/2.png", "im/3.png")
	spec := func(ending, text string) string {
		t.Helper()
		path := filepath.Join(dir, "list"+ending)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return "csv:" + path + ",val=0.5"
	}
	rows := func(text string) string { return strings.ReplaceAll(text, "DIR", dir) }
	for name, c := range map[string]struct{ ending, text, settings string }{
		"semicolons":        {".csv", "path;label\nim/0.png;a\nim/1.png;a\nim/2.png;b\nim/3.png;b\n", ""},
		"tabs":              {".tsv", "path\tlabel\nim/0.png\ta\nim/1.png\ta\nim/2.png\tb\nim/3.png\tb\n", ""},
		"capitals":          {".csv", "FileName,Label\nim/0.png,a\nim/1.png,a\nim/2.png,b\nim/3.png,b\n", ""},
		"ids":               {".csv", "id,breed\n0,a\n1,a\n2,b\n3,b\n", ",label=breed,root=" + filepath.Join(dir, "im")},
		"backslashes":       {".csv", "path,label\nim\\0.png,a\nim\\1.png,a\nim\\2.png,b\nim\\3.png,b\n", ""},
		"absolute":          {".csv", rows("path,label\nDIR/im/0.png,a\nDIR/im/1.png,a\nDIR/im/2.png,b\nDIR/im/3.png,b\n"), ""},
		"absolute, of root": {".csv", rows("path,label\nDIR/im/0.png,a\nDIR/im/1.png,a\nDIR/im/2.png,b\nDIR/im/3.png,b\n"), ",root=/"},
		"labels from 1":     {".csv", "path,label\nim/0.png,1\nim/1.png,1\nim/2.png,2\nim/3.png,2\n", ",label-offset=1"},
	} {
		d := open(t, spec(c.ending, c.text)+c.settings)
		if d.Train.Len() != 2 || d.Test.Len() != 2 || len(d.ClassNames) != 2 || d.Train.Target(0).Class() != 0 || d.Train.Target(1).Class() != 1 {
			t.Errorf("%s: %d and %d samples of %q", name, d.Train.Len(), d.Test.Len(), d.ClassNames)
		}
		if err := d.Train.Read(1, new(loader.Record)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	noted(t, open(t, spec(".csv", "id,label\nim/0,1\nim/1,1\nim/2,2\n")), "label-offset=1")
	noted(t, open(t, spec(".csv", "id,label\nim/0,1\nim/1,1\nim/2,2\n")), ".png is added")
	refused(t, spec(".csv", "im/0.png,1\nim/1.png,1\n"), loader.ErrBadData, `there are ["im/0.png" "1"]`)
	refused(t, spec(".csv", "\xff\xfep\x00"), loader.ErrBadData, "UTF-16: save it as UTF-8")
	refused(t, spec(".csv", "path,label\n/etc/passwd,1\n"), loader.ErrBadData, "root=/")
	refused(t, spec(".csv", "path,label\nim/0.png,1\nim/1.png,2\n")+",label-offset=2", loader.ErrBadData, "label 1 is below label-offset=2")
	refused(t, spec(".csv", "path,label\nim/0.png,a\nim/1.png,b\n")+",label-offset=1", ErrSpec, "the labels are names")
}

// TestTarImages: of several images of a sample one is taken by name.
func TestTarImages(t *testing.T) {
	ownCache(t)
	var members []member
	for _, key := range []string{"0", "1", "2", "3"} {
		members = append(members, member{key + ".input.png", picture(t, "png", 1)}, member{key + ".target.png", picture(t, "png", 2)}, member{key + ".cls", []byte("1")})
	}
	path := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(path, tarBytes(t, members...), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, path, loader.ErrBadData, "a member .input.png: image=ENDING")
	for k, ending := range []string{"input.png", "target.png"} {
		var r loader.Record
		d := open(t, "tar:"+path+",val=0.5,image="+ending)
		if err := d.Train.Read(0, &r); err != nil || !bytes.Equal(r.Data, picture(t, "png", k+1)) {
			t.Errorf("%s: %v, another image", ending, err)
		}
	}
	two := tarBytes(t, member{"a.png", picture(t, "png", 1)}, member{"a.jpg", picture(t, "jpg", 1)}, member{"a.cls", []byte("1")})
	if err := os.WriteFile(path, two, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, path, loader.ErrBadData, "a second image of the sample: image=jpg")
	folders := tarBytes(t, member{"cat/a.png", picture(t, "png", 1)})
	if err := os.WriteFile(path, folders, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, path, loader.ErrBadData, "is unpacked, and read with folder:DIR")
}
