package opset

import (
	"slices"
	"strings"

	"winnow/onnx"
)

// convertRecurrent puts the batch second (layout 0), which is all that ONNX
// Runtime's kernels take, drops lengths that are all of the whole sequence, and
// gives the output of all states a name, which their gradient is computed from.
func convertRecurrent(c *converter, n *onnx.Node, _ int64) {
	x := c.typeOf(n.Input(0)).Shape
	first := n.Int("layout", 0) != 0
	length := 0
	if first {
		length = 1
	}
	if t := c.constant(n.Input(4)); t != nil && len(x) == 3 && x[length].IsConst() &&
		!slices.ContainsFunc(t.Int64s(), func(v int64) bool { return v != x[length].N }) {
		n.Inputs[4] = ""
	}
	if n.Output(0) == "" {
		if len(n.Outputs) == 0 {
			n.Outputs = []string{""}
		}
		n.Outputs[0] = c.names.Fresh(baseName(n) + "/states")
	}
	if a, ok := n.Attrs["activations"]; ok { // ONNX Runtime knows RNN's by this spelling alone
		a.Strings = slices.Clone(a.Strings)
		for i, name := range a.Strings {
			for _, known := range []string{"Sigmoid", "Tanh", "Relu"} {
				if strings.EqualFold(name, known) {
					a.Strings[i] = known
				}
			}
		}
		n.Attrs["activations"] = a
	}
	delete(n.Attrs, "layout")
	if !first {
		c.emit(n)
		return
	}
	turn := map[string]onnx.Attr{"perm": onnx.IntsAttr(1, 0, 2)}
	for _, i := range []int{0, 5, 6} {
		if n.Input(i) != "" {
			n.Inputs[i] = c.step(n, "Transpose", turn, n.Input(i))
		}
	}
	back := map[int]map[string]onnx.Attr{0: {"perm": onnx.IntsAttr(2, 0, 1, 3)}, 1: turn, 2: turn}
	outputs := slices.Clone(n.Outputs)
	for i, out := range n.Outputs {
		if out != "" {
			n.Outputs[i] = c.names.Fresh(baseName(n) + "/turned")
		}
	}
	c.emit(n)
	for i, out := range outputs {
		if out != "" {
			c.stepTo(out, "Transpose", back[i], n.Outputs[i])
		}
	}
}
