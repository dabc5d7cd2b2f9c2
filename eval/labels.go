package eval

import (
	"cmp"
	"slices"

	"winnow/loader"
)

// scored is what a model says of one label of a sample, and whether it is there.
type scored struct {
	score float32
	there bool
}

// labels measures scores [N, K] against which of K labels there are, those whose
// target is over 1/2. A label is said to be there where its score is over 0,
// which is a probability of 1/2.
type labels struct {
	task   Task
	scores [][]scored // by label
	exact  int
	seen   int
	res    Result
	mean   mean
}

var _ measure = (*labels)(nil)

func (m *labels) add(b *loader.Batch, outputs []float32) error {
	return m.task.rows(b, outputs, func(index uint32, x, y []float32) {
		m.mean.add(&m.res, index, vectorLoss(&m.task.Loss, x, y))
		exact := true
		for k := range x {
			there := y[k] > 0.5
			m.scores[k] = append(m.scores[k], scored{x[k], there})
			exact = exact && there == (x[k] > 0)
		}
		if m.seen++; exact {
			m.exact++
		}
	})
}

// counts are of what was said to be there.
type counts struct{ right, wrong, missed int }

// f1 is 0 where nothing is there and nothing was said to be.
func (c counts) f1() float64 {
	if c.right == 0 {
		return 0
	}
	return 2 * float64(c.right) / float64(2*c.right+c.wrong+c.missed)
}

// result has the mean over the labels that some sample has of average precision,
// and F1 of all decisions together and as a mean over labels.
func (m *labels) result() *Result {
	if m.seen == 0 {
		return &m.res
	}
	var all counts
	precision, macro, known := 0.0, 0.0, 0
	for _, list := range m.scores {
		var c counts
		there := 0
		for _, s := range list {
			said := s.score > 0
			switch {
			case s.there && said:
				c.right++
			case s.there:
				c.missed++
			case said:
				c.wrong++
			}
			if s.there {
				there++
			}
		}
		all.right, all.wrong, all.missed = all.right+c.right, all.wrong+c.wrong, all.missed+c.missed
		macro += c.f1()
		ap := averagePrecision(list, there)
		if there > 0 {
			precision += ap
			known++
		}
		m.res.Parts = append(m.res.Parts, Part{Samples: there, Metrics: []Metric{{Name: "AP", Value: ap}, {Name: "F1", Value: c.f1()}}})
	}
	m.res.Loss = m.mean.sum / float64(m.seen)
	m.res.Metrics = []Metric{
		{Name: MeanPrecision, Value: precision / float64(max(known, 1))},
		{Name: "F1 micro", Value: all.f1()},
		{Name: "F1 macro", Value: macro / float64(len(m.scores))},
		{Name: "exact match", Value: float64(m.exact) / float64(m.seen)},
	}
	return &m.res
}

// averagePrecision is the mean of the precision at each sample that has the
// label, in the order of their scores; equal scores count as one threshold, as in
// scikit-learn's average_precision_score.
func averagePrecision(list []scored, there int) float64 {
	if there == 0 {
		return 0
	}
	slices.SortStableFunc(list, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	sum, right := 0.0, 0
	for i := 0; i < len(list); {
		was, end := right, i
		for ; end < len(list) && list[end].score == list[i].score; end++ {
			if list[end].there {
				right++
			}
		}
		if end == i { // NaN equals nothing
			end++
		}
		sum += float64(right-was) / float64(there) * float64(right) / float64(end)
		i = end
	}
	return sum
}
