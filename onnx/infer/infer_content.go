package infer

import (
	"cmp"

	"winnow/internal/elements"
	"winnow/onnx"
)

// movedInputs names, for the operators that only move elements, the inputs
// whose elements are moved (nil: all); the others must be known numbers.
var movedInputs = map[string][]int{
	"Identity": {0}, "Reshape": {0}, "Flatten": {0}, "Squeeze": {0}, "Unsqueeze": {0}, "Transpose": {0},
	"Concat": nil, "Split": {0}, "Slice": {0}, "Gather": {0}, "GatherElements": {0}, "GatherND": {0},
	"ScatterElements": {0, 2}, "ScatterND": {0, 2}, "Expand": {0}, "Tile": {0}, "Where": {1, 2}, "Pad": {0, 2},
}

// elementRules compute with elements that may be symbolic.
var elementRules = map[string]func(a, b onnx.Dim) (onnx.Dim, bool){
	"Add": addDims, "Mul": mulDims, "Div": divDims, "Mod": modDims,
	"Sub": func(a, b onnx.Dim) (onnx.Dim, bool) {
		minus, ok := mulDims(b, onnx.Const(-1))
		if !ok {
			return onnx.Dim{}, false
		}
		return addDims(a, minus)
	},
	"Max": maxDims, "Min": minDims,
	"Equal": func(a, b onnx.Dim) (onnx.Dim, bool) {
		s, ok := signDims(a, b)
		return onnx.Const(int64(truth(s == 0))), ok
	},
	"Less":           less,
	"Greater":        func(a, b onnx.Dim) (onnx.Dim, bool) { return less(b, a) },
	"LessOrEqual":    func(a, b onnx.Dim) (onnx.Dim, bool) { return not(less(b, a)) },
	"GreaterOrEqual": func(a, b onnx.Dim) (onnx.Dim, bool) { return not(less(a, b)) },
}

// signDims is the sign of a-b; false where it depends on the symbols. The symbols of inputs
// are at least 1, those of dimensions at least 0.
func signDims(a, b onnx.Dim) (int, bool) {
	switch {
	case a == b:
		return 0, true
	case a.Sym == b.Sym && (a.IsConst() || !a.Unknown()):
		if a.N < b.N {
			return -1, true
		}
		return 1, true
	case a.IsConst() && positive(b) && a.N < b.N:
		return -1, true
	case b.IsConst() && positive(a) && b.N < a.N:
		return 1, true
	case a.IsConst() && a.N < 0 && b.Unknown() && !anyElement(b) && b.N > 0:
		return -1, true
	case b.IsConst() && b.N < 0 && a.Unknown() && !anyElement(a) && a.N > 0:
		return 1, true
	}
	return affineSign(a, b)
}

// affineSign is signDims of sums with the same symbol.
func affineSign(a, b onnx.Dim) (int, bool) {
	less, ok := affineOf(a).plus(affineOf(b).negated())
	switch {
	case !ok:
	case less.n == 0:
		return cmp.Compare(less.c, 0), true
	case less.shifted(-1).notNegative():
		return 1, true
	case less.negated().shifted(-1).notNegative():
		return -1, true
	}
	return 0, false
}

// atMost reports a <= b for every value of the symbols.
func atMost(a, b onnx.Dim) bool {
	s, ok := signDims(a, b)
	if ok {
		return s <= 0
	}
	rest, ok := affineOf(b).plus(affineOf(a).negated())
	return a.IsConst() && positive(b) && a.N <= b.N || a.IsConst() && a.N <= 0 && notNegative(b) || ok && rest.notNegative()
}

func less(a, b onnx.Dim) (onnx.Dim, bool) {
	if atMost(b, a) {
		return onnx.Const(0), true
	}
	s, ok := signDims(a, b)
	return onnx.Const(int64(truth(s < 0))), ok
}

func not(d onnx.Dim, ok bool) (onnx.Dim, bool) { return onnx.Const(1 - d.N), ok }

func maxDims(a, b onnx.Dim) (onnx.Dim, bool) {
	if atMost(a, b) {
		return b, true
	}
	return a, atMost(b, a)
}

func minDims(a, b onnx.Dim) (onnx.Dim, bool) {
	if atMost(a, b) {
		return a, true
	}
	return b, atMost(b, a)
}

func modDims(a, b onnx.Dim) (onnx.Dim, bool) {
	switch {
	case b.N == 0:
		return onnx.Dim{}, false
	case a.IsConst() && b.IsConst():
		m := a.N % b.N
		if m != 0 && (m < 0) != (b.N < 0) {
			m += b.N
		}
		return onnx.Const(m), true
	case b.IsConst() && a.N%b.N == 0, a == b && positive(a):
		return onnx.Const(0), true
	}
	return onnx.Dim{}, false
}

// deduce computes the content of a node's outputs where the operator belongs
// to shape arithmetic. What cannot be computed stays unknown.
func (in *Inference) deduce(n *onnx.Node) {
	op := n.Operator()
	switch op {
	case "Shape":
		in.deduceShape(n)
		return
	case "Size":
		c := call{in: in, n: n}
		if s := c.shape(0); s != nil {
			in.setContent(n.Output(0), onnx.ShapeOf(), []onnx.Dim{in.productDim(s)})
		}
		return
	case "Constant":
		return
	}
	if evalRules[op] == nil {
		return
	}
	known, symbolic := 0, 0
	for _, name := range n.Inputs {
		if name == "" {
			known++
		} else if _, ok := in.constant(name); ok {
			known++
		} else if _, ok := in.elements(name); ok {
			symbolic++
		} else {
			return
		}
	}
	switch {
	case len(n.Inputs) == 0:
	case symbolic == 0:
		in.deduceConstants(n)
	default:
		if moved, ok := movedInputs[op]; ok {
			in.deduceMoved(n, moved)
		} else {
			in.deduceElements(n, op)
		}
	}
}

func (in *Inference) deduceShape(n *onnx.Node) {
	c := call{in: in, n: n}
	s := c.shape(0)
	if s == nil {
		return
	}
	lo, hi := shapeRange(n, len(s))
	in.setContent(n.Output(0), onnx.ShapeOf(int64(hi-lo)), s[lo:hi])
}

// setContent declares an int64 value with its elements, as a constant if all are numbers.
func (in *Inference) setContent(name string, s onnx.Shape, c []onnx.Dim) {
	if name == "" || len(c) > maxContent || !in.spend(len(c)) {
		return
	}
	dt := onnx.Int64
	if v, ok := in.types[name]; ok && v.DType != onnx.Undefined {
		dt = v.DType
	}
	in.Set(onnx.Value{Name: name, DType: dt, Shape: s})
	in.content[name] = append([]onnx.Dim{}, c...)
	if v, ok := constInts(c); ok {
		if t, err := encode(dt, s.Ints(), nil, v); err == nil {
			in.consts[name] = t
		}
	}
}

// deduceConstants evaluates a node all of whose inputs are small constants.
func (in *Inference) deduceConstants(n *onnx.Node) {
	args := make([]*onnx.Tensor, len(n.Inputs))
	for i, name := range n.Inputs {
		if name != "" {
			args[i], _ = in.constant(name)
		}
	}
	out, err := evalNode(n, args, 8*maxContent)
	if err != nil {
		return
	}
	for i, o := range n.Outputs {
		if o != "" {
			in.setTensor(o, out[i], true)
		}
	}
}

// deduceMoved evaluates an operator that moves elements on numbers that stand
// for the elements, and puts these in their places afterwards.
func (in *Inference) deduceMoved(n *onnx.Node, moved []int) {
	table := []onnx.Dim{onnx.Const(0)}
	args := make([]*onnx.Tensor, len(n.Inputs))
	isMoved := func(i int) bool {
		for _, m := range moved {
			if m == i {
				return true
			}
		}
		return moved == nil
	}
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		if !isMoved(i) {
			t, ok := in.constant(name)
			if !ok {
				return
			}
			args[i] = t
			continue
		}
		c, ok := in.elements(name)
		v, _ := in.Type(name)
		if !ok || !v.Shape.IsConst() {
			return
		}
		ids := make([]int64, len(c))
		for k, d := range c {
			ids[k] = int64(len(table))
			table = append(table, d)
		}
		args[i] = onnx.FromInt64(ids, v.Shape.Ints()...)
	}
	out, err := evalNode(n, args, 8*maxContent)
	if err != nil {
		return
	}
	for i, o := range n.Outputs {
		if o == "" {
			continue
		}
		ids := out[i].Int64s()
		c := make([]onnx.Dim, len(ids))
		for k, id := range ids {
			c[k] = table[id]
		}
		in.setContent(o, onnx.ShapeOf(out[i].Dims...), c)
	}
}

// deduceElements computes element by element.
func (in *Inference) deduceElements(n *onnx.Node, op string) {
	o := n.Output(0)
	c := call{in: in, n: n}
	a, okA := c.content(0)
	va := c.value(0)
	if !okA || o == "" || !va.Shape.IsConst() {
		return
	}
	switch op {
	case "Cast":
		to := onnx.DType(n.Int("to", 0))
		switch {
		case to == onnx.Bool:
			return
		case to == onnx.Int64 || to == onnx.Int32 || to == onnx.Float32 || to == onnx.Float64:
			in.setContent(o, va.Shape, a)
		}
		return
	case "Floor", "Ceil", "Round":
		in.setContent(o, va.Shape, a) // contents are whole
		return
	case "Neg":
		out := make([]onnx.Dim, len(a))
		for i, d := range a {
			d, ok := mulDims(d, onnx.Const(-1))
			if !ok {
				d = in.unknownElement()
			}
			out[i] = d
		}
		in.setContent(o, va.Shape, out)
		return
	case "ReduceProd", "ReduceSum":
		in.deduceTotal(c, op, a)
		return
	}
	rule := elementRules[op]
	if rule == nil || len(n.Inputs) != 2 || n.Int("fmod", 0) != 0 {
		return
	}
	b, okB := c.content(1)
	vb := c.value(1)
	s := in.types[o].Shape
	if !okB || !vb.Shape.IsConst() || !s.IsConst() {
		return
	}
	dims := s.Ints()
	count, ok := elements.Count(dims)
	if !ok || count > maxContent {
		return
	}
	x, y := make([]onnx.Dim, count), make([]onnx.Dim, count)
	walk(dims, broadcastStrides(va.Shape.Ints(), dims), 0, func(i int, at int64) { x[i] = a[at] })
	walk(dims, broadcastStrides(vb.Shape.Ints(), dims), 0, func(i int, at int64) { y[i] = b[at] })
	whole := !va.DType.IsFloat()
	for i := range x {
		d, ok := rule(x[i], y[i])
		if op == "Div" && !whole && ok {
			// A quotient of floats is content only where it is exact.
			back, exact := mulDims(d, y[i])
			ok = exact && back == x[i]
		}
		if !ok {
			if !whole || in.types[o].DType == onnx.Bool {
				return
			}
			d = in.unknownElement()
		}
		x[i] = d
	}
	in.setContent(o, s, x)
}

// deduceTotal reduces a list to one element.
func (in *Inference) deduceTotal(c call, op string, a []onnx.Dim) {
	s := in.types[c.n.Output(0)].Shape
	if !s.IsConst() || s.Ints() == nil {
		return
	}
	if n, ok := elements.Count(s.Ints()); !ok || n != 1 {
		return
	}
	sum, ok := onnx.Const(0), true
	if op == "ReduceProd" {
		if m, fine := monomialOf(a); fine {
			sum, ok = m.dim()
		} else {
			ok = false
		}
	} else {
		for _, d := range a {
			if ok {
				sum, ok = addDims(sum, d)
			}
		}
	}
	if !ok {
		if c.dtype(0).IsFloat() {
			return
		}
		sum = in.unknownElement()
	}
	in.setContent(c.n.Output(0), s, []onnx.Dim{sum})
}
