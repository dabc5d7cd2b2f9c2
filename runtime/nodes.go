package runtime

import (
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// nodesInput and nodesOutput are the names of the input and output of node i of nodesModel.
func nodesInput(i int) string  { return "from" + strconv.Itoa(i) }
func nodesOutput(i int) string { return "to" + strconv.Itoa(i) }

// nodesModel is the ONNX file of a node with one input and one output for each
// element type, for any shapes.
func nodesModel(domain, op string, types ...DType) []byte {
	message := func(field protowire.Number, body []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), body)
	}
	number := func(field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
	}
	info := func(name string, dtype DType) []byte { // ValueInfoProto
		return slices.Concat(message(1, []byte(name)), message(2, message(1, number(1, uint64(dtype)))))
	}
	graph := message(2, []byte("nodes"))
	for i, dtype := range types {
		from, to := nodesInput(i), nodesOutput(i)
		graph = slices.Concat(graph,
			message(1, slices.Concat(message(1, []byte(from)), message(2, []byte(to)), message(4, []byte(op)), message(7, []byte(domain)))),
			message(11, info(from, dtype)), message(12, info(to, dtype)))
	}
	opsets := message(8, number(2, 18))
	if domain != "" {
		opsets = slices.Concat(opsets, message(8, slices.Concat(message(1, []byte(domain)), number(2, 1))))
	}
	return slices.Concat(number(1, 8), message(7, graph), opsets)
}
