package export_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// moduleTolerance is for float32 against PyTorch in float64, by norm of each
// parameter's gradient.
const moduleTolerance = 2e-5

// First gradients of small modules exported by PyTorch agree with its own;
// testdata/gen_modules.py made them.
func TestModulesAgreeWithPyTorch(t *testing.T) {
	d := openDevice(t)
	paths, err := filepath.Glob("testdata/modules/*.onnx.gz")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d models, %v", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx.gz")
		t.Run(name, func(t *testing.T) {
			m, err := wire.Decode(gunzip(t, filepath.Join("modules", filepath.Base(path))), "")
			if err != nil {
				t.Fatal(err)
			}
			module, _, _ := strings.Cut(name, ".")
			want, _ := readFixture(t, filepath.Join("modules", module+".safetensors.gz"))
			x := want["x"]
			b := build(t, m, export.Options{
				Images:    export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}},
				Optimizer: bundle.Optimizer{Momentum: 0.9},
				Warn:      func(string) {},
			})
			n := int(x.Dims[0])
			trainer, state, index := newTrainer(t, d, b, n)
			var out ortrun.StepOutput
			in := ortrun.StepInput{N: n, Images: x.Data, Labels: want["labels"].Int64s(), LearningRate: 0.1}
			if err := trainer.Step(&in, &out); err != nil {
				t.Fatal(err)
			}
			if loss := float64s(want["loss"])[0]; !(math.Abs(float64(out.Loss)-loss) <= 1e-5*loss) {
				t.Errorf("loss %v, PyTorch has %v", out.Loss, loss)
			}
			for key, g := range want {
				p, ok := strings.CutPrefix(key, "grad/")
				if !ok {
					continue
				}
				if b.Init[p] == nil {
					t.Errorf("%q is not trained", p)
					continue
				}
				exact := make([]float32, g.Len())
				for i, v := range float64s(g) {
					exact[i] = float32(v)
				}
				near(t, p, readState(t, state, index[p+".momentum"], b.Init[p+".momentum"]), exact, moduleTolerance)
			}
		})
	}
}
