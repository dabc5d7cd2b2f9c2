package train

import (
	"context"
	"errors"
	"strings"
	"testing"

	"winnow/prune"
	"winnow/run"
	"winnow/train/traintest"
)

// A bundle that normalises by the batch alone gets no batch of one sample:
// steps are those of a batch of one more, pruned epochs included, and what
// leaves one sample is refused.
func TestLeastBatch(t *testing.T) {
	d := device(t)
	trained := func(n, batch int, change func(*Options)) ([]run.Epoch, error) {
		o := testOptions(t, d, traintest.AllParts)
		o.Bundle.Manifest.MinBatch = 2
		o.Train, o.Epochs, o.BatchSize = traintest.Blobs(t, n, 1), 3, batch
		if change != nil {
			change(&o)
		}
		if _, err := Run(context.Background(), o); err != nil {
			return nil, err
		}
		return timeless(readEpochs(t, o.Out)), nil
	}
	joined, err := trained(33, 32, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := trained(33, 33, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range joined {
		if e.Steps != 1 || e.SamplesUsed != 33 || e.TrainLoss != whole[i].TrainLoss || e.TestLoss != whole[i].TestLoss {
			t.Errorf("%+v, want as %+v", e, whole[i])
		}
	}
	joins := 0
	for n := 60; n < 72; n++ {
		epochs, err := trained(n, 8, func(o *Options) {
			o.Method = "infobatch"
			o.Prune = prune.Options{Scorer: prune.ScorerLoss, Policy: prune.PolicyInfoBatch, Ratio: 0.5, Delta: 1}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range epochs {
			want := (e.SamplesUsed + 7) / 8
			if e.SamplesUsed%8 == 1 {
				want--
				joins++
			}
			if e.Steps != want {
				t.Errorf("%d samples in %d steps, want %d", e.SamplesUsed, e.Steps, want)
			}
		}
	}
	if joins == 0 {
		t.Error("no epoch left one sample over")
	}
	if _, err := trained(33, 1, nil); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "batch-size") {
		t.Errorf("batches of one: %v", err)
	}
	if _, err := trained(1, 8, nil); !errors.Is(err, ErrBadData) {
		t.Errorf("one sample: %v", err)
	}
}
