package export

import (
	"fmt"
	"slices"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
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

// freeBatch rewrites what fixes the batch behind images of any number, where
// it is sure how: freesBatch and joinsOne say what. Any other node is left,
// and named by fixesBatch where it matters.
func freeBatch(m *onnx.Model, image onnx.Value, warn func(string)) (*infer.Inference, error) {
	for changed := 0; ; changed++ {
		inf, err := infer.Model(m)
		if err != nil {
			if cause := fixesBatch(m.Graph, inf, image); cause != nil {
				return nil, cause
			}
			return nil, err
		}
		if changed > len(m.Graph.Nodes) || !freeOne(m.Graph, inf, warn) {
			return inf, nil
		}
	}
}

// freeOne rewrites the first node that fixes the batch; what follows from it
// is known only then.
func freeOne(g *onnx.Graph, inf *infer.Inference, warn func(string)) bool {
	for i, n := range g.Nodes {
		if free := freesBatch(g, inf, n); free != nil {
			shape, _ := inf.Type(n.Outputs[0])
			delete(n.Attrs, "allowzero") // there is no zero that it would be of
			n.Inputs[1] = emit.New(g, inf).Unique(n.Outputs[0] + ".shape")
			g.Initializers[n.Inputs[1]] = onnx.FromInt64(free, int64(len(free)))
			warn(fmt.Sprintf("node %q (Reshape) fixed the batch with its shape %v; the first axis is the batch now", n.Name, shape.Shape))
			return true
		}
		if images, ones := joinsOne(inf, n); images != "" && len(ones) > 0 {
			g.Nodes = slices.Insert(g.Nodes, i, spreadOnes(g, inf, n, images, ones)...)
			warn(fmt.Sprintf("node %q (Concat) joined values of one image to those of the batch; they are repeated for each image now", n.Name))
			return true
		}
	}
	return false
}

// joinsOne finds a Concat along another axis than the first that joins values
// of N images with such of one, as a class token of a model exported with one
// image; the places of the latter among its inputs.
func joinsOne(inf *infer.Inference, n *onnx.Node) (images string, ones []int) {
	if n.Op != "Concat" || !autodiff.IsDefaultDomain(n.Domain) || n.Int("axis", 0) == 0 {
		return "", nil
	}
	for i, in := range n.Inputs {
		v, ok := inf.Type(in)
		switch {
		case !ok || len(v.Shape) < 2 || n.Int("axis", 0) == -int64(len(v.Shape)):
			return "", nil
		case isBatch(v.Shape[0]):
			images = in
		case v.Shape[0] == onnx.Const(1) && v.Shape.IsConst():
			ones = append(ones, i)
		default:
			return "", nil
		}
	}
	return images, ones
}

// spreadOnes makes the nodes that repeat inputs of n for as many images as there are.
func spreadOnes(g *onnx.Graph, inf *infer.Inference, n *onnx.Node, images string, ones []int) []*onnx.Node {
	e := emit.New(g, inf)
	size := e.Unique(n.Outputs[0] + ".images")
	nodes := []*onnx.Node{{Name: size, Op: "Shape", Inputs: []string{images}, Outputs: []string{size},
		Attrs: emit.Attrs{"start": onnx.IntAttr(0), "end": onnx.IntAttr(1)}}}
	for _, i := range ones {
		v, _ := inf.Type(n.Inputs[i])
		rest, shape, spread := e.Unique(n.Inputs[i]+".dims"), e.Unique(n.Inputs[i]+".shape"), e.Unique(n.Inputs[i]+".each")
		g.Initializers[rest] = onnx.FromInt64(v.Shape[1:].Ints(), int64(len(v.Shape)-1))
		nodes = append(nodes,
			&onnx.Node{Name: shape, Op: "Concat", Inputs: []string{size, rest}, Outputs: []string{shape}, Attrs: emit.Attrs{"axis": onnx.IntAttr(0)}},
			&onnx.Node{Name: spread, Op: "Expand", Inputs: []string{n.Inputs[i], shape}, Outputs: []string{spread}})
		n.Inputs[i] = spread
	}
	return nodes
}

// freesBatch is the shape [-1, ...] in place of the constant one that a
// Reshape takes [k*N, ...] to, nil where it is not sure: the first dimension
// can only be the batch, or a multiple of it, where the others hold a part of
// one image's values.
func freesBatch(g *onnx.Graph, inf *infer.Inference, n *onnx.Node) []int64 {
	if n.Op != "Reshape" || !autodiff.IsDefaultDomain(n.Domain) {
		return nil
	}
	target := g.Initializers[n.Input(1)]
	from, _ := inf.Type(n.Inputs[0])
	if target == nil || target.DType != onnx.Int64 || len(from.Shape) == 0 || from.Shape[0].Sym != onnx.BatchSymbol || !from.Shape[1:].IsConst() {
		return nil
	}
	dims := target.Int64s()
	if len(dims) < 2 || dims[0] < 1 || n.Int("allowzero", 0) != 0 && slices.Contains(dims, 0) {
		return nil
	}
	image, ok := elements.Count(append([]int64{from.Shape[0].N}, from.Shape[1:].Ints()...))
	if !ok {
		return nil
	}
	rest, open := int64(1), 0
	free := append([]int64{-1}, dims[1:]...)
	for i, d := range dims[1:] {
		switch {
		case d == -1:
			open = i + 1
			continue
		case d == 0 && i+1 < len(from.Shape):
			d = from.Shape[i+1].N
		case d < 1 || d > 1<<31:
			return nil
		}
		free[i+1] = d
		if rest *= d; rest > image {
			return nil
		}
	}
	if rest == 0 || image%rest != 0 {
		return nil
	}
	rows := image / rest // of one image, times what the open dimension is
	if open > 0 {        // the first is of one image alone: 1, or k again
		if first := dims[0]; first != 1 && first != from.Shape[0].N || rows%first != 0 {
			return nil
		}
		free[open] = rows / dims[0]
		return free
	}
	if dims[0]%rows != 0 {
		return nil
	}
	return free
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
		if free := freesBatch(g, inf, n); free != nil {
			dims := g.Initializers[n.Inputs[1]].Int64s()
			return fmt.Errorf("export: node %q (Reshape of %q to %v) fixes the batch at %d; give --dynamic-batch, which makes it %v: %w",
				name, n.Inputs[0], dims, dims[0], free, emit.ErrModel)
		}
		if !known {
			return fmt.Errorf("export: node %q (%s) works for a fixed batch only; %s: %w", name, n.Op, way, emit.ErrModel)
		}
		return fmt.Errorf("export: node %q (%s of %q %v to %v) fixes the batch, and it is not sure how it would be open; %s: %w", name, n.Op, n.Inputs[0], in.Shape, out.Shape, way, emit.ErrModel)
	}
	return nil
}
