package autodiff_test

import (
	"math"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
)

// ampRun is ten steps of a bundle: what each gave, the first gradients, and the last state.
type ampRun struct {
	losses, logits, perSample [][]float32
	grads, params             map[string][]float32
}

func runAMP(t *testing.T, d *ortrun.Device, model string, o autodiff.Options, rate float32) ampRun {
	t.Helper()
	m, err := onnx.Decode(gunzip(t, model), "")
	if err != nil {
		t.Fatal(err)
	}
	o.Name = "fixture"
	o.Normalize = bundle.Normalize{Mean: []float64{0.2860}, Std: []float64{0.3530}}
	b, err := autodiff.Build(m, o)
	if err != nil {
		t.Fatal(err)
	}
	batches, _ := readFixture(t, "batches.safetensors.gz")
	sizes, labels, images := batches["sizes"].Int64s(), batches["labels"].Int64s(), batches["images"].Data
	trainer, state, index := newTrainer(t, d, b, 128)
	r := ampRun{grads: map[string][]float32{}, params: map[string][]float32{}}
	at := 0
	for step, size := range sizes {
		n := int(size)
		in := ortrun.StepInput{N: n, Images: images[at*784 : (at+n)*784], Labels: labels[at : at+n], LearningRate: rate, LossScale: 1}
		var out ortrun.StepOutput
		if err := trainer.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		r.losses = append(r.losses, []float32{out.Loss})
		r.logits = append(r.logits, append([]float32{}, out.Logits...))
		r.perSample = append(r.perSample, append([]float32{}, out.PerSample...))
		for _, s := range b.Manifest.State {
			if i, ok := index[s.Name+".momentum"]; ok && step == 0 && s.Kind == bundle.KindParameter {
				r.grads[s.Name] = readState(t, state, i, b.Init[s.Name])
			}
		}
		at += n
	}
	for _, s := range b.Manifest.State {
		r.params[s.Name] = readState(t, state, index[s.Name], b.Init[s.Name])
	}
	return r
}

func apart(got, want []float32) float64 {
	diff := make([]float32, len(got))
	for i := range got {
		diff[i] = got[i] - want[i]
	}
	return norm(diff) / max(norm(want), 1e-12)
}

func TestMeasure(t *testing.T) {
	d := openDevice(t)
	for _, model := range []string{"mlp", "lenet", "resnet8"} {
		for _, exp := range []string{"t113", "dynamo"} {
			o := autodiff.Options{Optimizer: bundle.Optimizer{Momentum: 0.9}}
			want := runAMP(t, d, model+"."+exp+".onnx.gz", o, 0.05)
			o.Precision = autodiff.Float16
			got := runAMP(t, d, model+"."+exp+".onnx.gz", o, 0.05)
			worst := 0.0
			for i := range got.losses {
				worst = max(worst, apart(got.losses[i], want.losses[i]))
			}
			t.Logf("%s first loss %.3g logits %.3g; losses %.3g last logits %.3g", model, apart(got.losses[0], want.losses[0]), apart(got.logits[0], want.logits[0]), worst, apart(got.logits[9], want.logits[9]))
			wg, wp := 0.0, 0.0
			for name, g := range got.grads {
				wg = max(wg, apart(g, want.grads[name]))
				t.Logf("  grad %s %.3g (norm %.3g)", name, apart(g, want.grads[name]), norm(want.grads[name]))
			}
			for name, g := range want.params {
				wp = max(wp, apart(got.params[name], g))
			}
			t.Logf("worst grad %.3g state %.3g scale %v %v", wg, wp, got.params["amp.scale"], got.params["amp.growth_tracker"])
		}
	}
	_ = math.Pi
}
