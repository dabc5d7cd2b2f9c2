package eval

import (
	"fmt"
	"math"

	"winnow/loader"
)

// overlap is of one class of pixels.
type overlap struct{ both, truth, said int }

// iou is the intersection over the union, NaN for a class that is nowhere.
func (o overlap) iou() float64 {
	return float64(o.both) / float64(o.truth+o.said-o.both)
}

// masks measures scores [N, K, P] of pixels against their classes [N, P]. One
// score stands for class 1, which it says where it is over 0.
type masks struct {
	task   Task
	ignore int
	of     []overlap
	pixels int
	right  int
	seen   int
	res    Result
	mean   mean
}

var _ measure = (*masks)(nil)

func newMasks(t Task) *masks {
	m := &masks{task: t, ignore: loader.MaskFill, of: make([]overlap, max(t.Classes, 2))}
	if t.Loss.Ignore != nil {
		m.ignore = int(*t.Loss.Ignore)
	}
	return m
}

func (m *masks) add(b *loader.Batch, outputs []float32) error {
	k, p := m.task.Classes, m.task.Pixels
	truth := b.Targets[m.task.Target].Bytes
	if len(truth) != b.N*p {
		return fmt.Errorf("eval: %w: %d bytes for the masks of %d samples of %d pixels", ErrTarget, len(truth), b.N, p)
	}
	row := make([]float32, k)
	for j := range b.N {
		x, y := outputs[j*k*p:][:k*p], truth[j*p:][:p]
		loss, counted := 0.0, 0
		for i, class := range y {
			if int(class) == m.ignore {
				continue
			}
			if int(class) >= len(m.of) {
				return fmt.Errorf("eval: sample %d: %w: %d in its mask, there are %d classes", b.Indices[j], ErrLabel, class, len(m.of))
			}
			for c := range row {
				row[c] = x[c*p+i]
			}
			said := first(row)
			if k == 1 {
				said = 0
				if row[0] > 0 {
					said = 1
				}
				loss += binaryCrossEntropy(float64(row[0]), float64(class))
			} else {
				loss += crossEntropy(row, int(class))
			}
			counted++
			m.of[class].truth++
			m.of[said].said++
			if said == int(class) {
				m.of[class].both++
				m.right++
			}
		}
		m.pixels += counted
		m.seen++
		m.mean.add(&m.res, b.Indices[j], loss/float64(max(counted, 1)))
	}
	return nil
}

// result has the mean over images of their mean cross-entropy, and the mean over
// the classes that are anywhere, or were said to be, of intersection over union.
func (m *masks) result() *Result {
	if m.seen == 0 {
		return &m.res
	}
	sum, known := 0.0, 0
	for _, o := range m.of {
		iou := o.iou()
		if math.IsNaN(iou) {
			iou = 0
		} else {
			sum += iou
			known++
		}
		m.res.Parts = append(m.res.Parts, Part{Samples: o.truth, Metrics: []Metric{{Name: "IoU", Value: iou}}})
	}
	m.res.Loss = m.mean.sum / float64(m.seen)
	m.res.Metrics = []Metric{
		{Name: MeanIoU, Value: sum / float64(max(known, 1))},
		{Name: "pixel accuracy", Value: float64(m.right) / float64(max(m.pixels, 1))},
	}
	return &m.res
}
