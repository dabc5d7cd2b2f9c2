package wire

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"winnow/onnx"
	"winnow/onnx/onnxpb"
)

// testdata/types/types.onnx, written by Python's onnx package, has element
// k of every tensor k % 3 - 1, unsigned k % 3, boolean (k % 3 - 1) % 2.
func TestDecodeElementTypes(t *testing.T) {
	m, err := Read("testdata/types/types.onnx")
	if err != nil {
		t.Fatal(err)
	}
	signed := []float64{-1, 0, 1, -1, 0, 1}
	unsigned := []float64{0, 1, 2, 0, 1, 2}
	wants := map[string][]float64{
		"float": signed, "double": signed, "float16": signed, "bfloat16": signed,
		"int8": signed, "int16": signed, "int32": signed, "int64": signed,
		"uint8": unsigned, "uint16": unsigned, "uint32": unsigned, "uint64": unsigned,
		"bool": {1, 0, 1, 1, 0, 1},
	}
	for name, want := range wants {
		for _, form := range []string{"_raw", "_list"} {
			x := m.Graph.Initializers[name+form]
			if x == nil || !slices.Equal(x.Dims, []int64{2, 3}) {
				t.Errorf("%s%s: missing or misshapen", name, form)
				continue
			}
			if got := numbers(t, x); !slices.Equal(got, want) {
				t.Errorf("%s%s: got %v, want %v", name, form, got, want)
			}
		}
	}
	if got := m.Graph.Initializers["strings"].Strings; !slices.Equal(got, []string{"a", "bc"}) {
		t.Errorf("strings: got %q", got)
	}
	if s := m.Graph.Initializers["scalar"]; len(s.Dims) != 0 || s.Float32s()[0] != 2.5 {
		t.Errorf("scalar: got %v", s)
	}
	if s := m.Graph.Initializers["none"]; s.Len() != 0 || !slices.Equal(s.Dims, []int64{0, 3}) {
		t.Errorf("empty tensor: got %v", s)
	}
}

func numbers(t *testing.T, x *onnx.Tensor) []float64 {
	t.Helper()
	var out []float64
	if !x.DType.IsFloat() {
		for _, v := range x.Int64s() {
			out = append(out, float64(v))
		}
		return out
	}
	f, err := x.ToFloat32()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range f.Float32s() {
		out = append(out, float64(v))
	}
	return out
}

// NumPy widened the same bits, subnormal numbers and infinities among them.
func TestToFloat32Half(t *testing.T) {
	m, err := Read("testdata/types/types.onnx")
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Graph.Initializers["half_bits"].ToFloat32()
	if err != nil {
		t.Fatal(err)
	}
	if want := m.Graph.Initializers["half_as_float"]; !bytes.Equal(got.Data, want.Data) {
		t.Errorf("got %v, want %v", got.Float32s(), want.Float32s())
	}
	if _, err := onnx.NewTensor(onnx.Int64, 2).ToFloat32(); !errors.Is(err, onnx.ErrUnsupported) {
		t.Errorf("int64: got %v", err)
	}
	if _, err := (&onnx.Tensor{DType: onnx.Float64, Dims: []int64{2}, Data: make([]byte, 8)}).ToFloat32(); !errors.Is(err, onnx.ErrInvalid) {
		t.Errorf("too little data: got %v", err)
	}
}

func TestDecodeShapes(t *testing.T) {
	m, err := Read("testdata/types/types.onnx")
	if err != nil {
		t.Fatal(err)
	}
	s := m.Graph.Inputs[0].Shape
	if len(s) != 3 || s[0] != onnx.Symbol("batch") || s[1].IsConst() || s[1] == s[0] || s[2] != onnx.Const(3) {
		t.Errorf("got %v", s)
	}
	for text, want := range map[string]onnx.Dim{
		"3*N": {N: 3, Sym: "N"}, "N": {N: 1, Sym: "N"}, "2*s0 + 1": {N: 1, Sym: "2*s0 + 1"}, "-3*N": {N: 1, Sym: "-3*N"}, "3*": {N: 1, Sym: "3*"},
	} {
		if got := onnx.ParseDim(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// tiny is a valid model to damage.
func tiny() *onnxpb.ModelProto {
	shape := &onnxpb.TensorShapeProto{Dim: []*onnxpb.TensorShapeProto_Dimension{
		{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: 2}}}}
	typ := &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: 1, Shape: shape}}}
	return &onnxpb.ModelProto{
		IrVersion:   8,
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: "ai.onnx", Version: 18}},
		Graph: &onnxpb.GraphProto{
			Name:        "g",
			Input:       []*onnxpb.ValueInfoProto{{Name: "x", Type: typ}},
			Output:      []*onnxpb.ValueInfoProto{{Name: "y", Type: typ}},
			Node:        []*onnxpb.NodeProto{{OpType: "Add", Name: "n", Input: []string{"x", "w"}, Output: []string{"y"}}},
			Initializer: []*onnxpb.TensorProto{{Name: "w", DataType: 1, Dims: []int64{2}, FloatData: []float32{1, 2}}},
		},
	}
}

func encodeProto(t testing.TB, pb *onnxpb.ModelProto) []byte {
	t.Helper()
	data, err := proto.Marshal(pb)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeRefuses(t *testing.T) {
	w := func(change func(*onnxpb.TensorProto)) func(*onnxpb.ModelProto) {
		return func(m *onnxpb.ModelProto) { change(m.Graph.Initializer[0]) }
	}
	tests := []struct {
		name   string
		change func(*onnxpb.ModelProto)
		kind   error
		text   string
	}{
		{"no graph", func(m *onnxpb.ModelProto) { m.Graph = nil }, onnx.ErrInvalid, "no graph"},
		{"old IR", func(m *onnxpb.ModelProto) { m.IrVersion = 2 }, onnx.ErrUnsupported, "IR version 2"},
		{"new IR", func(m *onnxpb.ModelProto) { m.IrVersion = 99 }, onnx.ErrUnsupported, "IR version 99"},
		{"two opsets", func(m *onnxpb.ModelProto) {
			m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Version: 17})
		}, onnx.ErrInvalid, "versions 18 and 17"},
		{"negative dimension", w(func(w *onnxpb.TensorProto) { w.Dims = []int64{-2} }), onnx.ErrInvalid, `initializer "w"`},
		{"shape overflow", w(func(w *onnxpb.TensorProto) { w.Dims = []int64{1 << 40, 1 << 40} }), onnx.ErrInvalid, `initializer "w"`},
		{"shape wraps around to 2", w(func(w *onnxpb.TensorProto) { w.Dims = []int64{3, 6148914691236517206} }), onnx.ErrInvalid, "shape [3"},
		{"two lists", w(func(w *onnxpb.TensorProto) { w.Int64Data = []int64{1} }), onnx.ErrInvalid, `initializer "w"`},
		{"huge claim", w(func(w *onnxpb.TensorProto) { w.Dims = []int64{1 << 40} }), onnx.ErrInvalid, "1099511627776"},
		{"too few elements", w(func(w *onnxpb.TensorProto) { w.FloatData = w.FloatData[:1] }), onnx.ErrInvalid, `initializer "w"`},
		{"wrong list", w(func(w *onnxpb.TensorProto) { w.FloatData, w.Int64Data = nil, []int64{1, 2} }), onnx.ErrInvalid, `initializer "w"`},
		{"short bytes", w(func(w *onnxpb.TensorProto) { w.FloatData, w.RawData = nil, make([]byte, 7) }), onnx.ErrInvalid, "7 bytes"},
		{"twice the data", w(func(w *onnxpb.TensorProto) { w.RawData = make([]byte, 8) }), onnx.ErrInvalid, "given twice"},
		{"segment", w(func(w *onnxpb.TensorProto) { w.Segment = &onnxpb.TensorProto_Segment{} }), onnx.ErrUnsupported, "segments"},
		{"complex", w(func(w *onnxpb.TensorProto) { w.DataType = 14 }), onnx.ErrUnsupported, "complex64"},
		{"int4", w(func(w *onnxpb.TensorProto) { w.DataType = 22 }), onnx.ErrUnsupported, "int4"},
		{"external without folder", w(func(w *onnxpb.TensorProto) {
			w.FloatData, w.DataLocation = nil, onnxpb.TensorProto_EXTERNAL
			w.ExternalData = []*onnxpb.StringStringEntryProto{{Key: "location", Value: "w.bin"}}
		}), onnx.ErrExternal, "w.bin"},
		{"initializer twice", func(m *onnxpb.ModelProto) {
			m.Graph.Initializer = append(m.Graph.Initializer, m.Graph.Initializer[0])
		}, onnx.ErrInvalid, "defined twice"},
		{"attribute twice", func(m *onnxpb.ModelProto) {
			m.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: "a", Type: 2}, {Name: "a", Type: 2}}
		}, onnx.ErrInvalid, `node "n" (Add): attribute "a"`},
		{"graphs attribute", func(m *onnxpb.ModelProto) {
			m.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: "a", Type: onnxpb.AttributeProto_GRAPHS}}
		}, onnx.ErrUnsupported, "GRAPHS"},
		{"tensor attribute without tensor", func(m *onnxpb.ModelProto) {
			m.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: "a", Type: onnxpb.AttributeProto_TENSOR}}
		}, onnx.ErrInvalid, "without a value"},
		{"optional input", func(m *onnxpb.ModelProto) {
			m.Graph.Input[0].Type = &onnxpb.TypeProto{Value: &onnxpb.TypeProto_OptionalType{}}
		}, onnx.ErrUnsupported, "optional value where a tensor is needed"},
	}
	if _, err := Decode(encodeProto(t, tiny()), ""); err != nil {
		t.Fatalf("the undamaged model: %v", err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pb := tiny()
			test.change(pb)
			_, err := Decode(encodeProto(t, pb), "")
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %v with %q", err, test.kind, test.text)
			}
		})
	}
}

func TestReadRefusesFixtures(t *testing.T) {
	for name, text := range map[string]string{
		"sequence": `input "s": a sequence`, "sparse": `initializer "w": a sparse tensor`, "float8": "float8e5m2",
	} {
		_, err := Read("testdata/refused/" + name + ".onnx")
		if !errors.Is(err, onnx.ErrUnsupported) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, want %q", name, err, text)
		}
	}
}

func TestDecodeNotAModel(t *testing.T) {
	good := encodeProto(t, tiny())
	for i := 1; i < len(good); i++ {
		if _, err := Decode(good[:i], ""); err == nil {
			t.Errorf("%d of %d bytes were accepted", i, len(good))
		}
	}
	if _, err := Decode(good[:len(good)-3], ""); !errors.Is(err, onnx.ErrTruncated) {
		t.Errorf("cut short: got %v", err)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("<html>not found</html>"), "zip": []byte("PK\x03\x04\x14\x00\x00\x00"),
		"png": []byte("\x89PNG\r\n\x1a\n"), "lfs": []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
	} {
		if _, err := Decode(data, ""); !errors.Is(err, onnx.ErrNotONNX) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, onnx.ErrNotONNX) {
		t.Errorf("a folder: got %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}

// A file of 2-byte empty nodes would take hundreds of times its size.
func TestDecodeBoundsMemory(t *testing.T) {
	const nodes = 4 << 20
	var graph []byte
	for range nodes {
		graph = append(graph, 1<<3|2, 0)
	}
	data := append([]byte{1 << 3, 8}, 7<<3|2)
	data = protowire.AppendBytes(data, graph)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decode(data, "")
	runtime.ReadMemStats(&after)
	if !errors.Is(err, onnx.ErrTooLarge) {
		t.Fatalf("got %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes allocated before it was refused", used)
	}
}

func TestDecodeBoundsDepth(t *testing.T) {
	var graph []byte
	for range 200 {
		attr := protowire.AppendBytes([]byte{6<<3 | 2}, graph)
		node := protowire.AppendBytes([]byte{5<<3 | 2}, attr)
		graph = protowire.AppendBytes([]byte{1<<3 | 2}, node)
	}
	data := protowire.AppendBytes([]byte{1 << 3, 8, 7<<3 | 2}, graph)
	if _, err := Decode(data, ""); !errors.Is(err, onnx.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// A large model must not take more than four times its file.
func TestDecodeMemoryOfWeights(t *testing.T) {
	const n = 4 << 20
	pb := tiny()
	pb.Graph.Initializer = append(pb.Graph.Initializer,
		&onnxpb.TensorProto{Name: "raw", DataType: 1, Dims: []int64{n}, RawData: make([]byte, 4*n)},
		&onnxpb.TensorProto{Name: "list", DataType: 1, Dims: []int64{n}, FloatData: make([]float32, n)})
	data := encodeProto(t, pb)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Decode(data, ""); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := int(after.TotalAlloc - before.TotalAlloc); used > 3*len(data) {
		t.Errorf("%d bytes allocated for a file of %d", used, len(data))
	}
}

func TestDecodeOldForms(t *testing.T) {
	pb := tiny()
	pb.IrVersion = 3
	pb.Graph.Input = append(pb.Graph.Input, &onnxpb.ValueInfoProto{Name: "w", Type: pb.Graph.Input[0].Type})
	one, text := float32(1), []byte("s")
	pb.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{
		{Name: "f", F: &one}, {Name: "s", S: text}, {Name: "is", Ints: []int64{1, 2}}}
	m, err := Decode(encodeProto(t, pb), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Graph.Inputs) != 1 || m.Graph.Inputs[0].Name != "x" {
		t.Errorf("the weights are among the inputs: %v", m.Graph.Inputs)
	}
	n := m.Graph.Nodes[0]
	if n.Float("f", 0) != 1 || n.Str("s", "") != "s" || !slices.Equal(n.Ints("is", nil), []int64{1, 2}) {
		t.Errorf("attributes without a type: %v", n.Attrs)
	}
	if m.Opset != 18 || len(m.Domains) != 0 {
		t.Errorf("domain ai.onnx: opset %d, others %v", m.Opset, m.Domains)
	}
}
