package datasets

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// FuzzBuiltCache: a cache built of an archive's bytes, in one go or in two, is
// one file that opens, and what cannot be unpacked leaves none.
func FuzzBuiltCache(f *testing.F) {
	f.Add(shard(f, 0, 4), false, 2)
	f.Add(gz(shard(f, 0, 3)), false, 1)
	for _, name := range []string{"plain", "lists", "train-00000-of-00001"} {
		data, err := os.ReadFile("testdata/" + name + ".parquet")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, true, 1)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, parquet bool, stop int) {
		source, cache := filepath.Join(dir, "source"), filepath.Join(dir, "cache")
		if err := errors.Join(os.RemoveAll(cache), os.WriteFile(source, data, 0o644)); err != nil {
			t.Fatal(err)
		}
		unpack := new(tarOptions).unpack
		if parquet {
			unpack = func(f *os.File, size int64, skip int, add func([]byte, string) error) ([]string, error) {
				return new(parquetOptions).rows(f, size, skip, add)
			}
		}
		const most = 1000 // a column of nothing may say that it has many rows
		build := func(stop int, why error) (*cachedShard, error) {
			return openShard(cache, source, "x", &shardOptions{unpack: func(f *os.File, size int64, skip int, add func([]byte, string) error) ([]string, error) {
				n := 0
				return unpack(f, size, skip, func(image []byte, label string) error {
					if n++; n > stop {
						return why
					}
					return add(image, label)
				})
			}})
		}
		first, err := build(most, loader.ErrBadData)
		if err != nil {
			if !errors.Is(err, loader.ErrBadData) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			if left, _ := os.ReadDir(cache); len(left) > 0 {
				t.Errorf("%v, and left are %v", err, left)
			}
			return
		}
		path := filepath.Join(cache, first.meta.key())
		for i := range uint32(first.n) {
			set := &shardedSet{}
			set.add(first)
			if err := set.Read(i, new(loader.Record)); err != nil {
				t.Errorf("image %d: %v", i, err)
			}
		}
		want, err := os.ReadFile(path)
		if err := errors.Join(err, first.close(), os.Remove(path)); err != nil {
			t.Fatal(err)
		}
		if s, err := build(stop, context.Canceled); err == nil {
			_ = s.close() // it was not interrupted
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted after %d: %v", stop, err)
		}
		second, err := build(most, loader.ErrBadData)
		if err != nil {
			t.Fatalf("after an interruption at %d: %v", stop, err)
		}
		got, err := os.ReadFile(path)
		if err := errors.Join(err, second.close()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("built in two goes, after %d, it differs: %v", stop, err)
		}
	})
}

// FuzzFolder: whatever a folder holds, it gives images of its classes below
// itself, or an error of one line.
func FuzzFolder(f *testing.F) {
	f.Add([]byte("\x01\x05cat/a\x01\x05dog/b\x02\x05dog/c\x06../dog\x00\x04bird"))
	f.Add([]byte("\x01\x0atrain/ca/a\x01\x0atrain/ca/b\x01\x08val/ca/a\x02\x06train/\x01."))
	f.Add([]byte("\x01\x04a/\xff.\x03\x08a/x.jpeg\x02\x03a/l\x09../../../x\x01\x08__M/._jp"))
	jpeg, png := picture(f, "jpg", 1), picture(f, "png", 2)
	outside := f.TempDir() // what no link may reach
	if err := os.WriteFile(filepath.Join(outside, "x"), jpeg, 0o644); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		dir := filepath.Join(outside, "a", "folder")
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
		writeTree(dir, program, jpeg, png)
		for _, settings := range []string{"", ",val=0.5", ",eval=val"} {
			d, err := Open("folder:"+dir+settings, Options{})
			if err != nil {
				if !errors.Is(err, loader.ErrBadData) && !errors.Is(err, ErrSpec) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%q", err)
				}
				continue
			}
			for _, r := range []loader.Records{d.Train, d.Test} {
				checkFolder(t, dir, d.ClassNames, r)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// writeTree does what a program says: an operation, and a name behind its length;
// a link has its target behind the name. What the system refuses is left out.
func writeTree(dir string, program, jpeg, png []byte) {
	take := func() string {
		if len(program) == 0 {
			return ""
		}
		n := min(int(program[0]), len(program)-1)
		text := string(program[1 : 1+n])
		program = program[1+n:]
		return text
	}
	for range 200 {
		if len(program) == 0 {
			return
		}
		op := program[0]
		program = program[1:]
		name := take()
		if !filepath.IsLocal(name) {
			continue
		}
		at := filepath.Join(dir, name)
		if root, err := os.OpenRoot(dir); err == nil { // not through links
			_ = root.MkdirAll(filepath.Dir(name), 0o755)
			switch op % 6 {
			case 0:
				_ = root.MkdirAll(name, 0o755)
			case 1:
				_ = root.WriteFile(name, jpeg, 0o644)
			case 2:
				_ = os.Symlink(take(), at)
			case 3:
				_ = root.WriteFile(name, png, 0o644)
			case 4:
				_ = root.WriteFile(name, []byte(take()), 0o644)
			case 5:
				_ = root.WriteFile(name, nil, 0o644)
			}
			_ = root.Close()
		}
	}
}

// checkFolder holds each sample of records against the file that it names.
func checkFolder(t *testing.T, dir string, classes []string, r loader.Records) {
	t.Helper()
	if r.Len() == 0 {
		t.Errorf("%s has no samples", loader.NameOf(r))
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(r.Len()) {
		where, class := r.(loader.Located).Where(i), r.Target(i).Class()
		if class < 0 || class >= int64(len(classes)) || !slices.Contains(strings.Split(where, "/"), classes[class]) {
			t.Fatalf("%q is of class %d of %q", where, class, classes)
		}
		at, err := filepath.EvalSymlinks(filepath.Join(dir, where))
		if err != nil || !strings.HasPrefix(at, real+"/") {
			t.Fatalf("%q leads to %q: %v", where, at, err)
		}
		want, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		var got loader.Record
		if err := r.Read(i, &got); err == nil && !bytes.Equal(got.Data, want) || err != nil && !errors.Is(err, loader.ErrBadData) {
			t.Fatalf("%q: %v, %d bytes of %d", where, err, len(got.Data), len(want))
		}
	}
}
