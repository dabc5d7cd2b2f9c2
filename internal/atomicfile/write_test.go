package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// list names what a folder holds.
func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, want := range []string{"one", "two"} {
		if err := WriteBytes(path, []byte(want)); err != nil || text(t, path) != want {
			t.Errorf("%v, holds %q", err, text(t, path))
		}
	}
	broken := errors.New("broken")
	err := Write(path, func(w io.Writer) error {
		_, err := w.Write([]byte("half"))
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) || text(t, path) != "two" {
		t.Errorf("%v, holds %q", err, text(t, path))
	}
	if names := list(t, dir); !slices.Equal(names, []string{"f"}) {
		t.Errorf("left behind: %v", names)
	}
}

func TestWriteKeepsLinks(t *testing.T) {
	dir := t.TempDir()
	far, near := put(t, filepath.Join(dir, "far", "f"), "old"), filepath.Join(dir, "near")
	for _, to := range []string{far, filepath.Join("far", "f"), filepath.Join("far", "new")} {
		if err := os.Symlink(to, near); err != nil {
			t.Fatal(err)
		}
		if err := WriteBytes(near, []byte(to)); err != nil {
			t.Fatal(err)
		}
		if link, err := os.Readlink(near); err != nil || link != to || text(t, near) != to {
			t.Errorf("%q: the link is %q, %v, and leads to %q", to, link, err, text(t, near))
		}
		if err := os.Remove(near); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("near", near); err != nil {
		t.Fatal(err)
	}
	if err := WriteBytes(near, nil); err == nil {
		t.Error("a link to itself is written")
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	fixed := put(t, filepath.Join(dir, "fixed"), "kept")
	if err := os.Chmod(fixed, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := WriteBytes(folder, nil); err == nil {
		t.Error("a folder is replaced")
	}
	if err := WriteBytes(os.DevNull, nil); err == nil {
		t.Error("a device is replaced")
	}
	if err := WriteBytes(fixed, nil); !errors.Is(err, fs.ErrPermission) || text(t, fixed) != "kept" {
		t.Errorf("a read-only file: %v, holds %q", err, text(t, fixed))
	}
}

// What a dead process left is removed with the next file of that name; what a
// living one writes, and what only looks like it, stays.
func TestLeftOver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	put(t, filepath.Join(dir, ".f.winnow-0123456789abcdef"), "dead")
	others := []string{".f.winnow-0123", ".f.winnow-0123456789abcdeg", ".g.winnow-0123456789abcdef"}
	for _, name := range others {
		put(t, filepath.Join(dir, name), "other")
	}
	err := Write(path, func(io.Writer) error { return WriteBytes(path, []byte("inner")) }) // while the outer one is open
	if err != nil {
		t.Fatal(err)
	}
	if names := list(t, dir); !slices.Equal(names, append(others, "f")) {
		t.Errorf("the folder holds %v", names)
	}
}
