//go:build !(cgo && amd64 && (linux || darwin))

package raster

var wide = false

func (t *taps) alongWide([]byte, int, []byte, int, int) bool { return false }

func (t *taps) acrossWide([]byte, []byte, int, int, int) bool { return false }
