//go:build !unix

package spill

import "errors"

// mapped is not to be had here: tables are ordinary memory.
func mapped(int64) ([]byte, func(), error) { return nil, nil, errors.ErrUnsupported }
