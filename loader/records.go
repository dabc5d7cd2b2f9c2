package loader

import (
	"fmt"

	"winnow/internal/spill"
	"winnow/loader/raster"
)

// Records are the samples of a set as their format stores them, read by index
// in any order. Implementations are safe for concurrent use.
type Records interface {
	// Len is the number of samples.
	Len() int
	// Target is the class of sample i, 0 <= i < Len, known without its image, or
	// says that it has none: see Targeted.
	Target(i uint32) Target
	// Read puts the image of sample i into r.
	Read(i uint32, r *Record) error
}

// Record is the image of one sample and the memory that it lies in. Its user
// keeps it from one sample to the next, so that reading makes no garbage.
type Record struct {
	// Data is raw pixels, uint8 CHW, of the shape C x H x W, or with C = 0 the
	// bytes of an image file. It is valid until the next sample is read.
	Data    []byte
	C, H, W int
	// View is how an image file is to be seen.
	View raster.View
	// From is the file that a target is read from, where it is one of its own.
	From []byte

	buffer []byte
	spare  []byte
	direct []byte // where raw pixels of its length should rather go
}

// Raw sets the record to pixels of a shape and returns them, c*h*w bytes to fill.
func (r *Record) Raw(c, h, w int) []byte {
	r.C, r.H, r.W = c, h, w
	n := c * h * w
	if n == len(r.direct) {
		r.Data = r.direct
		return r.Data
	}
	return r.reserve(n)
}

// Encoded sets the record to an image file and returns its n bytes to fill.
func (r *Record) Encoded(n int) []byte {
	r.C, r.H, r.W, r.View = 0, 0, 0, raster.View{}
	return r.reserve(n)
}

// Spare is n bytes to work in, apart from Data.
func (r *Record) Spare(n int) []byte {
	r.spare = grow(r.spare, n)
	return r.spare
}

func (r *Record) reserve(n int) []byte {
	r.buffer = grow(r.buffer, n)
	r.Data = r.buffer
	return r.Data
}

// Shaped are Records of raw images of one shape; c = 0 says that they are not.
type Shaped interface {
	Shape() (c, h, w int)
}

// TrueLabeler are Records with artificial label noise that still know the
// labels from before it.
type TrueLabeler interface {
	TrueLabel(i uint32) int64
}

// Classer are Records that know their classes: label k is Classes()[k].
type Classer interface {
	Classes() []string
}

// Weighted are Records whose samples' losses count by weights of their own, 1
// for the usual one.
type Weighted interface {
	// Weights says whether any sample has another weight than 1.
	Weights() bool
	Weight(i uint32) float32
}

// WeightsOf are the weights of all samples, nil where each is 1.
func WeightsOf(r Records) []float32 {
	w, ok := r.(Weighted)
	if !ok || !w.Weights() {
		return nil
	}
	weights := spill.Make[float32](r.Len())
	for i := range weights {
		weights[i] = w.Weight(uint32(i))
	}
	return weights
}

// Located are Records that know the file or the place that a sample comes
// from; "" is said past the end.
type Located interface {
	Where(i uint32) string
}

// Namer are Records with a name to show in errors.
type Namer interface {
	Name() string
}

// NameOf returns the name of the records, or their Go type where they have none.
func NameOf(r Records) string {
	if n, ok := r.(Namer); ok {
		return n.Name()
	}
	return fmt.Sprintf("%T", r)
}

// ShapeOf returns the one shape of raw images, zeros where they are encoded or
// of several.
func ShapeOf(r Records) (c, h, w int) {
	if s, ok := r.(Shaped); ok {
		return s.Shape()
	}
	return 0, 0, 0
}

// ClassesOf returns the class names, nil where they are not known.
func ClassesOf(r Records) []string {
	if c, ok := r.(Classer); ok {
		return c.Classes()
	}
	return nil
}

// TrueLabelOf returns the label of sample i before artificial noise, which is
// its label where there is none.
func TrueLabelOf(r Records, i uint32) int64 {
	if t, ok := r.(TrueLabeler); ok {
		return t.TrueLabel(i)
	}
	return r.Target(i).Class()
}
