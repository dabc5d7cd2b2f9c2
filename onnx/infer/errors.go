package infer

import "errors"

// ErrShape is wrapped by every error about shapes that contradict each other.
var ErrShape = errors.New("shapes contradict")
