package train

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/prune"
	"winnow/train/traintest"
)

// weighted are records whose samples weigh 0, 0.5, 1 and 1.5 by turns.
type weighted struct{ loader.Records }

func (w weighted) Weights() bool            { return true }
func (w weighted) Weight(i uint32) float32  { return float32(i%4) / 2 }
func (w weighted) Shape() (c, h, width int) { return loader.ShapeOf(w.Records) }
func (w weighted) Classes() []string        { return loader.ClassesOf(w.Records) }
func (w weighted) Name() string             { return loader.NameOf(w.Records) }

func withWeights(t *testing.T, src *loader.Source) *loader.Source {
	t.Helper()
	s, err := loader.NewSource(weighted{src.Records()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDataWeights: weights of the data multiply the losses, beside those of a
// plan; the losses that are reported and pruned by stay the samples' own.
func TestDataWeights(t *testing.T) {
	d := device(t)
	infobatch := prune.Options{Scorer: prune.ScorerLoss, Policy: prune.PolicyInfoBatch, Ratio: 0.5, Delta: 0.75}
	for _, c := range []struct {
		name, method string
		prune        prune.Options
		path         weightPath
	}{
		{"full", "none", prune.Options{}, weightsOff},
		{"with a plan's, by sample", "infobatch", infobatch, weightsSample},
		{"with a plan's, by batch", "infobatch", with(infobatch, prune.RescaleBatch), weightsMean},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions(t, d, traintest.AllParts)
			o.Method, o.Prune = c.method, c.prune
			o.Train = withWeights(t, o.Train)
			if _, err := Run(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			losses, _ := referenceRun(t, o, c.path, c.prune)
			for i, e := range readEpochs(t, o.Out) {
				if !(math.Abs(e.TrainLoss-losses[i]) <= 1e-5*losses[i]) {
					t.Errorf("epoch %d: train loss %v, want %v", e.Epoch, e.TrainLoss, losses[i])
				}
			}
		})
	}
	o := testOptions(t, d, traintest.Parts{})
	o.Train = withWeights(t, o.Train)
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), "takes no sample_weights") {
		t.Errorf("a bundle without sample weights: %v", err)
	}
	o = testOptions(t, d, traintest.AllParts)
	o.Train, o.Mix.Mixup = withWeights(t, o.Train), 0.2
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) {
		t.Errorf("mixed samples: %v", err)
	}
}
