package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"winnow/internal/files"
	"winnow/onnx"
	"winnow/onnx/onnxpb"
)

// IR versions (of the file format itself) that are read. Those after 10 only
// added element types, each refused by name.
const (
	minIRVersion = 3
	maxIRVersion = 14
)

// Read reads a model file. Weights in other files are read with it if those
// lie in the model's folder, links included. The model is not checked beyond
// what its in-memory form needs: opset.Check does it.
func Read(path string) (*onnx.Model, error) {
	data, err := readModelFile(path)
	if err != nil {
		return nil, fmt.Errorf("wire: model %q: %w", path, err)
	}
	m, err := decode(data, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("wire: model %q: %w", path, err)
	}
	return m, nil
}

func readModelFile(path string) ([]byte, error) {
	f, size, err := files.Open(path)
	if errors.Is(err, files.ErrNotRegular) {
		return nil, fmt.Errorf("%w: %w", onnx.ErrNotONNX, err)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxModelBytes {
		return nil, fmt.Errorf("%d bytes, over protobuf's 2 GiB: %w", size, onnx.ErrTooLarge)
	}
	var head [16]byte
	if n, err := f.ReadAt(head[:], 0); size > structureBudget && !LooksLikeModel(head[:n]) {
		return nil, errors.Join(onnx.ErrNotONNX, err)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	return data, nil
}

// Decode reads a model from its protobuf form. dir is where weights kept in
// other files are looked for; with "" such weights are refused. Memory is
// bounded by four times the size of data, plus a fixed allowance for the
// structure, plus the external weights.
func Decode(data []byte, dir string) (*onnx.Model, error) {
	m, err := decode(data, dir)
	if err != nil {
		return nil, fmt.Errorf("wire: model: %w", err)
	}
	return m, nil
}

func decode(data []byte, dir string) (*onnx.Model, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("the file is empty: %w", onnx.ErrNotONNX)
	}
	if bytes.HasPrefix(data, []byte("version https://git-lfs")) {
		return nil, fmt.Errorf("a Git LFS pointer, the file itself was not fetched: %w", onnx.ErrNotONNX)
	}
	if int64(len(data)) > maxModelBytes {
		return nil, fmt.Errorf("%d bytes, over protobuf's 2 GiB: %w", len(data), onnx.ErrTooLarge)
	}
	if err := measure(data); err != nil {
		if errors.Is(err, onnx.ErrTruncated) && !LooksLikeModel(data) {
			err = onnx.ErrNotONNX
		}
		return nil, err
	}
	var pb onnxpb.ModelProto
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &pb); err != nil {
		return nil, fmt.Errorf("%w: %w", onnx.ErrNotONNX, err)
	}
	if pb.GetGraph() == nil {
		if pb.GetIrVersion() == 0 {
			return nil, onnx.ErrNotONNX
		}
		return nil, fmt.Errorf("it has no graph: %w", onnx.ErrInvalid)
	}
	if v := pb.GetIrVersion(); v < minIRVersion || v > maxIRVersion {
		return nil, fmt.Errorf("IR version %d, read are %d to %d: %w", v, minIRVersion, maxIRVersion, onnx.ErrUnsupported)
	}
	d := decoder{external: newExternal(dir)}
	defer d.external.Close()
	m := d.model(&pb)
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	return m, nil
}

// LooksLikeModel tells a model that is cut short from a file of another kind:
// a model starts with its IR version, a small number.
func LooksLikeModel(data []byte) bool {
	return len(data) > 2 && data[0] == 1<<3 && data[1] <= maxIRVersion
}

// decoder converts parsed messages, collecting every problem it meets.
type decoder struct {
	external *external
	errs     []error
}

const maxDecodeErrors = 50

func (d *decoder) fail(kind error, format string, args ...any) {
	if len(d.errs) < maxDecodeErrors {
		d.errs = append(d.errs, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), kind))
	}
}

func (d *decoder) model(pb *onnxpb.ModelProto) *onnx.Model {
	if len(pb.OpsetImport) == 0 {
		d.fail(onnx.ErrInvalid, "it does not say which opset it is of; is the file complete?")
	}
	m := &onnx.Model{
		IRVersion: pb.IrVersion,
		Producer:  strings.TrimSpace(pb.ProducerName + " " + pb.ProducerVersion),
		Metadata:  make(map[string]string, len(pb.MetadataProps)),
	}
	m.Opset, m.Domains = d.opsets("model", pb.OpsetImport)
	for _, p := range pb.MetadataProps {
		m.Metadata[p.Key] = p.Value
	}
	m.Graph = d.graph(pb.Graph)
	seen := map[string]bool{}
	for _, f := range pb.Functions {
		fn := d.function(f)
		id := fn.Domain + "." + fn.Name
		if seen[id] {
			d.fail(onnx.ErrInvalid, "function %q: defined twice", id)
		}
		seen[id] = true
		m.Functions = append(m.Functions, fn)
	}
	return m
}

func (d *decoder) opsets(what string, list []*onnxpb.OperatorSetIdProto) (int64, map[string]int64) {
	var opset int64
	domains := make(map[string]int64, len(list))
	for _, o := range list {
		name := domain(o.Domain)
		old := domains[name]
		if name == "" {
			old = opset
		}
		if old != 0 && old != o.Version {
			d.fail(onnx.ErrInvalid, "%s: versions %d and %d of domain %q", what, old, o.Version, name)
		}
		if name == "" {
			opset = o.Version
		} else {
			domains[name] = o.Version
		}
	}
	return opset, domains
}

// domain spells the standard domain one way.
func domain(name string) string {
	if name == "ai.onnx" {
		return ""
	}
	return name
}

// withOverload makes an overloaded function's name unique in its domain.
func withOverload(name, overload string) string {
	if overload == "" {
		return name
	}
	return name + ":" + overload
}

func (d *decoder) function(pb *onnxpb.FunctionProto) *onnx.Function {
	f := &onnx.Function{
		Name: withOverload(pb.Name, pb.Overload), Domain: domain(pb.Domain),
		Inputs: pb.Input, Outputs: pb.Output, Attrs: pb.Attribute,
	}
	what := "function " + strconv.Quote(f.Name)
	f.Opset, f.Domains = d.opsets(what, pb.OpsetImport)
	f.Defaults = d.attrs(what, pb.AttributeProto)
	f.Nodes = d.nodes(pb.Node)
	return f
}

func (d *decoder) graph(pb *onnxpb.GraphProto) *onnx.Graph {
	g := &onnx.Graph{
		Name:         pb.Name,
		Initializers: make(map[string]*onnx.Tensor, len(pb.Initializer)),
		Values:       make(map[string]onnx.Value, len(pb.ValueInfo)),
	}
	for _, t := range pb.Initializer {
		if t.Name == "" {
			d.fail(onnx.ErrInvalid, "graph %q: an initializer without a name", g.Name)
			continue
		}
		if g.Initializers[t.Name] != nil {
			d.fail(onnx.ErrInvalid, "initializer %q: defined twice", t.Name)
		}
		g.Initializers[t.Name] = d.tensor("initializer "+strconv.Quote(t.Name), t)
	}
	for _, s := range pb.SparseInitializer {
		d.fail(onnx.ErrUnsupported, "initializer %q: a sparse tensor", s.GetValues().GetName())
	}
	for _, v := range pb.Input {
		if g.Initializers[v.Name] == nil { // IR 3 lists the weights among the inputs
			g.Inputs = append(g.Inputs, d.value("input", v))
		}
	}
	for _, v := range pb.Output {
		g.Outputs = append(g.Outputs, d.value("output", v))
	}
	for _, v := range pb.ValueInfo {
		if kindOfType(v.Type) == "" && v.Name != "" {
			g.Values[v.Name] = d.value("value", v)
		}
	}
	for _, v := range slices.Concat(pb.ValueInfo, pb.Input) {
		if kind := kindOfInitializer(v.MetadataProps); kind != "" && g.Initializers[v.Name] != nil {
			if g.Kinds == nil {
				g.Kinds = map[string]onnx.Kind{}
			}
			g.Kinds[v.Name] = kind
		}
	}
	g.Nodes = d.nodes(pb.Node)
	return g
}

// kindKey is the metadata in which PyTorch's exporter by torch.export writes
// the kind of an initializer, by the names of torch.export.graph_signature.InputKind.
const kindKey = "pkg.torch.export.graph_signature.InputSpec.kind"

// kindOfInitializer is what metadata of an initializer's value say of it, "" if nothing.
func kindOfInitializer(props []*onnxpb.StringStringEntryProto) onnx.Kind {
	for _, p := range props {
		if p.GetKey() != kindKey {
			continue
		}
		switch k := onnx.Kind(p.GetValue()); k {
		case onnx.KindParameter, onnx.KindBuffer, onnx.KindConstant:
			return k
		}
	}
	return ""
}

// kindOfType names a type that is no tensor; "" for a tensor or no type at all.
func kindOfType(t *onnxpb.TypeProto) string {
	switch t.GetValue().(type) {
	case *onnxpb.TypeProto_SequenceType:
		return "sequence"
	case *onnxpb.TypeProto_MapType:
		return "map"
	case *onnxpb.TypeProto_OpaqueType:
		return "opaque value"
	case *onnxpb.TypeProto_SparseTensorType:
		return "sparse tensor"
	case *onnxpb.TypeProto_OptionalType:
		return "optional value"
	}
	return ""
}

func (d *decoder) value(what string, pb *onnxpb.ValueInfoProto) onnx.Value {
	v := onnx.Value{Name: pb.Name}
	if kind := kindOfType(pb.Type); kind != "" {
		d.fail(onnx.ErrUnsupported, "%s %q: a %s where a tensor is needed", what, pb.Name, kind)
		return v
	}
	t := pb.GetType().GetTensorType()
	v.DType = onnx.DType(t.GetElemType())
	if t.GetShape() == nil {
		return v
	}
	v.Shape = make(onnx.Shape, len(t.Shape.Dim))
	for i, dim := range t.Shape.Dim {
		v.Shape[i] = dimOf(dim, pb.Name, i)
	}
	return v
}

// dimOf converts a dimension. Some exporters write -1 for one that is unknown.
func dimOf(pb *onnxpb.TensorShapeProto_Dimension, value string, axis int) onnx.Dim {
	switch v := pb.GetValue().(type) {
	case *onnxpb.TensorShapeProto_Dimension_DimValue:
		if v.DimValue >= 0 {
			return onnx.Const(v.DimValue)
		}
	case *onnxpb.TensorShapeProto_Dimension_DimParam:
		if v.DimParam != "" {
			return onnx.ParseDim(v.DimParam)
		}
	}
	return onnx.Symbol(onnx.UnknownSymbol + value + ":" + strconv.Itoa(axis))
}

func (d *decoder) nodes(list []*onnxpb.NodeProto) []*onnx.Node {
	nodes := make([]*onnx.Node, 0, len(list))
	for _, pb := range list {
		n := &onnx.Node{
			Name: pb.Name, Op: withOverload(pb.OpType, pb.Overload), Domain: domain(pb.Domain),
			Inputs: pb.Input, Outputs: pb.Output,
		}
		n.Attrs = d.attrs(n.Describe(), pb.Attribute)
		nodes = append(nodes, n)
	}
	return nodes
}

func (d *decoder) attrs(what string, list []*onnxpb.AttributeProto) map[string]onnx.Attr {
	if len(list) == 0 {
		return nil
	}
	attrs := make(map[string]onnx.Attr, len(list))
	for _, pb := range list {
		if _, ok := attrs[pb.Name]; ok || pb.Name == "" {
			d.fail(onnx.ErrInvalid, "%s: attribute %q twice or without a name", what, pb.Name)
		}
		attrs[pb.Name] = d.attr(what, pb)
	}
	return attrs
}

func (d *decoder) attr(what string, pb *onnxpb.AttributeProto) onnx.Attr {
	a := onnx.Attr{Kind: onnx.AttrKind(pb.Type), Ref: pb.RefAttrName}
	if pb.Type == onnxpb.AttributeProto_UNDEFINED && a.Ref == "" {
		a.Kind = guessKind(pb)
	}
	if a.Ref != "" {
		return a
	}
	where := func() string { return what + ": attribute " + strconv.Quote(pb.Name) }
	switch a.Kind {
	case onnx.AttrFloat:
		a.F = pb.GetF()
	case onnx.AttrInt:
		a.I = pb.GetI()
	case onnx.AttrString:
		a.S = string(pb.S)
	case onnx.AttrFloats:
		a.Floats = pb.Floats
	case onnx.AttrInts:
		a.Ints = pb.Ints
	case onnx.AttrStrings:
		a.Strings = make([]string, len(pb.Strings))
		for i, s := range pb.Strings {
			a.Strings[i] = string(s)
		}
	case onnx.AttrTensor:
		if pb.T == nil {
			d.fail(onnx.ErrInvalid, "%s: a tensor without a value", where())
			break
		}
		a.T = d.tensor(where(), pb.T)
	case onnx.AttrGraph:
		if pb.G == nil {
			d.fail(onnx.ErrInvalid, "%s: a graph without a value", where())
			break
		}
		a.G = d.graph(pb.G)
	default:
		d.fail(onnx.ErrUnsupported, "%s: a value of type %s", where(), pb.Type)
	}
	return a
}

// guessKind finds the type of an attribute of which an old exporter filled in
// the value alone.
func guessKind(pb *onnxpb.AttributeProto) onnx.AttrKind {
	switch {
	case pb.F != nil:
		return onnx.AttrFloat
	case pb.I != nil:
		return onnx.AttrInt
	case pb.S != nil:
		return onnx.AttrString
	case pb.T != nil:
		return onnx.AttrTensor
	case pb.G != nil:
		return onnx.AttrGraph
	case len(pb.Floats) > 0:
		return onnx.AttrFloats
	case len(pb.Ints) > 0:
		return onnx.AttrInts
	case len(pb.Strings) > 0:
		return onnx.AttrStrings
	}
	return 0
}
