package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"winnow/internal/atomicfile"
	"winnow/internal/files"
)

// Bounds of run files, in bytes. A line of metrics is under 1 KiB.
const (
	maxSummary = 16 << 20
	maxMetrics = 256 << 20
	maxLine    = 1 << 16
	maxEpochs  = 1 << 20
)

// Run is a finished run.
type Run struct {
	Name    string // the folder's last element, or the caller's choice
	Dir     string
	Summary Summary
	Epochs  []Epoch
}

// Read reads a finished run. A folder without summary.json holds no finished
// run: the error wraps ErrNoRun.
func Read(dir string) (*Run, error) {
	atomicfile.Settle(dir, runFiles)
	r := &Run{Name: filepath.Base(filepath.Clean(dir)), Dir: dir}
	if why := noRun(dir); why != "" {
		return nil, fmt.Errorf("run: %q: %w: %s", dir, ErrNoRun, why)
	}
	text, err := readBounded(filepath.Join(dir, SummaryFile), maxSummary)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("run: %q: %w: it has no %s; winnow train --resume %s goes on with it where it was stopped", dir, ErrNoRun, SummaryFile, dir)
	} else if err != nil {
		return nil, fmt.Errorf("run: %q: %w", dir, err)
	}
	if err := json.Unmarshal(text, &r.Summary); err != nil {
		return nil, fmt.Errorf("run: %q: %w: %s: %w", dir, ErrBadRun, SummaryFile, err)
	}
	if r.Summary.Config.Epochs < 1 {
		return nil, fmt.Errorf("run: %q: %w: %s says nothing of its epochs", dir, ErrBadRun, SummaryFile)
	}
	if n := r.Summary.Epochs; n < 0 || n > maxEpochs {
		return nil, fmt.Errorf("run: %q: %w: %s: epochs is %d, want 0 to %d", dir, ErrBadRun, SummaryFile, n, maxEpochs)
	}
	if r.Epochs, err = readMetrics(filepath.Join(dir, MetricsFile), r.Summary.Epochs); err != nil && !(errors.Is(err, fs.ErrNotExist) && r.Summary.Epochs == 0) {
		return nil, fmt.Errorf("run: %q: %w", dir, err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("run: %q: %w: %w", dir, ErrBadRun, err)
	}
	return r, nil
}

// Begun is whether a folder holds a run, finished or not.
func Begun(dir string) bool { return noRun(dir) == "" }

// noRun says why a path is no folder of a run; "" for one.
func noRun(dir string) string {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such folder"
	case errors.Is(err, syscall.ENOTDIR):
		return "it is a file; give the folder of the run"
	case err != nil:
		return err.Error()
	}
	for _, e := range entries {
		if slices.Contains([]string{SummaryFile, MetricsFile, CheckpointDir, earlierState}, e.Name()) {
			return ""
		}
	}
	return "nothing of a run is in it"
}

// readMetrics reads metrics.jsonl, which has at most so many epochs.
func readMetrics(path string, most int) ([]Epoch, error) {
	f, size, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadRun, MetricsFile, err)
	}
	defer f.Close()
	if size > maxMetrics {
		return nil, fmt.Errorf("%w: %s: %w: %d bytes, at most %d", ErrBadRun, MetricsFile, files.ErrTooLarge, size, maxMetrics)
	}
	epochs, err := parseMetrics(io.LimitReader(f, size), most)
	if err != nil {
		return nil, fmt.Errorf("%w: %s %w", ErrBadRun, MetricsFile, err)
	}
	return epochs, nil
}

// parseMetrics reads an epoch from each line, and stops at the first that is wrong.
func parseMetrics(r io.Reader, most int) ([]Epoch, error) {
	var epochs []Epoch
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 1
	for ; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e Epoch
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if epochs = append(epochs, e); e.Epoch != len(epochs) {
			return nil, fmt.Errorf("epoch %d: epoch is %d", len(epochs), e.Epoch)
		} else if len(epochs) > most {
			return nil, fmt.Errorf("line %d: more than the %d epochs that were trained", n, most)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n, err)
	}
	return epochs, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	text, err := files.Read(path, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadRun, filepath.Base(path), err)
	}
	return text, nil
}
