package wire

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"winnow/onnx"
	"winnow/onnx/onnxpb"
)

// Limits of what a file may make the program allocate. The structures of a
// message take far more room in memory than on the wire (an empty node is two
// bytes), so a file is measured before it is parsed.
const (
	maxModelBytes   = 1<<31 - 1 // protobuf's own limit
	structureBudget = 256 << 20 // for nodes, attributes and names, whatever the file's size
	budgetPerByte   = 4         // and this much for every byte of the file
	maxMessageDepth = 100       // a nested graph takes three levels
)

// Bytes in memory of one message, the parsed and the converted form together.
var messageCost = map[protoreflect.Name]int64{
	"NodeProto": 700, "AttributeProto": 500, "TensorProto": 500, "GraphProto": 800, "FunctionProto": 800,
}

const otherMessageCost = 250

// measure walks the wire format of a model and fails where it is cut short,
// malformed, too deep, or over the budget.
func measure(data []byte) error {
	m := &meter{left: structureBudget + budgetPerByte*int64(len(data))}
	return m.message(data, (&onnxpb.ModelProto{}).ProtoReflect().Descriptor(), 0)
}

type meter struct{ left int64 }

func (m *meter) spend(n int64) error {
	if m.left -= n; m.left < 0 {
		return fmt.Errorf("the model would take far more memory than its file: %w", onnx.ErrTooLarge)
	}
	return nil
}

func (m *meter) message(b []byte, md protoreflect.MessageDescriptor, depth int) error {
	if depth > maxMessageDepth {
		return fmt.Errorf("messages nested over %d deep: %w", maxMessageDepth, onnx.ErrTooLarge)
	}
	cost, ok := messageCost[md.Name()]
	if !ok {
		cost = otherMessageCost
	}
	if err := m.spend(cost); err != nil {
		return err
	}
	fields := md.Fields()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return wireErr(n)
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return wireErr(n)
		}
		if fd := fields.ByNumber(num); fd != nil {
			if err := m.field(b[:n], typ, fd, depth); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

func (m *meter) field(b []byte, typ protowire.Type, fd protoreflect.FieldDescriptor, depth int) error {
	if typ != protowire.BytesType {
		return m.spend(16) // a scalar; in a list that grows, twice its size
	}
	v, _ := protowire.ConsumeBytes(b)
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return m.message(v, fd.Message(), depth+1)
	case protoreflect.StringKind, protoreflect.BytesKind:
		return m.spend(int64(len(v)) + 32)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return m.spend(2 * int64(len(v)))
	}
	var elements int64 // packed varints: each ends with a byte below 0x80
	for _, c := range v {
		if c < 0x80 {
			elements++
		}
	}
	return m.spend(16 * elements)
}

func wireErr(n int) error {
	if err := protowire.ParseError(n); errors.Is(err, io.ErrUnexpectedEOF) {
		return onnx.ErrTruncated
	}
	return onnx.ErrNotONNX
}
