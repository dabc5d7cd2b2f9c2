package train

import (
	"math"
	"testing"

	"winnow/loader"
	"winnow/prune"
	"winnow/train/traintest"
)

// referenceRun trains the hand-written model in plain float64 loops, to hold
// the real loop against: its own batches, gradient, momentum and weighting,
// with only the epoch's order and the pruner shared.
func referenceRun(t *testing.T, o Options, path weightPath, p prune.Options) (losses []float64, used []int) {
	t.Helper()
	p.Samples, p.Epochs, p.Seed = o.Train.Len(), o.Epochs, o.Seed
	pruner, err := prune.New(p)
	if err != nil {
		t.Fatal(err)
	}
	batch, each, _ := pruner.Wants()
	var w, vw [traintest.Pixels][traintest.Classes]float64
	var b, vb [traintest.Classes]float64
	image := make([]byte, traintest.Pixels)
	for epoch := 1; epoch <= o.Epochs; epoch++ {
		plan, err := pruner.Plan(epoch)
		if err != nil {
			t.Fatal(err)
		}
		indices := append([]uint32{}, plan.Indices...)
		var weights []float32
		if plan.Weights != nil {
			weights = append(weights, plan.Weights...)
		}
		loader.Order(o.Seed, epoch, indices, weights)
		steps := (len(indices) + o.BatchSize - 1) / o.BatchSize
		total := 0.0
		for step := range steps {
			lo := step * o.BatchSize
			hi := min(lo+o.BatchSize, len(indices))
			n := float64(hi - lo)
			mean := 1.0
			if weights != nil {
				mean = 0
				for _, x := range weights[lo:hi] {
					mean += float64(x) / n
				}
			}
			var gw [traintest.Pixels][traintest.Classes]float64
			var gb [traintest.Classes]float64
			each32 := make([]float32, hi-lo)
			sum := 0.0
			for j := lo; j < hi; j++ {
				label := o.Train.Label(indices[j])
				if err := o.Train.Read(loader.Draw{Index: indices[j]}, new(loader.Scratch), image); err != nil {
					t.Fatal(err)
				}
				z := b
				for i, v := range image {
					for k := range z {
						z[k] += float64(v) / 255 * w[i][k]
					}
				}
				norm := 0.0
				for _, v := range z {
					norm += math.Exp(v)
				}
				loss := math.Log(norm) - z[label]
				sum += loss
				each32[j-lo] = float32(loss)
				scale := 1 / n
				switch {
				case weights == nil:
				case path == weightsSample:
					scale *= float64(weights[j])
				case path == weightsMean || path == weightsScale:
					scale *= mean
				}
				if w, ok := o.Train.Records().(loader.Weighted); ok {
					scale *= float64(w.Weight(indices[j]))
				}
				for k := range z {
					d := math.Exp(z[k]) / norm
					if k == int(label) {
						d--
					}
					gb[k] += d * scale
					for i, v := range image {
						gw[i][k] += d * scale * float64(v) / 255
					}
				}
			}
			rate := o.Schedule.At(float64(epoch-1)+float64(step)/float64(steps), o.Epochs, o.LearningRate)
			if path == weightsRate {
				rate *= mean
			}
			for k := range b {
				vb[k] = traintest.Momentum*vb[k] + gb[k]
				b[k] -= rate * vb[k]
				for i := range w {
					vw[i][k] = traintest.Momentum*vw[i][k] + gw[i][k]
					w[i][k] -= rate * vw[i][k]
				}
			}
			total += sum
			if batch {
				err = pruner.ObserveBatch(indices[lo:hi], float32(sum/n))
			} else if each {
				err = pruner.ObserveSamples(indices[lo:hi], each32)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := pruner.EndEpoch(epoch); err != nil {
			t.Fatal(err)
		}
		losses = append(losses, total/float64(len(indices)))
		used = append(used, len(indices))
	}
	return losses, used
}
