package onnx

import (
	"errors"
)

// Kinds of failure, for errors.Is.
var (
	// ErrNotONNX: the bytes are no ONNX model at all.
	ErrNotONNX = errors.New("not an ONNX model")
	// ErrTruncated: the file ends in the middle of the model.
	ErrTruncated = errors.New("the file is cut short")
	// ErrUnsupported: valid ONNX that is not read or converted.
	ErrUnsupported = errors.New("unsupported")
	// ErrInvalid: contents that contradict the format or each other.
	ErrInvalid = errors.New("invalid model")
	// ErrExternal: weights kept in other files that are missing, too short or
	// outside the model's folder.
	ErrExternal = errors.New("bad external data")
	// ErrTooLarge: a model over the limits of what is read or made of it.
	ErrTooLarge = errors.New("too large")
	// ErrNotFinite: a tensor of NaN or infinite elements.
	ErrNotFinite = errors.New("not finite")
)
