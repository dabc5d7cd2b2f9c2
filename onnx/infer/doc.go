// Package infer finds the shapes of a model's values, and computes what does
// not depend on its inputs.
//
// It owns symbolic shape inference, the evaluation of operators on known
// elements, and constant folding, all by the rules of opset 18. They are one
// package because shapes follow from elements, elements from shapes, and
// folding from both. It refuses shapes that contradict each other; an operator
// without a rule gives values of unknown type. It runs no model.
//
// Terms. Content is the element list of a small integer value, such as the
// target of a Reshape, known without running the graph. A claim is what the
// exporter wrote of a value's type. The batch is the dimension named "N".
package infer
