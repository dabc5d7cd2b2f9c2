package runtime

import (
	"errors"
	"strings"
)

// Sentinels of Open. The command exits with code 4 on each of them.
var (
	// ErrNoLibrary: no ONNX Runtime library was found, or it does not load.
	ErrNoLibrary = errors.New("no ONNX Runtime library")
	// ErrOldLibrary: the library is older than the API this package is built for.
	ErrOldLibrary = errors.New("ONNX Runtime library too old")
	// ErrNoDevice: the device asked for cannot be used.
	ErrNoDevice = errors.New("device not available")
)

// ErrClosed is returned by every use of something that was closed.
var ErrClosed = errors.New("already closed")

// oneLine makes a native message fit one line of output.
func oneLine(message string) string {
	return strings.Join(strings.Fields(message), " ")
}
