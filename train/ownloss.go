package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"winnow/eval"
	"winnow/onnx/bundle"
)

// ownLoss is whether nothing but the model's own loss says how good it is.
func (l *loop) ownLoss() bool {
	return l.o.Bundle.Manifest.Loss.Name == bundle.NoLoss && !takesClasses(l.testTargets)
}

// evaluateLoss is the mean of the model's own loss over samples, as training
// computes it, batch statistics and chance with it: of steps that are taken back.
func (l *loop) evaluateLoss(ctx context.Context, it eval.Batches, phase string, epoch int) (*eval.Result, error) {
	res, sum := &eval.Result{}, 0.0
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
		res.Samples += b.N
	}
	if res.Samples > 0 {
		res.Loss = sum / float64(res.Samples)
	}
	res.Metrics = []eval.Metric{{Name: eval.OwnScore, Value: math.Exp(-res.Loss)}}
	return res, nil
}
