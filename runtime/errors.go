package runtime

import (
	"errors"
	"fmt"
	"regexp"
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

// ErrMemory is for a step that the device has no memory for.
var ErrMemory = errors.New("out of memory")

// ErrOptions is wrapped by every error of Options.Validate.
var ErrOptions = option.ErrInvalid

// ErrClosed is returned by every use of something that was closed.
var ErrClosed = errors.New("already closed")

// noMemory are what ONNX Runtime and CUDA say where memory is short.
var noMemory = regexp.MustCompile(`Failed to allocate memory|bad_alloc|bad allocation|out of memory|ALLOC_FAILED`)

var (
	failedNode = regexp.MustCompile(`Name:'([^']{1,200})'`)
	wantedSize = regexp.MustCompile(`buffer of size ([0-9]{1,20})`)
)

// nativeError is the error of a native message.
func nativeError(message string) error {
	message = oneLine(message)
	if !noMemory.MatchString(message) {
		return errors.New(message)
	}
	what := ""
	if node := failedNode.FindStringSubmatch(message); node != nil {
		what = fmt.Sprintf(" at node %q", node[1])
	}
	if size := wantedSize.FindStringSubmatch(message); size != nil {
		what += ", which wanted " + size[1] + " bytes more"
	}
	if what == "" {
		what = ": " + message
	}
	return fmt.Errorf("%w%s; a smaller --batch-size takes less", ErrMemory, what)
}

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
