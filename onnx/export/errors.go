package export

import "errors"

// ErrOptions is wrapped by errors about contradictory or impossible options.
var ErrOptions = errors.New("invalid option")
