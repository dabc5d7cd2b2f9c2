package infer

import (
	"math"
	"math/bits"
	"slices"
	"strings"

	"winnow/internal/elements"
	"winnow/onnx"
)

// mul64 multiplies, false on overflow.
func mul64(a, b int64) (int64, bool) {
	neg := (a < 0) != (b < 0)
	hi, lo := bits.Mul64(abs64(a), abs64(b))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	if neg {
		return -int64(lo), true
	}
	return int64(lo), true
}

func abs64(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// add64 adds, false on overflow.
func add64(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0)
}

// floorDiv rounds the quotient down; b > 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
}

// ceilDiv rounds the quotient up; b > 0.
func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && a > 0 {
		q++
	}
	return q
}

// elementsOf counts a tensor's elements; false if its dimensions do not fit its data.
func elementsOf(t *onnx.Tensor) (int64, bool) {
	n, ok := elements.Count(t.Dims)
	if !ok {
		return 0, false
	}
	if t.DType == onnx.String {
		return n, n == int64(len(t.Strings))
	}
	size := int64(t.DType.Size())
	return n, size > 0 && n <= math.MaxInt64/8 && n*size == int64(len(t.Data))
}

// tensorContent is a tensor as elements; false for floats that are not whole numbers.
func tensorContent(t *onnx.Tensor) ([]onnx.Dim, bool) {
	if v := t.Int64s(); v != nil {
		c := make([]onnx.Dim, len(v))
		for i, x := range v {
			c[i] = onnx.Const(x)
		}
		return c, true
	}
	v := t.Float32s()
	if v == nil {
		return nil, false
	}
	c := make([]onnx.Dim, len(v))
	for i, x := range v {
		if x != float32(int32(x)) {
			return nil, false
		}
		c[i] = onnx.Const(int64(x))
	}
	return c, true
}

func constInts(d []onnx.Dim) ([]int64, bool) {
	v := make([]int64, len(d))
	for i, x := range d {
		if !x.IsConst() {
			return nil, false
		}
		v[i] = x.N
	}
	return v, true
}

// symbolElement starts the symbol of an unknown element, which may be negative.
const symbolElement = onnx.UnknownSymbol + "!"

// positive reports whether the symbol stands for a number of at least 1: the
// dimensions of the graph's inputs do.
func positive(d onnx.Dim) bool {
	if d.Sym == "" {
		return d.N > 0
	}
	return d.N > 0 && !strings.HasPrefix(d.Sym, onnx.UnknownSymbol)
}

// anyElement reports an element that may even be negative.
func anyElement(d onnx.Dim) bool { return strings.HasPrefix(d.Sym, symbolElement) }

// notNegative reports a dimension, or an element, of at least 0.
func notNegative(d onnx.Dim) bool { return d.N >= 0 && !anyElement(d) || affineOf(d).notNegative() }

func normDim(n int64, sym string) onnx.Dim {
	if n == 0 {
		sym = ""
	}
	return onnx.Dim{N: n, Sym: sym}
}

func mulDims(a, b onnx.Dim) (onnx.Dim, bool) {
	if a == onnx.Const(0) || b == onnx.Const(0) {
		return onnx.Const(0), true
	}
	if a.Sym != "" && b.Sym != "" {
		return onnx.Dim{}, false
	}
	n, ok := mul64(a.N, b.N)
	return normDim(n, a.Sym+b.Sym), ok
}

func addDims(a, b onnx.Dim) (onnx.Dim, bool) {
	switch {
	case a == onnx.Const(0):
		return b, true
	case b == onnx.Const(0):
		return a, true
	}
	sum, ok := affineOf(a).plus(affineOf(b))
	return sum.dim(), ok
}

// divDims divides, rounded towards 0 as integers are.
func divDims(a, b onnx.Dim) (onnx.Dim, bool) {
	switch {
	case b.N == 0 || a.N == math.MinInt64:
		return onnx.Dim{}, false
	case a.Sym == b.Sym && (a.Sym == "" || positive(b)):
		return onnx.Const(a.N / b.N), true
	case b.Sym == "" && a.N%b.N == 0:
		return normDim(a.N/b.N, a.Sym), true
	case b.Sym == "" && b.N > 0 && notNegative(a):
		return affineOf(a).quotient(b.N), true
	}
	return onnx.Dim{}, false
}

// monomial is a product of dimensions: a number times sorted symbols.
type monomial struct {
	n    int64
	syms []string
}

func monomialOf(dims []onnx.Dim) (monomial, bool) {
	m := monomial{n: 1}
	for _, d := range dims {
		var ok bool
		if m.n, ok = mul64(m.n, d.N); !ok {
			return m, false
		}
		if d.Sym != "" {
			m.syms = append(m.syms, d.Sym)
		}
	}
	slices.Sort(m.syms)
	return m, true
}

// over divides; false if the quotient is not a whole monomial.
func (m monomial) over(d monomial) (monomial, bool) {
	if d.n == 0 || m.n == math.MinInt64 || m.n%d.n != 0 {
		return m, false
	}
	q := monomial{n: m.n / d.n}
	i := 0
	for _, s := range m.syms {
		if i < len(d.syms) && d.syms[i] == s {
			i++
			continue
		}
		q.syms = append(q.syms, s)
	}
	return q, i == len(d.syms)
}

// dim is the monomial as a dimension, if it has one symbol at most.
func (m monomial) dim() (onnx.Dim, bool) {
	switch len(m.syms) {
	case 0:
		return onnx.Const(m.n), true
	case 1:
		return normDim(m.n, m.syms[0]), true
	}
	return onnx.Dim{}, false
}

// productDim multiplies dimensions, an unknown one where the product is none.
func (in *Inference) productDim(dims []onnx.Dim) onnx.Dim {
	if slices.Contains(dims, onnx.Const(0)) {
		return onnx.Const(0)
	}
	if m, ok := monomialOf(dims); ok {
		if d, ok := m.dim(); ok {
			return d
		}
	}
	return in.unknownDim()
}

func normAxis(a int64, rank int) (int, error) {
	if a < -int64(rank) || a >= int64(rank) {
		return 0, shapeErrorf("axis %d of rank %d", a, rank)
	}
	if a < 0 {
		a += int64(rank)
	}
	return int(a), nil
}

// broadcast joins two shapes as NumPy does; nil if either is unknown.
func (in *Inference) broadcast(a, b onnx.Shape) (onnx.Shape, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	for i, y := range b {
		j := len(a) - len(b) + i
		x := a[j]
		switch {
		case x == y || y == onnx.Const(1):
		case x == onnx.Const(1):
			out[j] = y
		case x.IsConst() && y.IsConst():
			return nil, shapeErrorf("%v and %v do not broadcast: %v and %v", a, b, x, y)
		case x.IsConst():
		case y.IsConst():
			out[j] = y
		default:
			out[j] = in.unknownDim()
		}
	}
	if out == nil {
		out = onnx.Shape{}
	}
	return out, nil
}

// same joins two dimensions that must be equal, preferring the better known.
func same(a, b onnx.Dim) (onnx.Dim, error) {
	switch {
	case a == b || b.Unknown():
		return a, nil
	case a.Unknown():
		return b, nil
	case a.IsConst() && b.IsConst():
		return a, shapeErrorf("%v is not %v", a, b)
	case b.IsConst():
		return b, nil
	}
	return a, nil
}
