package train

import (
	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/prune"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

// input turns batches into a step's input; its buffers are made once.
type input struct {
	step    ortrun.StepInput
	pixels  step.Pixels
	random  step.Random
	weights weightPath
	mean    []float32 // batch weights, where the graph takes them per sample
	of      []float32 // weights whose mean is a batch's; nil for its own
	targets targets
	data    []float32 // weights that the data gives its samples, nil for none
	own     []float32 // a batch's, those among them
}

func newInput(b *bundle.Bundle, bound []boundTarget, seed uint64, weights weightPath, data []float32, maxBatch int) input {
	in := input{pixels: step.PixelsFor(b.Manifest.Train.Images), random: step.Random{Seed: seed}, weights: weights, targets: newTargets(bound, maxBatch)}
	for _, v := range b.Manifest.Train.Random {
		in.random.Whole = append(in.random.Whole, len(v.Shape) == 0 || v.Shape[0].IsConst())
	}
	if data != nil {
		in.data, in.own = data, make([]float32, maxBatch)
	}
	if weights == weightsMean {
		in.mean = make([]float32, maxBatch)
	}
	return in
}

// fill takes a batch for a step of the run, at a learning rate.
func (in *input) fill(b *loader.Batch, at int64, rate float64) {
	in.step.N, in.step.Labels = b.N, b.Labels
	in.step.Images = in.pixels.Convert(b.N, b.Images)
	in.step.LabelsFloat, in.step.Targets = in.targets.fill(b)
	in.random.Step = uint64(at)
	in.weigh(rate, b.Weights)
	if in.data != nil {
		in.weighData(b.Indices)
	}
}

// weighData multiplies the step's weights by those of the data.
func (in *input) weighData(indices []uint32) {
	own := in.own[:len(indices)]
	for j, i := range indices {
		own[j] = in.data[i]
		if in.step.Weights != nil {
			own[j] *= in.step.Weights[j]
		}
	}
	in.step.Weights = own
}

// weigh sets the step's weights, loss scale and learning rate.
func (in *input) weigh(rate float64, weights []float32) {
	in.step.Weights, in.step.LossScale = nil, 1
	if weights != nil {
		of := weights
		if in.of != nil {
			of = in.of
		}
		switch in.weights {
		case weightsSample:
			in.step.Weights = weights
		case weightsMean:
			in.step.Weights = in.mean[:len(weights)]
			mean := prune.BatchWeight(of)
			for i := range in.step.Weights {
				in.step.Weights[i] = mean
			}
		case weightsScale:
			in.step.LossScale = prune.BatchWeight(of)
		case weightsRate:
			rate *= float64(prune.BatchWeight(of))
		}
	}
	in.step.LearningRate = float32(rate)
}

// rate is the learning rate of a step of several batches.
func (in *input) rate(rate float64) float32 {
	if in.of != nil && in.weights == weightsRate {
		rate *= float64(prune.BatchWeight(in.of))
	}
	return float32(rate)
}
