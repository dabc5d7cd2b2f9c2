package loader

import (
	"winnow/internal/option"
	"winnow/internal/random"
	"winnow/loader/raster"
)

// MaxCropPad bounds Augment.CropPad.
const MaxCropPad = 1024

// Augment is the random change made to a training image, a pure function of
// (seed, epoch, sample index). The zero value changes nothing.
type Augment struct {
	// CropPad p > 0 pads the image with p zeros on every side and cuts a
	// window of the image's own size at a uniformly drawn place: a shift by
	// up to p pixels along each axis.
	CropPad int
	// HFlip mirrors the image left to right with probability 1/2.
	HFlip bool
}

// Validate reports what is out of range; the error wraps ErrOptions.
func (a Augment) Validate() error {
	if a.CropPad < 0 || a.CropPad > MaxCropPad {
		return option.Errorf("loader", "crop-pad", "%d, want 0 to %d", a.CropPad, MaxCropPad)
	}
	return nil
}

// Transform is the change as one of raw images of a shape; nil where nothing changes.
func (a Augment) Transform(c, h, w int) (Transform, error) {
	if err := a.Validate(); err != nil || a == (Augment{}) {
		return nil, err
	}
	return &shift{a, c, h, w}, nil
}

// shift applies Augment to raw images.
type shift struct {
	Augment
	c, h, w int
}

var _ Transform = (*shift)(nil)

// Shape is that of the images given.
func (t *shift) Shape() (c, h, w int) { return t.c, t.h, t.w }

// Apply moves and mirrors.
func (t *shift) Apply(d Draw, s *Scratch, dst []byte) error {
	r := &s.Record
	if r.C != t.c || r.H != t.h || r.W != t.w {
		return errShape
	}
	s.full = [2]int{t.h, t.w}
	dy, dx, flip := t.draw(d.Seed, d.Epoch, d.Index)
	apply(dst, r.Data, t.c, t.h, t.w, dy, dx, flip)
	return nil
}

// draw returns the window's offset against the image and whether to mirror.
func (a Augment) draw(seed uint64, epoch int, index uint32) (dy, dx int, flip bool) {
	x := random.Mix(random.Mix(random.Mix(seed^purposeAugment)+uint64(epoch)) + uint64(index))
	if a.CropPad > 0 {
		n := uint64(2*a.CropPad + 1)
		dy = int(random.Below(x, n)) - a.CropPad
		x = random.Mix(x)
		dx = int(random.Below(x, n)) - a.CropPad
	}
	if a.HFlip {
		flip = random.Mix(x)>>63 == 1
	}
	return dy, dx, flip
}

// apply writes to dst the image src moved by (-dy, -dx) and then, with flip,
// mirrored; what the move uncovers is zero. Both are c*h*w bytes.
func apply(dst, src []byte, c, h, w, dy, dx int, flip bool) {
	y0, y1 := max(0, -dy), min(h, h-dy) // rows and columns of the window inside the image
	x0, x1 := max(0, -dx), min(w, w-dx)
	for k := range c {
		plane, from := dst[k*h*w:][:h*w], src[k*h*w:][:h*w]
		if y0 >= y1 || x0 >= x1 {
			clear(plane)
			continue
		}
		clear(plane[:y0*w])
		clear(plane[y1*w:])
		// All rows in one move; what comes in at their ends from the rows beside them goes.
		first, end := y0*w+x0, (y1-1)*w+x1
		copy(plane[first:end], from[first+dy*w+dx:])
		for y := y0; dx != 0 && y < y1; y++ {
			row := plane[y*w:][:w]
			clear(row[:x0])
			clear(row[x1:])
		}
		for y := y0; flip && y < y1; y++ {
			raster.Reverse(plane[y*w:][:w])
		}
	}
}
