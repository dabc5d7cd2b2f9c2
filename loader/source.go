package loader

import "fmt"

// Source is a set of labelled images of one shape. Implementations are safe
// for concurrent use.
type Source interface {
	// Len is the number of samples.
	Len() int
	// Shape is the shape of every image.
	Shape() (c, h, w int)
	// Read fills dst, c*h*w bytes long, with sample i as uint8 CHW and
	// returns its label.
	Read(i uint32, dst []byte) (label int64, err error)
}

// Labeler is a Source that knows labels without reading images.
type Labeler interface {
	// Label returns the label that Read would return; 0 <= i < Len.
	Label(i uint32) int64
}

// TrueLabeler is a Source with artificial label noise that still knows the
// labels from before it.
type TrueLabeler interface {
	TrueLabel(i uint32) int64
}

// Classer is a Source that knows its classes: label k is Classes()[k].
type Classer interface {
	Classes() []string
}

// Namer is a Source with a name to show in errors.
type Namer interface {
	Name() string
}

// NameOf returns the source's name, or its Go type where it has none.
func NameOf(src Source) string {
	if n, ok := src.(Namer); ok {
		return n.Name()
	}
	return fmt.Sprintf("%T", src)
}

// ImageBytes is the size of one image of src in bytes.
func ImageBytes(src Source) int {
	c, h, w := src.Shape()
	return c * h * w
}

// LabelOf returns the label of sample i, by reading the sample where src is
// no Labeler.
func LabelOf(src Source, i uint32) (int64, error) {
	if l, ok := src.(Labeler); ok {
		if int64(i) >= int64(src.Len()) {
			return 0, readError(src, i, ErrIndex)
		}
		return l.Label(i), nil
	}
	label, err := src.Read(i, make([]byte, ImageBytes(src)))
	if err != nil {
		return 0, readError(src, i, err)
	}
	return label, nil
}

func readError(src Source, i uint32, err error) error {
	return fmt.Errorf("loader: sample %d of %q: %w", i, NameOf(src), err)
}

// TrueLabelOf returns the label of sample i before artificial noise, which is
// its label where src has none; -1 where src cannot tell.
func TrueLabelOf(src Source, i uint32) int64 {
	if t, ok := src.(TrueLabeler); ok {
		return t.TrueLabel(i)
	}
	label, err := LabelOf(src, i)
	if err != nil {
		return -1
	}
	return label
}

// ClassesOf returns the class names, nil where src does not know them.
func ClassesOf(src Source) []string {
	if c, ok := src.(Classer); ok {
		return c.Classes()
	}
	return nil
}
