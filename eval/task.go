package eval

import (
	"context"
	"fmt"
	"math"

	"winnow/loader"
	"winnow/onnx/bundle"
)

// Task says what a model's outputs are measured by: a class label, where the
// data has one, else the target and the loss that the model was trained with.
type Task struct {
	Classes int         // outputs of a sample, or of a pixel
	Pixels  int         // of a mask
	Loss    bundle.Loss // of targets that are no class
	Target  int         // which of a batch's targets
	Kind    string      // of that target, as bundles name it; "" is a class
}

// Metric is one number that an evaluation found.
type Metric struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Less  bool    `json:"less_is_better,omitempty"`
}

// Part is a Result's numbers of one label, output or class of pixels.
type Part struct {
	Samples int // that have it; pixels of a mask
	Metrics []Metric
}

// Names of metrics that stand for a task.
const (
	Accuracy      = "accuracy"
	MeanPrecision = "mAP"
	R2            = "R2"
	MeanIoU       = "mean IoU"
	LossMetric    = "loss"
	meanAbsolute  = "MAE"
	rootSquared   = "RMSE"
	OwnScore      = "exp(-loss)" // of a model with its own loss: from 0 to 1, and more is better
)

// Main names the number that a task is judged by.
func (t Task) Main() string {
	switch {
	case t.Loss.Name == bundle.NoLoss && t.Kind != "" && t.Kind != bundle.TargetClass:
		return OwnScore
	case t.Kind == bundle.TargetMask:
		return MeanIoU
	case t.Kind != bundle.TargetVector || t.Loss.Name == bundle.CrossEntropy:
		return Accuracy
	case t.labels():
		return MeanPrecision
	}
	return R2
}

// labels is whether the targets say which of several labels there are.
func (t Task) labels() bool { return t.Loss.Name == bundle.BCE || t.Loss.Name == bundle.Focal }

// Evaluate runs every batch and measures what the model gives. each, where it is
// not nil, is told of every sample that has a class: its label, the class that
// comes first, and the probability of that. A cancelled context ends it
// with the context's error.
func (t Task) Evaluate(ctx context.Context, r Runner, it Batches, each func(index uint32, label, predicted int, confidence float64)) (*Result, error) {
	if t.Classes < 1 {
		return nil, fmt.Errorf("eval: %d classes", t.Classes)
	}
	if t.Main() == OwnScore {
		return nil, fmt.Errorf("eval: %w: the model's own loss measures it, which training alone computes", ErrTarget)
	}
	var m measure
	width := t.Classes
	switch {
	case t.Kind == "" || t.Kind == bundle.TargetClass:
		m = newClasses(t.Classes, each)
	case t.Kind == bundle.TargetMask:
		m, width = newMasks(t), t.Classes*t.Pixels
	case t.Kind != bundle.TargetVector:
		return nil, fmt.Errorf("eval: %w: %q", ErrTarget, t.Kind)
	case t.Loss.Name == bundle.CrossEntropy:
		m = &shares{task: t, ranked: newClasses(t.Classes, nil)}
	case t.labels():
		m = &labels{task: t, scores: make([][]scored, t.Classes)}
	default:
		m = &quantities{task: t, of: make([]moments, t.Classes)}
	}
	return every(ctx, r, it, width, m)
}

// rows gives the outputs and the vector of each sample of a batch.
func (t Task) rows(b *loader.Batch, outputs []float32, each func(index uint32, x, y []float32)) error {
	k := t.Classes
	floats := b.Targets[t.Target].Floats
	if len(floats) != b.N*k {
		return fmt.Errorf("eval: %w: %d numbers for %d samples of %d outputs", ErrTarget, len(floats), b.N, k)
	}
	for j := range b.N {
		each(b.Indices[j], outputs[j*k:(j+1)*k], floats[j*k:(j+1)*k])
	}
	return nil
}

// shares measures scores against probabilities of classes.
type shares struct {
	task   Task
	ranked *classes // of the class that the target has most of
}

var _ measure = (*shares)(nil)

func (m *shares) add(b *loader.Batch, outputs []float32) error {
	return m.task.rows(b, outputs, func(index uint32, x, y []float32) {
		m.ranked.mean.add(&m.ranked.res, index, vectorLoss(&m.task.Loss, x, y))
		m.ranked.rank(index, x, first(y))
	})
}

func (m *shares) result() *Result { return m.ranked.result() }

// vectorLoss is the unweighted loss of one sample, of outputs x and targets t, as
// package export has it in the training graph, in float64; of the focal loss, the
// binary cross-entropy that it is made of.
func vectorLoss(l *bundle.Loss, x, t []float32) float64 {
	sum, n := 0.0, float64(len(x))
	if l.Name == bundle.CrossEntropy {
		for i := range x {
			if t[i] != 0 {
				sum += float64(t[i]) * crossEntropy(x, i)
			}
		}
		return sum
	}
	for i := range x {
		a, b := float64(x[i]), float64(t[i])
		d := math.Abs(a - b)
		switch l.Name {
		case bundle.BCE, bundle.Focal:
			sum += binaryCrossEntropy(a, b)
		case bundle.MSE:
			sum += d * d
		case bundle.L1:
			sum += d
		case bundle.Huber:
			if d <= l.Delta {
				sum += d * d / 2
			} else {
				sum += l.Delta * (d - l.Delta/2)
			}
		}
	}
	return sum / n
}

// binaryCrossEntropy is that of sigmoid(x) and a target t.
func binaryCrossEntropy(x, t float64) float64 {
	return max(x, 0) - x*t + math.Log1p(math.Exp(-math.Abs(x)))
}
