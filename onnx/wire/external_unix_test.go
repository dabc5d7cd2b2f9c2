//go:build unix

package wire

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"winnow/internal/missing"
	"winnow/onnx"
)

// Opening a pipe would wait for a writer for ever.
func TestExternalPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "w.bin"), 0o600); err != nil {
		missing.Skip(t, "no named pipes here: %v", err)
	}
	if _, err := Decode(encodeProto(t, outside("location", "w.bin")), dir); !errors.Is(err, onnx.ErrExternal) {
		t.Errorf("got %v", err)
	}
	if _, err := Read(filepath.Join(dir, "w.bin")); !errors.Is(err, onnx.ErrNotONNX) {
		t.Errorf("as a model: got %v", err)
	}
}
