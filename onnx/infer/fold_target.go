package infer

import (
	"fmt"
	"slices"

	"winnow/onnx"
)

// dimSource is a graph input's axis whose length a symbol stands for.
type dimSource struct {
	input string
	axis  int64
}

// simplify rewrites what a node that stays takes as shapes.
func (f *folder) simplify(n *onnx.Node) {
	switch n.Operator() {
	case "Reshape":
		if !f.reshapeTarget(n) {
			f.rebuild(n, 1)
		}
	case "Expand":
		if !f.expandTarget(n) {
			f.rebuild(n, 1)
		}
	case "Tile", "Pad":
		f.rebuild(n, 1)
	case "ConstantOfShape":
		f.rebuild(n, 0)
	case "Slice":
		f.rebuild(n, 1)
		f.rebuild(n, 2)
	case "Resize":
		f.rebuild(n, 3)
	case "Conv", "ConvTranspose":
		f.dropZeroBias(n)
	case "Einsum":
		f.spellEinsum(n)
	}
}

// reshapeTarget gives a Reshape a constant target: 0 where it copies a
// dimension that is not constant, -1 for one that follows from the others.
func (f *folder) reshapeTarget(n *onnx.Node) bool {
	c := call{in: f.in, n: n}
	x, y := c.shape(0), f.in.types[n.Output(0)].Shape
	if f.g.Initializers[n.Input(1)] != nil || y == nil || n.Input(1) == "" {
		return false
	}
	target := make([]int64, len(y))
	copies, rest := false, -1
	for i, d := range y {
		switch {
		case d == onnx.Const(0):
			return false
		case d.IsConst():
			target[i] = d.N
		case i < len(x) && x[i] == d:
			copies = true
		case rest < 0:
			rest, target[i] = i, -1
		default:
			return false
		}
	}
	if _, ok := n.Attrs["allowzero"]; ok && copies {
		n.Attrs = withoutAttr(n.Attrs, "allowzero")
	}
	n.Inputs[1] = f.target(n.Input(1), target)
	return true
}

// expandTarget gives an Expand a constant target: 1 where it keeps a dimension that is not constant.
func (f *folder) expandTarget(n *onnx.Node) bool {
	c := call{in: f.in, n: n}
	x, y := c.shape(0), f.in.types[n.Output(0)].Shape
	if f.g.Initializers[n.Input(1)] != nil || x == nil || y == nil || n.Input(1) == "" {
		return false
	}
	target := make([]int64, len(y))
	for i, d := range y {
		k := i - (len(y) - len(x))
		switch {
		case d.IsConst():
			target[i] = d.N
		case k >= 0 && x[k] == d:
			target[i] = 1
		default:
			return false
		}
	}
	n.Inputs[1] = f.target(n.Input(1), target)
	return true
}

// target returns an int64 initializer with the given elements.
func (f *folder) target(base string, v []int64) string {
	key := fmt.Sprint(v)
	if name, ok := f.shared[key]; ok {
		return name
	}
	name := f.names.Fresh(base + "_target")
	f.define(name, onnx.FromInt64(v, int64(len(v))))
	f.shared[key] = name
	return name
}

// rebuild replaces an integer list whose elements are known up to the symbols
// of the graph's inputs by the shortest way to compute it.
func (f *folder) rebuild(n *onnx.Node, i int) {
	name := n.Input(i)
	list, ok := f.in.Content(name)
	v, _ := f.in.Type(name)
	if !ok || f.g.Initializers[name] != nil || f.built[name] || v.DType != onnx.Int64 || len(v.Shape) != 1 || len(list) == 0 || len(list) > maxRank {
		return
	}
	for _, d := range list {
		if _, ok := f.sources[d.Sym]; !ok && !d.IsConst() {
			return
		}
	}
	key := onnx.Shape(list).String()
	if made, ok := f.shared[key]; ok {
		n.Inputs[i] = made
		return
	}
	var parts []string
	for len(list) > 0 {
		d := list[0]
		if d.IsConst() {
			k := slices.IndexFunc(list, func(d onnx.Dim) bool { return !d.IsConst() })
			if k < 0 {
				k = len(list)
			}
			run, _ := constInts(list[:k])
			parts = append(parts, f.target(name, run))
			list = list[k:]
			continue
		}
		parts = append(parts, f.dimension(name, d))
		list = list[1:]
	}
	made := parts[0]
	if len(parts) > 1 {
		made = f.emit(&onnx.Node{Op: "Concat", Inputs: parts, Attrs: map[string]onnx.Attr{"axis": onnx.IntAttr(0)}}, name+"_shape")
	}
	f.shared[key] = made
	n.Inputs[i] = made
}

// dimension returns a list of one element, a symbolic dimension.
func (f *folder) dimension(base string, d onnx.Dim) string {
	key := onnx.Shape{d}.String()
	if made, ok := f.shared[key]; ok {
		return made
	}
	var made string
	if d.N != 1 {
		factor := f.target(base, []int64{d.N})
		made = f.emit(&onnx.Node{Op: "Mul", Inputs: []string{f.dimension(base, onnx.Symbol(d.Sym)), factor}}, base+"_dim")
	} else {
		s := f.sources[d.Sym]
		made = f.emit(&onnx.Node{Op: "Shape", Inputs: []string{s.input}, Attrs: map[string]onnx.Attr{
			"start": onnx.IntAttr(s.axis), "end": onnx.IntAttr(s.axis + 1),
		}}, s.input+"_dim")
	}
	f.shared[key] = made
	return made
}

// emit adds a node of folding's own.
func (f *folder) emit(n *onnx.Node, base string) string {
	out := f.names.Fresh(base)
	n.Name, n.Outputs = out, []string{out}
	f.built[out] = true
	f.add(n)
	return out
}

// add keeps a node that the model did not have.
func (f *folder) add(n *onnx.Node) {
	if err := f.in.Node(n); err != nil {
		f.fail(err)
	}
	f.nodes = append(f.nodes, n)
}

// dropZeroBias takes away the vector of zeros that some exporters compute for
// a convolution without bias. One that is the model's own stays.
func (f *folder) dropZeroBias(n *onnx.Node) {
	b := n.Input(2)
	if !f.made[b] || len(n.Inputs) != 3 {
		return
	}
	for _, x := range f.g.Initializers[b].Data {
		if x != 0 {
			return
		}
	}
	n.Inputs = n.Inputs[:2]
}
