package step

import (
	"testing"

	"winnow/models"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/runtime/ortest"
)

// BenchmarkEvaluation times the scores of a batch, by ONNX Runtime's operators
// and by the project's own.
func BenchmarkEvaluation(b *testing.B) {
	const n = 128
	d := ortest.CPU(b, 1)
	ortest.Kernels(b, d)
	for _, name := range []string{"lenet", "resnet8"} {
		drawn, err := models.Draw(name, 1)
		if err != nil {
			b.Fatal(err)
		}
		own, err := export.Rebuild(drawn, export.Options{Blocks: export.Blocks{Size: ortest.Block(b, d), Kernels: true}, Warn: func(string) {}})
		if err != nil {
			b.Fatal(err)
		}
		inference, err := own.Inference()
		if err != nil {
			b.Fatal(err)
		}
		slots, err := StateSlots(own)
		if err != nil {
			b.Fatal(err)
		}
		state, err := d.NewState(slots)
		if err != nil {
			b.Fatal(err)
		}
		defer state.Close()
		in, err := RandomInput(own, n, 1)
		if err != nil {
			b.Fatal(err)
		}
		for _, layout := range []string{bundle.LayoutPortable, bundle.LayoutKernels} {
			b.Run(name+"/"+layout, func(b *testing.B) {
				spec, err := EvalSpec(own, inference, layout)
				if err != nil {
					b.Fatal(err)
				}
				ev, err := d.NewEvaluator(spec, state, n)
				if err != nil {
					b.Fatal(err)
				}
				defer ev.Close()
				for b.Loop() {
					if _, err := ev.Run(n, in.Images); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
