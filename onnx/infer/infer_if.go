package infer

import (
	"slices"

	"winnow/onnx"
)

// inferIf infers both branches and keeps what they agree on.
func inferIf(c call) error {
	then, err := c.branch("then_branch")
	if err != nil {
		return err
	}
	other, err := c.branch("else_branch")
	if err != nil {
		return err
	}
	if cond, ok := c.ints(0); ok && len(cond) == 1 {
		if cond[0] == 0 {
			then = other
		}
		other = then
	}
	for i := range c.n.Outputs {
		if i >= len(then) || i >= len(other) {
			return shapeErrorf("branches give %d and %d values for %d outputs", len(then), len(other), len(c.n.Outputs))
		}
		a, b := then[i], other[i]
		if a.DType != b.DType {
			a.DType = onnx.Undefined
		}
		if a.Shape == nil || b.Shape == nil || len(a.Shape) != len(b.Shape) {
			a.Shape = nil
		} else if !a.Shape.Equal(b.Shape) {
			a.Shape = slices.Clone(a.Shape)
			for k := range a.Shape {
				if a.Shape[k] != b.Shape[k] {
					a.Shape[k] = c.in.unknownDim()
				}
			}
		}
		c.set(i, a.DType, a.Shape)
	}
	return nil
}

// maxDepth bounds branches within branches.
const maxDepth = 16

// branch infers a branch; its errors are not this graph's, since it may never run.
func (c call) branch(name string) ([]onnx.Value, error) {
	g := c.n.Attrs[name].G
	if g == nil {
		return nil, shapeErrorf("no %s", name)
	}
	out := make([]onnx.Value, len(g.Outputs))
	if c.depth() > maxDepth {
		return out, nil
	}
	in := newInference(g, nil, c.in)
	for _, n := range g.Nodes {
		_ = in.Node(n)
	}
	for i, o := range g.Outputs {
		out[i], _ = in.Type(o.Name)
	}
	return out, nil
}
