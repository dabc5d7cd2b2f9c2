package runtime

import "google.golang.org/protobuf/encoding/protowire"

const (
	unaryInput  = "from"
	unaryOutput = "to"
)

// unaryModel is the ONNX file of one node with one input and one output of any shape.
func unaryModel(domain, op string, dtype DType) []byte {
	message := func(field protowire.Number, body []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), body)
	}
	number := func(field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
	}
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	info := func(name string) []byte { // ValueInfoProto
		return join(message(1, []byte(name)), message(2, message(1, number(1, uint64(dtype)))))
	}
	node := join(message(1, []byte(unaryInput)), message(2, []byte(unaryOutput)), message(4, []byte(op)), message(7, []byte(domain)))
	graph := join(message(1, node), message(2, []byte("unary")), message(11, info(unaryInput)), message(12, info(unaryOutput)))
	opsets := message(8, number(2, 18))
	if domain != "" {
		opsets = join(opsets, message(8, join(message(1, []byte(domain)), number(2, 1))))
	}
	return join(number(1, 8), message(7, graph), opsets)
}
