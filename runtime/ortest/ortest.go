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

// Block is how many channels d has to a block of images, for a test of the
// layout in blocks.
func Block(t testing.TB, d *ortrun.Device) int64 {
	t.Helper()
	block := d.ConvBlock()
	if block == 0 {
		missing.Skip(t, "the CPU provider has no blocked layout here")
	}
	return int64(block)
}

// Kernels says of a test that it is of the operators of package
// runtime/kernels: it is skipped, or fails under CI=true, where d has none.
func Kernels(t testing.TB, d *ortrun.Device) {
	t.Helper()
	if !d.Kernels() {
		missing.Skip(t, "the operators of package runtime/kernels need a processor with AVX2")
	}
}
