//go:build !unix

package datasets

import (
	"errors"
	"os"
)

// mapFile is not to be had here; the file is read at offsets instead.
func mapFile(*os.File, int64) ([]byte, func() error, error) {
	return nil, nil, errors.ErrUnsupported
}
