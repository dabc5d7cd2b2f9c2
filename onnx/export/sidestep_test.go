package export_test

import (
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
)

// What ONNX Runtime's optimizer gets wrong is right in a bundle: a transposed
// matrix times a vector, and an identity Transpose before a product.
func TestOptimizerFaultsAreSidestepped(t *testing.T) {
	d := openDevice(t)
	m := tiny(map[string][]int64{"w": {16, 16}, "v": {16}, "h": {16, 16}, "b": {16}},
		op("Transpose", map[string]onnx.Attr{"perm": onnx.IntsAttr(1, 0)}, "t", "w"), op("MatMul", nil, "a", "t", "v"), op("Mul", nil, "c", "x", "a"),
		op("Transpose", map[string]onnx.Attr{"perm": onnx.IntsAttr(0, 1)}, "same", "h"), op("MatMul", nil, "p", "c", "same"), op("Add", nil, "y", "p", "b"))
	b := build(t, m, export.Options{Images: export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}}})
	x := make([]float32, 2*16)
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	trainer, _, _ := newTrainer(t, d, b, 2)
	var out ortrun.StepOutput
	if err := trainer.Step(&ortrun.StepInput{N: 2, Images: onnx.FromFloat32(x, 2, 16).Data, Labels: []int64{1, 2}}, &out); err != nil {
		t.Fatal(err)
	}
	w, v, h, bias := b.Init["w"].Float32s(), b.Init["v"].Float32s(), b.Init["h"].Float32s(), b.Init["b"].Float32s()
	want := make([]float32, 2*16)
	for n := range 2 {
		for k := range 16 {
			sum := float64(bias[k])
			for j := range 16 {
				factor := 0.0
				for i := range 16 {
					factor += float64(w[i*16+j]) * float64(v[i])
				}
				sum += float64(x[n*16+j]) * factor * float64(h[j*16+k])
			}
			want[n*16+k] = float32(sum)
		}
	}
	near(t, "scores", out.Logits, want, 1e-5)
}
