package autodiff

import (
	"fmt"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/infer"
)

// openBatch makes the first axis of every image input dynamic, and drops what
// the exporter claims of the values behind them.
func openBatch(g *onnx.Graph) {
	for i, in := range g.Inputs {
		if len(in.Shape) > 1 && (in.DType == onnx.Float32 || in.DType == onnx.Uint8) {
			g.Inputs[i].Shape = append(onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}, in.Shape[1:]...)
		}
	}
	g.Values = nil
	for i := range g.Outputs {
		g.Outputs[i].Shape = nil
	}
}

// freeReshapes rewrites each Reshape of [N, ...] to a constant shape that holds
// one image's values behind a fixed first axis: that axis becomes N. Any other
// is left, and named by fixesBatch where it matters.
func freeReshapes(m *onnx.Model, image onnx.Value, warn func(string)) (*infer.Inference, error) {
	for changed := 0; ; changed++ {
		inf, err := infer.Model(m)
		if err != nil {
			if cause := fixesBatch(m.Graph, inf, image); cause != nil {
				return nil, cause
			}
			return nil, err
		}
		again := false
		for _, n := range m.Graph.Nodes {
			if !freesBatch(m.Graph, inf, n) {
				continue
			}
			shape, _ := inf.Type(n.Outputs[0])
			dims := m.Graph.Initializers[n.Inputs[1]].Int64s()
			free := append([]int64{-1}, dims[1:]...)
			for _, d := range dims[1:] {
				if d == -1 {
					free[0] = 0
				}
			}
			n.Inputs[1] = newEmitter(m.Graph, inf).unique(n.Outputs[0] + ".shape")
			m.Graph.Initializers[n.Inputs[1]] = onnx.FromInt64(free, int64(len(free)))
			warn(fmt.Sprintf("node %q (Reshape) fixed the batch with its shape %v; the first axis is the batch now", n.Name, shape.Shape))
			again = true
			break
		}
		if !again || changed > len(m.Graph.Nodes) {
			return inf, nil
		}
	}
}

// freesBatch is whether a Reshape takes [N, ...] to constant dimensions whose
// first can only be the batch.
func freesBatch(g *onnx.Graph, inf *infer.Inference, n *onnx.Node) bool {
	if n.Op != "Reshape" || !isDefaultDomain(n.Domain) || n.Int("allowzero", 0) != 0 {
		return false
	}
	target := g.Initializers[n.Input(1)]
	from, _ := inf.Type(n.Inputs[0])
	if target == nil || target.DType != onnx.Int64 || len(from.Shape) == 0 || !isBatch(from.Shape[0]) || !from.Shape[1:].IsConst() {
		return false
	}
	dims := target.Int64s()
	if len(dims) < 2 || dims[0] < 1 {
		return false
	}
	image, ok := elements.Count(from.Shape[1:].Ints())
	if !ok {
		return false
	}
	rest, open := int64(1), false
	for i, d := range dims[1:] {
		switch {
		case d == -1:
			open = true
			continue
		case d == 0 && i+1 < len(from.Shape):
			d = from.Shape[i+1].N
		case d < 1 || d > 1<<31:
			return false
		}
		rest *= d
		if rest > image {
			return false
		}
	}
	if open { // [1, -1, ...]: with a batch of one the rest is an image's
		return dims[0] == 1 && rest > 0 && image%rest == 0
	}
	return rest == image
}

// fixesBatch names the first node that takes [N, ...] to a shape without N on
// the way from the images, nil where there is none.
func fixesBatch(g *onnx.Graph, inf *infer.Inference, image onnx.Value) error {
	if inf == nil {
		return nil
	}
	from := map[string]bool{image.Name: true}
	for _, n := range g.Nodes {
		data := len(n.Inputs) > 0 && from[n.Inputs[0]]
		if !data || n.Op == "Shape" || n.Op == "Size" {
			continue
		}
		in, _ := inf.Type(n.Inputs[0])
		for _, o := range n.Outputs {
			from[o] = true
		}
		out, known := inf.Type(n.Outputs[0])
		if len(in.Shape) == 0 || !isBatch(in.Shape[0]) || known && (out.Shape == nil || !out.Shape.IsConst()) {
			continue
		}
		name := n.Name
		if name == "" {
			name = n.Outputs[0]
		}
		way := "export the model with a dynamic first axis"
		if freesBatch(g, inf, n) {
			dims := g.Initializers[n.Inputs[1]].Int64s()
			return fmt.Errorf("autodiff: node %q (Reshape of %q to %v) fixes the batch at %d; give --dynamic-batch, which makes it %v: %w",
				name, n.Inputs[0], dims, dims[0], append([]int64{-1}, dims[1:]...), ErrModel)
		}
		if !known {
			return fmt.Errorf("autodiff: node %q (%s) works for a fixed batch only; %s: %w", name, n.Op, way, ErrModel)
		}
		return fmt.Errorf("autodiff: node %q (%s of %q %v to %v) fixes the batch, and it is not sure how it would be open; %s: %w", name, n.Op, n.Inputs[0], in.Shape, out.Shape, way, ErrModel)
	}
	return nil
}
