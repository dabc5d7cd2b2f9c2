package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/train/traintest"
)

// spots are images of one bright square, and its box as a detector's target.
type spots struct{ n int }

func (s spots) Len() int                    { return s.n }
func (s spots) Name() string                { return "spots" }
func (s spots) Shape() (c, h, w int)        { return 1, 32, 32 }
func (s spots) Target(uint32) loader.Target { return loader.NoClass(loader.TensorTarget) }
func (s spots) at(i uint32) (y, x int)      { return int(i*7) % 20, int(i*13) % 20 }

func (s spots) Read(i uint32, r *loader.Record) error {
	pix := r.Raw(1, 32, 32)
	clear(pix)
	y, x := s.at(i)
	for k := range 64 {
		pix[(y+k/8)*32+x+k%8] = 255
	}
	return nil
}

func (s spots) Targets() []loader.TargetSpec {
	return []loader.TargetSpec{{Name: "boxes", Kind: loader.TensorTarget, Type: loader.Float32, Shape: []int{3, 5}}}
}

func (s spots) ReadTarget(i uint32, _ int, r *loader.Record) error {
	b := r.Encoded(60)
	clear(b)
	y, x := s.at(i)
	for j, v := range []float64{1 + float64(i%2), (float64(x) + 4) / 32, (float64(y) + 4) / 32, 0.25, 0.25} {
		binary.LittleEndian.PutUint32(b[4*j:], math.Float32bits(float32(v)))
	}
	return nil
}

// A detector with its loss inside learns, pruned by the batch loss, and is
// measured by its loss on the test samples, whose steps change nothing.
func TestModelWithItsLoss(t *testing.T) {
	d := device(t)
	m, err := wire.Read(filepath.Join("..", "onnx", "export", "testdata", "detect.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := export.Build(m, export.Options{Loss: bundle.Loss{Name: bundle.NoLoss}, Optimizer: bundle.Optimizer{Name: bundle.SGD, Momentum: 0.9}})
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, d, traintest.AllParts)
	o.Bundle, o.BundleName = b, "detect"
	o.Train, o.Test = traintest.Plain(t, spots{96}), traintest.Plain(t, spots{40})
	o.Method, o.Epochs, o.BatchSize, o.LearningRate, o.Best = "bls-infobatch", 6, 16, 0.01, "loss"
	s, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	epochs := readEpochs(t, o.Out)
	first, last := epochs[0], epochs[len(epochs)-1]
	if !(last.TestLoss < 0.7*first.TestLoss) || s.TestLoss != last.TestLoss || s.SavedRatio <= 0.05 {
		t.Errorf("test loss from %v to %v, saved %v", first.TestLoss, last.TestLoss, s.SavedRatio)
	}
	if want := math.Exp(-s.TestLoss); s.TestAccuracy != want || s.Metric != "exp(-loss)" || s.BestValue > s.TestLoss {
		t.Errorf("score %v as %q, want %v; best %v", s.TestAccuracy, s.Metric, want, s.BestValue)
	}
}

// manyOutputs is the detector with further outputs: the mean of what it predicts,
// the largest of each sample, and how many numbers of boxes there are, as int64 [1].
func manyOutputs(t *testing.T) *bundle.Bundle {
	t.Helper()
	m, err := wire.Read(filepath.Join("..", "onnx", "export", "testdata", "detect.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graph
	add := func(op, out string, attrs map[string]onnx.Attr, in ...string) {
		g.Nodes = append(g.Nodes, &onnx.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	}
	flat := map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}
	g.Initializers["one"] = onnx.FromInt64([]int64{1}, 1)
	add("ReduceMean", "mean", flat, g.Outputs[0].Name)
	add("ReduceMax", "largest", map[string]onnx.Attr{"keepdims": onnx.IntAttr(0), "axes": onnx.IntsAttr(1, 2, 3)}, g.Outputs[0].Name)
	add("Size", "size", nil, "boxes")
	add("Reshape", "numbers", nil, "size", "one")
	g.Outputs = append(g.Outputs, onnx.Value{Name: "mean", DType: onnx.Float32, Shape: onnx.Shape{}},
		onnx.Value{Name: "largest", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N")}}, onnx.Value{Name: "numbers", DType: onnx.Int64, Shape: onnx.ShapeOf(1)})
	g.Outputs[1], g.Outputs[2] = g.Outputs[2], g.Outputs[1] // a number before the loss
	var said string
	b, err := export.Build(m, export.Options{Loss: bundle.Loss{Name: bundle.NoLoss}, Optimizer: bundle.Optimizer{Name: bundle.SGD, Momentum: 0.9}, Warn: func(text string) { said += text + "\n" }})
	if err != nil {
		t.Fatal(err)
	}
	if want := `the loss is output "loss"; reported beside it "mean", "largest", "numbers"`; !strings.Contains(said, want) {
		t.Fatalf("said %q, want %q", said, want)
	}
	if again, err := export.Rebuild(b, export.Options{Warn: func(string) {}}); err != nil || !bytes.Equal(again.Train, b.Train) {
		t.Fatalf("rebuilt, its graph is another (%v)", err)
	}
	return b
}

// Further outputs are means over the samples, of the test split those of the
// model that is written, and choose the best checkpoint.
func TestFurtherOutputs(t *testing.T) {
	d := device(t)
	o := testOptions(t, d, traintest.AllParts)
	o.Bundle, o.BundleName = manyOutputs(t), "detect"
	o.Train, o.Test = traintest.Plain(t, spots{48}), traintest.Plain(t, spots{40})
	o.Method, o.Epochs, o.BatchSize, o.LearningRate, o.Best = "none", 3, 16, 0.01, "largest=max"
	s, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	epochs := readEpochs(t, o.Out)
	last := epochs[len(epochs)-1]
	if !slices.Equal(s.Scalars, []string{"mean", "largest", "numbers"}) {
		t.Errorf("scalars %q", s.Scalars)
	}
	best := math.Inf(-1)
	for _, e := range epochs {
		best = max(best, e.TestMetrics["largest"])
		// 15 numbers a sample, and a mean of sizes by samples: 16, 16 and 16, or 16, 16 and 8.
		if e.TrainMetrics["numbers"] != 240 || e.TestMetrics["numbers"] != (16*240+16*240+8*120)/40. {
			t.Errorf("epoch %d: numbers %v and %v", e.Epoch, e.TrainMetrics["numbers"], e.TestMetrics["numbers"])
		}
	}
	if s.BestValue != best {
		t.Errorf("best %v, want %v", s.BestValue, best)
	}
	model, err := os.ReadFile(filepath.Join(o.Out, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	roles := o.Bundle.Manifest.Eval
	ev, err := d.NewEvaluator(ortrun.EvalSpec{Model: model, Images: ortrun.Slot{Name: roles.Images.Name, DType: ortrun.Uint8, Shape: []int64{-1, 1, 32, 32}},
		Logits: ortrun.Slot{Name: roles.Logits.Name, DType: ortrun.Float32, Shape: []int64{-1, 960}}}, nil, 40)
	if err != nil {
		t.Fatal(err)
	}
	defer ev.Close()
	var r loader.Record
	var pixels []byte
	for i := range uint32(40) {
		if err := (spots{40}).Read(i, &r); err != nil {
			t.Fatal(err)
		}
		pixels = append(pixels, r.Data...)
	}
	maps, err := ev.Run(40, pixels)
	if err != nil {
		t.Fatal(err)
	}
	mean, largest := 0.0, 0.0
	for i := range 40 {
		of := maps[i*960:][:960]
		largest += float64(slices.Max(of)) / 40
		for _, x := range of {
			mean += float64(x) / float64(len(maps))
		}
	}
	if got := last.TestMetrics["mean"]; math.Abs(got-mean) > 1e-5*math.Abs(mean) {
		t.Errorf("mean %v, the model's predictions have %v", got, mean)
	}
	if got := last.TestMetrics["largest"]; math.Abs(got-largest) > 1e-5*math.Abs(largest) {
		t.Errorf("largest %v, the model's predictions have %v", got, largest)
	}

	if _, err := InitFrom(o.Bundle, o.Out); err != nil {
		t.Fatal(err)
	}
	m, err := MeasureOwnLoss(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if m.Loss != last.TestLoss || m.Samples != 40 || m.Values()["mean"] != last.TestMetrics["mean"] {
		t.Errorf("measured anew %v (%v), the run had %v", m.Loss, m.Values(), last)
	}
}
