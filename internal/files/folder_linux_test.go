package files

import (
	"os"
	"path/filepath"
	"testing"

	"winnow/internal/missing"
)

// TestFolderMakesNoGarbage where the kernel opens files below a folder.
func TestFolderMakesNoGarbage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name, buffer := []byte("file"), make([]byte, 5000)
	if fd, _, ok := openBeneath(f.dir, name); !ok {
		missing.Skip(t, "the kernel has no openat2")
	} else {
		closeBeneath(fd)
	}
	place := func(int64) ([]byte, error) { return buffer, nil }
	if n := testing.AllocsPerRun(100, func() {
		if err := f.ReadInto(name, place); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a file", n)
	}
}
