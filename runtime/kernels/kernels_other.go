//go:build !amd64

package kernels

import "unsafe"

// Supported is whether this processor runs the operators.
func Supported() bool { return false }

// Ops are no operators.
type Ops struct{}

// New makes none.
func New(unsafe.Pointer, int) (Ops, unsafe.Pointer) { return Ops{}, nil }

// AddTo adds none.
func (Ops) AddTo(unsafe.Pointer) unsafe.Pointer { return nil }

// Close frees nothing.
func (Ops) Close() {}
