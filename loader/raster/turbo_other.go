//go:build !(cgo && (linux || darwin))

package raster

import "fmt"

type turbo struct{ file string }

var errRefused = fmt.Errorf("%w: libturbojpeg does not take it", ErrImage)

func loadTurbo() (*turbo, error) {
	return nil, fmt.Errorf("%w: this build loads no libraries", ErrNoTurbo)
}

func (*turbo) size([]byte) (height, width int, err error) { return 0, 0, errRefused }

func (*turbo) decode(*Image, []byte, int, int, bool) error { return errRefused }
