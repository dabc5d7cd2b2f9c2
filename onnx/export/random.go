package export

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
)

// isRandom is whether an operator draws its own numbers. Its state would hide
// in the session, so a training graph takes the numbers as an input instead.
func isRandom(op string) bool { return op == "RandomUniformLike" || op == "RandomUniform" }

// randomInput declares the input for numbers drawn uniformly from [0, 1), and
// returns it with the value of the wanted shape. Where the batch is not the
// first axis, or is folded with others, as in [64*N, ...] of windows cut from
// images, the input is [N, ...] of as many numbers: they are all alike.
func (e *writer) randomInput(serial int, shape onnx.Shape) (bundle.Value, string, error) {
	if shape == nil {
		return bundle.Value{}, "", fmt.Errorf("random numbers of unknown shape: %w", emit.ErrModel)
	}
	batch := onnx.Symbol(onnx.BatchSymbol)
	drawn, folded := onnx.Shape{batch}, false
	for _, d := range shape {
		switch {
		case d.IsConst():
			drawn = append(drawn, d)
		case d.Sym != onnx.BatchSymbol || folded:
			return bundle.Value{}, "", fmt.Errorf("random numbers of shape %v, and one axis may depend on the batch, as a multiple of %s: %w", shape, onnx.BatchSymbol, emit.ErrModel)
		default:
			folded = true
			if d != batch {
				drawn = append(drawn, onnx.Const(d.N))
			}
		}
	}
	if !folded {
		drawn = shape
	}
	u := e.input(fmt.Sprintf("random.%d", serial), onnx.Float32, drawn)
	return u, e.Reshape(u.Name, shape), nil
}

// uniform replaces a node that draws uniform numbers by one that reads them.
func (e *writer) uniform(n *onnx.Node, serial int) (*bundle.Value, *onnx.Node, error) {
	if err := e.Inf.Node(n); err != nil {
		return nil, nil, err
	}
	u, v, err := e.randomInput(serial, e.Shape(n.Outputs[0]))
	if err != nil {
		return nil, nil, err
	}
	low, high := float64(n.Float("low", 0)), float64(n.Float("high", 1))
	if low != 0 || high != 1 {
		v = e.Add(e.Mul(v, e.Scalar(high-low)), e.Scalar(low))
	}
	return &u, &onnx.Node{Name: n.Name, Op: "Identity", Inputs: []string{v}, Outputs: n.Outputs}, nil
}

// checkMasks refuses a Dropout whose mask is read: nothing makes it here.
func checkMasks(nodes []*onnx.Node) error {
	masks := map[string]*onnx.Node{}
	for _, n := range nodes {
		for _, in := range n.Inputs {
			if d := masks[in]; d != nil {
				return fmt.Errorf("export: node %q (%s) reads the mask of node %q (Dropout): %w", n.Name, n.Op, d.Name, emit.ErrModel)
			}
		}
		if mask := n.Output(1); n.Op == "Dropout" && mask != "" {
			masks[mask] = n
		}
	}
	return nil
}

// dropout replaces a Dropout by arithmetic on a random input: y = x where
// u >= ratio, divided by 1 - ratio, u uniform in [0, 1).
func (e *writer) dropout(n *onnx.Node, serial int) (*bundle.Value, *onnx.Node, error) {
	ratio := float32(0.5)
	if name := n.Input(1); name != "" {
		t := e.Graph.Initializers[name]
		if t == nil || len(t.Float32s()) != 1 {
			return nil, nil, fmt.Errorf("the ratio %q is not a float32 constant: %w", name, emit.ErrModel)
		}
		ratio = t.Float32s()[0]
	}
	x := n.Inputs[0]
	switch {
	case ratio == 0:
		return nil, &onnx.Node{Name: n.Name, Op: "Identity", Inputs: []string{x}, Outputs: n.Outputs[:1]}, nil
	case !(ratio > 0 && ratio < 1):
		return nil, nil, fmt.Errorf("a ratio of %v: %w", ratio, emit.ErrModel)
	}
	u, v, err := e.randomInput(serial, e.Shape(x))
	if err != nil {
		return nil, nil, err
	}
	mask := e.Cast(e.Emit("GreaterOrEqual", nil, v, e.Scalar(float64(ratio))), onnx.Float32)
	mask = e.Mul(mask, e.Scalar(1/(1-float64(ratio))))
	return &u, &onnx.Node{Name: n.Name, Op: "Mul", Inputs: []string{x, mask}, Outputs: n.Outputs[:1]}, nil
}

// settle makes an inference graph's nodes free of chance: where a model keeps
// a value with probability p and divides it by p (stochastic depth as PyTorch's
// exporter writes it: random < p, cast, / p), the factor becomes 1.
func settle(e *emit.Builder, nodes []*onnx.Node) ([]*onnx.Node, error) {
	readers := map[string][]*onnx.Node{}
	for _, n := range nodes {
		for _, in := range n.Inputs {
			readers[in] = append(readers[in], n)
		}
	}
	next := func(v, op string) *onnx.Node {
		if r := readers[v]; len(r) == 1 && r[0].Op == op && r[0].Inputs[0] == v {
			return r[0]
		}
		return nil
	}
	gone := map[*onnx.Node]bool{}
	for _, n := range nodes {
		if !isRandom(n.Op) {
			continue
		}
		less := next(n.Outputs[0], "Less")
		if less == nil {
			return nil, fmt.Errorf("node %q (%s) draws numbers for another purpose than dropping: %w", n.Name, n.Op, emit.ErrModel)
		}
		gone[n], gone[less] = true, true
		v := less.Outputs[0]
		if c := next(v, "Cast"); c != nil {
			gone[c] = true
			v = c.Outputs[0]
		}
		div := next(v, "Div")
		if div == nil || !sameScalar(e.Graph, less.Inputs[1], div.Inputs[1]) {
			return nil, fmt.Errorf("node %q (%s) drops without dividing by what it keeps: %w", n.Name, n.Op, emit.ErrModel)
		}
		div.Op, div.Inputs, div.Attrs = "Identity", []string{e.Scalar(1)}, nil
	}
	var kept []*onnx.Node
	for _, n := range nodes {
		if !gone[n] {
			kept = append(kept, n)
		}
	}
	return kept, nil
}

// sameScalar is whether two names are float32 constants of the same single element.
func sameScalar(g *onnx.Graph, a, b string) bool {
	ta, tb := g.Initializers[a], g.Initializers[b]
	if ta == nil || tb == nil {
		return false
	}
	va, vb := ta.Float32s(), tb.Float32s()
	return len(va) == 1 && len(vb) == 1 && va[0] == vb[0]
}
