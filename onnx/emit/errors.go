package emit

import "errors"

// ErrModel is wrapped by errors about a forward model that cannot be trained as it is.
var ErrModel = errors.New("model cannot be trained")
