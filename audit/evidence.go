package audit

import (
	"fmt"
	"math"
)

// maxProbabilities bounds the probabilities that are held: 8 GiB of float32.
const maxProbabilities = 1 << 31

// Evidence is what a model says of each sample of a training set.
type Evidence struct {
	Classes       int
	Given         []int64
	Probabilities []float32 // of sample i from i*Classes on; NaN where the image could not be read
}

// NewEvidence holds nothing yet of samples with their given labels.
func NewEvidence(given []int64, classes int) (*Evidence, error) {
	if classes < 1 || len(given) > maxProbabilities/classes {
		return nil, fmt.Errorf("audit: %w: %d samples of %d classes", ErrTooLarge, len(given), classes)
	}
	for i, k := range given {
		if k < 0 || k >= int64(classes) {
			return nil, fmt.Errorf("audit: sample %d: %w: %d of %d classes", i, ErrLabel, k, classes)
		}
	}
	e := &Evidence{classes, given, make([]float32, len(given)*classes)}
	nan := float32(math.NaN())
	for i := range e.Probabilities {
		e.Probabilities[i] = nan
	}
	return e, nil
}

// Of is the probability of each class for sample i, which may be written.
func (e *Evidence) Of(i int) []float32 { return e.Probabilities[i*e.Classes : (i+1)*e.Classes] }

// Predicted is the class that the model thinks most likely, the first of equals,
// and its probability; -1 and NaN for a sample that was not seen.
func (e *Evidence) Predicted(i int) (class int, confidence float32) {
	p := e.Of(i)
	if p[0] != p[0] {
		return -1, p[0]
	}
	best := 0
	for k, x := range p {
		if x > p[best] {
			best = k
		}
	}
	return best, p[best]
}

// SelfConfidence is the probability of each sample's given label: the label
// quality of Northcutt et al. 2021 (arXiv 1911.00068) and of cleanlab.
func (e *Evidence) SelfConfidence() []float32 {
	out := make([]float32, len(e.Given))
	for i, k := range e.Given {
		out[i] = e.Of(i)[k]
	}
	return out
}
