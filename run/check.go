package run

import (
	"errors"
	"fmt"
	"math"
)

// maxProblems keeps the report on a hostile run readable.
const maxProblems = 20

// check refuses what no run writes: shares outside 0 to 1, negative counts and
// times, and epochs that contradict the summary. Losses may be anything.
func (r *Run) check() error {
	s := &r.Summary
	var errs []error
	fail := func(format string, args ...any) {
		if len(errs) < maxProblems {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	share := func(where, name string, v float64) {
		if !(v >= 0 && v <= 1) {
			fail("%s: %s is %v, want 0 to 1", where, name, v)
		}
	}
	amount := func(where, name string, v float64) {
		if !(v >= 0 && v <= math.MaxInt64) {
			fail("%s: %s is %v, want 0 or more", where, name, v)
		}
	}
	share(SummaryFile, "test_accuracy", s.TestAccuracy)
	share(SummaryFile, "best_test_accuracy", s.BestTestAccuracy)
	if s.TestAccuracy > s.BestTestAccuracy && s.Epochs > 0 {
		fail("%s: test_accuracy %v is over the best, %v", SummaryFile, s.TestAccuracy, s.BestTestAccuracy)
	}
	if w := s.WorstClass; w.Correct < 0 || w.Correct > w.Samples {
		fail("%s: worst_class has %d of %d samples correct", SummaryFile, w.Correct, w.Samples)
	}
	for _, f := range []struct {
		name string
		v    float64
	}{
		{"train_samples_used", float64(s.TrainSamplesUsed)}, {"train_samples_full", float64(s.TrainSamplesFull)},
		{"wall_seconds", s.WallSeconds}, {"step_seconds", s.StepSeconds}, {"wait_seconds", s.WaitSeconds},
		{"prune_seconds", s.PruneSeconds}, {"eval_seconds", s.EvalSeconds},
	} {
		amount(SummaryFile, f.name, f.v)
	}
	for i, e := range r.Epochs {
		where := fmt.Sprintf("%s epoch %d", MetricsFile, i+1)
		share(where, "test_accuracy", e.TestAccuracy)
		amount(where, "samples_used", float64(e.SamplesUsed))
		amount(where, "samples_total", float64(e.SamplesTotal))
		amount(where, "wall_seconds", e.WallSeconds)
	}
	if len(errs) == 0 {
		errs = append(errs, r.agree())
	}
	return errors.Join(errs...)
}

// agree holds the epochs against the summary, which is written from them. The
// open epoch of an interrupted run counts in the summary alone.
func (r *Run) agree() error {
	s, n := &r.Summary, len(r.Epochs)
	if n != s.Epochs {
		return fmt.Errorf("%s has %d epochs, %s says %d", MetricsFile, n, SummaryFile, s.Epochs)
	}
	if n == 0 {
		return nil
	}
	used, best := int64(0), 0.0
	for _, e := range r.Epochs {
		used += int64(e.SamplesUsed)
		best = max(best, e.TestAccuracy)
	}
	switch last := r.Epochs[n-1].TestAccuracy; {
	case last != s.TestAccuracy:
		return fmt.Errorf("%s ends with test_accuracy %v, %s says %v", MetricsFile, last, SummaryFile, s.TestAccuracy)
	case best != s.BestTestAccuracy:
		return fmt.Errorf("the best test_accuracy of %s is %v, %s says %v", MetricsFile, best, SummaryFile, s.BestTestAccuracy)
	case used != s.TrainSamplesUsed && !(s.Interrupted && used < s.TrainSamplesUsed):
		return fmt.Errorf("%s sums to %d samples used, %s says %d", MetricsFile, used, SummaryFile, s.TrainSamplesUsed)
	}
	return nil
}
