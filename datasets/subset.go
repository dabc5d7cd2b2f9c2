package datasets

import "winnow/loader"

var (
	_ loader.Records     = (*subset)(nil)
	_ loader.TrueLabeler = wrapper{}
	_ loader.Weighted    = wrapper{}
	_ loader.Shaped      = wrapper{}
	_ loader.Classer     = wrapper{}
	_ loader.Namer       = wrapper{}
	_ loader.Targeted    = wrapper{}
)

// wrapper forwards the optional interfaces of records.
type wrapper struct{ loader.Records }

// Name is the records' name.
func (w wrapper) Name() string { return loader.NameOf(w.Records) }

// Targets lists the records' targets.
func (w wrapper) Targets() []loader.TargetSpec { return loader.TargetsOf(w.Records) }

// ReadTarget reads a target of the records.
func (w wrapper) ReadTarget(i uint32, k int, r *loader.Record) error {
	t, ok := w.Records.(loader.Targeted)
	if !ok {
		return loader.ErrIndex
	}
	return t.ReadTarget(i, k, r)
}

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

// Weights says whether the records have weights.
func (w wrapper) Weights() bool {
	of, ok := w.Records.(loader.Weighted)
	return ok && of.Weights()
}

// Weight is the sample's weight.
func (w wrapper) Weight(i uint32) float32 {
	if of, ok := w.Records.(loader.Weighted); ok {
		return of.Weight(i)
	}
	return 1
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

// ReadTarget reads a target of sample i of the records.
func (s *subset) ReadTarget(i uint32, k int, r *loader.Record) error {
	if int64(i) >= int64(s.n) {
		return loader.ErrIndex
	}
	return s.wrapper.ReadTarget(i, k, r)
}
