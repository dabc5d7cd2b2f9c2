//go:build !(cgo && (linux || darwin))

package mpi

import (
	"fmt"
	"unsafe"
)

// library is none: this build cannot open one.
type library struct{ name string }

func open(family) (*library, error) {
	return nil, fmt.Errorf("mpi: %w: this build cannot open one", ErrNoLibrary)
}

func (*library) version() string                   { return "" }
func (*library) init() (rank, size int, err error) { return 0, 1, nil }
func (*library) takesCUDA() bool                   { return false }
func (*library) sum32(unsafe.Pointer, int) error   { return nil }
func (*library) sum64([]float64) error             { return nil }
func (*library) share([]byte) error                { return nil }
func (*library) abort(int)                         {}
func (*library) finalize() error                   { return nil }
