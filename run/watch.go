package run

import (
	"bytes"
	"path/filepath"
)

// EpochsDone counts the finished epochs of a run that may be at work, 0 where
// that cannot be told.
func EpochsDone(dir string) int {
	text, err := readBounded(filepath.Join(dir, MetricsFile), maxMetrics)
	if err != nil {
		return 0
	}
	return bytes.Count(text, []byte("\n"))
}
