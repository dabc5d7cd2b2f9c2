package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"winnow/onnx"
	"winnow/onnx/onnxpb"
)

// Wrote is whether a file is a model that this program wrote: its producer is
// the second field of the message, behind a version of one byte.
func Wrote(r io.ReaderAt) bool {
	head := append([]byte{0x08, 0, 0x12, byte(len(onnx.Producer))}, onnx.Producer...)
	got := make([]byte, len(head))
	if _, err := r.ReadAt(got, 0); err != nil {
		return false
	}
	head[1] = got[1]
	return bytes.Equal(got, head)
}

// IR versions that are written: 8 came with opset 18, and 10 is the newest
// that the oldest supported ONNX Runtime reads with certainty.
const (
	minWrittenIR = 8
	maxWrittenIR = 10
)

// Encode returns the model's protobuf form, with all weights inside. Equal
// models give equal bytes: what has no order of its own is sorted by name.
// Kinds of initializers are written as PyTorch's exporter writes them.
// The IR version written is the model's, moved into 8..10.
func Encode(m *onnx.Model) ([]byte, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("wire: model: it has no graph: %w", onnx.ErrInvalid)
	}
	var e encoder
	pb := &onnxpb.ModelProto{
		IrVersion:    min(max(m.IRVersion, minWrittenIR), maxWrittenIR),
		ProducerName: m.Producer,
		OpsetImport:  opsetImports(m.Opset, m.Domains),
		Graph:        e.graph(m.Graph),
	}
	for _, k := range slices.Sorted(maps.Keys(m.Metadata)) {
		pb.MetadataProps = append(pb.MetadataProps, &onnxpb.StringStringEntryProto{Key: k, Value: m.Metadata[k]})
	}
	for _, f := range m.Functions {
		pb.Functions = append(pb.Functions, e.function(f))
	}
	if len(e.errs) > 0 {
		return nil, fmt.Errorf("wire: model: %w", errors.Join(e.errs...))
	}
	if n := int64(proto.Size(pb)); n > maxModelBytes {
		return nil, fmt.Errorf("wire: model: %d bytes, over protobuf's 2 GiB: %w", n, onnx.ErrTooLarge)
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(pb)
	if err != nil {
		return nil, fmt.Errorf("wire: model: %w", err)
	}
	return data, nil
}

func opsetImports(opset int64, domains map[string]int64) []*onnxpb.OperatorSetIdProto {
	list := []*onnxpb.OperatorSetIdProto{{Version: opset}}
	for _, d := range slices.Sorted(maps.Keys(domains)) {
		list = append(list, &onnxpb.OperatorSetIdProto{Domain: d, Version: domains[d]})
	}
	return list
}

// encoder converts to messages, collecting every problem it meets.
type encoder struct{ errs []error }

func (e *encoder) fail(format string, args ...any) {
	if len(e.errs) < maxDecodeErrors {
		e.errs = append(e.errs, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), onnx.ErrInvalid))
	}
}

func (e *encoder) function(f *onnx.Function) *onnxpb.FunctionProto {
	name, overload, _ := strings.Cut(f.Name, ":")
	return &onnxpb.FunctionProto{
		Name: name, Overload: overload, Domain: f.Domain, Input: f.Inputs, Output: f.Outputs,
		Attribute:      f.Attrs,
		AttributeProto: e.attrs("function "+f.Name, f.Defaults),
		Node:           e.nodes(f.Nodes),
		OpsetImport:    opsetImports(f.Opset, f.Domains),
	}
}

func (e *encoder) graph(g *onnx.Graph) *onnxpb.GraphProto {
	pb := &onnxpb.GraphProto{Name: g.Name}
	if pb.Name == "" {
		pb.Name = "graph" // the format wants one
	}
	for _, name := range slices.Sorted(maps.Keys(g.Initializers)) {
		t := e.tensor("initializer "+name, g.Initializers[name])
		t.Name = name
		pb.Initializer = append(pb.Initializer, t)
	}
	for _, v := range g.Inputs {
		pb.Input = append(pb.Input, valueProto(v))
	}
	for _, v := range g.Outputs {
		pb.Output = append(pb.Output, valueProto(v))
	}
	for _, name := range slices.Sorted(maps.Keys(g.Values)) {
		v := g.Values[name]
		v.Name = name
		pb.ValueInfo = append(pb.ValueInfo, valueProto(v))
	}
	for _, name := range slices.Sorted(maps.Keys(g.Kinds)) {
		t := g.Initializers[name]
		if t == nil || g.Values[name].Name != "" {
			continue
		}
		v := valueProto(onnx.Value{Name: name, DType: t.DType, Shape: onnx.ShapeOf(t.Dims...)})
		v.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: kindKey, Value: string(g.Kinds[name])}}
		pb.ValueInfo = append(pb.ValueInfo, v)
	}
	pb.Node = e.nodes(g.Nodes)
	return pb
}

func valueProto(v onnx.Value) *onnxpb.ValueInfoProto {
	pb := &onnxpb.ValueInfoProto{Name: v.Name}
	if v.DType == onnx.Undefined && v.Shape == nil {
		return pb
	}
	t := &onnxpb.TypeProto_Tensor{ElemType: int32(v.DType)}
	if v.Shape != nil {
		t.Shape = &onnxpb.TensorShapeProto{}
		for _, d := range v.Shape {
			t.Shape.Dim = append(t.Shape.Dim, dimProto(d))
		}
	}
	pb.Type = &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: t}}
	return pb
}

func dimProto(d onnx.Dim) *onnxpb.TensorShapeProto_Dimension {
	switch {
	case d.IsConst():
		return &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d.N}}
	case strings.HasPrefix(d.Sym, onnx.UnknownSymbol):
		return &onnxpb.TensorShapeProto_Dimension{}
	}
	return &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d.String()}}
}

func (e *encoder) nodes(list []*onnx.Node) []*onnxpb.NodeProto {
	var out []*onnxpb.NodeProto
	var names onnx.Names
	for _, n := range list {
		name := n.Name
		if name != "" { // ONNX Runtime refuses a name given twice, which the format allows
			name = names.Fresh(name)
		}
		op, overload, _ := strings.Cut(n.Op, ":")
		out = append(out, &onnxpb.NodeProto{
			Name: name, OpType: op, Overload: overload, Domain: n.Domain, Input: n.Inputs, Output: n.Outputs,
			Attribute: e.attrs(n.Describe(), n.Attrs),
		})
	}
	return out
}

func (e *encoder) attrs(what string, attrs map[string]onnx.Attr) []*onnxpb.AttributeProto {
	var out []*onnxpb.AttributeProto
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		a := attrs[name]
		pb := &onnxpb.AttributeProto{Name: name, Type: onnxpb.AttributeProto_AttributeType(a.Kind), RefAttrName: a.Ref}
		out = append(out, pb)
		if a.Ref != "" {
			continue
		}
		switch {
		case a.Kind == onnx.AttrFloat:
			pb.F = &a.F
		case a.Kind == onnx.AttrInt:
			pb.I = &a.I
		case a.Kind == onnx.AttrString:
			pb.S = []byte(a.S)
		case a.Kind == onnx.AttrFloats:
			pb.Floats = a.Floats
		case a.Kind == onnx.AttrInts:
			pb.Ints = a.Ints
		case a.Kind == onnx.AttrStrings:
			for _, s := range a.Strings {
				pb.Strings = append(pb.Strings, []byte(s))
			}
		case a.Kind == onnx.AttrTensor && a.T != nil:
			pb.T = e.tensor(what+": attribute "+name, a.T)
		case a.Kind == onnx.AttrGraph && a.G != nil:
			pb.G = e.graph(a.G)
		default:
			e.fail("%s: attribute %q has no value", what, name)
		}
	}
	return out
}

func (e *encoder) tensor(what string, t *onnx.Tensor) *onnxpb.TensorProto {
	if err := t.Check(); err != nil {
		e.fail("%s: %v", what, err)
		return &onnxpb.TensorProto{}
	}
	pb := &onnxpb.TensorProto{DataType: int32(t.DType), Dims: t.Dims}
	if t.DType == onnx.String {
		for _, s := range t.Strings {
			pb.StringData = append(pb.StringData, []byte(s))
		}
		return pb
	}
	pb.RawData = t.Data
	if pb.RawData == nil {
		pb.RawData = []byte{}
	}
	return pb
}
