package datasets

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"winnow/internal/files"
	"winnow/internal/spill"
	"winnow/loader"
)

// rawSet is Records of raw images of one shape in a few files or blocks of
// memory, each image at a fixed distance from the one before it.
type rawSet struct {
	name    string
	classes []string
	c, h, w int
	hwc     bool // stored by row, column, channel
	parts   []rawPart
	labels  []int32
}

// rawPart is the images from index first on.
type rawPart struct {
	blob
	first        int
	start, pitch int64 // of the first image's pixels, and from one image to the next
}

var (
	_ loader.Records = (*rawSet)(nil)
	_ loader.Shaped  = (*rawSet)(nil)
	_ loader.Classer = (*rawSet)(nil)
	_ loader.Namer   = (*rawSet)(nil)
	_ io.Closer      = (*rawSet)(nil)
)

// Name is shown in errors.
func (s *rawSet) Name() string { return s.name }

// Len is the number of samples.
func (s *rawSet) Len() int { return len(s.labels) }

// Shape is the shape of an image.
func (s *rawSet) Shape() (c, h, w int) { return s.c, s.h, s.w }

// Classes are the class names.
func (s *rawSet) Classes() []string { return s.classes }

// Target is the label of sample i.
func (s *rawSet) Target(i uint32) loader.Target { return loader.Class(int64(s.labels[i])) }

// Read copies sample i, its channels brought to the front.
func (s *rawSet) Read(i uint32, r *loader.Record) error {
	if int64(i) >= int64(len(s.labels)) {
		return loader.ErrIndex
	}
	part := &s.parts[0]
	if len(s.parts) > 1 {
		part = &s.parts[sort.Search(len(s.parts), func(k int) bool { return s.parts[k].first > int(i) })-1]
	}
	at := part.start + int64(int(i)-part.first)*part.pitch
	dst := r.Raw(s.c, s.h, s.w)
	if !s.hwc || s.c == 1 {
		return part.readAt(dst, at)
	}
	pixels := r.Spare(len(dst))
	if err := part.readAt(pixels, at); err != nil {
		return err
	}
	n := s.h * s.w
	for k := range s.c {
		plane := dst[k*n:][:n]
		for j := range plane {
			plane[j] = pixels[j*s.c+k]
		}
	}
	return nil
}

// Close releases the files.
func (s *rawSet) Close() error {
	var errs []error
	for i := range s.parts {
		errs = append(errs, s.parts[i].close())
	}
	spill.Free(s.labels)
	s.labels = nil
	return errors.Join(errs...)
}

// openBlob opens a regular file, mapped into memory where that can be had.
func openBlob(path string) (blob, int64, error) {
	f, size, err := files.Open(path)
	if errors.Is(err, files.ErrNotRegular) {
		return blob{}, 0, fmt.Errorf("file %q: %w: %w", path, loader.ErrBadData, err)
	} else if err != nil {
		return blob{}, 0, fmt.Errorf("file %q: %w", path, reason(err))
	}
	if size > 0 {
		if data, unmap, err := mapFile(f, size); err == nil {
			return blob{data: data, unmap: unmap}, size, f.Close() // the mapping outlives the descriptor
		}
	}
	return blob{file: f}, size, nil
}
