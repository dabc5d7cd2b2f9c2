package eval

import "errors"

// Sentinels of the package.
var (
	ErrLabel   = errors.New("label outside the class range")
	ErrShape   = errors.New("image shape contradicts the model")
	ErrLogits  = errors.New("logits of the wrong size")
	ErrTarget  = errors.New("targets that these outputs cannot be measured by")
	ErrNoModel = errors.New("no model")
	ErrFormat  = errors.New("unknown chart format")
	ErrMetric  = errors.New("unknown metric")
)
