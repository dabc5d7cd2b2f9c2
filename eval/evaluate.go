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

	NotFinite int    `json:"-"` // samples whose loss is NaN or infinite
	FirstBad  uint32 `json:"-"` // the first of them
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
	return EvaluateEach(ctx, r, it, classes, nil)
}

// EvaluateEach is Evaluate that tells each, where it is not nil, of every sample:
// whether its label comes first, and the probability of the class that does.
func EvaluateEach(ctx context.Context, r Runner, it Batches, classes int, each func(index uint32, correct bool, confidence float64)) (*Result, error) {
	if classes < 1 {
		return nil, fmt.Errorf("eval: %d classes", classes)
	}
	res := &Result{PerClass: make([]Class, classes)}
	loss, right, five := 0.0, 0, 0
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
		logits, err := r.Run(b.N, b.Images)
		if err != nil {
			return nil, fmt.Errorf("eval: %w", err)
		}
		if len(logits) != b.N*classes {
			return nil, fmt.Errorf("eval: %w: %d values for %d samples of %d classes", ErrLogits, len(logits), b.N, classes)
		}
		for j, label := range b.Labels {
			if label < 0 || label >= int64(classes) {
				return nil, fmt.Errorf("eval: sample %d: %w: %d, there are %d classes", b.Indices[j], ErrLabel, label, classes)
			}
			row := logits[j*classes : (j+1)*classes]
			l := crossEntropy(row, int(label))
			if loss += l; math.IsNaN(l) || math.IsInf(l, 0) {
				if res.NotFinite == 0 {
					res.FirstBad = b.Indices[j]
				}
				res.NotFinite++
			}
			c := &res.PerClass[label]
			c.Samples++
			k := rank(row, int(label))
			if each != nil {
				each(b.Indices[j], k == 0, math.Exp(-crossEntropy(row, first(row))))
			}
			switch {
			case k == 0:
				right++
				c.Correct++
				five++
			case k < topK:
				five++
			}
		}
		res.Samples += b.N
	}
	if res.Samples > 0 {
		n := float64(res.Samples)
		res.Loss, res.Top1, res.Top5 = loss/n, float64(right)/n, float64(five)/n
	}
	return res, nil
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
