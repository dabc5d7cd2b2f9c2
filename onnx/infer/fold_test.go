package infer

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
)

func gunzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// keepFloats keeps what a training build would train: the float initializers of the model as read.
func keepFloats(m *onnx.Model) func(string) bool {
	keep := map[string]bool{}
	for name, t := range m.Graph.Initializers {
		keep[name] = t.DType.IsFloat()
	}
	return func(name string) bool { return keep[name] }
}

func countOps(g *onnx.Graph) map[string]int {
	ops := map[string]int{}
	for _, n := range g.Nodes {
		ops[n.Op]++
	}
	return ops
}

// Exported transformers: every shape agrees with the runtime, before and after
// folding, and folding leaves no shape arithmetic.
func TestExportedTransformers(t *testing.T) {
	for name, gone := range map[string]string{
		"swin": "Shape ConstantOfShape Range Where Equal ScatterND Expand Mod Not Cast Constant Identity Floor Pow",
		// The class token is expanded to the batch, which takes one Shape.
		"vit": "ConstantOfShape Range Where Equal Cast Constant Identity",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := wire.Decode(gunzip(t, name+".onnx.gz"), "")
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Batches []int64
				Shapes  map[string][][]int64
			}
			if err := json.Unmarshal(gunzip(t, name+".shapes.json.gz"), &want); err != nil {
				t.Fatal(err)
			}
			if err := opset.To18(m); err != nil {
				t.Fatal(err)
			}
			weights := len(m.Graph.Initializers)
			keep := keepFloats(m)
			for _, folded := range []bool{false, true} {
				if folded {
					if err := Fold(m, FoldOptions{Keep: keep, KeepDropout: true}); err != nil {
						t.Fatal(err)
					}
				}
				in, err := Model(m)
				if err != nil {
					t.Fatal(err)
				}
				compared := 0
				for _, n := range m.Graph.Nodes {
					v, _ := in.Type(n.Outputs[0])
					for b, shape := range want.Shapes[n.Outputs[0]] {
						compared++
						var got []int64
						for _, d := range v.Shape {
							k, ok := at(d, want.Batches[b])
							if !ok {
								k = -1
							}
							got = append(got, k)
						}
						if v.Shape == nil || !slices.Equal(got, shape) {
							t.Fatalf("folded %v: %s %q has shape %v for N=%d, want %v", folded, n.Op, n.Outputs[0], v.Shape, want.Batches[b], shape)
						}
					}
				}
				if compared < 2*len(m.Graph.Nodes)-12 {
					t.Errorf("folded %v: compared %d shapes of %d nodes", folded, compared, len(m.Graph.Nodes))
				}
			}
			if err := opset.Check(m); err != nil {
				t.Error(err)
			}
			ops := countOps(m.Graph)
			for _, op := range strings.Fields(gone) {
				if ops[op] > 0 {
					t.Errorf("%d %s are left", ops[op], op)
				}
			}
			if ops["Shape"] > 1 || name == "swin" && ops["Dropout"] == 0 {
				t.Errorf("%d Shape, %d Dropout", ops["Shape"], ops["Dropout"])
			}
			for _, n := range m.Graph.Nodes {
				if n.Op == "Reshape" && m.Graph.Initializers[n.Inputs[1]] == nil {
					t.Errorf("Reshape %q has no constant target", n.Name)
				}
			}
			if weights == 0 || len(m.Graph.Initializers) == 0 {
				t.Error("no weights")
			}
			before, _ := wire.Encode(m)
			if err := Fold(m, FoldOptions{Keep: keep, KeepDropout: true}); err != nil {
				t.Fatal(err)
			}
			if after, _ := wire.Encode(m); string(after) != string(before) {
				t.Error("folding again changes the model")
			}
		})
	}
}

func imageGraph(nodes ...*onnx.Node) *onnx.Model {
	return &onnx.Model{Opset: 18, IRVersion: 8, Graph: &onnx.Graph{
		Name:   "g",
		Inputs: []onnx.Value{{Name: "images", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("batch"), onnx.Const(3), onnx.Const(8), onnx.Const(8)}}},
		Outputs: []onnx.Value{{
			Name: "out", DType: onnx.Float32,
		}},
		Initializers: map[string]*onnx.Tensor{
			"w": onnx.FromFloat32(make([]float32, 4*3), 4, 3, 1, 1), "two": onnx.FromFloat32([]float32{2}), "v": onnx.FromFloat32([]float32{1, 2, 3, 4}, 4),
			"true": {DType: onnx.Bool, Dims: []int64{}, Data: []byte{1}}, "false": {DType: onnx.Bool, Dims: []int64{}, Data: []byte{0}},
			"ratio": onnx.FromFloat32([]float32{0.5}), "zero": onnx.FromInt64([]int64{0}), "one": onnx.FromInt64([]int64{1}), "big": onnx.FromInt64([]int64{1e6, 1e6}, 2),
		},
		Nodes: nodes,
	}}
}

func op(op, in, out string, attrs ...any) *onnx.Node {
	n := &onnx.Node{Op: op, Name: out, Outputs: strings.Split(out, " "), Attrs: map[string]onnx.Attr{}}
	if in != "" {
		n.Inputs = strings.Split(in, " ")
	}
	for i, name := range n.Inputs {
		if name == "_" {
			n.Inputs[i] = ""
		}
	}
	for i := 0; i < len(attrs); i += 2 {
		n.Attrs[attrs[i].(string)] = attrs[i+1].(onnx.Attr)
	}
	return n
}

func mustFold(t *testing.T, m *onnx.Model, o FoldOptions) {
	t.Helper()
	if err := Fold(m, o); err != nil {
		t.Fatal(err)
	}
	if err := opset.Check(m); err != nil {
		t.Fatal(err)
	}
}

func TestFoldKeepsTrainables(t *testing.T) {
	nodes := func() []*onnx.Node {
		return []*onnx.Node{
			op("Mul", "w two", "scaled"), op("Shape", "w", "s"), op("Gather", "s zero", "channels"), op("Cast", "channels", "c", "to", onnx.IntAttr(1)),
			op("Constant", "", "k", "value_float", onnx.FloatAttr(3)), op("Mul", "k two", "six"),
			op("Conv", "images scaled", "y"), op("Mul", "y c", "z"), op("Mul", "z six", "out"),
		}
	}
	m := imageGraph(nodes()...)
	mustFold(t, m, FoldOptions{Keep: func(name string) bool { return name == "w" || name == "k" }})
	ops := countOps(m.Graph)
	// w*2 and k*2 stay; only the shape of w is known.
	if ops["Mul"] != 4 || ops["Shape"] != 0 || m.Graph.Initializers["c"] == nil || m.Graph.Initializers["w"] == nil || m.Graph.Initializers["k"] == nil {
		t.Errorf("kept: %v, %v", ops, slices.Sorted(maps.Keys(m.Graph.Initializers)))
	}
	m = imageGraph(nodes()...)
	mustFold(t, m, FoldOptions{})
	if got := slices.Sorted(maps.Keys(m.Graph.Initializers)); !slices.Equal(got, []string{"c", "scaled", "six"}) || len(m.Graph.Nodes) != 3 {
		t.Errorf("nothing kept: %v, %d nodes", got, len(m.Graph.Nodes))
	}
	if v := m.Graph.Initializers["c"].Float32s(); v[0] != 4 {
		t.Errorf("channels are %v", v)
	}
	if m.Graph.Inputs[0].Shape[0] != onnx.Symbol("N") {
		t.Errorf("batch is called %v", m.Graph.Inputs[0].Shape[0])
	}
}

func TestFoldDropout(t *testing.T) {
	for _, c := range []struct {
		inputs  string
		outputs string
		keep    bool
		left    int
	}{
		{"images ratio", "d", false, 0},
		{"images", "d", false, 0},
		{"images ratio false", "d mask", false, 0},
		{"images ratio", "d", true, 1},
		{"images ratio true", "d", false, 1},
		{"images ratio unknown", "d", false, 1},
	} {
		m := imageGraph(op("Dropout", c.inputs, c.outputs), op("Relu", "d", "out"))
		m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: "unknown", DType: onnx.Bool, Shape: onnx.Shape{}})
		mustFold(t, m, FoldOptions{KeepDropout: c.keep})
		if n := countOps(m.Graph)["Dropout"]; n != c.left {
			t.Errorf("Dropout(%s), KeepDropout %v: %d left, want %d", c.inputs, c.keep, n, c.left)
		}
	}
	// A mask that is read keeps its Dropout.
	m := imageGraph(op("Dropout", "images ratio", "d mask"), op("Where", "mask d images", "out"))
	mustFold(t, m, FoldOptions{})
	if len(m.Graph.Nodes) != 2 {
		t.Error("a Dropout whose mask is read was bypassed")
	}
}

func branchWith(value string, nodes ...*onnx.Node) onnx.Attr {
	return onnx.Attr{Kind: onnx.AttrGraph, G: &onnx.Graph{Name: "b", Nodes: nodes, Outputs: []onnx.Value{{Name: value}}, Initializers: map[string]*onnx.Tensor{}}}
}

func TestFoldIf(t *testing.T) {
	// Both branches use the same inner names, one of them an outer one too.
	inner := func(o string) onnx.Attr { return branchWith("t", op("Relu", "images", "t0"), op(o, "t0 outer", "t")) }
	deep := branchWith("u", op("If", "true", "u", "then_branch", inner("Sub"), "else_branch", inner("Add")))
	m := imageGraph(
		op("Identity", "images", "outer0"), op("Identity", "outer0", "outer"),
		op("Not", "true", "no"),
		op("If", "no", "a", "then_branch", inner("Mul"), "else_branch", inner("Add")),
		op("If", "true", "b", "then_branch", deep, "else_branch", inner("Mul")),
		op("If", "true", "c", "then_branch", branchWith("outer"), "else_branch", inner("Mul")),
		op("Sum", "a b c", "out"),
	)
	mustFold(t, m, FoldOptions{})
	want := []string{"Relu", "Add", "Relu", "Sub", "Sum"}
	var got []string
	for _, n := range m.Graph.Nodes {
		got = append(got, n.Op)
	}
	if !slices.Equal(got, want) {
		t.Errorf("nodes %v, want %v", got, want)
	}
	if last := m.Graph.Nodes[4]; last.Inputs[2] != "images" {
		t.Errorf("a branch that passes an outer value through gives %v", last.Inputs)
	}
	if m.Graph.Nodes[0].Outputs[0] == m.Graph.Nodes[2].Outputs[0] {
		t.Error("inlined branches share names")
	}
	// A condition only known at run time: the branches stay, their captured names follow.
	m = imageGraph(op("Identity", "images", "outer"), op("If", "cond", "y", "then_branch", inner("Mul"), "else_branch", inner("Add")), op("Relu", "y", "out"))
	m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: "cond", DType: onnx.Bool, Shape: onnx.Shape{}})
	mustFold(t, m, FoldOptions{})
	if got := m.Graph.Nodes[0].Attrs["then_branch"].G.Nodes[1].Inputs[1]; got != "images" || len(m.Graph.Nodes) != 2 {
		t.Errorf("captured value is %q", got)
	}
	in, err := Model(m)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := in.Type("y"); v.Shape.String() != "[N, 3, 8, 8]" {
		t.Errorf("If has shape %v", v.Shape)
	}
}

func TestFoldIsBounded(t *testing.T) {
	m := imageGraph(
		op("ConstantOfShape", "big", "huge"), op("ReduceSum", "huge", "total", "keepdims", onnx.IntAttr(0)), op("Mul", "images total", "out"),
	)
	mustFold(t, m, FoldOptions{})
	if len(m.Graph.Nodes) != 3 {
		t.Error("10^12 elements were folded")
	}
	// Many results that are small one by one.
	m = imageGraph(op("Relu", "images", "out"))
	m.Graph.Initializers["k"] = onnx.FromInt64([]int64{maxFoldedValue / 8}, 1)
	for i := range 100 {
		name := fmt.Sprint("c", i)
		m.Graph.Nodes = append(m.Graph.Nodes, op("ConstantOfShape", "k", name), op("Relu", name, name+"r"))
		m.Graph.Outputs = append(m.Graph.Outputs, onnx.Value{Name: name + "r"})
	}
	mustFold(t, m, FoldOptions{})
	size := 0
	for _, x := range m.Graph.Initializers {
		size += len(x.Data)
	}
	if size > maxFoldedTotal+1000 {
		t.Errorf("folding grew the model to %d bytes", size)
	}
}

func TestFoldTargets(t *testing.T) {
	head := []*onnx.Node{
		op("Shape", "images", "s"), op("Gather", "s zero", "n"),
		op("Constant", "", "ax", "value_ints", onnx.IntsAttr(0)), op("Unsqueeze", "n ax", "n1"),
		op("Constant", "", "rest", "value_ints", onnx.IntsAttr(192)), op("Concat", "n1 rest", "t", "axis", onnx.IntAttr(0)),
	}
	tail := []*onnx.Node{op("Reshape", "images t", "y", "allowzero", onnx.IntAttr(1)), op("Relu", "y", "out")}
	m := imageGraph(slices.Concat(head, tail)...)
	mustFold(t, m, FoldOptions{})
	if got := m.Graph.Initializers[m.Graph.Nodes[0].Inputs[1]].Int64s(); !slices.Equal(got, []int64{0, 192}) || len(m.Graph.Nodes) != 2 {
		t.Errorf("target %v, %d nodes", got, len(m.Graph.Nodes))
	}
	if m.Graph.Nodes[0].Int("allowzero", 0) != 0 {
		t.Error("the target's 0 is taken literally")
	}
	// Something of the batch's size has to be made: the shortest computation remains.
	m = imageGraph(slices.Concat(head, []*onnx.Node{
		op("Shape", "t", "rank"), op("ConstantOfShape", "rank", "m1", "value", onnx.TensorAttr(onnx.FromInt64([]int64{-1}, 1))), op("Equal", "t m1", "e"), op("Where", "e m1 t", "t2"),
		op("Expand", "two t2", "y"), op("Relu", "y", "out"),
	})...)
	mustFold(t, m, FoldOptions{})
	ops := countOps(m.Graph)
	if len(m.Graph.Nodes) != 4 || ops["Shape"] != 1 || ops["Concat"] != 1 {
		t.Errorf("expanding to the batch takes %v", ops)
	}
	in, err := Model(m)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := in.Type("out"); v.Shape.String() != "[N, 192]" {
		t.Errorf("expanded to %v", v.Shape)
	}
}

func TestFoldDetails(t *testing.T) {
	// PyTorch's newer exporter computes a vector of zeros as the bias of a convolution without one.
	m := imageGraph(
		op("Shape", "w", "s", "start", onnx.IntAttr(0), "end", onnx.IntAttr(1)), op("Constant", "", "nil", "value_int", onnx.IntAttr(0)),
		op("CastLike", "nil images", "zf"), op("Expand", "zf s", "bias"), op("Conv", "images w bias", "out"),
	)
	mustFold(t, m, FoldOptions{Keep: func(n string) bool { return n == "w" }})
	if len(m.Graph.Nodes) != 1 || len(m.Graph.Nodes[0].Inputs) != 2 {
		t.Errorf("the bias of zeros stays: %v", m.Graph.Nodes[len(m.Graph.Nodes)-1].Inputs)
	}
	// A bias of zeros that is the model's own stays.
	m = imageGraph(op("Conv", "images w own", "out"))
	m.Graph.Initializers["own"] = onnx.NewTensor(onnx.Float32, 4)
	mustFold(t, m, FoldOptions{})
	if len(m.Graph.Nodes[0].Inputs) != 3 {
		t.Error("the model's own bias was dropped")
	}
	// Chunks taken from a sequence are a Split.
	m = imageGraph(
		op("Constant", "", "size", "value_int", onnx.IntAttr(5)), op("SplitToSequence", "images size", "q", "axis", onnx.IntAttr(-1)),
		op("SequenceAt", "q zero", "a"), op("SequenceAt", "q one", "b"), op("Concat", "b a", "out", "axis", onnx.IntAttr(3)),
	)
	mustFold(t, m, FoldOptions{})
	if ops := countOps(m.Graph); len(m.Graph.Nodes) != 2 || ops["Split"] != 1 {
		t.Errorf("chunks: %v", ops)
	}
	in, err := Model(m)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := in.Type(m.Graph.Nodes[1].Inputs[0]); v.Shape.String() != "[N, 3, 8, 3]" {
		t.Errorf("second chunk is %v", v.Shape)
	}
	// Padding by both signs moves the image though its size stays.
	m = imageGraph(op("Pad", "images p", "y"), op("Relu", "y", "out"))
	m.Graph.Initializers["p"] = onnx.FromInt64([]int64{0, 0, 1, 0, 0, 0, -1, 0}, 8)
	mustFold(t, m, FoldOptions{})
	if len(m.Graph.Nodes) != 2 {
		t.Error("a shift was bypassed")
	}
	// Graph outputs keep their names, whatever made them.
	m = imageGraph(op("Identity", "images", "out"))
	mustFold(t, m, FoldOptions{})
	if len(m.Graph.Nodes) != 1 || m.Graph.Nodes[0].Outputs[0] != "out" {
		t.Error("an output lost its node")
	}
}
