// Package ortest opens ONNX Runtime for the tests of other packages.
package ortest

import (
	"errors"
	"testing"

	"winnow/internal/missing"
	ortrun "winnow/runtime"
)

// CPU opens ONNX Runtime on the CPU with so many threads and closes it after
// the test. Without the library the test is skipped, or fails where CI=true
// promises it.
func CPU(t testing.TB, threads int) *ortrun.Device {
	t.Helper()
	d, err := ortrun.Open(ortrun.Options{Device: "cpu", Threads: threads})
	switch {
	case errors.Is(err, ortrun.ErrNoLibrary):
		missing.Skip(t, "needs the ONNX Runtime library (winnow setup): %v", err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
