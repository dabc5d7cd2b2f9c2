package eval

import "errors"

// Sentinels of the package.
var (
	ErrLabel   = errors.New("label outside the class range")
	ErrShape   = errors.New("image shape contradicts the model")
	ErrLogits  = errors.New("logits of the wrong size")
	ErrNoModel = errors.New("no model")
	ErrFormat  = errors.New("unknown chart format")
)
