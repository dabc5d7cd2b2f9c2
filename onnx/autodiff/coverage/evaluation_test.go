//go:build models

package coverage_test

import (
	"slices"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

// scoreTolerance is of an evaluation's scores, by norm.
const scoreTolerance = 1e-4

// evaluates holds a run's own evaluation graph to the scores of the bundle's,
// which ONNX Runtime's operators compute.
func evaluates(t *testing.T, d *ortrun.Device, b *bundle.Bundle, images *onnx.Tensor) {
	t.Helper()
	want, err := scores(d, b, b.Eval, images)
	if err != nil {
		t.Fatal(err)
	}
	got, err := scores(d, b, b.BlockedEval, images)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] -= want[i]
	}
	if e := norm(got); !(e <= scoreTolerance*norm(want)) {
		t.Errorf("scores in evaluation are %.2g apart, of %.2g", e, norm(want))
	}
}

// scores are what an evaluation graph gives with the values that training starts with.
func scores(d *ortrun.Device, b *bundle.Bundle, model []byte, images *onnx.Tensor) ([]float32, error) {
	f, err := b.Inference()
	if err != nil {
		return nil, err
	}
	slots, err := step.StateSlots(b)
	if err != nil {
		return nil, err
	}
	state, err := d.NewState(slots)
	if err != nil {
		return nil, err
	}
	defer state.Close()
	r := b.Manifest.Eval
	n := int(images.Dims[0])
	ev, err := d.NewEvaluator(ortrun.EvalSpec{Model: model, Images: slot(&r.Images), Logits: slot(&r.Logits), State: f.State()}, state, n)
	if err != nil {
		return nil, err
	}
	defer ev.Close()
	got, err := ev.Run(n, images.Data)
	return slices.Clone(got), err
}
