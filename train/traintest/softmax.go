// Package traintest has what the tests of training share: a bundle written by
// hand, as another tool might write one, and images to train it on.
package traintest

import (
	"math/rand/v2"
	"testing"

	"winnow/loader"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
)

// Sizes of the hand-written model: softmax regression on 1x4x4 images, 3 Classes.
const (
	Side     = 4
	Pixels   = Side * Side
	Classes  = 3
	Momentum = 0.9
)

// Parts says which optional roles the bundle has.
type Parts struct {
	Weights, LossScale, Random, PerSample, Logits, FloatImages, SoftLabels bool
	NaNBelow, NaNAbove                                                     float32 // the loss is NaN for learning rates below or above; 0 for none
}

// AllParts are the roles of what onnx/export makes for a CPU.
var AllParts = Parts{Weights: true, LossScale: true, PerSample: true, Logits: true}

// graphBuilder collects nodes; each has one output.
type graphBuilder struct{ g *onnx.Graph }

func newGraph(name string) graphBuilder {
	return graphBuilder{&onnx.Graph{Name: name, Initializers: map[string]*onnx.Tensor{}}}
}

func (b graphBuilder) node(op, output string, inputs []string, attrs map[string]onnx.Attr) string {
	b.g.Nodes = append(b.g.Nodes, &onnx.Node{Name: output, Op: op, Inputs: inputs, Outputs: []string{output}, Attrs: attrs})
	return output
}

func (b graphBuilder) input(name string, d onnx.DType, s onnx.Shape) bundle.Value {
	b.g.Inputs = append(b.g.Inputs, onnx.Value{Name: name, DType: d, Shape: s})
	return bundle.Value{Name: name, DType: d.String(), Shape: bundle.Dims(s)}
}

func (b graphBuilder) output(name string, s onnx.Shape) bundle.Value {
	b.g.Outputs = append(b.g.Outputs, onnx.Value{Name: name, DType: onnx.Float32, Shape: s})
	return bundle.Value{Name: name, DType: "float32", Shape: bundle.Dims(s)}
}

func (b graphBuilder) constant(name string, t *onnx.Tensor) { b.g.Initializers[name] = t }

func (b graphBuilder) encode(t testing.TB) []byte {
	t.Helper()
	data, err := wire.Encode(&onnx.Model{IRVersion: 8, Opset: 18, Producer: "by hand", Graph: b.g})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// forward adds images -> x [N, 16] in [0, 1].
func (b graphBuilder) forward() {
	b.constant("scale", onnx.FromFloat32([]float32{1.0 / 255}))
	b.node("Cast", "pixels", []string{"images"}, map[string]onnx.Attr{"to": onnx.IntAttr(int64(onnx.Float32))})
	b.node("Mul", "unit", []string{"pixels", "scale"}, nil)
	b.node("Flatten", "x", []string{"unit"}, map[string]onnx.Attr{"axis": onnx.IntAttr(1)})
}

// Bundle writes the graphs as a tool other than onnx/export might:
// cross-entropy, its gradient and SGD with momentum, with explicit nodes.
func Bundle(t testing.TB, p Parts) *bundle.Bundle {
	t.Helper()
	n := onnx.Symbol("N")
	scalar := onnx.Shape{}
	imageType := onnx.Uint8
	if p.FloatImages {
		imageType = onnx.Float32
	}
	imageShape := onnx.Shape{n, onnx.Const(1), onnx.Const(Side), onnx.Const(Side)}
	wShape, bShape := onnx.ShapeOf(Pixels, Classes), onnx.ShapeOf(Classes)

	b := newGraph("train")
	roles := bundle.TrainRoles{Images: b.input("images", imageType, imageShape)}
	labels := b.input("labels", onnx.Int64, onnx.Shape{n})
	if p.SoftLabels {
		b.g.Inputs = b.g.Inputs[:1]
		labels = b.input("labels", onnx.Float32, onnx.Shape{n, onnx.Const(Classes)})
	}
	roles.Labels = &labels
	roles.LearningRate = b.input("lr", onnx.Float32, scalar)
	b.forward()
	x := "x"
	if p.Random {
		roles.Random = []bundle.Value{b.input("noise", onnx.Float32, onnx.Shape{n, onnx.Const(Pixels)})}
		x = b.node("Mul", "masked", []string{"x", "noise"}, nil)
	}
	b.node("MatMul", "xw", []string{x, "w"}, nil)
	b.node("Add", "logits", []string{"xw", "b"}, nil)
	b.node("LogSoftmax", "logp", []string{"logits"}, map[string]onnx.Attr{"axis": onnx.IntAttr(1)})
	hot := "labels"
	if !p.SoftLabels {
		b.constant("depth", onnx.FromInt64([]int64{Classes}, 1))
		b.constant("offon", onnx.FromFloat32([]float32{0, 1}, 2))
		hot = b.node("OneHot", "hot", []string{"labels", "depth", "offon"}, map[string]onnx.Attr{"axis": onnx.IntAttr(1)})
	}
	b.constant("axis0", onnx.FromInt64([]int64{0}, 1))
	b.constant("axis1", onnx.FromInt64([]int64{1}, 1))
	drop := map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}
	b.node("Mul", "picked", []string{"logp", hot}, nil)
	b.node("ReduceSum", "logp_label", []string{"picked", "axis1"}, drop)
	b.node("Neg", "losses", []string{"logp_label"}, nil)
	b.node("ReduceMean", "mean_loss", []string{"losses", "axis0"}, drop)
	if limit := max(p.NaNBelow, p.NaNAbove); limit > 0 {
		b.constant("limit", onnx.FromFloat32([]float32{limit}))
		from := []string{"lr", "limit"}
		if p.NaNAbove > 0 {
			from = []string{"limit", "lr"}
		}
		b.node("Sub", "above", from, nil)
		b.node("Sqrt", "root", []string{"above"}, nil)
		b.node("Sub", "zero", []string{"root", "root"}, nil)
		b.node("Add", "loss", []string{"mean_loss", "zero"}, nil)
	} else {
		b.node("Identity", "loss", []string{"mean_loss"}, nil)
	}

	b.node("Exp", "softmax", []string{"logp"}, nil)
	d := b.node("Sub", "d", []string{"softmax", hot}, nil)
	if p.Weights {
		v := b.input("weights", onnx.Float32, onnx.Shape{n})
		roles.SampleWeights = &v
		b.node("Unsqueeze", "weight_column", []string{"weights", "axis1"}, nil)
		d = b.node("Mul", "weighted", []string{d, "weight_column"}, nil)
	}
	if p.LossScale {
		v := b.input("loss_scale", onnx.Float32, scalar)
		roles.LossScale = &v
		d = b.node("Mul", "scaled", []string{d, "loss_scale"}, nil)
	}
	b.node("Shape", "shape", []string{"images"}, map[string]onnx.Attr{"end": onnx.IntAttr(1)})
	b.node("Cast", "count", []string{"shape"}, map[string]onnx.Attr{"to": onnx.IntAttr(int64(onnx.Float32))})
	b.node("Div", "dlogits", []string{d, "count"}, nil)
	b.node("Transpose", "xt", []string{x}, map[string]onnx.Attr{"perm": onnx.IntsAttr(1, 0)})
	b.node("MatMul", "w_grad", []string{"xt", "dlogits"}, nil)
	b.node("ReduceSum", "b_grad", []string{"dlogits", "axis0"}, drop)
	b.constant("momentum", onnx.FromFloat32([]float32{Momentum}))

	m := bundle.Manifest{Format: bundle.Format, Name: "softmax", ImageShape: [3]int64{1, Side, Side}, Classes: Classes,
		Loss: bundle.Loss{Name: "cross-entropy"}, Optimizer: bundle.Optimizer{Name: "sgd", Momentum: Momentum},
		Normalize: bundle.Normalize{Scale: 1.0 / 255}, Weights: bundle.WeightsFile}
	init := map[string]*onnx.Tensor{}
	state := func(name, kind string, shape onnx.Shape) {
		dims := shape.Ints()
		m.State = append(m.State, bundle.State{Name: name, Kind: kind, Input: name, Output: name + "_next", DType: "float32", Shape: dims})
		init[name] = onnx.NewTensor(onnx.Float32, dims...)
		b.input(name, onnx.Float32, shape)
		b.output(name+"_next", shape)
	}
	for _, s := range []struct {
		name  string
		shape onnx.Shape
	}{{"w", wShape}, {"b", bShape}} {
		state(s.name, bundle.KindParameter, s.shape)
		state(s.name+"_velocity", bundle.KindOptimizer, s.shape)
		b.node("Mul", s.name+"_kept", []string{s.name + "_velocity", "momentum"}, nil)
		b.node("Add", s.name+"_velocity_next", []string{s.name + "_kept", s.name + "_grad"}, nil)
		b.node("Mul", s.name+"_step", []string{s.name + "_velocity_next", "lr"}, nil)
		b.node("Sub", s.name+"_next", []string{s.name, s.name + "_step"}, nil)
	}
	roles.Loss = b.output("loss", scalar)
	if p.PerSample {
		v := b.output("losses", onnx.Shape{n})
		roles.PerSampleLoss = &v
	}
	if p.Logits {
		v := b.output("logits", onnx.Shape{n, onnx.Const(Classes)})
		roles.Logits = &v
	}
	m.Train = roles

	e := newGraph("eval")
	m.Eval.Images = e.input("images", imageType, imageShape)
	e.input("w", onnx.Float32, wShape)
	e.input("b", onnx.Float32, bShape)
	e.forward()
	e.node("MatMul", "xw", []string{"x", "w"}, nil)
	e.node("Add", "logits", []string{"xw", "b"}, nil)
	m.Eval.Logits = e.output("logits", onnx.Shape{n, onnx.Const(Classes)})
	return &bundle.Bundle{Manifest: m, Train: b.encode(t), Eval: e.encode(t), Init: init}
}

// Blobs makes n noisy images: each class lights its own rows, and some of them
// are drawn with so much noise that a linear model errs on them.
func Blobs(t testing.TB, n int, seed uint64) *loader.Source {
	t.Helper()
	return Plain(t, BlobRecords(t, n, seed))
}

// BlobRecords are the images of Blobs.
func BlobRecords(t testing.TB, n int, seed uint64) *loader.Memory {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 7))
	images, labels := make([]byte, n*Pixels), make([]int64, n)
	for i := range labels {
		k := random.IntN(Classes)
		labels[i] = int64(k)
		for j := range Pixels {
			v := 90 + 50*random.NormFloat64()
			if j/Side == k || j/Side == k+1 {
				v += 45
			}
			images[i*Pixels+j] = byte(min(max(v, 0), 255))
		}
	}
	src, err := loader.NewMemory("blobs", 1, Side, Side, images, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// Plain is records as they are.
func Plain(t testing.TB, r loader.Records) *loader.Source {
	t.Helper()
	src, err := loader.NewSource(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// Augmented is a source with the change a.
func Augmented(t testing.TB, src *loader.Source, a loader.Augment) *loader.Source {
	t.Helper()
	change, err := a.Transform(src.Shape())
	if err == nil {
		src, err = loader.NewSource(src.Records(), change)
	}
	if err != nil {
		t.Fatal(err)
	}
	return src
}
