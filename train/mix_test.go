package train

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/prune"
	"winnow/train/traintest"
)

// TestMixedLoss: the loss of an epoch is the cross-entropy of the mixed samples
// with their shares of classes, by its formula, the joined last batch too.
func TestMixedLoss(t *testing.T) {
	o := testOptions(t, device(t), traintest.Parts{SoftLabels: true, Weights: true, PerSample: true})
	o.Epochs, o.LearningRate, o.Smoothing = 1, 0, 0.1
	o.Mix = loader.Mix{Mixup: 0.4, Cutmix: 1, Prob: 0.9, Switch: 0.5}
	weights := make([]float64, traintest.Pixels*traintest.Classes)
	for i := range weights {
		weights[i] = float64((i*7)%11-5) / 11
		binary.LittleEndian.PutUint32(o.Bundle.Init["w"].Data[4*i:], math.Float32bits(float32(weights[i])))
	}
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	l, err := loader.New(o.Train, loader.Options{BatchSize: o.BatchSize, Seed: o.Seed, Shuffle: true, OneHot: traintest.Classes, Smoothing: o.Smoothing, Mix: o.Mix})
	if err != nil {
		t.Fatal(err)
	}
	it, err := l.Epoch(t.Context(), 1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum, shared := 0.0, 0
	for {
		b, err := it.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for i := range b.N {
			x := b.Images[i*traintest.Pixels:][:traintest.Pixels]
			target := b.Targets[0].Floats[i*traintest.Classes:][:traintest.Classes]
			var logits [traintest.Classes]float64
			total := 0.0
			for k := range logits {
				for j, v := range x {
					logits[k] += float64(v) / 255 * weights[j*traintest.Classes+k]
				}
				total += math.Exp(logits[k])
			}
			for k, share := range target {
				sum -= float64(share) * (logits[k] - math.Log(total))
				if share > 0.1 && share < 0.9 {
					shared++
				}
			}
		}
	}
	want := sum / float64(o.Train.Len())
	if got := readEpochs(t, o.Out)[0].TrainLoss; math.Abs(got-want) > 1e-5 {
		t.Errorf("loss %v, want %v", got, want)
	}
	if shared < 100 {
		t.Errorf("%d targets are shares", shared)
	}
}

// TestMixedRunsGoOn: to the bit, under pruning by batch losses.
func TestMixedRunsGoOn(t *testing.T) {
	d := device(t)
	resumesAlike(t, rand.New(rand.NewPCG(3, 5)), func() Options {
		o := testOptions(t, d, traintest.Parts{SoftLabels: true, Weights: true, PerSample: true})
		o.Method, o.Epochs, o.BatchSize = "auto", 6, 35 // and a last batch of its own size
		o.Mix = loader.Mix{Mixup: 0.4, Cutmix: 1, Prob: 1, Switch: 0.5}
		return o
	})
}

// TestMixedSamplesArePrunedByBatchLosses: no scorer takes a mixed loss for a
// sample's own, and a bundle of classes is not trained on shares of them.
func TestMixedSamplesArePrunedByBatchLosses(t *testing.T) {
	d := device(t)
	soft := traintest.Parts{SoftLabels: true, Weights: true, PerSample: true, Logits: true}
	for _, method := range []string{"infobatch", "das-seta", "ucb", "smoothed-full"} {
		o := testOptions(t, d, soft)
		o.Method, o.Mix = method, loader.Mix{Cutmix: 1, Prob: 1}
		if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "take bls-") {
			t.Errorf("%s: %v", method, err)
		}
	}
	o := testOptions(t, d, soft)
	o.Method, o.Mix = "auto", loader.Mix{Mixup: 1, Prob: 1}
	s, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Scorer != "bls" || s.Config.Mix == nil || *s.Config.Mix != o.Mix {
		t.Errorf("scorer %s, recorded %+v", s.Scorer, s.Config.Mix)
	}
	if state, err := prune.ReadState(outcomeOf(t, o.Out).pruner); err != nil || state.Loss != nil {
		t.Errorf("losses of mixed samples are kept as their own: %v", err)
	}
	o = testOptions(t, d, traintest.AllParts)
	o.Mix = loader.Mix{Mixup: 1, Prob: 1}
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "winnow export MODEL.onnx --vector-targets") {
		t.Errorf("a bundle of classes: %v", err)
	}
	o = testOptions(t, d, soft)
	o.Mix = loader.Mix{Mixup: -1}
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) {
		t.Errorf("alpha -1: %v", err)
	}
}
