package autodiff

import "errors"

var (
	// ErrNoRule is wrapped by the error that lists every operator without a gradient rule.
	ErrNoRule = errors.New("no gradient rule")
	// ErrModel is wrapped by errors about a forward model that cannot be trained as it is.
	ErrModel = errors.New("model cannot be trained")
	// ErrOptions is wrapped by errors about contradictory or impossible options.
	ErrOptions = errors.New("invalid option")
)
