package loader

import (
	"fmt"
	"sync/atomic"
)

// Memory is a Source held in memory.
type Memory struct {
	name    string
	c, h, w int
	images  []byte
	labels  []int64
	classes []string
}

var (
	_ Source  = (*Memory)(nil)
	_ Labeler = (*Memory)(nil)
	_ Classer = (*Memory)(nil)
	_ Namer   = (*Memory)(nil)
)

// NewMemory makes a source of len(labels) images of shape [c, h, w], one after
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

// Label returns the label of sample i.
func (m *Memory) Label(i uint32) int64 { return m.labels[i] }

// Read copies sample i to dst.
func (m *Memory) Read(i uint32, dst []byte) (int64, error) {
	if int64(i) >= int64(len(m.labels)) {
		return 0, ErrIndex
	}
	n := m.c * m.h * m.w
	copy(dst[:n], m.images[int(i)*n:])
	return m.labels[i], nil
}

// Cached is a Source that keeps the images of the first samples of another
// in memory as they are read, so that each is made once.
type Cached struct {
	Source
	size   int
	images []byte
	state  []atomic.Uint32 // empty, filling, full
}

const (
	empty uint32 = iota
	filling
	full
)

var (
	_ Source      = (*Cached)(nil)
	_ Labeler     = (*Cached)(nil)
	_ TrueLabeler = (*Cached)(nil)
	_ Classer     = (*Cached)(nil)
	_ Namer       = (*Cached)(nil)
)

// NewCached wraps src, a Labeler, with a cache of at most maxBytes; samples
// past that are read anew each time.
func NewCached(src interface {
	Source
	Labeler
}, maxBytes int) *Cached {
	size := ImageBytes(src)
	n := min(src.Len(), max(0, maxBytes)/max(1, size))
	return &Cached{Source: src, size: size, images: make([]byte, n*size), state: make([]atomic.Uint32, n)}
}

// Read copies sample i to dst. Two readers of a sample that is not yet there
// both read it from the source; one of them keeps it.
func (c *Cached) Read(i uint32, dst []byte) (int64, error) {
	if int64(i) >= int64(len(c.state)) {
		return c.Source.Read(i, dst)
	}
	kept := c.images[int(i)*c.size:][:c.size]
	state := &c.state[i]
	if state.Load() == full {
		copy(dst, kept)
		return c.Label(i), nil
	}
	label, err := c.Source.Read(i, dst)
	if err == nil && state.CompareAndSwap(empty, filling) {
		copy(kept, dst)
		state.Store(full)
	}
	return label, err
}

// Label returns the label of sample i.
func (c *Cached) Label(i uint32) int64 { return c.Source.(Labeler).Label(i) }

// TrueLabel returns the label of sample i before artificial noise.
func (c *Cached) TrueLabel(i uint32) int64 { return TrueLabelOf(c.Source, i) }

// Classes are the class names of the source.
func (c *Cached) Classes() []string { return ClassesOf(c.Source) }

// Name is the source's name.
func (c *Cached) Name() string { return NameOf(c.Source) }
