package eval

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// confidence is that of every interval.
const confidence = 0.95

// maxSeeds is the largest number of seeds that is worth naming.
const maxSeeds = 1000

// Moments are a mean and the standard deviation of a sample, the root of the
// sum of squares over n-1; nil where one number says nothing of it.
type Moments struct {
	Mean      float64  `json:"mean"`
	Deviation *float64 `json:"std"`
}

// MomentsOf are those of one or more numbers.
func MomentsOf(x []float64) Moments {
	if len(x) < 2 {
		return Moments{Mean: stat.Mean(x, nil)}
	}
	mean, std := stat.MeanStdDev(x, nil)
	return Moments{mean, &std}
}

// Difference is the mean of paired differences, with its two-sided 95% interval
// and p-value by Student's t of n-1 degrees of freedom: mean +- t s/sqrt(n)
// (the paired t-test; Gosset 1908). Fewer than two pairs, and pairs that all
// differ by the same, have neither.
type Difference struct {
	Pairs int `json:"pairs"`
	Moments
	Low  *float64 `json:"low"`
	High *float64 `json:"high"`
	P    *float64 `json:"p"`
}

// Paired is the difference of one or more pairs.
func Paired(d []float64) Difference {
	r := Difference{Pairs: len(d), Moments: MomentsOf(d)}
	if r.Deviation == nil || *r.Deviation == 0 {
		return r
	}
	half := halfWidth(*r.Deviation, len(d))
	low, high := r.Mean-half, r.Mean+half
	t := math.Abs(r.Mean) / (*r.Deviation / math.Sqrt(float64(len(d))))
	p := 2 * student(len(d)).Survival(t)
	r.Low, r.High, r.P = &low, &high, &p
	return r
}

func student(n int) distuv.StudentsT { return distuv.StudentsT{Sigma: 1, Nu: float64(n - 1)} }

// halfWidth is half the interval of a mean of n numbers with a standard deviation.
func halfWidth(std float64, n int) float64 {
	return student(n).Quantile(1-(1-confidence)/2) * std / math.Sqrt(float64(n))
}

// Within is whether the interval shows a loss below margin: that of a
// difference which is negative for a loss.
func (d *Difference) Within(margin float64) bool { return d.Low != nil && *d.Low > -margin }

// Seeds is the least number of pairs whose interval would show a loss below
// margin if mean and deviation stayed as they are: at least the pairs there
// are, 0 where no number would, or none up to a thousand.
func (d *Difference) Seeds(margin float64) int {
	if d.Low == nil || d.Mean <= -margin {
		return 0
	}
	for n := max(d.Pairs, 2); n <= maxSeeds; n++ {
		if d.Mean-halfWidth(*d.Deviation, n) > -margin {
			return n
		}
	}
	return 0
}
