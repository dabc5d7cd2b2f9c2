package audit

import "errors"

// Sentinels of the package.
var (
	ErrTooLarge = errors.New("too large to audit")
	ErrLabel    = errors.New("label out of range")
)
