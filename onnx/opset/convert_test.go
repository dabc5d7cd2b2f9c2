package opset

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/wire"
)

var update = flag.Bool("update", false, "rewrite golden files")

// readGood reads and checks a model of testdata.
func readGood(t *testing.T, path string) *onnx.Model {
	t.Helper()
	m, err := wire.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Fatal(err)
	}
	return m
}

// The golden files are as good as their originals: testdata/gen.py --verify
// runs both and compares.
func TestGolden(t *testing.T) {
	paths, _ := filepath.Glob("testdata/convert/*.onnx")
	inline, _ := filepath.Glob("testdata/inline/*.onnx")
	tested := 0
	for _, path := range append(paths, inline...) {
		if strings.HasSuffix(path, ".want.onnx") {
			continue
		}
		tested++
		t.Run(filepath.Base(path), func(t *testing.T) {
			m := readGood(t, path)
			if err := Inline(m); err != nil {
				t.Fatal(err)
			}
			if err := To18(m); err != nil {
				t.Fatal(err)
			}
			if err := Check(m); err != nil {
				t.Fatal(err)
			}
			got, err := wire.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(path, ".onnx") + ".want.onnx"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("not what %s holds", golden)
			}
		})
	}
	if tested < 50 {
		t.Errorf("only %d models found", tested)
	}
}

func TestToOpset18ListsEveryNode(t *testing.T) {
	m := readGood(t, "testdata/refused/newer.onnx")
	before, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	err = To18(m)
	if !errors.Is(err, onnx.ErrUnsupported) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"tiny" (Cast)`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in:\n%v", want, err)
		}
	}
	for _, fine := range []string{"fine", "wrapped", "rms", "grid", "dilated", "symmetric"} { // ONNX Runtime's kernel of Pad 18 takes the mode wrap of 19
		if strings.Contains(err.Error(), fine) {
			t.Errorf("%q, a convertible node, is named in:\n%v", fine, err)
		}
	}
	if after, err := wire.Encode(m); err != nil || !bytes.Equal(before, after) {
		t.Error("the model was changed")
	}
}

func single(opset int64, n *onnx.Node) *onnx.Model {
	g := &onnx.Graph{Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1, 4, 2, 2)}}, Nodes: []*onnx.Node{n}, Initializers: map[string]*onnx.Tensor{}}
	for _, in := range n.Inputs[min(1, len(n.Inputs)):] {
		g.Initializers[in] = onnx.NewTensor(onnx.Float32, 4)
	}
	for _, out := range n.Outputs {
		g.Outputs = append(g.Outputs, onnx.Value{Name: out, DType: onnx.Float32})
	}
	return &onnx.Model{Opset: opset, Graph: g}
}

// Before opset 14 a second output meant training mode (specification of
// BatchNormalization 9, "Output case #1"); ONNX Runtime cannot run that form,
// so there is no golden file.
func TestConvertBatchNormalizationTraining(t *testing.T) {
	bn := func(outputs ...string) *onnx.Node {
		return &onnx.Node{Name: "bn", Op: "BatchNormalization", Inputs: []string{"x", "s", "b", "m", "v"}, Outputs: outputs}
	}
	m := single(12, bn("y", "mean", "var", "saved_mean", "saved_var"))
	m.Graph.Outputs = m.Graph.Outputs[:3]
	if err := To18(m); err != nil {
		t.Fatal(err)
	}
	if n := m.Graph.Nodes[0]; n.Int("training_mode", 0) != 1 || len(n.Outputs) != 3 {
		t.Errorf("got %+v", n)
	}
	m = single(12, bn("y", "", ""))
	m.Graph.Outputs = m.Graph.Outputs[:1]
	if err := To18(m); err != nil {
		t.Fatal(err)
	}
	if n := m.Graph.Nodes[0]; n.Int("training_mode", 0) != 0 || len(n.Outputs) != 1 {
		t.Errorf("got %+v", n)
	}
	if err := To18(single(12, bn("y", "mean", "var", "saved_mean", "saved_var"))); !errors.Is(err, onnx.ErrUnsupported) {
		t.Errorf("saved statistics used: got %v", err)
	}
}

func TestToOpset18Refuses(t *testing.T) {
	unary := func(op string, attrs map[string]onnx.Attr) *onnx.Node {
		return &onnx.Node{Name: "n", Op: op, Inputs: []string{"x"}, Outputs: []string{"y"}, Attrs: attrs}
	}
	tests := []struct {
		name  string
		opset int64
		node  *onnx.Node
		text  string
	}{
		{"opset 6", 6, unary("Relu", nil), "opset 6"},
		{"opset 99", 99, unary("Relu", nil), "opset 99"},
		{"unknown", 17, unary("Rectify", nil), "no such operator"},
		{"too new for its own opset", 17, unary("Gelu", nil), "not an operator of opset 17"},
		{"new", 24, unary("TensorScatter", nil), "came with opset 24"},
		{"withdrawn", 11, unary("Upsample", nil), "not an operator"},
		{"changed", 17, unary("DFT", nil), ""},
		{"changed later", 20, unary("DFT", nil), "changed with opset 20"},
		{"quantized", 19, unary("DequantizeLinear", nil), ""},
		{"quantized in blocks", 21, unary("QuantizeLinear", map[string]onnx.Attr{"block_size": onnx.IntAttr(16)}), "block_size 16"},
		{"quantized to shorts", 21, unary("QuantizeLinear", map[string]onnx.Attr{"output_dtype": onnx.IntAttr(int64(onnx.Int16))}), "to int16"},
		{"gelu", 20, unary("Gelu", map[string]onnx.Attr{"approximate": onnx.StringAttr("other")}), "other"},
		{"volume", 20, &onnx.Node{Name: "n", Op: "GridSample", Inputs: []string{"x", "s"}, Outputs: []string{"y"}, Attrs: map[string]onnx.Attr{"mode": onnx.StringAttr("bilinear")}}, "bilinear"},
		{"keys", 23, &onnx.Node{Name: "n", Op: "Attention", Inputs: []string{"x", "x", "x", "", "s", "s"}, Outputs: []string{"y"}}, "past keys"},
		{"padding", 24, &onnx.Node{Name: "n", Op: "Attention", Inputs: []string{"x", "x", "x", "", "", "", "s"}, Outputs: []string{"y"}}, "padded keys"},
		{"products", 23, &onnx.Node{Name: "n", Op: "Attention", Inputs: []string{"x", "x", "x"}, Outputs: []string{"y", "", "", "p"}}, "product of queries and keys"},
		{"spatial", 8, &onnx.Node{Name: "n", Op: "BatchNormalization", Inputs: []string{"x", "s", "s", "s", "s"}, Outputs: []string{"y"}, Attrs: map[string]onnx.Attr{"spatial": onnx.IntAttr(0)}}, "spatial 0"},
		{"scan", 8, unary("Scan", nil), "opset 8"},
		{"groups", 21, unary("GroupNormalization", nil), "num_groups 0"},
	}
	for _, test := range tests {
		err := To18(single(test.opset, test.node))
		if test.text == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if !errors.Is(err, onnx.ErrUnsupported) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.text)
		}
	}
	m := single(17, unary("Relu", nil))
	m.Functions = []*onnx.Function{{Name: "f"}}
	if err := To18(m); !errors.Is(err, onnx.ErrInvalid) {
		t.Errorf("functions left: got %v", err)
	}
}

// In opsets 18 to 20, GroupNormalization has one scale for each group.
func TestConvertGroupNormalization18(t *testing.T) {
	m := single(18, &onnx.Node{Name: "gn", Op: "GroupNormalization", Inputs: []string{"x", "s", "b"}, Outputs: []string{"y"},
		Attrs: map[string]onnx.Attr{"num_groups": onnx.IntAttr(4), "epsilon": onnx.FloatAttr(1e-3)}})
	if err := To18(m); err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Error(err)
	}
	found := false
	for _, n := range m.Graph.Nodes {
		if n.Op == "InstanceNormalization" {
			found = n.Input(1) == "s" && n.Input(2) == "b" && n.Float("epsilon", 0) == 1e-3
		}
	}
	if !found {
		t.Error("no InstanceNormalization with the node's own scale, bias and epsilon")
	}
}

// Every operator of this list can be read at opset 18, and is converted or
// taken over from every opset that has it.
func TestToOpset18KnowsTheOperators(t *testing.T) {
	ops := strings.Fields(`Add AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv Div Dropout
		Einsum Equal Erf Expand Flatten Gather Gemm GlobalAveragePool HardSigmoid HardSwish Identity LayerNormalization
		MatMul MaxPool Mod Mul Not Pad Pow Range ReduceMean Relu Reshape ScatterND Shape Sigmoid Slice Softmax Sub Tanh
		Transpose Unsqueeze Where Gelu Mish GroupNormalization InstanceNormalization LogSoftmax LeakyRelu PRelu Elu Selu
		Softplus Sqrt Reciprocal Exp Log Abs Neg Min Max Squeeze Split Tile ReduceSum ReduceMax ReduceL2 GlobalMaxPool
		ConvTranspose Resize DepthToSpace SpaceToDepth Trilu CumSum GatherElements GatherND ScatterElements TopK If`)
	branch := onnx.Attr{Kind: onnx.AttrGraph, G: &onnx.Graph{Nodes: []*onnx.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"z"}}}, Outputs: []onnx.Value{{Name: "z"}}}}
	attrs := map[string]onnx.Attr{
		"to": onnx.IntAttr(1), "num_groups": onnx.IntAttr(2), "value": onnx.TensorAttr(onnx.NewTensor(onnx.Float32)), "axis": onnx.IntAttr(0), "axes": onnx.IntsAttr(0), "kernel_shape": onnx.IntsAttr(2, 2),
		"blocksize": onnx.IntAttr(2), "equation": onnx.StringAttr("i,i,i->i"), "then_branch": branch, "else_branch": branch,
	}
	for _, op := range ops {
		for opset := int64(minOpset); opset <= maxOpset; opset++ {
			if opVersion(op, opset) == 0 {
				continue
			}
			sig := signatureOf(op, opset)
			n := &onnx.Node{Name: "n", Op: op, Inputs: []string{"x", "s", "b", "b", "b"}, Outputs: []string{"y", "z0", "z1"}, Attrs: map[string]onnx.Attr{}}
			n.Inputs, n.Outputs = n.Inputs[:min(max(3, sig.in.low), sig.in.high)], n.Outputs[:max(1, sig.out.low)]
			for _, name := range sig.mustBeGiven {
				n.Attrs[name] = attrs[name]
			}
			if op == "Constant" {
				n.Attrs["value"] = attrs["value"]
			}
			m := single(opset, n)
			if err := To18(m); err != nil {
				t.Errorf("%s of opset %d: %v", op, opset, err)
				continue
			}
			if err := Check(m); err != nil {
				t.Errorf("%s of opset %d: %v", op, opset, err)
			}
		}
	}
}

// Over the last axis, both definitions agree: no nodes around it. The axis may
// be known as the last one from the type of an output only named elsewhere.
func TestConvertSoftmaxOverLastAxis(t *testing.T) {
	softmax := &onnx.Node{Name: "n", Op: "Softmax", Inputs: []string{"r"}, Outputs: []string{"y"}, Attrs: map[string]onnx.Attr{"axis": onnx.IntAttr(-1)}}
	for _, axis := range []int64{-1, 3} {
		m := single(12, &onnx.Node{Name: "relu", Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"r"}})
		softmax.Attrs["axis"] = onnx.IntAttr(axis)
		m.Graph.Nodes = append(m.Graph.Nodes, softmax)
		m.Graph.Outputs = []onnx.Value{{Name: "y", DType: onnx.Float32}, {Name: "r"}}
		if axis == 3 {
			m.Graph.Values = map[string]onnx.Value{"r": {Name: "r", DType: onnx.Float32, Shape: onnx.ShapeOf(1, 4, 2, 2)}}
		}
		if err := To18(m); err != nil {
			t.Fatal(err)
		}
		if len(m.Graph.Nodes) != 2 || m.Graph.Nodes[1].Int("axis", 0) != -1 {
			t.Errorf("axis %d: %d nodes", axis, len(m.Graph.Nodes))
		}
	}
}
