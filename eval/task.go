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
	Classes int         // outputs of a sample
	Loss    bundle.Loss // of targets that are no class
	Target  int         // which of a batch's targets
	Kind    string      // of that target, as bundles name it; "" is a class
}

// Evaluate runs every batch and measures what the model gives. each, where it is
// not nil, is told of every sample that has a class: whether its label comes
// first, and the probability of the class that does. A cancelled context ends it
// with the context's error.
func (t Task) Evaluate(ctx context.Context, r Runner, it Batches, each func(index uint32, correct bool, confidence float64)) (*Result, error) {
	if t.Classes < 1 {
		return nil, fmt.Errorf("eval: %d classes", t.Classes)
	}
	var m measure
	switch t.Kind {
	case "", bundle.TargetClass:
		m = newClasses(t.Classes, each)
	case bundle.TargetVector:
		m = &vectors{task: t, ranked: newClasses(t.Classes, nil)}
	default:
		return nil, fmt.Errorf("eval: %w: %q", ErrTarget, t.Kind)
	}
	return every(ctx, r, it, t.Classes, m)
}

// vectors measures outputs [N, K] against targets [N, K].
type vectors struct {
	task   Task
	ranked *classes // of the class that the target has most of
	mean   mean
}

var _ measure = (*vectors)(nil)

func (m *vectors) add(b *loader.Batch, outputs []float32) error {
	k := m.task.Classes
	floats := b.Targets[m.task.Target].Floats
	if len(floats) != b.N*k {
		return fmt.Errorf("eval: %w: %d numbers for %d samples of %d outputs", ErrTarget, len(floats), b.N, k)
	}
	for j := range b.N {
		x, t := outputs[j*k:(j+1)*k], floats[j*k:(j+1)*k]
		m.mean.add(&m.ranked.res, b.Indices[j], vectorLoss(&m.task.Loss, x, t))
		if m.task.Loss.Name == bundle.CrossEntropy {
			m.ranked.rank(b.Indices[j], x, first(t))
		} else {
			m.ranked.seen++
		}
	}
	return nil
}

func (m *vectors) result() *Result {
	m.ranked.mean = m.mean
	return m.ranked.result()
}

// vectorLoss is the loss of one sample, of outputs x and targets t, as package
// export has it in the training graph, in float64.
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
		case bundle.BCE:
			sum += max(a, 0) - a*b + math.Log1p(math.Exp(-math.Abs(a)))
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
