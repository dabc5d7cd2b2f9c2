package train

import (
	"errors"
	"math"
	"testing"
)

func TestOptionsNameEveryProblem(t *testing.T) {
	o := Defaults()
	o.Epochs, o.BatchSize, o.LearningRate = 0, -1, math.NaN()
	o.Schedule.Name, o.Schedule.WarmupEpochs = "cosin", -1
	o.Reference = "holdout:2"
	err := o.Validate()
	if !errors.Is(err, ErrOptions) {
		t.Fatal(err)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T", err)
	}
	// bundle, train, test, device, out, epochs, batch-size, lr, two of the schedule, reference
	if n := len(joined.Unwrap()); n != 10 {
		t.Errorf("%d problems, want 10 (the schedule's two are one):\n%v", n, err)
	}
}
