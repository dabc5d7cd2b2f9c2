package export

import (
	"fmt"

	"winnow/onnx"
)

// widen turns a half precision model into a float32 one: weights, types and casts.
func widen(m *onnx.Model) error {
	g := m.Graph
	half := func(d onnx.DType) bool { return d == onnx.Float16 || d == onnx.BFloat16 }
	for name, t := range g.Initializers {
		if !half(t.DType) {
			continue
		}
		wide, err := t.ToFloat32()
		if err != nil {
			return fmt.Errorf("export: initializer %q: %w", name, err)
		}
		g.Initializers[name] = wide
	}
	for _, values := range [][]onnx.Value{g.Inputs, g.Outputs} {
		for i := range values {
			if half(values[i].DType) {
				values[i].DType = onnx.Float32
			}
		}
	}
	for name, v := range g.Values {
		if half(v.DType) {
			v.DType = onnx.Float32
			g.Values[name] = v
		}
	}
	for _, n := range g.Nodes {
		for name, a := range n.Attrs {
			switch {
			case a.T != nil && half(a.T.DType):
				wide, err := a.T.ToFloat32()
				if err != nil {
					return fmt.Errorf("export: node %q (%s), attribute %q: %w", n.Name, n.Op, name, err)
				}
				a.T = wide
			case n.Op == "Cast" && name == "to" && half(onnx.DType(a.I)):
				a.I = int64(onnx.Float32)
			default:
				continue
			}
			n.Attrs[name] = a
		}
	}
	return nil
}
