package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"winnow/loader"
	ortrun "winnow/runtime"
)

// topK is the k of the second accuracy.
const topK = 5

// Runner computes the logits, row by row, of n images.
type Runner interface {
	Run(n int, images []byte) (logits []float32, err error)
}

// Batches delivers batches until io.EOF.
type Batches interface {
	Next() (*loader.Batch, error)
}

var (
	_ Runner  = (*ortrun.Evaluator)(nil)
	_ Batches = (*loader.Iterator)(nil)
)

// Class is the part of a Result about one class.
type Class struct {
	Samples int `json:"samples"`
	Correct int `json:"correct"`
}

// Accuracy is the share of correct samples, 0 for a class without samples.
func (c Class) Accuracy() float64 {
	if c.Samples == 0 {
		return 0
	}
	return float64(c.Correct) / float64(c.Samples)
}

// Result is what an evaluation found; accuracies are shares of 1.
type Result struct {
	Samples  int     `json:"samples"`
	Loss     float64 `json:"loss"` // mean cross-entropy, in nats
	Top1     float64 `json:"top1"`
	Top5     float64 `json:"top5"`
	PerClass []Class `json:"per_class"`

	Metrics []Metric `json:"metrics,omitempty"` // of a task that is no class, its main one first
	Parts   []Part   `json:"-"`                 // of each label, output or class of pixels

	NotFinite int    `json:"-"` // samples whose loss is NaN or infinite
	FirstBad  uint32 `json:"-"` // the first of them
}

// Score is the number that a run is judged by, from 0 to 1: the accuracy, or the
// task's main metric, where that is below 0 as 0.
func (r *Result) Score() float64 {
	if len(r.Metrics) == 0 {
		return r.Top1
	}
	return min(max(r.Metrics[0].Value, 0), 1)
}

// Values are the metrics by name, nil where there are none beside the accuracy.
func (r *Result) Values() map[string]float64 {
	if len(r.Metrics) == 0 {
		return nil
	}
	values := map[string]float64{}
	for _, m := range r.Metrics {
		values[m.Name] = m.Value
	}
	return values
}

// Worst is the class of lowest accuracy that has samples, the first of equals.
func (r *Result) Worst() (w struct{ Class, Samples, Correct int }) {
	for k, c := range r.PerClass {
		if c.Samples > 0 && (w.Samples == 0 || c.Correct*w.Samples < w.Correct*c.Samples) {
			w.Class, w.Samples, w.Correct = k, c.Samples, c.Correct
		}
	}
	return w
}

// Evaluate runs every batch and measures its logits. A cancelled context ends
// it with the context's error.
func Evaluate(ctx context.Context, r Runner, it Batches, classes int) (*Result, error) {
	return Task{Classes: classes}.Evaluate(ctx, r, it, nil)
}

// measure takes the outputs of batches, row by row, and says what they are worth.
type measure interface {
	add(b *loader.Batch, outputs []float32) error
	result() *Result
}

// every runs every batch through a measure.
func every(ctx context.Context, r Runner, it Batches, width int, m measure) (*Result, error) {
	samples := 0
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("eval: %w", err)
		}
		b, err := it.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("eval: %w", err)
		}
		outputs, err := r.Run(b.N, b.Images)
		if err != nil {
			return nil, fmt.Errorf("eval: %w", err)
		}
		if len(outputs) != b.N*width {
			return nil, fmt.Errorf("eval: %w: %d values for %d samples of %d", ErrLogits, len(outputs), b.N, width)
		}
		if err := m.add(b, outputs); err != nil {
			return nil, err
		}
		samples += b.N
	}
	res := m.result()
	res.Samples = samples
	return res, nil
}

// classes measures scores [N, classes] against labels.
type classes struct {
	classes           int
	each              func(index uint32, label, predicted int, confidence float64)
	res               Result
	mean              mean
	right, five, seen int
}

var _ measure = (*classes)(nil)

func newClasses(n int, each func(uint32, int, int, float64)) *classes {
	return &classes{classes: n, each: each, res: Result{PerClass: make([]Class, n)}}
}

func (m *classes) add(b *loader.Batch, logits []float32) error {
	for j, label := range b.Labels {
		if label < 0 || label >= int64(m.classes) {
			return fmt.Errorf("eval: sample %d: %w: %d, there are %d classes", b.Indices[j], ErrLabel, label, m.classes)
		}
		row := logits[j*m.classes : (j+1)*m.classes]
		m.mean.add(&m.res, b.Indices[j], crossEntropy(row, int(label)))
		m.rank(b.Indices[j], row, int(label))
	}
	return nil
}

// rank counts where the label of a row of scores comes.
func (m *classes) rank(index uint32, row []float32, label int) {
	c := &m.res.PerClass[label]
	c.Samples++
	m.seen++
	k := rank(row, label)
	if m.each != nil {
		top := first(row)
		m.each(index, label, top, math.Exp(-crossEntropy(row, top)))
	}
	switch {
	case k == 0:
		m.right++
		c.Correct++
		m.five++
	case k < topK:
		m.five++
	}
}

func (m *classes) result() *Result {
	if m.seen > 0 {
		n := float64(m.seen)
		m.res.Loss, m.res.Top1, m.res.Top5 = m.mean.sum/n, float64(m.right)/n, float64(m.five)/n
	}
	return &m.res
}

// mean sums up losses, and keeps count of those that are not finite.
type mean struct{ sum float64 }

func (m *mean) add(res *Result, index uint32, loss float64) {
	if m.sum += loss; math.IsNaN(loss) || math.IsInf(loss, 0) {
		if res.NotFinite == 0 {
			res.FirstBad = index
		}
		res.NotFinite++
	}
}

// first is the class of the largest logit, the lowest of equals.
func first(row []float32) int {
	best := 0
	for k, x := range row {
		if x > row[best] {
			best = k
		}
	}
	return best
}

// rank is the number of classes that come before the label: those with a
// larger logit, or an equal one and a lower number. A label whose logit is NaN
// comes last.
func rank(row []float32, label int) int {
	x := row[label]
	if x != x {
		return len(row)
	}
	n := 0
	for k, y := range row {
		if y > x || y == x && k < label {
			n++
		}
	}
	return n
}

// crossEntropy is log(sum(exp(row))) - row[label] in float64, shifted by the
// largest logit so that nothing overflows.
func crossEntropy(row []float32, label int) float64 {
	top := float64(row[0])
	for _, x := range row[1:] {
		top = max(top, float64(x))
	}
	sum := 0.0
	for _, x := range row {
		sum += math.Exp(float64(x) - top)
	}
	return math.Log(sum) + top - float64(row[label])
}

// CrossEntropy fills dst with the loss of each label from logits
// [len(labels), classes], in nats, computed in float64.
func CrossEntropy(dst, logits []float32, labels []int64, classes int) error {
	if classes < 1 || len(logits) != len(labels)*classes || len(dst) != len(labels) {
		return fmt.Errorf("eval: %w: %d values and %d losses for %d samples of %d classes",
			ErrLogits, len(logits), len(dst), len(labels), classes)
	}
	for j, label := range labels {
		if label < 0 || label >= int64(classes) {
			return fmt.Errorf("eval: %w: %d, there are %d classes", ErrLabel, label, classes)
		}
		dst[j] = float32(crossEntropy(logits[j*classes:(j+1)*classes], int(label)))
	}
	return nil
}
