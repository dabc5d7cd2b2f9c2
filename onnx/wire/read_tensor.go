package wire

import (
	"encoding/binary"
	"math"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/onnxpb"
)

func (d *decoder) tensor(what string, pb *onnxpb.TensorProto) *onnx.Tensor {
	t := &onnx.Tensor{DType: onnx.DType(pb.DataType), Dims: pb.Dims}
	if t.Dims == nil {
		t.Dims = []int64{}
	}
	n, ok := elements.Count(pb.Dims)
	switch {
	case !ok:
		d.fail(onnx.ErrInvalid, "%s: shape %v", what, pb.Dims)
		return t
	case pb.Segment != nil:
		d.fail(onnx.ErrUnsupported, "%s: a tensor split into segments", what)
		return t
	case t.DType != onnx.String && t.DType.Size() == 0:
		d.fail(onnx.ErrUnsupported, "%s: elements of type %s", what, t.DType)
		return t
	}
	if pb.DataLocation == onnxpb.TensorProto_EXTERNAL {
		if pb.RawData != nil || typedLen(pb) > 0 {
			d.fail(onnx.ErrInvalid, "%s: elements both in the model and outside", what)
		} else {
			d.externalTensor(what, t, n, pb.ExternalData)
		}
		return t
	}
	if pb.RawData != nil && (len(pb.RawData) > 0 || typedLen(pb) == 0) {
		d.rawTensor(what, t, n, pb)
		return t
	}
	d.typedTensor(what, t, n, pb)
	return t
}

// typedLen counts the elements in the lists by type.
func typedLen(pb *onnxpb.TensorProto) int {
	return len(pb.FloatData) + len(pb.Int32Data) + len(pb.StringData) + len(pb.Int64Data) +
		len(pb.DoubleData) + len(pb.Uint64Data)
}

func (d *decoder) rawTensor(what string, t *onnx.Tensor, n int64, pb *onnxpb.TensorProto) {
	switch size := int64(t.DType.Size()); {
	case t.DType == onnx.String:
		d.fail(onnx.ErrInvalid, "%s: strings as raw bytes", what)
	case typedLen(pb) > 0:
		d.fail(onnx.ErrInvalid, "%s: elements given twice", what)
	case int64(len(pb.RawData)) != n*size:
		d.fail(onnx.ErrInvalid, "%s: %d bytes for %d elements of %s, shape %v", what, len(pb.RawData), n, t.DType, pb.Dims)
	default:
		t.Data = pb.RawData[:len(pb.RawData):len(pb.RawData)]
	}
}

func (d *decoder) typedTensor(what string, t *onnx.Tensor, n int64, pb *onnxpb.TensorProto) {
	have := 0
	switch t.DType {
	case onnx.Float32:
		have = len(pb.FloatData)
	case onnx.Float64:
		have = len(pb.DoubleData)
	case onnx.Int64:
		have = len(pb.Int64Data)
	case onnx.Uint64, onnx.Uint32:
		have = len(pb.Uint64Data)
	case onnx.String:
		have = len(pb.StringData)
	default:
		have = len(pb.Int32Data)
	}
	if int64(have) != n || have != typedLen(pb) {
		d.fail(onnx.ErrInvalid, "%s: %d elements of %s where shape %v has %d", what, typedLen(pb), t.DType, pb.Dims, n)
		return
	}
	if t.DType == onnx.String {
		t.Strings = make([]string, have)
		for i, s := range pb.StringData {
			t.Strings[i] = string(s)
		}
		return
	}
	t.Data = make([]byte, have*t.DType.Size())
	le := binary.LittleEndian
	switch t.DType {
	case onnx.Float32:
		for i, v := range pb.FloatData {
			le.PutUint32(t.Data[4*i:], math.Float32bits(v))
		}
	case onnx.Float64:
		for i, v := range pb.DoubleData {
			le.PutUint64(t.Data[8*i:], math.Float64bits(v))
		}
	case onnx.Int64:
		for i, v := range pb.Int64Data {
			le.PutUint64(t.Data[8*i:], uint64(v))
		}
	case onnx.Uint64:
		for i, v := range pb.Uint64Data {
			le.PutUint64(t.Data[8*i:], v)
		}
	case onnx.Uint32:
		for i, v := range pb.Uint64Data {
			le.PutUint32(t.Data[4*i:], uint32(v))
		}
	case onnx.Int32:
		for i, v := range pb.Int32Data {
			le.PutUint32(t.Data[4*i:], uint32(v))
		}
	case onnx.Int16, onnx.Uint16, onnx.Float16, onnx.BFloat16:
		for i, v := range pb.Int32Data {
			le.PutUint16(t.Data[2*i:], uint16(v))
		}
	case onnx.Bool:
		for i, v := range pb.Int32Data {
			if v != 0 {
				t.Data[i] = 1
			}
		}
	default: // int8, uint8
		for i, v := range pb.Int32Data {
			t.Data[i] = byte(v)
		}
	}
}
