package datasets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"winnow/internal/files"
	"winnow/internal/random"
	"winnow/loader"
	"winnow/loader/raster"
)

// fileSet is Records of image files below a folder, one sample a file.
type fileSet struct {
	name      string
	root      *files.Folder
	classList []string
	names     []byte  // all paths below root, one after the other
	ends      []int64 // path i ends at ends[i]
	labels    []int32
	weights   []float32 // nil where each is 1
}

var (
	_ loader.Records = (*fileSet)(nil)
	_ loader.Classer = (*fileSet)(nil)
	_ loader.Namer   = (*fileSet)(nil)
	_ loader.Located = (*fileSet)(nil)

	_ loader.Weighted = (*fileSet)(nil)
)

// add appends a sample.
func (s *fileSet) add(name string, label int64) error {
	if s.Len() >= maxSamples {
		return fmt.Errorf("%w: over %d images", loader.ErrBadData, maxSamples)
	}
	s.names = append(s.names, name...)
	s.ends = append(s.ends, int64(len(s.names)))
	s.labels = append(s.labels, int32(label))
	return nil
}

// weigh gives the sample added last a weight; w < 0 is none, and all have one or none has.
func (s *fileSet) weigh(w float32) error {
	if s.Len() > 1 && (w >= 0) != (s.weights != nil) {
		if w < 0 {
			return errors.New("no weight, and the lines before have one")
		}
		return errors.New("a weight, and the lines before have none")
	}
	if w >= 0 {
		s.weights = append(s.weights, w)
	}
	return nil
}

// trim gives back the memory that was kept for more samples.
func (s *fileSet) trim() {
	s.names, s.ends = slices.Concat(s.names), slices.Concat(s.ends)
	s.labels, s.weights = slices.Concat(s.labels), slices.Concat(s.weights)
}

// Name is shown in errors.
func (s *fileSet) Name() string { return s.name }

// Len is the number of files.
func (s *fileSet) Len() int { return len(s.labels) }

// Classes are the class names.
func (s *fileSet) Classes() []string { return s.classList }

// Target is the class of file i.
func (s *fileSet) Target(i uint32) loader.Target { return loader.Class(int64(s.labels[i])) }

// Weights says whether the samples have weights.
func (s *fileSet) Weights() bool { return s.weights != nil }

// Weight is that of file i.
func (s *fileSet) Weight(i uint32) float32 {
	if s.weights == nil {
		return 1
	}
	return s.weights[i]
}

// Where is the path of file i below the folder.
func (s *fileSet) Where(i uint32) string {
	if int64(i) >= int64(s.Len()) {
		return ""
	}
	return string(s.path(i))
}

func (s *fileSet) path(i uint32) []byte {
	start := int64(0)
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.names[start:s.ends[i]]
}

// Read reads file i.
func (s *fileSet) Read(i uint32, r *loader.Record) error {
	if int64(i) >= int64(s.Len()) {
		return loader.ErrIndex
	}
	return readImage(s.root, s.path(i), r)
}

// readImage puts a whole image file into a record.
func readImage(root *files.Folder, name []byte, r *loader.Record) error {
	err := root.ReadInto(name, func(size int64) ([]byte, error) {
		if size < 1 || size > raster.MaxFileBytes {
			return nil, fmt.Errorf("%w: a file of %d bytes: want 1 to %d", loader.ErrBadData, size, raster.MaxFileBytes)
		}
		return r.Encoded(int(size)), nil
	})
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	switch {
	case errors.Is(err, loader.ErrBadData), errors.As(err, &pe) && pe.Op == "read":
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the file changed while it was in use", loader.ErrBadData)
	}
	return fmt.Errorf("%w: %w", loader.ErrBadData, reason(err))
}

// picked are some of the samples of records, with indices of their own.
type picked struct {
	wrapper
	name  string
	index []uint32
}

var (
	_ loader.Records = (*picked)(nil)
	_ loader.Located = (*picked)(nil)
)

// Name is shown in errors.
func (p *picked) Name() string { return p.name }

// Len is the number of samples picked.
func (p *picked) Len() int { return len(p.index) }

// Target is that of the sample picked.
func (p *picked) Target(i uint32) loader.Target { return p.Records.Target(p.index[i]) }

// TrueLabel is that of the sample picked.
func (p *picked) TrueLabel(i uint32) int64 { return loader.TrueLabelOf(p.Records, p.index[i]) }

// Weight is that of the sample picked.
func (p *picked) Weight(i uint32) float32 { return p.wrapper.Weight(p.index[i]) }

// Where is that of the sample picked.
func (p *picked) Where(i uint32) string {
	if l, ok := p.Records.(loader.Located); ok && int64(i) < int64(len(p.index)) {
		return l.Where(p.index[i])
	}
	return ""
}

// Read reads the sample picked.
func (p *picked) Read(i uint32, r *loader.Record) error {
	if int64(i) >= int64(len(p.index)) {
		return loader.ErrIndex
	}
	return p.Records.Read(p.index[i], r)
}

// ReadTarget reads a target of the sample picked.
func (p *picked) ReadTarget(i uint32, k int, r *loader.Record) error {
	if int64(i) >= int64(len(p.index)) {
		return loader.ErrIndex
	}
	return p.wrapper.ReadTarget(p.index[i], k, r)
}

// heldBack splits records: of each class a share, rounded and at least one of
// two or more samples, goes to test. Which ones is a pure function of the order
// of the records and the seed.
func heldBack(all loader.Records, share float64, seed uint64) (train, test loader.Records, err error) {
	byClass := map[int64][]uint32{}
	for i := range uint32(all.Len()) {
		k := all.Target(i).Class()
		byClass[k] = append(byClass[k], i)
	}
	held := make([]bool, all.Len())
	for k, members := range byClass {
		n := len(members)
		count := min(n-1, int(math.Round(share*float64(n))))
		if n > 1 {
			count = max(1, count)
		}
		r := newStream(seed, purposeSplit, uint64(k))
		shuffle(&r, members)
		for _, i := range members[:max(0, count)] {
			held[i] = true
		}
	}
	a := &picked{wrapper: wrapper{all}, name: loader.NameOf(all) + " train"}
	b := &picked{wrapper: wrapper{all}, name: loader.NameOf(all) + " val"}
	for i, h := range held {
		if h {
			b.index = append(b.index, uint32(i))
		} else {
			a.index = append(a.index, uint32(i))
		}
	}
	if len(b.index) == 0 {
		return nil, nil, fmt.Errorf("%w: no class has two images, so none can be held back for evaluation", loader.ErrBadData)
	}
	a.index, b.index = slices.Clip(a.index), slices.Clip(b.index)
	return a, b, nil
}

// shuffle is Fisher-Yates from the last element down.
func shuffle(r *random.Stream, s []uint32) {
	for i := len(s) - 1; i > 0; i-- {
		j := r.Below(uint64(i) + 1)
		s[i], s[j] = s[j], s[i]
	}
}
