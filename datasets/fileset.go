package datasets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"winnow/internal/files"
	"winnow/internal/random"
	"winnow/internal/spill"
	"winnow/loader"
	"winnow/loader/raster"
)

// fileSet is Records of image files below a folder, one sample a file.
type fileSet struct {
	name      string
	root      *files.Folder
	classList []string
	names     paths // below root
	labels    []int32
	weights   []float32 // nil where each is 1
}

// paths is a table of names.
type paths struct {
	text []byte  // one after the other
	ends []int64 // name i ends at ends[i]
}

func (p *paths) add(name string) {
	p.text = spill.Append(p.text, []byte(name)...)
	p.ends = spill.Append(p.ends, int64(len(p.text)))
}

func (p *paths) at(i uint32) []byte {
	start := int64(0)
	if i > 0 {
		start = p.ends[i-1]
	}
	return p.text[start:p.ends[i]]
}

func (p *paths) clip() { p.text, p.ends = spill.Clip(p.text), spill.Clip(p.ends) }

func (p *paths) free() {
	spill.Free(p.text)
	spill.Free(p.ends)
	*p = paths{}
}

var (
	_ loader.Records = (*fileSet)(nil)
	_ loader.Classer = (*fileSet)(nil)
	_ loader.Namer   = (*fileSet)(nil)
	_ loader.Located = (*fileSet)(nil)

	_ loader.Weighted = (*fileSet)(nil)
	_ io.Closer       = (*fileSet)(nil)
)

// add appends a sample.
func (s *fileSet) add(name string, label int64) error {
	if s.Len() >= maxSamples {
		return fmt.Errorf("%w: over %d images", loader.ErrBadData, maxSamples)
	}
	s.names.add(name)
	s.labels = spill.Append(s.labels, int32(label))
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
		s.weights = spill.Append(s.weights, w)
	}
	return nil
}

// clip gives back the room that was kept for more samples.
func (s *fileSet) clip() {
	s.names.clip()
	s.labels = spill.Clip(s.labels)
	if s.weights != nil {
		s.weights = spill.Clip(s.weights)
	}
}

// Close gives the tables back.
func (s *fileSet) Close() error {
	s.names.free()
	spill.Free(s.labels)
	spill.Free(s.weights)
	s.labels, s.weights = nil, nil
	return nil
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
	return string(s.names.at(i))
}

// Read reads file i.
func (s *fileSet) Read(i uint32, r *loader.Record) error {
	if int64(i) >= int64(s.Len()) {
		return loader.ErrIndex
	}
	return readImage(s.root, s.names.at(i), r)
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
	_ io.Closer      = (*picked)(nil)
)

// Name is shown in errors.
func (p *picked) Name() string { return p.name }

// Len is the number of samples picked.
func (p *picked) Len() int { return len(p.index) }

// Close gives the table back.
func (p *picked) Close() error {
	spill.Free(p.index)
	p.index = nil
	return nil
}

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
func heldBack(all loader.Records, share float64, seed uint64) (train, test *picked, err error) {
	total := all.Len()
	counts, next := map[int64]int{}, map[int64]int{}
	for i := range uint32(total) {
		counts[all.Target(i).Class()]++
	}
	at := 0
	for k, n := range counts {
		next[k] = at
		at += n
	}
	order, held := spill.Make[uint32](total), spill.Make[bool](total) // the samples class by class
	defer spill.Free(order)
	defer spill.Free(held)
	for i := range uint32(total) {
		k := all.Target(i).Class()
		order[next[k]] = i
		next[k]++
	}
	kept := total
	for k, n := range counts {
		members := order[next[k]-n : next[k]]
		count := min(n-1, int(math.Round(share*float64(n))))
		if n > 1 {
			count = max(1, count)
		}
		r := newStream(seed, purposeSplit, uint64(k))
		shuffle(&r, members)
		for _, i := range members[:max(0, count)] {
			held[i] = true
			kept--
		}
	}
	if kept == total {
		return nil, nil, fmt.Errorf("%w: no class has two images, so none can be held back for evaluation", loader.ErrBadData)
	}
	a := &picked{wrapper: wrapper{all}, name: loader.NameOf(all) + " train", index: spill.Make[uint32](kept)[:0]}
	b := &picked{wrapper: wrapper{all}, name: loader.NameOf(all) + " val", index: spill.Make[uint32](total - kept)[:0]}
	for i, h := range held {
		if h {
			b.index = append(b.index, uint32(i))
		} else {
			a.index = append(a.index, uint32(i))
		}
	}
	return a, b, nil
}

// shuffle is Fisher-Yates from the last element down.
func shuffle(r *random.Stream, s []uint32) {
	for i := len(s) - 1; i > 0; i-- {
		j := r.Below(uint64(i) + 1)
		s[i], s[j] = s[j], s[i]
	}
}
