package infer

import (
	"slices"

	"winnow/onnx"
)

var reduceRules = makeReduceRules()

func makeReduceRules() map[string]inferRule {
	t := map[string]inferRule{
		"ArgMax": inferArg, "ArgMin": inferArg, "TopK": inferTopK,
	}

	for _, op := range []string{
		"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare",
		"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
	} {
		t[op] = inferReduce
	}
	return t
}

// axes reads the axes of an operator that takes them as its i-th input, or as
// an attribute in older sets. given is false where the node has none; known
// is false where they are computed at run time.
func (c call) axes(i int) (axes []int64, given, known bool) {
	if a, ok := c.n.Attrs["axes"]; ok && a.Kind == onnx.AttrInts {
		return a.Ints, true, true
	}
	if !c.has(i) {
		return nil, false, true
	}
	axes, known = c.ints(i)
	return axes, true, known
}

func inferReduce(c call) error {
	s, d := c.shape(0), c.dtype(0)
	if s == nil {
		c.set(0, d, nil)
		return nil
	}
	keep := c.n.Int("keepdims", 1) != 0
	axes, given, known := c.axes(1)
	if !known {
		if !keep {
			if t := c.shape(1); t.IsConst() && len(t) == 1 && t[0].N > 0 && t[0].N <= int64(len(s)) {
				c.set(0, d, c.in.unknownShape(len(s)-int(t[0].N)))
				return nil
			}
			c.set(0, d, nil)
			return nil
		}
		c.set(0, d, c.in.unknownShape(len(s)))
		return nil
	}
	if (!given || len(axes) == 0) && c.n.Int("noop_with_empty_axes", 0) != 0 {
		c.set(0, d, s)
		return nil
	}
	out, err := reduced(s, axes, keep)
	if err != nil {
		return err
	}
	c.set(0, d, out)
	return nil
}

// reduced takes axes out of a shape, all of them if the list is empty.
func reduced(s onnx.Shape, axes []int64, keep bool) (onnx.Shape, error) {
	gone := make([]bool, len(s))
	if len(axes) == 0 {
		for i := range gone {
			gone[i] = true
		}
	}
	for _, a := range axes {
		i, err := normAxis(a, len(s))
		if err != nil {
			return nil, err
		}
		gone[i] = true
	}
	out := make(onnx.Shape, 0, len(s))
	for i, d := range s {
		if !gone[i] {
			out = append(out, d)
		} else if keep {
			out = append(out, onnx.Const(1))
		}
	}
	return out, nil
}

func inferArg(c call) error {
	s := c.shape(0)
	if s != nil {
		axis := c.n.Int("axis", 0)
		var err error
		if s, err = reduced(s, []int64{axis}, c.n.Int("keepdims", 1) != 0); err != nil {
			return err
		}
	}
	c.set(0, onnx.Int64, s)
	return nil
}

func inferTopK(c call) error {
	s := slices.Clone(c.shape(0))
	if s != nil {
		axis, err := c.axis(-1, len(s))
		if err != nil {
			return err
		}
		k := c.in.unknownDim()
		if v, ok := c.content(1); ok && len(v) == 1 && !anyElement(v[0]) {
			k = v[0]
		}
		if k.IsConst() && (k.N < 0 || s[axis].IsConst() && k.N > s[axis].N) {
			return shapeErrorf("k %v of %v", k, s[axis])
		}
		s[axis] = k
	}
	c.set(0, c.dtype(0), s)
	c.set(1, onnx.Int64, s)
	return nil
}
