package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"

	"winnow/eval"
	"winnow/loader"
	"winnow/onnx/bundle"
)

// ownLoss is whether nothing but the model's own loss says how good it is.
func (l *loop) ownLoss() bool {
	return l.o.Bundle.Manifest.Loss.Name == bundle.NoLoss && !takesClasses(l.testTargets)
}

// metricOf is the name under which a further output of a model is reported.
func metricOf(output string) string {
	if output == eval.LossMetric || output == eval.OwnScore {
		return "output " + output
	}
	return output
}

// newScalars has a place for each further output, nil where there are none.
func (l *loop) newScalars() []float64 {
	if n := len(l.o.Bundle.Manifest.Train.Scalars); n > 0 {
		return make([]float64, n)
	}
	return nil
}

// scalarNames are the further outputs as they are reported.
func (l *loop) scalarNames() (names []string) {
	for _, s := range l.o.Bundle.Manifest.Train.Scalars {
		names = append(names, metricOf(s.Name))
	}
	return names
}

// trainMetrics are the means of further outputs over the samples that were
// seen, without those that are not finite; nil where there are none.
func (l *loop) trainMetrics(samples int) (means map[string]float64) {
	for i, name := range l.scalarNames() {
		if x := l.open.scalars[i] / float64(samples); finite(x) {
			if means == nil {
				means = map[string]float64{}
			}
			means[name] = x
		}
	}
	return means
}

// evaluateLoss is the mean of the model's own loss over samples, and of its
// further outputs, as training computes them, batch statistics and chance with
// it: of steps that are taken back.
func (l *loop) evaluateLoss(ctx context.Context, it eval.Batches, phase string, epoch int) (*eval.Result, error) {
	res, sum, sums := &eval.Result{}, 0.0, l.newScalars()
	l.input.random.From, l.input.random.Places, l.input.of = 0, nil, nil // each batch is a step
	for {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("train: %s, epoch %d: %w", phase, epoch, ctx.Err())
		}
		b, err := it.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("train: %s, epoch %d: %w", phase, epoch, err)
		}
		l.input.fill(b, l.counts.step, 0)
		if err := l.graphs.trainer.Step(&l.input.step, &l.output); err != nil {
			return nil, fmt.Errorf("train: %s, epoch %d: %w", phase, epoch, err)
		}
		l.graphs.state.Undo()
		sum += float64(l.output.Loss) * float64(b.N)
		for i, x := range l.output.Scalars {
			sums[i] += float64(x) * float64(b.N)
		}
		res.Samples += b.N
	}
	if err := l.o.Job.leaders(&sum, sums); err != nil {
		return nil, fmt.Errorf("train: %s, epoch %d: %w", phase, epoch, err)
	}
	n := float64(max(res.Samples, 1))
	res.Loss = sum / n
	res.Metrics = []eval.Metric{{Name: eval.OwnScore, Value: math.Exp(-res.Loss)}}
	for i, name := range l.scalarNames() {
		if !finite(sums[i]) {
			l.noticef("train: %s, epoch %d: output %q is not finite, and so not reported", phase, epoch, name)
			continue
		}
		res.Metrics = append(res.Metrics, eval.Metric{Name: name, Value: sums[i] / n, Less: true})
	}
	return res, nil
}

// MeasureOwnLoss measures the bundle's state on Options.Test as a run measures a
// model with its own loss. Of the options it reads Bundle, Test, Data, Targets,
// Device, BatchSize, Seed, Workers and Bad.
func MeasureOwnLoss(ctx context.Context, o Options) (_ *eval.Result, err error) {
	l := &loop{o: o, classes: int(o.Bundle.Manifest.Classes)}
	l.o.Reporter, l.o.Train, l.o.Layout = silent{}, o.Test, bundle.LayoutPortable
	l.o.Workers, l.o.Prefetch = max(1, runtime.GOMAXPROCS(0)/2), loader.DefaultPrefetch
	if err := l.checkData(); err != nil {
		return nil, err
	}
	if !l.ownLoss() {
		return nil, dataError("bundle %q takes classes, and so is measured by its scores", o.BundleName)
	}
	if err := l.data.open(&l.o, false, 0); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.graphs.close()) }()
	n := min(o.BatchSize, o.Test.Len())
	if err := l.graphs.open(&l.o, n, n, 0); err != nil {
		return nil, err
	}
	l.input = newInput(o.Bundle, l.targets, o.Seed, weightsOff, nil, n)
	l.input.step.Random = l.input.random.Fill
	return l.evaluate(ctx, PhaseEval, 1, l.data.test, nil)
}
