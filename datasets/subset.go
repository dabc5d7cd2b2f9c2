package datasets

import (
	"fmt"

	"winnow/loader"
)

// labeled is what a wrapper of this package needs of its source.
type labeled interface {
	loader.Source
	loader.Labeler
}

var (
	_ labeled            = (*subset)(nil)
	_ loader.TrueLabeler = (*subset)(nil)
	_ loader.Classer     = (*subset)(nil)
	_ loader.Namer       = (*subset)(nil)
	_ labeled            = (*noisy)(nil)
	_ loader.TrueLabeler = (*noisy)(nil)
	_ loader.Classer     = (*noisy)(nil)
	_ loader.Namer       = (*noisy)(nil)
)

// wrapper forwards the optional interfaces of a source.
type wrapper struct{ loader.Source }

// Name is the source's name.
func (w wrapper) Name() string { return loader.NameOf(w.Source) }

// Classes are the source's class names.
func (w wrapper) Classes() []string { return loader.ClassesOf(w.Source) }

// TrueLabel is the label before artificial noise, -1 where it cannot be told.
func (w wrapper) TrueLabel(i uint32) int64 { return loader.TrueLabelOf(w.Source, i) }

// Label is the label of sample i, -1 where it cannot be read.
func (w wrapper) Label(i uint32) int64 {
	label, err := loader.LabelOf(w.Source, i)
	if err != nil {
		return -1
	}
	return label
}

type subset struct {
	wrapper
	n int
}

// Subset is the first n samples of src, with their indices; src itself where
// it has no more. n <= 0 stands for all.
func Subset(src loader.Source, n int) loader.Source {
	if n <= 0 || n >= src.Len() {
		return src
	}
	return &subset{wrapper{src}, n}
}

// Len is the number of samples kept.
func (s *subset) Len() int { return s.n }

// Read reads sample i of the source.
func (s *subset) Read(i uint32, dst []byte) (int64, error) {
	if int64(i) >= int64(s.n) {
		return 0, loader.ErrIndex
	}
	return s.Source.Read(i, dst)
}

type noisy struct {
	wrapper
	rate    float64
	classes uint64
	seed    uint64
}

// WithLabelNoise replaces the label of each sample, with probability rate, by
// one of the other classes drawn uniformly (symmetric noise): a pure function
// of (seed, sample index). The result is a loader.TrueLabeler.
func WithLabelNoise(src loader.Source, rate float64, classes int, seed uint64) (loader.Source, error) {
	if !(rate >= 0 && rate <= 1) {
		return nil, fmt.Errorf("datasets: label noise %v: want 0 to 1", rate)
	}
	if classes < 2 {
		return nil, fmt.Errorf("datasets: label noise on %q: %d classes: want 2 or more", loader.NameOf(src), classes)
	}
	return &noisy{wrapper{src}, rate, uint64(classes), seed}, nil
}

// Label is the label after noise.
func (s *noisy) Label(i uint32) int64 { return s.flip(i, s.wrapper.Label(i)) }

// Read reads sample i and changes its label.
func (s *noisy) Read(i uint32, dst []byte) (int64, error) {
	label, err := s.Source.Read(i, dst)
	if err != nil {
		return 0, err
	}
	return s.flip(i, label), nil
}

func (s *noisy) flip(i uint32, label int64) int64 {
	r := newStream(s.seed, purposeNoise, uint64(i))
	if label < 0 || r.Float() >= s.rate {
		return label
	}
	other := int64(r.Below(s.classes - 1))
	if other >= label {
		other++
	}
	return other
}
