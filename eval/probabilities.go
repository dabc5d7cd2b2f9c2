package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// Probabilities runs every batch and tells each of every sample: the softmax of
// its logits, valid during the call.
func Probabilities(ctx context.Context, r Runner, it Batches, classes int, each func(index uint32, label int64, p []float32)) error {
	if classes < 1 {
		return fmt.Errorf("eval: %d classes", classes)
	}
	p := make([]float32, classes)
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("eval: %w", err)
		}
		b, err := it.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("eval: %w", err)
		}
		logits, err := r.Run(b.N, b.Images)
		if err != nil {
			return fmt.Errorf("eval: %w", err)
		}
		if len(logits) != b.N*classes {
			return fmt.Errorf("eval: %w: %d values for %d samples of %d classes", ErrLogits, len(logits), b.N, classes)
		}
		for j, label := range b.Labels {
			softmax(p, logits[j*classes:(j+1)*classes])
			each(b.Indices[j], label, p)
		}
	}
}

// softmax is computed in float64, shifted by the largest logit so that nothing
// overflows.
func softmax(p, row []float32) {
	top := float64(row[first(row)])
	sum := 0.0
	for _, x := range row {
		sum += math.Exp(float64(x) - top)
	}
	for k, x := range row {
		p[k] = float32(math.Exp(float64(x)-top) / sum)
	}
}
