package loader

import (
	"errors"
	"fmt"
	"slices"

	"winnow/loader/raster"
)

// Draw names one view of a sample: what is random in it is a function of these.
type Draw struct {
	Seed  uint64
	Epoch int
	Index uint32
}

// Transform makes the image of a model from a record: a pure function of the
// record and the draw. Implementations are safe for concurrent use.
type Transform interface {
	// Shape is that of every image made.
	Shape() (c, h, w int)
	// Apply fills dst, c*h*w bytes, with the image as uint8 CHW.
	Apply(d Draw, s *Scratch, dst []byte) error
}

// Scratch is what one goroutine reads samples with; the zero value is ready.
type Scratch struct {
	Record Record

	image   raster.Image // as decoded
	view    raster.Image // the pixels of dst; here, as operations of a table let it escape
	resizer raster.Resizer
	blurrer raster.Blurrer
	work    []byte
	full    [2]int       // height and width of the image as it was stored
	mask    raster.Image // as decoded
}

// Source is what a Loader iterates: records through a transform.
type Source struct {
	records   Records
	transform Transform // nil: raw images as they are
	c, h, w   int
	targets   []TargetSpec
}

// NewSource joins records and a transform. Without one (nil), the records must
// be raw images of one shape.
func NewSource(r Records, t Transform) (*Source, error) {
	s := &Source{records: r, transform: t, targets: slices.Clone(TargetsOf(r))}
	if t != nil {
		s.c, s.h, s.w = t.Shape()
	} else {
		s.c, s.h, s.w = ShapeOf(r)
		if s.c == 0 {
			return nil, fmt.Errorf("loader: source %q: %w: images of several sizes need a transform", NameOf(r), ErrOptions)
		}
	}
	if s.c < 1 || s.h < 1 || s.w < 1 {
		return nil, fmt.Errorf("loader: source %q: %w: image shape %dx%dx%d", NameOf(r), ErrBadData, s.c, s.h, s.w)
	}
	for k := range s.targets {
		switch target := &s.targets[k]; target.Kind {
		case MaskTarget:
			target.Type, target.Shape = Uint8, []int{s.h, s.w}
			if why := movesMasks(t); why != "" {
				return nil, fmt.Errorf("loader: source %q: %w: the mask %q cannot follow the image: %s", NameOf(r), ErrOptions, target.Name, why)
			}
		case TensorTarget:
			if why := movesPixels(t, r); why != "" {
				return nil, fmt.Errorf("loader: source %q: %w: target %q is a tensor, which cannot follow an image that is moved: %s", NameOf(r), ErrOptions, target.Name, why)
			}
		}
	}
	return s, nil
}

// Records are what the source reads.
func (s *Source) Records() Records { return s.records }

// Name is that of the records.
func (s *Source) Name() string { return NameOf(s.records) }

// Len is the number of samples.
func (s *Source) Len() int { return s.records.Len() }

// Shape is the shape of every image.
func (s *Source) Shape() (c, h, w int) { return s.c, s.h, s.w }

// Classes are the class names, nil where they are not known.
func (s *Source) Classes() []string { return ClassesOf(s.records) }

// Targets lists what each sample has to learn.
func (s *Source) Targets() []TargetSpec { return slices.Clone(s.targets) }

// Label is the class of sample i, -1 where it has none; 0 <= i < Len.
func (s *Source) Label(i uint32) int64 { return s.records.Target(i).Class() }

// Read fills dst, c*h*w bytes, with a view of a sample as uint8 CHW.
func (s *Source) Read(d Draw, scratch *Scratch, dst []byte) error {
	if err := s.read(d, scratch, dst); err != nil {
		return s.wrap(d.Index, err)
	}
	return nil
}

func (s *Source) wrap(i uint32, err error) error {
	return fmt.Errorf("loader: sample %d of %q%s: %w", i, s.Name(), s.where(i), err)
}

// where names the file of a sample in brackets, "" where there is none.
func (s *Source) where(i uint32) string {
	if l, ok := s.records.(Located); ok {
		if at := l.Where(i); at != "" {
			return fmt.Sprintf(" (%q)", at)
		}
	}
	return ""
}

func (s *Source) read(d Draw, scratch *Scratch, dst []byte) error {
	if int64(d.Index) >= int64(s.Len()) {
		return ErrIndex
	}
	r := &scratch.Record
	if s.transform != nil {
		r.direct = nil
		if err := s.records.Read(d.Index, r); err != nil {
			return err
		}
		return s.transform.Apply(d, scratch, dst)
	}
	dst = dst[:s.c*s.h*s.w]
	r.direct = dst
	if err := s.records.Read(d.Index, r); err != nil {
		return err
	}
	if r.C != s.c || r.H != s.h || r.W != s.w {
		return errShape
	}
	if &r.Data[0] != &dst[0] {
		copy(dst, r.Data)
	}
	return nil
}

// ReadTarget fills dst, TargetSpec.Size bytes, with target k of a sample, which
// is no class.
func (s *Source) ReadTarget(d Draw, k int, scratch *Scratch, dst []byte) error {
	if s.targets[k].Kind == MaskTarget && s.transform != nil { // a mask follows the image that was read before it
		if err := s.Read(d, scratch, make([]byte, s.c*s.h*s.w)); err != nil {
			return err
		}
	}
	if err := s.readTarget(d, k, scratch, dst); err != nil {
		return s.wrap(d.Index, err)
	}
	return nil
}

// readTarget fills dst with target k of a sample, which is no class.
func (s *Source) readTarget(d Draw, k int, scratch *Scratch, dst []byte) error {
	r := &scratch.Record
	r.direct, r.From = nil, nil
	if err := s.records.(Targeted).ReadTarget(d.Index, k, r); err != nil {
		return fmt.Errorf("target %q: %w", s.targets[k].Name, err)
	}
	if s.targets[k].Kind == MaskTarget {
		if err := s.readMask(d, k, scratch, dst); err != nil {
			return s.ofTarget(k, scratch, err)
		}
		return nil
	}
	if len(r.Data) != len(dst) {
		return fmt.Errorf("target %q: %w: %d bytes: want %d, of %s %v", s.targets[k].Name, ErrBadData, len(r.Data), len(dst), s.targets[k].Type, s.targets[k].Shape)
	}
	copy(dst, r.Data)
	return nil
}

// ofTarget names target k of what was read last in an error, and its file.
func (s *Source) ofTarget(k int, scratch *Scratch, err error) error {
	if from := scratch.Record.From; len(from) > 0 {
		err = fmt.Errorf("%q: %w", from, err)
	}
	return fmt.Errorf("target %q: %w", s.targets[k].Name, err)
}

// errShape is a fault of a format: its records are not of the shape it names.
var errShape = errors.New("not of the shape that its format names")
