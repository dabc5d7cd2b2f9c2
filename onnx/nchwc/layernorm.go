package nchwc

import (
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// layerStats are what a LayerNormalization that is an operator of runtime/kernels
// leaves for its gradient.
type layerStats struct {
	attrs         emit.Attrs
	mean, inverse string
}

// kernelLayerNorm emits a LayerNormalization as an operator of runtime/kernels;
// false where it cannot.
func (l *Layout) kernelLayerNorm(n *onnx.Node) bool {
	x := l.Shape(n.Inputs[0])
	axis, err := emit.Axis(n.Int("axis", -1), len(x))
	if err != nil || !l.Kernels || len(x) > maxKernelRank || !x[axis:].IsConst() {
		return false
	}
	inputs := n.Inputs[:2]
	if bias := n.Input(2); bias != "" {
		inputs = n.Inputs[:3]
	}
	for _, in := range inputs[1:] {
		if !l.Shape(in).Equal(x[axis:]) || l.DType(in) != onnx.Float32 {
			return false
		}
	}
	a := emit.Attrs{"axis": onnx.IntAttr(int64(axis)), "epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))}
	s := layerStats{attrs: a, mean: l.Fresh("layermean"), inverse: l.Fresh("layerinverse")}
	l.Append(&onnx.Node{Name: n.Name, Op: "LayerNorm", Domain: onnx.KernelDomain, Inputs: inputs, Outputs: []string{n.Outputs[0], s.mean, s.inverse}, Attrs: a})
	l.tell(n.Outputs[0], s.mean, s.inverse)
	l.normed[n.Outputs[0]] = s
	return l.Err == nil
}

// layerNorm emits a LayerNormalization as the operators it is made of: the
// provider's own kernel takes four times as long, and what they make of the
// image is what its gradient takes. False where a node is left as it is.
func (l *Layout) layerNorm(n *onnx.Node) bool {
	if l.Err != nil || n.Op != "LayerNormalization" || n.Domain != "" || len(n.Outputs) > 1 || l.DType(n.Inputs[0]) != onnx.Float32 || l.Inf.Node(n) != nil {
		return false
	}
	if l.kernelLayerNorm(n) {
		return true
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
	if s, ok := l.normed[n.Outputs[0]]; ok && n.Dy[0] != "" {
		out := l.EmitIn(onnx.KernelDomain, "LayerNormGrad", 3, s.attrs, n.Dy[0], n.Inputs[0], n.Inputs[1], s.mean, s.inverse)
		l.tell(out...)
		return out[:min(len(out), len(n.Inputs))], nil
	}
	return autodiff.GradLayerNorm(n, l.composed[n.Outputs[0]])
}
