// Package opset knows ONNX's operators and their versions.
//
// It owns the checker, the signatures and versions of the standard domain's
// operators, the inlining of functions, and the conversion of a model to opset
// 18. It refuses operators that the specification does not have, uses of them
// that contradict it, and what opset 18 cannot express.
//
// Terms. An opset is a version of the standard domain's operators; an operator
// is of the opset that last changed its definition. A signature is what an
// operator takes and gives: numbers of inputs and outputs, and attributes.
package opset
