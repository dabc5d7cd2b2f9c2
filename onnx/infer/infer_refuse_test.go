package infer

import (
	"errors"
	"strings"
	"testing"

	"winnow/onnx"
)

func TestInferContradictions(t *testing.T) {
	for name, n := range map[string]*onnx.Node{
		"Conv channels":  op("Conv", "images narrow", "out"),
		"Conv group":     op("Conv", "images w", "out", "group", onnx.IntAttr(3)),
		"MatMul":         op("MatMul", "images v", "out"),
		"Add":            op("Add", "images v", "out"),
		"Reshape":        op("Reshape", "v shape", "out"),
		"Concat":         op("Concat", "images w", "out", "axis", onnx.IntAttr(1)),
		"Transpose":      op("Transpose", "images", "out", "perm", onnx.IntsAttr(0, 1, 1, 2)),
		"Softmax":        op("Softmax", "images", "out", "axis", onnx.IntAttr(4)),
		"Pool":           op("MaxPool", "images", "out", "kernel_shape", onnx.IntsAttr(9, 9)),
		"Pool attribute": op("MaxPool", "images", "out", "kernel_shape", onnx.IntsAttr(3, 3), "strides", onnx.IntsAttr(0, 1)),
		"BatchNorm":      op("BatchNormalization", "images v v v v", "out"),
	} {
		m := imageGraph(n)
		m.Graph.Initializers["shape"] = onnx.FromInt64([]int64{3, -1}, 2)
		m.Graph.Initializers["narrow"] = onnx.NewTensor(onnx.Float32, 4, 2, 1, 1)
		_, err := Model(m)
		if !errors.Is(err, ErrShape) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		for _, want := range []string{n.Op, "out"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %q", name, err, want)
			}
		}
		if err := Fold(m, FoldOptions{}); !errors.Is(err, ErrShape) {
			t.Errorf("%s: folding gives %v", name, err)
		}
	}
}

// What is only possibly wrong is no error: the lengths are known at run time.
func TestInferUnknown(t *testing.T) {
	g := &onnx.Graph{Inputs: []onnx.Value{
		{Name: "a", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(3), onnx.Symbol("height")}},
		{Name: "b", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("M"), onnx.Const(1), onnx.Const(7)}},
		{Name: "c", DType: onnx.Float32},
	}}
	in := New(g)
	for _, c := range []struct {
		n    *onnx.Node
		want string
	}{
		{op("Add", "a b", "y"), "[?, 3, 7]"},
		{op("Add", "a c", "y"), "?"},
		{op("Mystery", "a", "y"), "?"},
		{op("Conv", "a f", "y"), "[N, ?, ?]"},
		{op("Flatten", "a", "y"), "[N, 3*height]"},
		{op("Reshape", "a target", "y"), "[3*N, height]"},
		{op("Reshape", "a half", "y"), "[2, ?]"},
		{op("MaxPool", "a", "y", "kernel_shape", onnx.IntsAttr(3), "pads", onnx.IntsAttr(1, 1)), "[N, 3, height]"},
		{op("MaxPool", "a", "y", "kernel_shape", onnx.IntsAttr(3)), "[N, 3, ?]"},
		{op("Concat", "a a", "y", "axis", onnx.IntAttr(2)), "[N, 3, 2*height]"},
		{op("Concat", "a b", "y", "axis", onnx.IntAttr(2)), "error"},
		{op("Flatten", "a", "y", "axis", onnx.IntAttr(0)), "[1, ?]"},
	} {
		in.SetTensor("target", onnx.FromInt64([]int64{-1, 0}, 2))
		in.SetTensor("half", onnx.FromInt64([]int64{2, -1}, 2))
		if strings.Contains(c.want, "3*N") {
			in.Set(onnx.Value{Name: "t", DType: onnx.Int64, Shape: onnx.ShapeOf(2)})
			in.setContent("t", onnx.ShapeOf(2), []onnx.Dim{onnx.Const(-1), onnx.Symbol("height")})
			c.n.Inputs[1] = "t"
		}
		err := in.Node(c.n)
		v, ok := in.Type("y")
		got := v.Shape.String()
		for _, d := range v.Shape {
			if d.Unknown() {
				got = strings.Replace(got, d.String(), "?", 1)
			}
		}
		if err != nil {
			got = "error"
		}
		if !ok || got != c.want {
			t.Errorf("%s%v gives %s (%v), want %s", c.n.Op, c.n.Inputs, got, err, c.want)
		}
	}
}
