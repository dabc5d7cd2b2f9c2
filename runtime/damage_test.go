package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"winnow/internal/missing"
	"winnow/runtime/install"
)

// An installed library with one bit changed is found before it is loaded.
func TestADamagedInstalledLibrary(t *testing.T) {
	path, err := find("")
	if err != nil || path == "" {
		missing.Skip(t, "no library is installed: %v", err)
	}
	good, err := os.ReadFile(path)
	noError(t, err)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(LibraryEnv, "")
	dir, err := install.Dir()
	noError(t, err)
	noError(t, os.MkdirAll(dir, 0o700))
	copied := filepath.Join(dir, libraryNames()[0])
	noError(t, os.WriteFile(copied, good, 0o600))
	if known, err := install.Check(copied); err != nil || !known {
		missing.Skip(t, "the library is not the pinned one: %v", err)
	}
	noError(t, checkLibrary(copied))
	good[len(good)/2] ^= 1
	noError(t, os.WriteFile(copied, good, 0o600))
	_, err = load("")
	if !errors.Is(err, ErrDamaged) || !errors.Is(err, install.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	wantError(t, err, copied, "SHA-256", "winnow setup")
}

// One from elsewhere has no checksum; one that is cut short is still found.
func TestALibraryThatIsCutShort(t *testing.T) {
	whole := sharedLibrary(t, "whole.so", "int other(void) { return 1; }")
	noError(t, checkLibrary(whole))
	data, err := os.ReadFile(whole)
	noError(t, err)
	for _, size := range []int{0, 10, 100, len(data) / 2, len(data) - 1} {
		path := filepath.Join(t.TempDir(), "cut.so")
		noError(t, os.WriteFile(path, data[:size], 0o600))
		if _, err := load(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d of %d bytes: %v", size, len(data), err)
		}
	}
}
