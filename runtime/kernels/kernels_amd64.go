package kernels

/*
#cgo CFLAGS: -O3 -Wno-psabi
#include "ops.h"
#include "winograd.h"
*/
import "C"

import "unsafe"

// Supported is whether this processor runs the operators.
func Supported() bool { return C.winnow_conv_supported() != 0 }

// Ops are the operators, for sessions of a number of threads. They must
// outlive the sessions.
type Ops struct{ p *C.winnow_ops }

// New makes the operators; api is ONNX Runtime's table of functions, of
// version 24 at least. The result is a status of its own, nil for success.
func New(api unsafe.Pointer, threads int) (Ops, unsafe.Pointer) {
	var o Ops
	status := C.winnow_ops_new((*unsafe.Pointer)(api), C.size_t(threads), &o.p)
	return o, status
}

// AddTo lets sessions made with these options (OrtSessionOptions) use the
// operators; the result is a status.
func (o Ops) AddTo(options unsafe.Pointer) unsafe.Pointer { return C.winnow_ops_add(o.p, options) }

// Close frees the operators.
func (o Ops) Close() { C.winnow_ops_free(o.p) }
