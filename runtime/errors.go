package runtime

import (
	"errors"
	"strings"

	"winnow/internal/option"
)

// Sentinels of Open. The command exits with code 4 on each of them.
var (
	// ErrDamaged: the library's file is damaged or is no library of this system.
	ErrDamaged = errors.New("damaged ONNX Runtime library")
	// ErrNoLibrary: no ONNX Runtime library was found, or it does not load.
	ErrNoLibrary = errors.New("no ONNX Runtime library")
	// ErrOldLibrary: the library is older than the API this package is built for.
	ErrOldLibrary = errors.New("ONNX Runtime library too old")
	// ErrNoDevice: the device asked for cannot be used.
	ErrNoDevice = errors.New("device not available")
)

// ErrGraph is for a graph that ONNX Runtime refuses to load.
var ErrGraph = errors.New("ONNX Runtime refuses the graph")

// ErrOptions is wrapped by every error of Options.Validate.
var ErrOptions = option.ErrInvalid

// ErrClosed is returned by every use of something that was closed.
var ErrClosed = errors.New("already closed")

// oneLine makes a native message fit one line of output. A message that wraps
// another repeats the place and class of both; the inner text is what counts.
func oneLine(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if _, inner, ok := strings.Cut(message, "[ONNXRuntimeError] : "); ok {
		if parts := strings.SplitN(inner, " : ", 3); len(parts) == 3 {
			message = parts[2]
		}
	}
	message, _, _ = strings.Cut(message, " ; GPU=")
	return message
}
