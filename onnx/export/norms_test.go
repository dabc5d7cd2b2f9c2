package export_test

import (
	"math"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
)

// The variance of a batch keeps its digits where the mean is a hundred deviations.
func TestBatchNormalizationOfALargeMean(t *testing.T) {
	d := openDevice(t)
	const images, channels, size = 4, 2, 9
	ones := onnx.FromFloat32([]float32{1, 1}, channels)
	zeros := onnx.FromFloat32([]float32{0, 0}, channels)
	w := make([]float32, channels*size*3)
	for i := range w {
		w[i] = float32(math.Sin(float64(i)))
	}
	m := &onnx.Model{IRVersion: 8, Opset: 18, Graph: &onnx.Graph{
		Name:    "norm",
		Inputs:  []onnx.Value{{Name: "images", DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("N")}, onnx.ShapeOf(channels, 3, 3)...)}},
		Outputs: []onnx.Value{{Name: "scores", DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("N")}, onnx.ShapeOf(3)...)}},
		Initializers: map[string]*onnx.Tensor{
			"scale": ones, "bias": zeros, "mean": zeros, "var": ones, "w": onnx.FromFloat32(w, channels*size, 3),
			"flat": onnx.FromInt64([]int64{0, channels * size}, 2),
		},
		Nodes: []*onnx.Node{
			{Name: "norm", Op: "BatchNormalization", Inputs: []string{"images", "scale", "bias", "mean", "var"}, Outputs: []string{"y"}, Attrs: map[string]onnx.Attr{"momentum": onnx.FloatAttr(0)}},
			{Name: "flat", Op: "Reshape", Inputs: []string{"y", "flat"}, Outputs: []string{"rows"}},
			{Name: "scores", Op: "MatMul", Inputs: []string{"rows", "w"}, Outputs: []string{"scores"}},
		},
	}}
	b, err := export.Build(m, export.Options{Name: "norm", Images: export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	trainer, state, index := newTrainer(t, d, b, images)
	x := make([]float32, images*channels*size)
	sum, square := make([]float64, channels), make([]float64, channels)
	for i := range x {
		x[i] = 100 + float32(math.Sin(float64(7*i)))
		sum[i/size%channels] += float64(x[i])
	}
	for i, v := range x {
		c := i / size % channels
		square[c] += math.Pow(float64(v)-sum[c]/(images*size), 2)
	}
	in := ortrun.StepInput{N: images, Images: onnx.FromFloat32(x, int64(len(x))).Data, Labels: []int64{0, 1, 2, 0}, LearningRate: 0.1, LossScale: 1}
	var out ortrun.StepOutput
	if err := trainer.Step(&in, &out); err != nil {
		t.Fatal(err)
	}
	for c, got := range readState(t, state, index["var"], b.Init["var"]) {
		want := square[c] / (images*size - 1)
		if math.Abs(float64(got)-want) > 1e-5*want {
			t.Errorf("channel %d: variance %v, want %v", c, got, want)
		}
	}
}
