package train

import (
	"context"
	"encoding/binary"
	"math"
	"path/filepath"
	"testing"

	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
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
