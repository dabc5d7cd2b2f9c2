package loader

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/png" // masks are stored without loss
	"math"

	"winnow/loader/raster"
)

// MaskFill is the value of a mask's pixels that a change of the image uncovers:
// the class that is left out, as Pascal VOC has it.
const MaskFill = 255

// masker is a Transform that moves a mask as it moved the image of the same
// draw, each pixel the nearest, and leaves its values as they are.
type masker interface {
	// mask takes mask, of the size of the record's image, to dst.
	mask(d Draw, s *Scratch, mask *raster.Image, dst []byte) error
}

var (
	_ masker = (*shift)(nil)
	_ masker = (*images)(nil)
)

// movesMasks says what of a transform leaves masks behind, "" for nothing.
func movesMasks(t Transform) string {
	switch t := t.(type) {
	case nil, *shift:
	case *images:
		if t.Auto != "" {
			return fmt.Sprintf("%s moves pixels by operations that are drawn", t.Auto)
		}
	default:
		return fmt.Sprintf("%T moves pixels", t)
	}
	return ""
}

// movesPixels says what of a transform moves pixels, "" for nothing; colours may change.
func movesPixels(t Transform, r Records) string {
	switch t := t.(type) {
	case nil:
		return ""
	case *images:
		c, h, w := ShapeOf(r)
		switch {
		case t.CropPct != 1 || c == 0 || h != t.Height || w != t.Width:
			return "images are cut and resized"
		case t.CropPad > 0 || t.HFlip > 0 || t.VFlip > 0 || t.Rotation > 0 || t.Affine != (Affine{}):
			return "images are shifted, mirrored or turned"
		case t.Auto != "":
			return t.Auto
		}
		return ""
	}
	return "images are shifted or mirrored"
}

// toMask takes the mask that lies in r, raw or as a file.
func toMask(mask *raster.Image, r *Record) error {
	if r.C > 1 {
		return fmt.Errorf("%w: a mask of %d channels: want one", ErrBadData, r.C)
	}
	if r.C == 1 {
		*mask = raster.Image{C: 1, H: r.H, W: r.W, Pix: append(mask.Pix[:0], r.Data...)}
		return nil
	}
	if err := decodeMask(mask, r.Data); err != nil {
		return fmt.Errorf("%w: %w", ErrBadData, err)
	}
	return nil
}

// MaskValues adds to seen the values of the mask that lies in r.
func MaskValues(r *Record, seen *[256]bool) error {
	var mask raster.Image
	if err := toMask(&mask, r); err != nil {
		return err
	}
	for _, v := range mask.Pix {
		seen[v] = true
	}
	return nil
}

// CheckMask is whether a mask lies in r that can be read and is of an image's size.
func CheckMask(r *Record, h, w int) error {
	var mask raster.Image
	if err := toMask(&mask, r); err != nil {
		return err
	}
	return sizeOf(&mask, h, w)
}

func sizeOf(mask *raster.Image, h, w int) error {
	if mask.H != h || mask.W != w {
		return fmt.Errorf("%w: a mask of %dx%d on an image of %dx%d", ErrBadData, mask.H, mask.W, h, w)
	}
	return nil
}

// readMask fills dst with mask k, which lies in the record, of the sample whose image was
// read before.
func (s *Source) readMask(d Draw, k int, scratch *Scratch, dst []byte) error {
	mask := &scratch.mask
	if err := toMask(mask, &scratch.Record); err != nil {
		return err
	}
	h, w := s.h, s.w
	if s.transform != nil {
		h, w = scratch.full[0], scratch.full[1]
	}
	if err := sizeOf(mask, h, w); err != nil {
		return err
	}
	if of := s.targets[k].Foreground; of != 0 {
		for i, v := range mask.Pix {
			if v == of {
				mask.Pix[i] = 1
			}
		}
	}
	if s.transform == nil {
		copy(dst, mask.Pix)
		return nil
	}
	return s.transform.(masker).mask(d, scratch, mask, dst)
}

// decodeMask reads a file whose pixels are numbers: grey of 1 to 16 bits, or places
// in a palette.
func decodeMask(dst *raster.Image, file []byte) error {
	config, format, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return fmt.Errorf("a mask that cannot be read: %w", err)
	}
	if config.Width < 1 || config.Height < 1 || config.Height > raster.MaxPixels/config.Width {
		return fmt.Errorf("a mask of %dx%d", config.Height, config.Width)
	}
	if format == "jpeg" {
		return errors.New("a mask stored as JPEG, which changes its values: want PNG")
	}
	m, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return fmt.Errorf("a mask that cannot be read: %w", err)
	}
	dst.Reset(1, config.Height, config.Width)
	rows := func(pix []byte, stride, by int) {
		for y := range dst.H {
			row := dst.Pix[y*dst.W:][:dst.W]
			copy(row, pix[y*stride:])
			for x := 0; by > 1 && x < len(row); x++ {
				row[x] /= byte(by)
			}
		}
	}
	switch m := m.(type) {
	case *image.Paletted:
		rows(m.Pix, m.Stride, 1)
	case *image.Gray:
		rows(m.Pix, m.Stride, greyStep(file))
	case *image.Gray16:
		for i := range dst.Pix {
			at := i/dst.W*m.Stride + i%dst.W*2
			if m.Pix[at] != 0 {
				return fmt.Errorf("a mask of 16 bits with the value %d at row %d, column %d: want 0 to 255", int(m.Pix[at])<<8|int(m.Pix[at+1]), i/dst.W, i%dst.W)
			}
			dst.Pix[i] = m.Pix[at+1]
		}
	default:
		return errors.New("a mask of colours: want one number a pixel, grey or places in a palette; colours are to be turned into numbers of classes first")
	}
	return nil
}

// greyStep is what image/png multiplies grey of less than 8 bits by, so that
// white is 255: the numbers themselves are what a mask has.
func greyStep(file []byte) int {
	const depthAt, typeAt = 24, 25 // of IHDR, the first chunk (PNG, 11.2.2)
	if len(file) > typeAt && string(file[1:4]) == "PNG" && file[typeAt] == 0 && file[depthAt] > 0 && file[depthAt] < 8 {
		return 255 / (1<<file[depthAt] - 1)
	}
	return 1
}

// mask moves and mirrors.
func (t *shift) mask(d Draw, _ *Scratch, mask *raster.Image, dst []byte) error {
	dy, dx, flip := t.draw(d.Seed, d.Epoch, d.Index)
	filled(mask.Pix, func() { apply(dst, mask.Pix, 1, t.h, t.w, dy, dx, flip) }, dst)
	return nil
}

// filled runs a change that makes what it uncovers 0 so that it becomes MaskFill.
func filled(src []byte, change func(), dst []byte) {
	invert := func(b []byte) {
		for i := range b {
			b[i] ^= MaskFill
		}
	}
	invert(src)
	change()
	invert(dst)
}

// mask does to a mask what Apply did to the image, but for its colours.
func (t *images) mask(d Draw, s *Scratch, mask *raster.Image, dst []byte) error {
	out := &raster.Image{C: 1, H: t.Height, W: t.Width, Pix: dst[:t.Height*t.Width]}
	if t.CropPct > 0 {
		h, w := t.beforeCrop(mask.H, mask.W)
		nearest(out, mask, mask.Whole(), h, w, centre(h, t.Height), centre(w, t.Width))
	} else {
		r := d.stream(purposeCrop)
		nearest(out, mask, randomBox(&r, mask.H, mask.W, t.Scale, t.Ratio), t.Height, t.Width, 0, 0)
	}
	if t.CropPad > 0 {
		dy, dx, _ := Augment{CropPad: t.CropPad}.draw(d.Seed, d.Epoch, d.Index)
		if t.PadMode == Reflect {
			s.work = out.ShiftMirrored(dy, dx, s.work)
		} else {
			s.work = append(s.work[:0], out.Pix...)
			filled(s.work, func() { apply(out.Pix, s.work, 1, out.H, out.W, dy, dx, false) }, out.Pix)
		}
	}
	if t.HFlip > 0 || t.VFlip > 0 {
		r := d.stream(purposeFlip)
		if r.Float() < t.HFlip {
			out.Flip()
		}
		if r.Float() < t.VFlip {
			out.FlipVertical()
		}
	}
	warp := func(m raster.Matrix) {
		filled(out.Pix, func() { s.work = out.Warp(m, s.work) }, out.Pix)
	}
	if t.Rotation > 0 {
		r := d.stream(purposeRotate)
		warp(raster.Rotation(out.H, out.W, r.Between(-t.Rotation, t.Rotation)))
	}
	if t.Affine != (Affine{}) {
		warp(t.Affine.matrix(d.stream(purposeAffine), out.H, out.W))
	}
	return nil
}

// nearest fills out with the part from (y0, x0) on of a box resized to h x w, each
// pixel the one of the box that its centre falls on, as Pillow's NEAREST.
func nearest(out, src *raster.Image, box raster.Box, h, w, y0, x0 int) {
	at := func(i, size, n int) int {
		return min(max(int(math.Floor((float64(i)+0.5)*float64(n)/float64(size))), 0), n-1)
	}
	for y := range out.H {
		row := src.Pix[(box.Y+at(y+y0, h, box.H))*src.W+box.X:]
		for x := range out.W {
			out.Pix[y*out.W+x] = row[at(x+x0, w, box.W)]
		}
	}
}

// checkMask names the first value of a mask that is no class.
func (l *Loader) checkMask(mask []byte) error {
	for i, v := range mask {
		if !l.allowed[v] {
			return fmt.Errorf("%w: value %d at row %d, column %d of the mask: want 0 to %d, or %d", ErrBadData, v, i/l.src.w, i%l.src.w, l.o.MaskClasses-1, l.o.MaskIgnore)
		}
	}
	return nil
}
