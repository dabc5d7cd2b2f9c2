package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrDamaged is for an installed file that is not the one that was installed.
var ErrDamaged = errors.New("damaged")

// Check holds a library against its SHA-256, which is known of those that Run
// installs; known is whether path is one of them.
func Check(path string) (known bool, err error) {
	dir, err := Dir()
	if err != nil || !sameFolder(filepath.Dir(path), dir) {
		return false, nil
	}
	lib := platforms[here()].library
	if filepath.Base(path) != lib.name {
		return false, nil
	}
	in := &installer{dir: dir}
	if in.right(lib) || in.noted(lib.name) {
		return true, nil
	}
	sum, err := fileSHA256(path)
	if err != nil {
		return true, err
	}
	return true, fmt.Errorf("%w: SHA-256 is %s, expected %s", ErrDamaged, sum, lib.sha256)
}

func sameFolder(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
