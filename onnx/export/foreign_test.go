package export_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
)

// drawn fills initializers of a hand-made model.
func drawn(g *onnx.Graph, r *rand.Rand, name string, scale float64, dims ...int64) string {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(scale * r.NormFloat64())
	}
	g.Initializers[name] = onnx.FromFloat32(v, dims...)
	return name
}

func batchOf(name string, dims ...int64) onnx.Value {
	return onnx.Value{Name: name, DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("batch")}, onnx.ShapeOf(dims...)...)}
}

// A graph as tf2onnx writes a Keras model: channels last with transposes
// around each convolution, the bias as an Add, a dense head of MatMul and Add,
// and a Softmax at the end. Made by hand: no Keras exporter is needed.
func kerasLike() *onnx.Model {
	r := rand.New(rand.NewPCG(5, 5))
	g := &onnx.Graph{Name: "keras", Inputs: []onnx.Value{batchOf("input_1", 8, 8, 3)}, Outputs: []onnx.Value{batchOf("dense", 4)},
		Initializers: map[string]*onnx.Tensor{"flat": onnx.FromInt64([]int64{-1, 4 * 4 * 6}, 2)}}
	nhwc, nchw := map[string]onnx.Attr{"perm": onnx.IntsAttr(0, 2, 3, 1)}, map[string]onnx.Attr{"perm": onnx.IntsAttr(0, 3, 1, 2)}
	g.Nodes = []*onnx.Node{
		{Name: "t1", Op: "Transpose", Inputs: []string{"input_1"}, Outputs: []string{"a"}, Attrs: nchw},
		{Name: "conv", Op: "Conv", Inputs: []string{"a", drawn(g, r, "conv/kernel", 0.2, 6, 3, 3, 3)}, Outputs: []string{"b"},
			Attrs: map[string]onnx.Attr{"auto_pad": onnx.StringAttr("SAME_UPPER"), "strides": onnx.IntsAttr(1, 1), "kernel_shape": onnx.IntsAttr(3, 3)}},
		{Name: "t2", Op: "Transpose", Inputs: []string{"b"}, Outputs: []string{"c"}, Attrs: nhwc},
		{Name: "bias", Op: "Add", Inputs: []string{"c", drawn(g, r, "conv/bias", 0.1, 6)}, Outputs: []string{"d"}},
		{Name: "relu", Op: "Relu", Inputs: []string{"d"}, Outputs: []string{"e"}},
		{Name: "t3", Op: "Transpose", Inputs: []string{"e"}, Outputs: []string{"f"}, Attrs: nchw},
		{Name: "pool", Op: "MaxPool", Inputs: []string{"f"}, Outputs: []string{"g"},
			Attrs: map[string]onnx.Attr{"kernel_shape": onnx.IntsAttr(2, 2), "strides": onnx.IntsAttr(2, 2)}},
		{Name: "t4", Op: "Transpose", Inputs: []string{"g"}, Outputs: []string{"h"}, Attrs: nhwc},
		{Name: "reshape", Op: "Reshape", Inputs: []string{"h", "flat"}, Outputs: []string{"i"}},
		{Name: "matmul", Op: "MatMul", Inputs: []string{"i", drawn(g, r, "dense/kernel", 0.1, 96, 4)}, Outputs: []string{"j"}},
		{Name: "add", Op: "Add", Inputs: []string{"j", drawn(g, r, "dense/bias", 0.1, 4)}, Outputs: []string{"k"}},
		{Name: "softmax", Op: "Softmax", Inputs: []string{"k"}, Outputs: []string{"dense"}},
	}
	return &onnx.Model{IRVersion: 8, Opset: 15, Graph: g}
}

// A graph as skl2onnx writes an MLPClassifier without its ZipMap: flat
// vectors, MatMul and Add, and the label beside the probabilities. Made by hand.
func sklearnLike() *onnx.Model {
	r := rand.New(rand.NewPCG(6, 6))
	g := &onnx.Graph{Name: "mlp", Inputs: []onnx.Value{batchOf("X", 192)}, Initializers: map[string]*onnx.Tensor{},
		Outputs: []onnx.Value{{Name: "label", DType: onnx.Int64, Shape: onnx.Shape{onnx.Symbol("batch")}}, batchOf("probabilities", 4)}}
	g.Nodes = []*onnx.Node{
		{Name: "m1", Op: "MatMul", Inputs: []string{"X", drawn(g, r, "coefficient", 0.1, 192, 16)}, Outputs: []string{"a"}},
		{Name: "a1", Op: "Add", Inputs: []string{"a", drawn(g, r, "intercepts", 0.1, 1, 16)}, Outputs: []string{"b"}},
		{Name: "r1", Op: "Relu", Inputs: []string{"b"}, Outputs: []string{"c"}},
		{Name: "m2", Op: "MatMul", Inputs: []string{"c", drawn(g, r, "coefficient1", 0.3, 16, 4)}, Outputs: []string{"d"}},
		{Name: "a2", Op: "Add", Inputs: []string{"d", drawn(g, r, "intercepts1", 0.1, 1, 4)}, Outputs: []string{"e"}},
		{Name: "s", Op: "Softmax", Inputs: []string{"e"}, Outputs: []string{"probabilities"}},
		{Name: "best", Op: "ArgMax", Inputs: []string{"probabilities"}, Outputs: []string{"label"},
			Attrs: map[string]onnx.Attr{"axis": onnx.IntAttr(1), "keepdims": onnx.IntAttr(0)}},
	}
	return &onnx.Model{IRVersion: 8, Opset: 15, Graph: g}
}

// Models of other exporters train: the gradient agrees with central
// differences of the loss, and thirty steps learn the classes.
func TestForeignModelsTrain(t *testing.T) {
	d := openDevice(t)
	for name, c := range map[string]struct {
		model func() *onnx.Model
		check string // a parameter
	}{"keras": {kerasLike, "conv/bias"}, "sklearn": {sklearnLike, "intercepts"}} {
		t.Run(name, func(t *testing.T) {
			const n, pixels = 32, 192
			r := rand.New(rand.NewPCG(8, 8))
			in := ortrun.StepInput{N: n, Images: make([]byte, n*pixels), Labels: make([]int64, n), LearningRate: 0.1}
			for i := range n {
				in.Labels[i] = int64(i % 4)
				for p := range pixels {
					in.Images[i*pixels+p] = byte(40*(i%4)*(p/3%2) + 20*(i%4) + r.IntN(60))
				}
			}
			var said []string
			o := export.Options{Images: export.ImageOptions{Shape: [3]int64{3, 8, 8}}, Optimizer: bundle.Optimizer{Momentum: 0.9}, Warn: func(s string) { said = append(said, s) }}
			b := build(t, c.model(), o)
			if b.Manifest.ImageShape != [3]int64{3, 8, 8} || b.Manifest.Classes != 4 {
				t.Fatalf("images %v, %d classes", b.Manifest.ImageShape, b.Manifest.Classes)
			}
			if len(said) == 0 || !strings.Contains(strings.Join(said, " "), "Softmax") {
				t.Errorf("nothing said of the Softmax: %q", said)
			}
			losses := func(b *bundle.Bundle, steps int) ([]float32, []float32) {
				trainer, state, index := newTrainer(t, d, b, n)
				var out ortrun.StepOutput
				var all []float32
				for range steps {
					if err := trainer.Step(&in, &out); err != nil {
						t.Fatal(err)
					}
					all = append(all, out.Loss)
				}
				return all, readState(t, state, index[c.check+".momentum"], b.Init[c.check])
			}
			_, grad := losses(b, 1)
			for _, k := range []int{0, 3, 5} {
				const step = 1e-3
				at := func(shift float32) float64 {
					moved := build(t, c.model(), o)
					v := moved.Init[c.check].Float32s()
					v[k] += shift
					moved.Init[c.check] = onnx.FromFloat32(v, moved.Init[c.check].Dims...)
					l, _ := losses(moved, 1)
					return float64(l[0])
				}
				numeric := (at(step) - at(-step)) / (2 * step)
				if math.Abs(numeric-float64(grad[k])) > 2e-3+0.02*math.Abs(numeric) {
					t.Errorf("gradient of %s[%d] is %v, differences give %v", c.check, k, grad[k], numeric)
				}
			}
			all, _ := losses(b, 30)
			if !(all[29] < all[0]/2) {
				t.Errorf("the loss went from %v to %v in thirty steps", all[0], all[29])
			}
		})
	}
}

// A model that ends in its own loss trains as one that gets the same loss.
func TestOwnLoss(t *testing.T) {
	d := openDevice(t)
	const n = 6
	in := ortrun.StepInput{N: n, Images: make([]byte, n*784), Labels: []int64{3, 1, 4, 1, 5, 9}, LearningRate: 0.1, LossScale: 1}
	for i := range in.Images {
		in.Images[i] = byte(i * 7)
	}
	train := func(b *bundle.Bundle) ([]float32, *bundle.Bundle, []float32) {
		trainer, state, index := newTrainer(t, d, b, n)
		var out ortrun.StepOutput
		var losses []float32
		for range 3 {
			if err := trainer.Step(&in, &out); err != nil {
				t.Fatal(err)
			}
			losses = append(losses, out.Loss)
		}
		return losses, b, readState(t, state, index["hidden.weight"], b.Init["hidden.weight"])
	}
	wantLosses, _, wantWeights := train(build(t, forward(t, "mlp"), export.Options{}))
	for _, c := range []struct {
		op, reduction string
		perSample     bool
	}{{"SoftmaxCrossEntropyLoss", "mean", false}, {"SoftmaxCrossEntropyLoss", "none", true}, {"NegativeLogLikelihoodLoss", "mean", false}} {
		t.Run(c.op+"/"+c.reduction, func(t *testing.T) {
			m := forward(t, "mlp")
			g := m.Graph
			scores := "logits"
			if c.op == "NegativeLogLikelihoodLoss" {
				scores = "logp"
				g.Nodes = append(g.Nodes, &onnx.Node{Name: "lsm", Op: "LogSoftmax", Inputs: []string{"logits"}, Outputs: []string{scores}})
			}
			g.Inputs = append(g.Inputs, onnx.Value{Name: "target", DType: onnx.Int64, Shape: onnx.Shape{onnx.Symbol("rows")}})
			g.Outputs = append(g.Outputs, onnx.Value{Name: "objective", DType: onnx.Float32})
			g.Nodes = append(g.Nodes, &onnx.Node{Name: "ce", Op: c.op, Inputs: []string{scores, "target"}, Outputs: []string{"objective"},
				Attrs: map[string]onnx.Attr{"reduction": onnx.StringAttr(c.reduction)}})
			losses, b, weights := train(build(t, m, export.Options{Loss: bundle.Loss{Name: bundle.NoLoss}}))
			if b.Manifest.Train.Labels.Name != "target" || (b.Manifest.Train.PerSampleLoss != nil) != c.perSample {
				t.Errorf("roles %+v", b.Manifest.Train)
			}
			for i := range losses {
				if math.Abs(float64(losses[i]-wantLosses[i])) > 1e-6 {
					t.Errorf("step %d: loss %v, want %v", i+1, losses[i], wantLosses[i])
				}
			}
			near(t, "hidden.weight", weights, wantWeights, 1e-6)
		})
	}
	m := forward(t, "mlp")
	if _, err := export.Build(m, export.Options{Loss: bundle.Loss{Name: bundle.NoLoss}}); err == nil || !strings.Contains(err.Error(), "no output is") {
		t.Errorf("a model without a loss: %v", err)
	}
}

// Soft targets reach the graph as the one labels input.
func TestSoftTargets(t *testing.T) {
	d := openDevice(t)
	b := build(t, forward(t, "mlp"), export.Options{Loss: bundle.Loss{SoftTargets: true}})
	hard := build(t, forward(t, "mlp"), export.Options{})
	images := make([]byte, 2*784)
	for i := range images {
		images[i] = byte(i)
	}
	var soft, want ortrun.StepOutput
	one, _, _ := newTrainer(t, d, b, 2)
	targets := make([]float32, 20)
	targets[3], targets[17] = 1, 1
	if err := one.Step(&ortrun.StepInput{N: 2, Images: images, LabelsFloat: targets, LearningRate: 0.1}, &soft); err != nil {
		t.Fatal(err)
	}
	other, _, _ := newTrainer(t, d, hard, 2)
	if err := other.Step(&ortrun.StepInput{N: 2, Images: images, Labels: []int64{3, 7}, LearningRate: 0.1}, &want); err != nil {
		t.Fatal(err)
	}
	if math.Abs(float64(soft.Loss-want.Loss)) > 1e-6 {
		t.Errorf("loss %v with soft targets, %v with the classes they stand for", soft.Loss, want.Loss)
	}
}
