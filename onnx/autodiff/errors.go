package autodiff

import "errors"

// ErrNoRule is wrapped by the error that lists every operator without a gradient rule.
var ErrNoRule = errors.New("no gradient rule")
