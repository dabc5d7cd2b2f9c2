package raster

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Bounds on an image file.
const (
	// MaxPixels is where Pillow warns of a decompression bomb: a quarter of a
	// gigabyte at three bytes a pixel.
	MaxPixels = 1 << 28 / 3
	// MaxFileBytes bounds the file itself.
	MaxFileBytes = 1 << 28
)

// codec is a row of the table of image formats.
type codec struct {
	name   string
	magic  []string // the first bytes; ? stands for any
	config func(io.Reader) (image.Config, error)
	decode func([]byte) (image.Image, error)
}

func reading(f func(io.Reader) (image.Image, error)) func([]byte) (image.Image, error) {
	return func(data []byte) (image.Image, error) { return f(bytes.NewReader(data)) }
}

const jpegMagic = "\xff\xd8\xff"

var codecs = []codec{
	{"JPEG", []string{jpegMagic}, jpeg.DecodeConfig, reading(jpeg.Decode)},
	{"PNG", []string{"\x89PNG\r\n\x1a\n"}, png.DecodeConfig, reading(png.Decode)},
	{"GIF", []string{"GIF87a", "GIF89a"}, gif.DecodeConfig, decodeGIF},
	{"BMP", []string{"BM????\x00\x00\x00\x00"}, bmp.DecodeConfig, reading(bmp.Decode)},
	{"WebP", []string{"RIFF????WEBP"}, webp.DecodeConfig, decodeWebP},
	{"TIFF", []string{"II\x2a\x00", "MM\x00\x2a"}, tiff.DecodeConfig, reading(tiff.Decode)},
}

// foreign are formats of images that are known and not read.
var foreign = []codec{
	{name: "HEIC", magic: []string{"????ftyphei", "????ftyphev", "????ftypmif1", "????ftypmsf1"}},
	{name: "AVIF", magic: []string{"????ftypavi"}},
	{name: "JPEG XL", magic: []string{"\xff\x0a", "\x00\x00\x00\x0cJXL "}},
	{name: "JPEG 2000", magic: []string{"\x00\x00\x00\x0cjP  ", "\xff\x4f\xff\x51"}},
}

// HeaderBytes is how many first bytes of a file Sniff wants.
const HeaderBytes = 12

// Sniff names the format of an image file by its first bytes, "" where it is none.
func Sniff(head []byte) string {
	if c := sniff(head, codecs); c != nil {
		return c.name
	}
	return ""
}

// Foreign names the format of an image that is known and not read, "" for others.
func Foreign(head []byte) string {
	if c := sniff(head, foreign); c != nil {
		return c.name
	}
	return ""
}

// Unread says why what begins so is no image that is read.
func Unread(head []byte) string {
	const want = "JPEG, PNG, GIF, BMP, WebP or TIFF"
	if name := Foreign(head); name != "" {
		return fmt.Sprintf("%s is not read: convert it to %s", name, want)
	}
	return fmt.Sprintf("begins with % x: want %s", head[:min(len(head), 4)], want)
}

func sniff(head []byte, formats []codec) *codec {
	for i := range formats {
		for _, m := range formats[i].magic {
			if matches(head, m) {
				return &formats[i]
			}
		}
	}
	return nil
}

func matches(head []byte, magic string) bool {
	if len(head) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != head[i] {
			return false
		}
	}
	return true
}

// Size reads the height and width of an image file from its header, and refuses
// more than MaxPixels; data may be the beginning of the file alone.
func Size(data []byte) (h, w int, err error) {
	_, h, w, err = header(data)
	return h, w, err
}

func header(data []byte) (c *codec, h, w int, err error) {
	if c = sniff(data, codecs); c == nil {
		return nil, 0, 0, fmt.Errorf("%w: %s", ErrImage, Unread(data))
	}
	var config image.Config
	if err := guarded(func() error { config, err = c.config(bytes.NewReader(data)); return err }); err != nil {
		return nil, 0, 0, c.failed(err)
	}
	h, w = config.Height, config.Width
	if err := checkSize(c.name, h, w); err != nil {
		return nil, 0, 0, err
	}
	return c, h, w, nil
}

// checkSize refuses images of no pixels and of more than MaxPixels.
func checkSize(format string, h, w int) error {
	if h < 1 || w < 1 {
		return fmt.Errorf("%w: %s of %dx%d pixels", ErrImage, format, w, h)
	}
	if h > MaxPixels/w {
		return fmt.Errorf("%w: %s of %dx%d pixels: want at most %d in all", ErrTooLarge, format, w, h, MaxPixels)
	}
	return nil
}

func (c *codec) failed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: truncated %s", ErrImage, c.name)
	}
	return fmt.Errorf("%w: %s: %w", ErrImage, c.name, err)
}

// guarded turns a panic of a decoder into its error.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged (%v)", r)
		}
	}()
	return f()
}

// Decode fills dst with the image of a file in so many channels, 1 (luma) or 3
// (red, green, blue). Transparency is dropped, of 16 bits the upper 8 are taken,
// of several frames the first.
func Decode(dst *Image, data []byte, channels int) error { return decode(dst, data, channels, false) }

// decode is Decode, with transparency laid over white or dropped.
func decode(dst *Image, data []byte, channels int, white bool) error {
	c, h, w, err := header(data)
	if err != nil {
		return err
	}
	var m image.Image
	if err := guarded(func() error { m, err = c.decode(data); return err }); err != nil {
		return c.failed(err)
	}
	if b := m.Bounds(); b.Dx() != w || b.Dy() != h {
		return fmt.Errorf("%w: %s of %dx%d pixels whose header says %dx%d", ErrImage, c.name, b.Dx(), b.Dy(), w, h)
	}
	return guarded(func() error { convert(dst, m, channels, c.name == "WebP", white); return nil })
}
