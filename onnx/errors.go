package onnx

import (
	"errors"
	"fmt"
	"strconv"
)

// Kinds of failure, for errors.Is.
var (
	// ErrNotONNX: the bytes are no ONNX model at all.
	ErrNotONNX = errors.New("not an ONNX model")
	// ErrTruncated: the file ends in the middle of the model.
	ErrTruncated = errors.New("the file is cut short")
	// ErrUnsupported: valid ONNX that this package does not read or convert.
	ErrUnsupported = errors.New("unsupported")
	// ErrInvalid: contents that contradict the format or each other.
	ErrInvalid = errors.New("invalid model")
	// ErrExternal: weights kept in other files that are missing, too short or
	// outside the model's folder.
	ErrExternal = errors.New("bad external data")
	// ErrTooLarge: a model over the limits of this package.
	ErrTooLarge = errors.New("too large")
)

// describe names a node in errors: its own name, or that of its first output.
func describe(n *Node) string {
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + op
	}
	if n.Name != "" {
		return "node " + strconv.Quote(n.Name) + " (" + op + ")"
	}
	for _, out := range n.Outputs {
		if out != "" {
			return "node of output " + strconv.Quote(out) + " (" + op + ")"
		}
	}
	return "unnamed node (" + op + ")"
}

// nodeErr makes an error of kind about one node.
func nodeErr(n *Node, kind error, format string, args ...any) error {
	return fmt.Errorf("onnx: %s: %s: %w", describe(n), fmt.Sprintf(format, args...), kind)
}
