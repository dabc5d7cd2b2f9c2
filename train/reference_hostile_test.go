package train

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"winnow/internal/files"
)

// A pipe as a reference file must not be waited for.
func TestReferencePipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "indices")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readIndices(pipe, 10)
	if !errors.Is(err, ErrReference) || !errors.Is(err, files.ErrNotRegular) || !strings.Contains(err.Error(), pipe) {
		t.Errorf("got %v", err)
	}
}
