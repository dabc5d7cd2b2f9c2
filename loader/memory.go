package loader

import "fmt"

// Memory is Records held in memory.
type Memory struct {
	name    string
	c, h, w int
	images  []byte
	labels  []int64
	classes []string
}

var (
	_ Records = (*Memory)(nil)
	_ Shaped  = (*Memory)(nil)
	_ Classer = (*Memory)(nil)
	_ Namer   = (*Memory)(nil)
)

// NewMemory makes records of len(labels) images of shape [c, h, w], one after
// the other in images. The slices are kept, not copied. With classes not nil,
// labels must lie in 0..len(classes)-1.
func NewMemory(name string, c, h, w int, images []byte, labels []int64, classes []string) (*Memory, error) {
	if c < 1 || h < 1 || w < 1 || len(images) != c*h*w*len(labels) {
		return nil, fmt.Errorf("loader: source %q: %w: %d bytes for %d images of %dx%dx%d", name, ErrBadData, len(images), len(labels), c, h, w)
	}
	if classes != nil {
		for i, y := range labels {
			if y < 0 || y >= int64(len(classes)) {
				return nil, fmt.Errorf("loader: source %q: %w: label %d of sample %d: want 0 to %d", name, ErrBadData, y, i, len(classes)-1)
			}
		}
	}
	return &Memory{name: name, c: c, h: h, w: w, images: images, labels: labels, classes: classes}, nil
}

// Name is the name given to NewMemory.
func (m *Memory) Name() string { return m.name }

// Len is the number of samples.
func (m *Memory) Len() int { return len(m.labels) }

// Shape is the shape of an image.
func (m *Memory) Shape() (c, h, w int) { return m.c, m.h, m.w }

// Classes are the class names, nil where unknown.
func (m *Memory) Classes() []string { return m.classes }

// Target returns the label of sample i.
func (m *Memory) Target(i uint32) Target { return Class(m.labels[i]) }

// Read copies sample i.
func (m *Memory) Read(i uint32, r *Record) error {
	if int64(i) >= int64(len(m.labels)) {
		return ErrIndex
	}
	dst := r.Raw(m.c, m.h, m.w)
	copy(dst, m.images[int(i)*len(dst):])
	return nil
}
