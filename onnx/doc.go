// Package onnx is an ONNX model in memory.
//
// It owns Model, Graph, Node, Attr, Tensor and Shape, the names that a graph
// has left, and the errors that the packages below share. Reading and writing
// files is onnx/wire's, the operators' definitions are onnx/opset's, shapes
// and constants onnx/infer's. It knows nothing of training and runs no model.
//
// Terms. A value is an edge of the graph, known by its name. An initializer is
// a constant of the graph. A dimension is a number or a multiple of one
// symbol ("N", "64*N").
package onnx
