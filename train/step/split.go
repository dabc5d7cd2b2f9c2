package step

import (
	"winnow/onnx"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
)

// SplitSpec translates a bundle's training roles for a step in two halves, of
// the graph that TrainSpec would take.
func SplitSpec(b *bundle.Bundle, d *ortrun.Device, layout string) (ortrun.SplitSpec, string, error) {
	var spec ortrun.SplitSpec
	train, layout, err := TrainSpec(b, d, layout)
	if err != nil {
		return spec, "", err
	}
	h, err := b.Halves(layout)
	if err != nil {
		return spec, "", err
	}
	spec = ortrun.SplitSpec{Gradient: train, Update: h.Update, Rate: train.LearningRate, Running: h.Running, Scaled: h.Scaled, Loss: h.Loss,
		Samples: ortrun.Slot{Name: h.Samples, DType: ortrun.DType(onnx.Float32)}}
	if h.Batch != "" {
		spec.Batch = ortrun.Slot{Name: h.Batch, DType: ortrun.DType(onnx.Float32)}
	}
	spec.Gradient.Model, spec.Gradient.LearningRate = h.Gradient, ortrun.Slot{}
	for _, s := range h.Sums {
		spec.Sums = append(spec.Sums, ortrun.Sum(s))
	}
	return spec, layout, nil
}
