package infer

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
)

// FuzzInferFold: no graph, checked or not, makes inference or folding panic or
// grow without bound, and a graph that was sound stays sound when folded.
func FuzzInferFold(f *testing.F) {
	for i, c := range inferCases(f) {
		if i%3 == 0 || c.Content != nil {
			f.Add(c.Model)
		}
	}
	paths, _ := filepath.Glob("../wire/testdata/*/*.onnx")
	more, _ := filepath.Glob("../opset/testdata/*/*.onnx")
	for _, path := range append(paths, more...) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(gunzip(f, "vit.onnx.gz"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := wire.Decode(data, "")
		if err != nil {
			return
		}
		sound := opset.Check(m) == nil && opset.Inline(m) == nil && opset.To18(m) == nil && opset.Check(m) == nil
		_, wrong := Model(m)
		if err := Fold(m, FoldOptions{}); err != nil || wrong != nil {
			return
		}
		if sound && len(m.Graph.Nodes) > 0 {
			if err := opset.Check(m); err != nil {
				t.Errorf("folded, and not sound any more: %v", err)
			}
		}
		if _, err := Model(m); err != nil {
			t.Errorf("folded, and shapes contradict: %v", err)
		}
	})
}

// FuzzInferNodes builds graphs out of every known operator with attributes and
// contents at the edges of their types, which mutated files rarely reach.
func FuzzInferNodes(f *testing.F) {
	for i := range 200 {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		b := make([]byte, 20+r.IntN(200))
		for k := range b {
			b[k] = byte(r.UintN(256))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		m := oddGraph(program)
		_, _ = Model(m)
		if err := Fold(m, FoldOptions{Keep: func(name string) bool { return name == "f4" }}); err != nil {
			return
		}
		size := 0
		for name, x := range m.Graph.Initializers {
			size += len(x.Data)
			if _, ok := elementsOf(x); !ok && name != "broken" {
				t.Errorf("an initializer %q of shape %v holds %d bytes", name, x.Dims, len(x.Data))
			}
		}
		if size > maxFoldedTotal+1<<20 {
			t.Errorf("folded to %d bytes", size)
		}
	})
}

var oddInts = []int64{math.MinInt64, math.MinInt64 + 1, math.MinInt32, -5, -2, -1, 0, 1, 2, 3, 4, 7, 8, 1 << 20, math.MaxInt32, 1 << 40, 1 << 62, math.MaxInt64}

var oddAttrs = []string{
	"axis", "axes", "perm", "kernel_shape", "strides", "pads", "dilations", "group", "ceil_mode", "keepdims",
	"noop_with_empty_axes", "to", "start", "end", "split", "allowzero", "blocksize", "batch_dims", "k", "upper",
	"output_shape", "output_padding", "shape", "dtype", "transA", "value", "value_ints", "fmod", "num_outputs",
}

func oddGraph(program []byte) *onnx.Model {
	next := func(n int) int {
		if len(program) == 0 {
			return 0
		}
		b := int(program[0])
		program = program[1:]
		return b % n
	}
	oddList := func() []int64 {
		v := make([]int64, next(6))
		for i := range v {
			v[i] = oddInts[next(len(oddInts))]
		}
		return v
	}
	g := &onnx.Graph{
		Inputs: []onnx.Value{
			{Name: "images", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("b"), onnx.Const(3), onnx.Const(8), onnx.Const(8)}},
			{Name: "wide", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("b"), onnx.Symbol("w"), onnx.Const(math.MaxInt64)}},
			{Name: "ids", DType: onnx.Int64, Shape: onnx.Shape{onnx.Symbol("b")}}, {Name: "any"},
		},
		Initializers: map[string]*onnx.Tensor{
			"f4": onnx.FromFloat32(make([]float32, 4), 4), "w": onnx.FromFloat32(make([]float32, 36), 4, 1, 3, 3), "half": onnx.FromFloat32([]float32{0.5}),
			"empty": onnx.FromFloat32(nil, 0, 5), "none": onnx.FromInt64(nil, 0), "scalar": onnx.FromInt64([]int64{2}), "yes": {DType: onnx.Bool, Dims: []int64{}, Data: []byte{1}},
			"hollow": {DType: onnx.Float32, Dims: []int64{1 << 40, 0}}, "broken": {DType: onnx.Float32, Dims: []int64{2, -3}, Data: make([]byte, 4)},
			"words": {DType: onnx.String, Dims: []int64{1}, Strings: []string{"a"}}, "f16": {DType: onnx.Float16, Dims: []int64{2}, Data: make([]byte, 4)},
		},
	}
	for i := range 3 {
		v := oddList()
		g.Initializers[fmt.Sprint("odd", i)] = onnx.FromInt64(v, int64(len(v)))
	}
	names := append(slices.Sorted(maps.Keys(g.Initializers)), "images", "wide", "ids", "any", "")
	ops := slices.Sorted(maps.Keys(inferRules))
	for i := 0; len(program) > 0 && i < 40; i++ {
		n := &onnx.Node{Op: ops[next(len(ops))], Attrs: map[string]onnx.Attr{}}
		if d := strings.LastIndex(n.Op, "."); d > 0 {
			n.Domain, n.Op = n.Op[:d], n.Op[d+1:]
		}
		for range next(6) {
			n.Inputs = append(n.Inputs, names[next(len(names))])
		}
		for k := range 1 + next(3) {
			o := fmt.Sprint("v", i, "_", k)
			n.Outputs, names = append(n.Outputs, o), append(names, o)
		}
		for range next(4) {
			name := oddAttrs[next(len(oddAttrs))]
			switch next(3) {
			case 0:
				n.Attrs[name] = onnx.IntAttr(oddInts[next(len(oddInts))])
			case 1:
				n.Attrs[name] = onnx.IntsAttr(oddList()...)
			default:
				n.Attrs[name] = onnx.TensorAttr(g.Initializers[names[next(10)]])
			}
		}
		switch next(8) {
		case 0:
			n.Attrs["auto_pad"] = onnx.StringAttr("SAME_UPPER")
		case 1:
			n.Attrs["equation"] = onnx.StringAttr([]string{"ij,jk->ik", "...i,i...", "ii->", ",->", "a...,b->", "->z"}[next(6)])
		case 2:
			n.Attrs["mode"] = onnx.StringAttr("constant")
		}
		g.Nodes = append(g.Nodes, n)
		g.Outputs = append(g.Outputs, onnx.Value{Name: n.Outputs[0]})
	}
	if len(g.Outputs) > 3 {
		g.Outputs = g.Outputs[len(g.Outputs)-3:]
	}
	return &onnx.Model{Opset: 18, Graph: g}
}
