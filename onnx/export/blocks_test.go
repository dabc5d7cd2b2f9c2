package export_test

import (
	"math"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// Networks of channels that 8 divides and 16 does not, and of computed
// filters, take PyTorch's step in both layouts; testdata/gen_blocks.py made
// the records, in float64.
func TestChannelsThatFillHalfABlock(t *testing.T) {
	d := openDevice(t)
	want, _ := readFixture(t, "blocks.safetensors.gz")
	for _, name := range []string{"chunks", "joined", "norms"} {
		for _, exporter := range []string{"ts", "dynamo"} {
			for _, block := range []int64{8, 16} {
				m, err := wire.Decode(gunzip(t, "blocks."+name+"."+exporter+".onnx.gz"), "")
				if err != nil {
					t.Fatal(err)
				}
				b := build(t, m, export.Options{
					Images:    export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}},
					Optimizer: bundle.Optimizer{Momentum: 0.9},
					Blocks:    export.Blocks{Size: block, Insist: true},
				})
				graphs := map[string][]byte{}
				if block == 8 {
					graphs["portable"] = b.Train
				}
				if block == int64(d.ConvBlock()) { // the other is made and checked alone
					graphs["blocked"] = b.Blocked
				}
				for layout, graph := range graphs {
					t.Run(name+"/"+exporter+"/"+layout, func(t *testing.T) {
						layoutBundle := *b
						layoutBundle.Train = graph
						oneStepIsPyTorchs(t, d, &layoutBundle, name, want)
					})
				}
			}
		}
	}
}

// oneStepIsPyTorchs compares loss, gradients and the statistics of the batch.
func oneStepIsPyTorchs(t *testing.T, d *ortrun.Device, b *bundle.Bundle, name string, want map[string]*onnx.Tensor) {
	labels := want[name+"/labels"].Int64s()
	trainer, state, index := newTrainer(t, d, b, len(labels))
	var out ortrun.StepOutput
	in := ortrun.StepInput{N: len(labels), Images: want[name+"/x"].Data, Labels: labels, LearningRate: 0.1}
	if err := trainer.Step(&in, &out); err != nil {
		t.Fatal(err)
	}
	loss := float64s(want[name+"/loss"])[0]
	if diff := math.Abs(float64(out.Loss)-loss) / loss; !(diff <= 1e-5) {
		t.Errorf("loss %v, PyTorch has %v", out.Loss, loss)
	}
	compared := 0
	for key, ref := range want {
		short, found := strings.CutPrefix(key, name+"/grad/")
		slot := short + ".momentum" // the first velocity is the gradient
		if !found {
			if short, found = strings.CutPrefix(key, name+"/batch/"); !found {
				continue
			}
			slot = short
		}
		if b.Init[short] == nil {
			t.Errorf("%q is not trained", short)
			continue
		}
		wide := float64s(ref)
		narrow := make([]float32, len(wide))
		for i, x := range wide {
			narrow[i] = float32(x)
		}
		got := readState(t, state, index[slot], b.Init[short])
		if slot == short { // running statistics go a tenth of the way to those of the batch
			for i, x := range b.Init[short].Float32s() {
				got[i] = 10 * (got[i] - 0.9*x)
			}
		}
		if norm(narrow) < 1e-12 { // the bias before a normalisation
			if !(norm(got) < 1e-6) {
				t.Errorf("%s: %g, want 0", short, norm(got))
			}
		} else {
			near(t, short, got, narrow, 1e-4)
		}
		compared++
	}
	if compared < 8 {
		t.Errorf("only %d tensors were compared", compared)
	}
}
