package eval

import (
	"math"

	"winnow/loader"
)

// moments are sums over samples of one output.
type moments struct {
	absolute, squared float64 // of the errors
	mean, spread      float64 // of the targets: running mean, and sum of squares around it
}

// quantities measures outputs [N, K] against numbers [N, K].
type quantities struct {
	task Task
	of   []moments
	seen int
	res  Result
	mean mean
}

var _ measure = (*quantities)(nil)

func (m *quantities) add(b *loader.Batch, outputs []float32) error {
	return m.task.rows(b, outputs, func(index uint32, x, y []float32) {
		m.mean.add(&m.res, index, vectorLoss(&m.task.Loss, x, y))
		m.seen++
		for k := range x {
			d, o := float64(x[k])-float64(y[k]), &m.of[k]
			o.absolute += math.Abs(d)
			o.squared += d * d
			off := float64(y[k]) - o.mean // Welford 1962
			o.mean += off / float64(m.seen)
			o.spread += off * (float64(y[k]) - o.mean)
		}
	})
}

// result has means over the outputs; the coefficient of determination of an
// output whose targets are all alike is 1 where they are met, else 0, as in
// scikit-learn's r2_score.
func (m *quantities) result() *Result {
	if m.seen == 0 {
		return &m.res
	}
	n, k := float64(m.seen), float64(len(m.of))
	absolute, root, determined := 0.0, 0.0, 0.0
	for _, o := range m.of {
		r2 := 1 - o.squared/o.spread
		if o.spread == 0 {
			r2 = 0
			if o.squared == 0 {
				r2 = 1
			}
		}
		mae, rmse := o.absolute/n, math.Sqrt(o.squared/n)
		absolute, root, determined = absolute+mae/k, root+rmse/k, determined+r2/k
		m.res.Parts = append(m.res.Parts, Part{Samples: m.seen, Metrics: []Metric{{R2, r2, false}, {meanAbsolute, mae, true}, {rootSquared, rmse, true}}})
	}
	m.res.Loss = m.mean.sum / n
	m.res.Metrics = []Metric{{R2, determined, false}, {meanAbsolute, absolute, true}, {rootSquared, root, true}}
	return &m.res
}
