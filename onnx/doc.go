// Package onnx reads, checks, infers, folds and writes ONNX models.
//
// It owns the in-memory form of a model (Model, Graph, Node, Tensor), the
// conversion to and from the protobuf format, the checker, symbolic shape
// inference and constant folding. It knows nothing of training and runs no
// model.
//
// Terms. A value is an edge of the graph, known by its name. A dimension is a
// constant or a multiple of one symbol ("N", "64*N"); content is the element
// list of a small integer value, such as the target of a Reshape, known
// without running the graph.
package onnx
