package eval

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"winnow/internal/files"
)

// Pipes in place of a run's files must not be waited for.
func TestRunOfPipes(t *testing.T) {
	for _, name := range []string{SummaryFile, MetricsFile} {
		dir := t.TempDir()
		if name == MetricsFile {
			if err := os.WriteFile(filepath.Join(dir, SummaryFile), []byte(`{"epochs":1,"config":{"epochs":1}}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRun(dir); !errors.Is(err, ErrBadRun) || !errors.Is(err, files.ErrNotRegular) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
