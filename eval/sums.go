package eval

import "math"

// Sums are what a Result of classes is made of, as numbers that add up over
// parts of the samples.
func (r *Result) Sums() []float64 {
	n := float64(r.Samples)
	x := []float64{n, float64(r.NotFinite), r.Loss * n, math.Round(r.Top1 * n), math.Round(r.Top5 * n)}
	for _, c := range r.PerClass {
		x = append(x, float64(c.Samples), float64(c.Correct))
	}
	return x
}

// PutSums makes r the Result of all parts from the sum of their Sums. FirstBad
// stays that of its own part.
func (r *Result) PutSums(x []float64) {
	r.Samples, r.NotFinite = int(x[0]), int(x[1])
	r.Loss, r.Top1, r.Top5 = 0, 0, 0
	if n := x[0]; n > 0 {
		r.Loss, r.Top1, r.Top5 = x[2]/n, x[3]/n, x[4]/n
	}
	for i := range r.PerClass {
		r.PerClass[i] = Class{Samples: int(x[5+2*i]), Correct: int(x[6+2*i])}
	}
}
