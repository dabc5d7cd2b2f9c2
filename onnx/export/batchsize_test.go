package export_test

import (
	"fmt"
	"math"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// classToken is a model that asks how many images there are: a learned token
// is put before each image's rows, rows are gathered by number, and a matrix
// ends in scores.
func classToken() *onnx.Model {
	fill := func(n int, dims ...int64) *onnx.Tensor {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(math.Sin(float64(3*i + n)))
		}
		return onnx.FromFloat32(v, dims...)
	}
	node := func(op, out string, attrs map[string]onnx.Attr, in ...string) *onnx.Node {
		return &onnx.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: attrs}
	}
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: &onnx.Graph{
		Name:    "token",
		Inputs:  []onnx.Value{{Name: "images", DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("N")}, onnx.ShapeOf(2, 3, 4)...)}},
		Outputs: []onnx.Value{{Name: "scores", DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("N")}, onnx.ShapeOf(5)...)}},
		Initializers: map[string]*onnx.Tensor{
			"token": fill(4, 1, 1, 4), "scale": fill(1, 1), "w": fill(12*5, 12, 5),
			"zero": onnx.FromInt64([]int64{0}), "first": onnx.FromInt64([]int64{0}, 1), "one": onnx.FromInt64([]int64{1}),
			"rows": onnx.FromInt64([]int64{0, 6, 4}, 3), "tokens": onnx.FromInt64([]int64{1, 4}, 2),
			"flat": onnx.FromInt64([]int64{0, 12}, 2), "scaled": onnx.FromInt64([]int64{3, 4}, 2),
		},
		Nodes: []*onnx.Node{
			node("Shape", "shape", nil, "images"),
			node("Gather", "n", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, "shape", "first"),
			node("Concat", "token_shape", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, "n", "tokens"),
			node("Expand", "expanded", nil, "token", "token_shape"),
			node("Reshape", "patches", nil, "images", "rows"),
			node("Concat", "sequence", map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, "expanded", "patches"),
			node("Gather", "count", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, "shape", "zero"),
			node("Range", "numbers", nil, "zero", "count", "one"),
			node("Gather", "picked", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, "sequence", "numbers"),
			node("Slice", "part", nil, "picked", "first", "three", "axis"),
			node("Concat", "scale_shape", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, "n", "scaled"),
			node("Expand", "factor", nil, "scale", "scale_shape"),
			node("Mul", "product", nil, "part", "factor"),
			node("Reshape", "rowwise", nil, "product", "flat"),
			node("MatMul", "scores", nil, "rowwise", "w"),
		},
	}}
}

// Nothing computes with the number of images at run time, and the scores stay what they were.
func TestBatchSizeIsNotComputed(t *testing.T) {
	d := openDevice(t)
	m := classToken()
	m.Graph.Initializers["three"] = onnx.FromInt64([]int64{3}, 1)
	m.Graph.Initializers["axis"] = onnx.FromInt64([]int64{1}, 1)
	plain, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := export.Build(m, export.Options{Name: "token", Images: export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"train": b.Train, "eval": b.Eval} {
		g, err := wire.Decode(data, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range g.Graph.Nodes {
			switch n.Op {
			case "Shape", "Size", "Range", "ConstantOfShape":
				t.Errorf("%s graph computes %s", name, n.Op)
			}
		}
	}
	state := map[string]*onnx.Tensor{}
	for _, s := range b.Manifest.State {
		state[s.Name] = b.Init[s.Name]
	}
	for _, name := range []string{"token", "scale", "w"} {
		if state[name] == nil {
			t.Errorf("%q is not trained", name)
		}
	}
	after, err := inference(b, state)
	if err != nil {
		t.Fatal(err)
	}
	built, err := wire.Encode(after)
	if err != nil {
		t.Fatal(err)
	}
	run := func(model []byte, logits string, n int) []float32 {
		eval, err := d.NewEvaluator(ortrun.EvalSpec{
			Model:  model,
			Images: ortrun.Slot{Name: "images", DType: ortrun.DType(onnx.Float32), Shape: []int64{-1, 2, 3, 4}},
			Logits: ortrun.Slot{Name: logits, DType: ortrun.DType(onnx.Float32), Shape: []int64{-1, 5}},
		}, nil, n)
		if err != nil {
			t.Fatal(err)
		}
		defer eval.Close()
		images := make([]float32, n*24)
		for i := range images {
			images[i] = float32(math.Cos(float64(i)))
		}
		images[0] = float32(math.Inf(1)) // of the first image alone
		got, err := eval.Run(n, onnx.FromFloat32(images, int64(len(images))).Data)
		if err != nil {
			t.Fatal(err)
		}
		return append([]float32(nil), got...)
	}
	for _, n := range []int{1, 3} {
		want, got := run(plain, "scores", n), run(built, b.Manifest.Eval.Logits.Name, n)
		if len(want) != n*5 || fmt.Sprint(want) != fmt.Sprint(got) {
			t.Errorf("%d images: %v, the model itself has %v", n, got, want)
		}
	}
}
