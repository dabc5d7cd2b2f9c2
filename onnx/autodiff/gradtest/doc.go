// Package gradtest is the list of gradient checks: for each operator, cases of
// attributes, shapes and values, checked by central differences on ONNX Runtime.
// The rules of autodiff pass it, those of nchwc pass the cases in blocks, and
// mixed precision passes all of them in half precision.
//
// It is used by tests alone. A rule without a case fails the tests of its package.
package gradtest
