// Package wire reads and writes ONNX files.
//
// It owns the conversion between a model in memory and its protobuf form,
// weights in files beside the model, and every bound on what a file may make
// the program allocate; no other package imports onnx/onnxpb. It refuses what
// is cut short, contradicts the format, or would take far more memory than its
// file. A model that is read is not checked beyond that: opset.Check does it.
//
// Terms. The budget is the memory that a file's structures may take, counted
// before they are parsed. External weights are those in other files.
package wire
