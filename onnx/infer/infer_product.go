package infer

import (
	"slices"
	"strings"

	"winnow/onnx"
)

var miscRules = map[string]inferRule{
	"MatMul": inferMatMul, "Gemm": inferGemm, "Einsum": inferEinsum, "If": inferIf,
}

func inferMatMul(c call) error {
	a, b := c.shape(0), c.shape(1)
	dt := c.dtype(0)
	if dt == onnx.Undefined {
		dt = c.dtype(1)
	}
	if a == nil || b == nil {
		c.set(0, dt, nil)
		return nil
	}
	if len(a) == 0 || len(b) == 0 {
		return shapeErrorf("a scalar operand")
	}
	rowVector, colVector := len(a) == 1, len(b) == 1
	if rowVector {
		a = onnx.Shape{onnx.Const(1), a[0]}
	}
	if colVector {
		b = onnx.Shape{b[0], onnx.Const(1)}
	}
	if _, err := same(a[len(a)-1], b[len(b)-2]); err != nil {
		return shapeErrorf("inner dimensions %v and %v", a[len(a)-1], b[len(b)-2])
	}
	out, err := c.in.broadcast(a[:len(a)-2], b[:len(b)-2])
	if err != nil {
		return err
	}
	if !rowVector {
		out = append(out, a[len(a)-2])
	}
	if !colVector {
		out = append(out, b[len(b)-1])
	}
	c.set(0, dt, out)
	return nil
}

func inferGemm(c call) error {
	a, b := c.shape(0), c.shape(1)
	for _, s := range []onnx.Shape{a, b} {
		if s != nil && len(s) != 2 {
			return shapeErrorf("rank %d, not 2", len(s))
		}
	}
	out := c.in.unknownShape(2)
	var inner [2]onnx.Dim
	if a != nil {
		t := int(c.n.Int("transA", 0) & 1)
		out[0], inner[0] = a[t], a[1-t]
	}
	if b != nil {
		t := int(c.n.Int("transB", 0) & 1)
		out[1], inner[1] = b[1-t], b[t]
	}
	if a != nil && b != nil {
		if _, err := same(inner[0], inner[1]); err != nil {
			return shapeErrorf("inner dimensions %v and %v", inner[0], inner[1])
		}
	}
	if s := c.shape(2); s != nil && a != nil && b != nil {
		if _, err := c.in.broadcast(out, s); err != nil || len(s) > 2 {
			return shapeErrorf("addend %v for %v", s, out)
		}
	}
	c.set(0, c.dtype(0), out)
	return nil
}

func inferEinsum(c call) error {
	for i := range c.n.Inputs {
		if c.shape(i) == nil {
			c.set(0, c.dtype(0), nil)
			return nil
		}
	}
	out, err := c.einsum(strings.ReplaceAll(c.n.Str("equation", ""), " ", ""))
	c.set(0, c.dtype(0), out)
	return err
}

func (c call) einsum(equation string) (onnx.Shape, error) {
	left, right, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(c.n.Inputs) {
		return nil, shapeErrorf("equation %q for %d inputs", equation, len(c.n.Inputs))
	}
	letters := map[byte]onnx.Dim{}
	count := map[byte]int{}
	ellipsis := onnx.Shape{}
	for i, term := range terms {
		s := c.shape(i)
		head, tail, dots := strings.Cut(term, "...")
		extra := len(s) - len(head) - len(tail)
		if extra < 0 || extra > 0 && !dots {
			return nil, shapeErrorf("term %q for %v", term, s)
		}
		if dots {
			var err error
			if ellipsis, err = c.in.broadcast(ellipsis, s[len(head):len(head)+extra]); err != nil {
				return nil, err
			}
		}
		for k := range len(head) + len(tail) {
			var letter byte
			var d onnx.Dim
			if k < len(head) {
				letter, d = head[k], s[k]
			} else {
				letter, d = tail[k-len(head)], s[k+extra]
			}
			count[letter]++
			if old, ok := letters[letter]; ok && old != onnx.Const(1) {
				if d == onnx.Const(1) {
					continue
				}
				var err error
				if d, err = same(old, d); err != nil {
					return nil, shapeErrorf("index %c of %q: %v", letter, equation, err)
				}
			}
			letters[letter] = d
		}
	}
	if !explicit {
		var once []byte
		for l, n := range count {
			if n == 1 {
				once = append(once, l)
			}
		}
		slices.Sort(once)
		right = "..." + string(once)
	}
	head, tail, dots := strings.Cut(right, "...")
	out := onnx.Shape{}
	add := func(s string) error {
		for k := range len(s) {
			d, ok := letters[s[k]]
			if !ok {
				return shapeErrorf("index %c of %q has no length", s[k], equation)
			}
			out = append(out, d)
		}
		return nil
	}
	if err := add(head); err != nil {
		return nil, err
	}
	if dots {
		out = append(out, ellipsis...)
	}
	return out, add(tail)
}
