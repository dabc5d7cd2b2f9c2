package raster

import (
	"errors"
	"fmt"
)

// Names of decoders.
const (
	GoDecoder    = "go"
	TurboDecoder = "turbo"
)

// TurboVariable is the environment variable that names libturbojpeg's file
// where the system's loader does not find it.
const TurboVariable = "WINNOW_TURBOJPEG"

// ErrNoTurbo says that libturbojpeg cannot be loaded.
var ErrNoTurbo = errors.New("libturbojpeg cannot be used")

// Decoder turns image files into pixels. The zero value is Go's decoders
// alone. It is safe for concurrent use.
type Decoder struct {
	turbo *turbo
	view  View
}

// View is what is done to a file's image beyond decoding it.
type View struct {
	Upright bool // turned as EXIF says
	White   bool // transparency laid over white, else dropped
}

// With is the decoder for files seen so.
func (d Decoder) With(v View) Decoder {
	d.view = v
	return d
}

// NewDecoder is the decoder of a name. TurboDecoder takes JPEG by libturbojpeg,
// which must be installed, and all else, four inks too, as GoDecoder does.
func NewDecoder(name string) (Decoder, error) {
	switch name {
	case GoDecoder:
		return Decoder{}, nil
	case TurboDecoder:
		t, err := loadTurbo()
		return Decoder{turbo: t}, err
	}
	return Decoder{}, fmt.Errorf("raster: decoder %q: want %s or %s", name, TurboDecoder, GoDecoder)
}

// File is the library's, "" where there is none.
func (d Decoder) File() string {
	if d.turbo == nil {
		return ""
	}
	return d.turbo.file
}

// Size is as the function Size, of the image as it is seen.
func (d Decoder) Size(data []byte) (h, w int, err error) {
	h, w, err = d.size(data)
	if d.view.Upright && Orientation(data) >= transposed {
		h, w = w, h
	}
	return h, w, err
}

func (d Decoder) size(data []byte) (h, w int, err error) {
	if d.takes(data) {
		if h, w, err = d.turbo.size(data); !errors.Is(err, errRefused) {
			return h, w, err
		}
	}
	return Size(data)
}

// takes says whether a file is for libturbojpeg.
func (d Decoder) takes(data []byte) bool { return d.turbo != nil && matches(data, jpegMagic) }

// Shrinks are the factors that an image can be shrunk by while it is decoded.
var Shrinks = [...]int{8, 4, 2}

// Decode is as the function Decode; an image that libturbojpeg takes is shrunk
// by 1 or one of Shrinks, its sides rounded up, others keep their size.
func (d Decoder) Decode(dst *Image, data []byte, channels, shrink int) error {
	return d.decode(dst, data, channels, shrink, false)
}

// DecodePacked is Decode, but leaves an image packed where it comes so, which
// saves a pass over its pixels.
func (d Decoder) DecodePacked(dst *Image, data []byte, channels, shrink int) error {
	return d.decode(dst, data, channels, shrink, true)
}

func (d Decoder) decode(dst *Image, data []byte, channels, shrink int, packed bool) error {
	if err := d.stored(dst, data, channels, shrink, packed); err != nil || !d.view.Upright {
		return err
	}
	dst.Turn(Orientation(data))
	return nil
}

// stored decodes an image as it is stored.
func (d Decoder) stored(dst *Image, data []byte, channels, shrink int, packed bool) error {
	if d.takes(data) {
		if err := d.turbo.decode(dst, data, channels, shrink, packed); !errors.Is(err, errRefused) {
			return err
		}
	}
	return decode(dst, data, channels, d.view.White)
}

// shrunk is what n pixels in a row become.
func shrunk(n, by int) int { return (n + by - 1) / by }
