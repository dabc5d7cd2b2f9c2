package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFolderReadsWhatLiesInIt: by the kernel's rule and by os.Root's alike.
func TestFolderReadsWhatLiesInIt(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "in")
	long := strings.Repeat("0123456789", 20)
	deep := filepath.Join(long, long, long) // more than the buffer of a name
	if err := os.MkdirAll(filepath.Join(dir, deep), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out", "in/plain", "in/" + deep + "/plain", "in/empty"} {
		text := name
		if name == "in/empty" {
			text = ""
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"inside": "plain", "up": "../out", "absolute": filepath.Join(dir, "plain"), "circle": "circle", "back": long + "/../plain"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	slow := &Folder{Root: f.Root}
	for name, want := range map[string]string{
		"plain": "in/plain", "inside": "in/plain", "back": "in/plain", deep + "/plain": "in/" + deep + "/plain", "empty": "",
		"up": "-", "../out": "-", "absolute": "-", "circle": "-", "none": "-", "pipe": "-", ".": "-", "plain\x00": "-", dir + "/plain": "-",
	} {
		for way, f := range map[string]*Folder{"at once": f, "by os.Root": slow} {
			got := make([]byte, 0, 1000)
			err := f.ReadInto([]byte(name), func(size int64) ([]byte, error) { got = got[:size]; return got, nil })
			if want == "-" {
				if err == nil || len(got) > 0 {
					t.Errorf("%q %s: read %q, %v", name, way, got, err)
				}
			} else if err != nil || string(got) != want {
				t.Errorf("%q %s: %q, %v, want %q", name, way, got, err, want)
			}
		}
	}
	refused := errors.New("refused")
	if err := f.ReadInto([]byte("plain"), func(int64) ([]byte, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Errorf("refused memory: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.ReadInto([]byte("plain"), func(int64) ([]byte, error) { return nil, nil }); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
