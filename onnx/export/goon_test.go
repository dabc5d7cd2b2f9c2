package export_test

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/export"
	"winnow/onnx/infer"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

// A trained model is trained on as its source would be: with dropout, the
// momentum of running statistics, and its normalisation, to the bit.
func TestTrainedModelTrainsOn(t *testing.T) {
	model := func() *onnx.Model {
		norm := op("BatchNormalization", map[string]onnx.Attr{"momentum": onnx.FloatAttr(0.7)}, "b", "a", "scale", "bias", "mean", "var")
		g := tiny(map[string][]int64{"k": {4, 3, 3, 3}, "w": {16, 3}, "scale": {4}, "bias": {4}, "mean": {4}},
			op("Conv", nil, "a", "x", "k"), norm, op("Flatten", nil, "f", "b"), op("Dropout", nil, "d", "f", "ratio"), op("MatMul", nil, "y", "d", "w"))
		g.Graph.Inputs[0] = batchOf("x", 3, 4, 4)
		g.Graph.Initializers["var"] = filled(1, 4)
		g.Graph.Initializers["ratio"] = onnx.FromFloat32([]float32{0.25})
		return g
	}
	for _, n := range []bundle.Normalize{
		{}, {Scale: 1}, {Scale: 0.017, Mean: []float64{0.3}}, {Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}},
		{Scale: 1, Std: []float64{58.395}}, {Scale: 1, Mean: []float64{1, 2, 3}},
	} {
		for _, float := range []bool{false, true} {
			b := build(t, model(), export.Options{Images: export.ImageOptions{Normalize: n, Float: float}})
			m, err := inference(b, b.Init)
			if err != nil {
				t.Fatal(err)
			}
			file, err := wire.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			if m, err = wire.Decode(file, ""); err != nil {
				t.Fatal(err)
			}
			again := build(t, m, export.Options{})
			if len(again.Manifest.Train.Random) != len(b.Manifest.Train.Random) || len(b.Manifest.Train.Random) != 1 {
				t.Errorf("%+v: %d inputs of random numbers, had %d", n, len(again.Manifest.Train.Random), len(b.Manifest.Train.Random))
			}
			if string(again.Train) != string(b.Train) {
				t.Errorf("%+v, float %v: the training graph is another one", n, float)
			}
			for name, v := range b.Init {
				if again.Init[name] == nil || !slices.Equal(again.Init[name].Data, v.Data) {
					t.Errorf("%+v: state %q is another one", n, name)
				}
			}
			if m, err = wire.Decode(file, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := export.Build(m, export.Options{Images: export.ImageOptions{Normalize: bundle.Normalize{Mean: []float64{1}}}}); !errors.Is(err, export.ErrOptions) {
				t.Errorf("a second normalisation: %v", err)
			}
		}
	}
}

// Bytes that a model casts and normalises itself are not normalised again.
func TestBytesThatTheModelCasts(t *testing.T) {
	said := ""
	m := tiny(map[string][]int64{"w": {16, 3}}, op("Cast", map[string]onnx.Attr{"to": onnx.IntAttr(1)}, "c", "x"), op("Div", nil, "v", "c", "most"), op("MatMul", nil, "y", "v", "w"))
	m.Graph.Inputs[0].DType = onnx.Uint8
	m.Graph.Initializers["most"] = onnx.FromFloat32([]float32{255})
	b := build(t, m, export.Options{Warn: func(s string) { said += s }})
	if b.Manifest.Normalize.Scale != 1 || b.Manifest.Train.Images.DType != "uint8" || !strings.Contains(said, "nothing else normalises") || parameters(b) != 48 {
		t.Errorf("%+v, %d parameters, said %q", b.Manifest.Normalize, parameters(b), said)
	}
}

// A trained model says what was trained: a number without dimensions goes on
// training, and what was frozen stays, without the flags that said so.
func TestTrainedModelSaysWhatTrains(t *testing.T) {
	m := tiny(map[string][]int64{"v": {16, 8}, "w": {8, 3}}, op("MatMul", nil, "a", "x", "v"), op("Relu", nil, "b", "a"), op("MatMul", nil, "c", "b", "w"), op("Mul", nil, "y", "c", "head.t"))
	m.Graph.Initializers["head.t"] = onnx.FromFloat32([]float32{1.5})
	b := build(t, m, export.Options{Selection: export.Selection{Train: regexp.MustCompile("^head.t$"), Freeze: regexp.MustCompile("^v$")}})
	trained, err := inference(b, b.Init)
	if err != nil {
		t.Fatal(err)
	}
	file, err := wire.Encode(trained)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = wire.Decode(file, ""); err != nil {
		t.Fatal(err)
	}
	if again := build(t, m, export.Options{}); parameters(b) != 25 || parameters(again) != 25 {
		t.Errorf("%d values are trained, and %d of the trained model", parameters(b), parameters(again))
	}
}

// A batch that a model fixes is opened where it is sure how, and else the node is named.
func TestFixedBatch(t *testing.T) {
	weights := map[string][]int64{"w": {16, 3}}
	for _, c := range []struct {
		batch  int64 // of the input, 0 for any
		target []int64
		opens  bool
	}{
		{1, []int64{1, 16}, true}, {0, []int64{1, 16}, true}, {3, []int64{3, 16}, true}, {1, []int64{1, -1}, true}, {1, []int64{-1, 16}, true},
		{1, []int64{0, 16}, true}, {1, []int64{16}, false}, {0, []int64{2, 8}, false}, {0, []int64{1, 4, 4}, true},
	} {
		model := func() *onnx.Model {
			nodes := []*onnx.Node{op("Reshape", nil, "r", "x", "shape"), op("Relu", nil, "s", "r"), op("Flatten", nil, "f", "s"), op("MatMul", nil, "y", "f", "w")}
			m := tiny(weights, nodes...)
			m.Graph.Inputs[0] = batchOf("x", 4, 2, 2)
			if c.batch > 0 {
				m.Graph.Inputs[0].Shape[0] = onnx.Const(c.batch)
			}
			m.Graph.Initializers["shape"] = onnx.FromInt64(c.target, int64(len(c.target)))
			return m
		}
		fixes := c.target[0] > 0
		_, err := export.Build(model(), export.Options{})
		if (fixes || c.batch > 0) != (errors.Is(err, emit.ErrModel) || errors.Is(err, infer.ErrShape)) || err != nil && c.opens && !strings.Contains(err.Error(), "--dynamic-batch") {
			t.Errorf("%d, %v: closed: %v", c.batch, c.target, err)
		}
		said := ""
		b, err := export.Build(model(), export.Options{DynamicBatch: true, Warn: func(s string) { said += s }})
		if c.opens && err != nil || !c.opens && (err == nil || !strings.Contains(err.Error(), "make_")) {
			t.Errorf("%d, %v: open: %v", c.batch, c.target, err)
		}
		if err == nil && (fixes != strings.Contains(said, "make_r") || b.Manifest.Classes != 3) {
			t.Errorf("%d, %v: said %q", c.batch, c.target, said)
		}
	}
}

// A model exported with one image gives a batch what it gives each image by
// itself: shapes that hold one image or its parts, a class token, an attention
// over windows.
func TestOpenedBatchIsTheModel(t *testing.T) {
	shape := func(v ...int64) *onnx.Tensor { return onnx.FromInt64(v, int64(len(v))) }
	zeros := map[string]onnx.Attr{"allowzero": onnx.IntAttr(1)} // as the dynamo exporter writes it
	perm := func(axes ...int64) map[string]onnx.Attr { return map[string]onnx.Attr{"perm": onnx.IntsAttr(axes...)} }
	m := tiny(map[string][]int64{"k": {6, 3, 1, 1}, "token": {1, 1, 6}, "qk": {6, 6}, "w": {6, 5}},
		op("Conv", nil, "a", "x", "k"), op("Reshape", zeros, "b", "a", "flat"), op("Transpose", perm(0, 2, 1), "c", "b"), // [N, 16, 6]
		op("Reshape", nil, "d", "c", "windows"), op("Transpose", perm(0, 2, 1), "e", "d"), // [4*N, 4, 6]
		op("MatMul", nil, "f", "d", "qk"), op("MatMul", nil, "g", "f", "e"), op("Reshape", nil, "h", "g", "each"), op("Add", nil, "i", "h", "mask"),
		op("Reshape", nil, "j", "i", "all"), op("MatMul", nil, "l", "j", "d"), op("Reshape", zeros, "o", "l", "back"),
		op("Concat", map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, "p", "token", "o"), op("ReduceMean", map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}, "q", "p", "axis"),
		op("MatMul", nil, "y", "q", "w"))
	g := m.Graph
	g.Inputs[0] = onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, 3, 4, 4)}
	for name, v := range map[string]*onnx.Tensor{
		"flat": shape(1, 6, 16), "windows": shape(4, 4, 6), "each": shape(1, 4, 4, 4), "all": shape(4, 4, 4), "back": shape(1, 16, 6), "axis": shape(1),
	} {
		g.Initializers[name] = v
	}
	mask := make([]float32, 64)
	for i := range mask {
		mask[i] = float32(i % 7)
	}
	g.Initializers["mask"] = onnx.FromFloat32(mask, 4, 4, 4)
	plain, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := wire.Decode(plain, "")
	if err != nil {
		t.Fatal(err)
	}
	b := build(t, again, export.Options{DynamicBatch: true, Images: export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}}, Selection: export.Selection{Freeze: regexp.MustCompile("^mask$")}})
	after, err := inference(b, b.Init)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := wire.Encode(after)
	if err != nil {
		t.Fatal(err)
	}
	d := ortest.CPU(t, 1)
	images := make([]float32, 3*48)
	for i := range images {
		images[i] = float32(math.Sin(float64(i)))
	}
	run := func(model []byte, logits string, rows, first, n int) []float32 {
		eval, err := d.NewEvaluator(ortrun.EvalSpec{
			Model:  model,
			Images: ortrun.Slot{Name: "x", DType: ortrun.Float32, Shape: []int64{int64(rows), 3, 4, 4}},
			Logits: ortrun.Slot{Name: logits, DType: ortrun.Float32, Shape: []int64{int64(rows), 5}},
		}, nil, n)
		if err != nil {
			t.Fatal(err)
		}
		defer eval.Close()
		got, err := eval.Run(n, onnx.FromFloat32(images[first*48:(first+n)*48], int64(n*48)).Data)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(got)
	}
	got := run(opened, b.Manifest.Eval.Logits.Name, -1, 0, 3)
	for i := range 3 {
		want := run(plain, "y", 1, i, 1)
		for j, v := range want {
			if e := math.Abs(float64(got[i*5+j] - v)); !(e <= 1e-5*math.Abs(float64(v))+1e-6) {
				t.Errorf("image %d: %v, by itself %v", i, got[i*5:(i+1)*5], want)
				break
			}
		}
	}
}

// NaN is refused in any tensor in use, an infinity where it is no mask or bound.
func TestTensorsNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, c := range []struct {
		name    string
		v       float32
		refused bool
	}{{"w", nan, true}, {"w", inf, true}, {"unused", nan, false}, {"low", inf, false}, {"low", nan, true}} {
		m := tiny(map[string][]int64{"w": {16, 3}, "unused": {3}}, op("MatMul", nil, "z", "x", "w"), op("CastLike", nil, "least", "low", "z"), op("Max", nil, "y", "z", "least"))
		m.Graph.Initializers["low"] = onnx.FromFloat32([]float32{-1})
		v := m.Graph.Initializers[c.name].Float32s()
		v[len(v)-1] = c.v
		m.Graph.Initializers[c.name] = onnx.FromFloat32(v, m.Graph.Initializers[c.name].Dims...)
		_, err := export.Build(m, export.Options{})
		if c.refused != errors.Is(err, onnx.ErrNotFinite) || err != nil && !strings.Contains(err.Error(), `"`+c.name+`"`) {
			t.Errorf("%s %v: %v", c.name, c.v, err)
		}
	}
}

// A new last layer goes in front of a last Sigmoid too, and the end stays.
func TestNewClassesBeforeSigmoid(t *testing.T) {
	m := endingModel(lastNodes()["Sigmoid"])
	b := build(t, m, export.Options{Weights: export.NewWeights{Classes: 5}, Loss: bundle.Loss{Name: bundle.BCE}})
	if b.Manifest.Classes != 5 || b.Manifest.Eval.Logits.Name != "z" {
		t.Errorf("%d classes, logits %q", b.Manifest.Classes, b.Manifest.Eval.Logits.Name)
	}
}
