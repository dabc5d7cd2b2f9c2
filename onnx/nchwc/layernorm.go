package nchwc

import (
	"winnow/onnx"
	"winnow/onnx/autodiff"
)

// layerNorm emits a LayerNormalization as the operators it is made of: the
// provider's own kernel takes four times as long, and what they make of the
// image is what its gradient takes. False where a node is left as it is.
func (l *Layout) layerNorm(n *onnx.Node) bool {
	if l.Err != nil || n.Op != "LayerNormalization" || n.Domain != "" || len(n.Outputs) > 1 || l.DType(n.Inputs[0]) != onnx.Float32 || l.Inf.Node(n) != nil {
		return false
	}
	y, err := (&autodiff.Node{Builder: l.Builder, Node: n}).Standardised()
	if err != nil {
		return false
	}
	last := &onnx.Node{Name: n.Name, Op: "Mul", Inputs: []string{y, n.Inputs[1]}, Outputs: n.Outputs}
	if bias := n.Input(2); bias != "" {
		last.Op, last.Inputs = "Add", []string{l.Mul(y, n.Inputs[1]), bias}
	}
	l.Append(last)
	l.composed[n.Outputs[0]] = true
	return l.Err == nil
}

// gradLayerNorm is the rule of a LayerNormalization that was emitted so, or not.
func (l *Layout) gradLayerNorm(n *autodiff.Node) ([]string, error) {
	return autodiff.GradLayerNorm(n, l.composed[n.Outputs[0]])
}
