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
	var graph []byte
	for i, dtype := range types {
		graph = slices.Concat(graph, nodeOf(domain, op, nodesOutput(i), nodesInput(i)), valueOf(11, nodesInput(i), dtype), valueOf(12, nodesOutput(i), dtype))
	}
	return nodesFile(domain, graph)
}

// zeroModel is the ONNX file of a graph whose output is 0 wherever its input, of
// float32, has an element, whatever that is: none is less than itself.
func zeroModel() []byte {
	from, to := nodesInput(0), nodesOutput(0)
	cast := slices.Concat(message(1, []byte("to")), number(3, uint64(Float32)), number(20, 2))
	return nodesFile("", slices.Concat(
		nodeOf("", "Less", "less", from, from),
		message(1, slices.Concat(message(1, []byte("less")), message(2, []byte(to)), message(4, []byte("Cast")), message(5, cast))),
		valueOf(11, from, Float32), valueOf(12, to, Float32)))
}

// nodesFile is a ModelProto of opset 18 around the fields of a GraphProto.
func nodesFile(domain string, graph []byte) []byte {
	opsets := message(8, number(2, 18))
	if domain != "" {
		opsets = slices.Concat(opsets, message(8, slices.Concat(message(1, []byte(domain)), number(2, 1))))
	}
	return slices.Concat(number(1, 8), message(7, slices.Concat(message(2, []byte("nodes")), graph)), opsets)
}

// nodeOf is a node (NodeProto) as a field of a graph.
func nodeOf(domain, op, output string, inputs ...string) []byte {
	var body []byte
	for _, in := range inputs {
		body = slices.Concat(body, message(1, []byte(in)))
	}
	return message(1, slices.Concat(body, message(2, []byte(output)), message(4, []byte(op)), message(7, []byte(domain))))
}

// valueOf is an input or output (ValueInfoProto) as a field of a graph.
func valueOf(field protowire.Number, name string, dtype DType) []byte {
	return message(field, slices.Concat(message(1, []byte(name)), message(2, message(1, number(1, uint64(dtype))))))
}

func message(field protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), body)
}

func number(field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
}
