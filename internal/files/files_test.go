package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"winnow/internal/missing"
)

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	pipe, plain := filepath.Join(dir, "pipe"), filepath.Join(dir, "plain")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		missing.Skip(t, "no named pipes here: %v", err)
	}
	if err := os.WriteFile(plain, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pipe", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"pipe", "link", "."} {
		if _, err := Read(filepath.Join(dir, name), 10); !errors.Is(err, ErrNotRegular) {
			t.Errorf("Read %s: %v", name, err)
		}
		if f, err := (FS{root}).Open(name); !errors.Is(err, ErrNotRegular) || f != nil {
			t.Errorf("FS %s: %v %v", name, f, err)
		}
	}
	if _, err := Read("/dev/zero", 10); !errors.Is(err, ErrNotRegular) {
		t.Errorf("a device: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "none"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if text, err := Read(plain, 10); err != nil || string(text) != "text" {
		t.Errorf("plain: %q, %v", text, err)
	}
	if _, err := Read(plain, 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}

// A pipe that takes the place of the file between looking and opening must not wait for a writer.
func TestAPipeThatComesLateDoesNotHang(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	swap := func(name string) (fs.FileInfo, error) {
		info, err := os.Stat(name)
		return info, errors.Join(err, os.Remove(name), syscall.Mkfifo(name, 0o600))
	}
	if _, _, err := open(path, swap, os.OpenFile); !errors.Is(err, ErrNotRegular) {
		t.Errorf("got %v", err)
	}
}
