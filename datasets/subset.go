package datasets

import (
	"fmt"

	"winnow/loader"
)

var (
	_ loader.Records     = (*subset)(nil)
	_ loader.TrueLabeler = wrapper{}
	_ loader.Shaped      = wrapper{}
	_ loader.Classer     = wrapper{}
	_ loader.Namer       = wrapper{}
	_ loader.Records     = (*noisy)(nil)
)

// wrapper forwards the optional interfaces of records.
type wrapper struct{ loader.Records }

// Name is the records' name.
func (w wrapper) Name() string { return loader.NameOf(w.Records) }

// Classes are the records' class names.
func (w wrapper) Classes() []string { return loader.ClassesOf(w.Records) }

// Shape is the one shape of the records' images.
func (w wrapper) Shape() (c, h, width int) { return loader.ShapeOf(w.Records) }

// Where is the place that the sample comes from.
func (w wrapper) Where(i uint32) string {
	if l, ok := w.Records.(loader.Located); ok {
		return l.Where(i)
	}
	return ""
}

// TrueLabel is the label before artificial noise.
func (w wrapper) TrueLabel(i uint32) int64 { return loader.TrueLabelOf(w.Records, i) }

type subset struct {
	wrapper
	n int
}

// Subset is the first n samples of r, with their indices; r itself where it has
// no more. n <= 0 stands for all.
func Subset(r loader.Records, n int) loader.Records {
	if n <= 0 || n >= r.Len() {
		return r
	}
	return &subset{wrapper{r}, n}
}

// Len is the number of samples kept.
func (s *subset) Len() int { return s.n }

// Read reads sample i of the records.
func (s *subset) Read(i uint32, r *loader.Record) error {
	if int64(i) >= int64(s.n) {
		return loader.ErrIndex
	}
	return s.Records.Read(i, r)
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
func WithLabelNoise(r loader.Records, rate float64, classes int, seed uint64) (loader.Records, error) {
	if !(rate >= 0 && rate <= 1) {
		return nil, fmt.Errorf("datasets: label noise %v: want 0 to 1", rate)
	}
	if classes < 2 {
		return nil, fmt.Errorf("datasets: label noise on %q: %d classes: want 2 or more", loader.NameOf(r), classes)
	}
	return &noisy{wrapper{r}, rate, uint64(classes), seed}, nil
}

// Target is the label after noise.
func (s *noisy) Target(i uint32) loader.Target {
	return loader.Class(s.flip(i, s.Records.Target(i).Class()))
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
