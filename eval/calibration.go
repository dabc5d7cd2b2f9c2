package eval

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// calibrationBins are those of Guo et al. 2017 (arXiv 1706.04599, section 2).
const calibrationBins = 15

// Calibration tells how far a model's confidence is from its accuracy.
type Calibration struct {
	bins [calibrationBins]struct{ samples, correct, confidence float64 }
}

// Add counts a sample whose first class has a probability.
func (c *Calibration) Add(confidence float64, correct bool) {
	if !(confidence > 0 && confidence <= 1) {
		return // the loss is not finite, which is an error of its own
	}
	b := &c.bins[min(int(math.Ceil(confidence*calibrationBins))-1, calibrationBins-1)]
	b.samples++
	b.confidence += confidence
	if correct {
		b.correct++
	}
}

// Error is the expected calibration error: the mean over samples of how far
// accuracy and mean confidence of their bin are apart, 0 to 1.
func (c *Calibration) Error() float64 {
	sum, n := 0.0, 0.0
	for _, b := range c.bins {
		sum += math.Abs(b.correct - b.confidence)
		n += b.samples
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// McNemar is the two-sided p-value of McNemar's exact test: of two models of
// which a samples are right in the first alone and b in the second alone, how
// likely is so uneven a split if each were as likely (binomial, 1/2).
func McNemar(a, b int) float64 {
	if a+b == 0 {
		return 1
	}
	d := distuv.Binomial{N: float64(a + b), P: 0.5}
	return min(1, 2*d.CDF(float64(min(a, b))))
}
