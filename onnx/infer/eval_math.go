package infer

import (
	"math"

	"winnow/internal/elements"
	"winnow/onnx"
)

// mathRules evaluate operators that compute. Floats are computed in float64
// and rounded once, integers in int64 and wrapped to their width.
var mathRules = makeMathRules()

func makeMathRules() map[string]evalRule {
	t := map[string]evalRule{
		"Cast": evalCast, "Range": evalRange, "CumSum": evalCumSum, "NonZero": evalNonZero,
		"Clip": evalClip, "Not": evalNot,
	}

	for op, f := range map[string]func(float64) float64{
		"Sqrt": math.Sqrt, "Exp": math.Exp, "Log": math.Log, "Floor": math.Floor, "Ceil": math.Ceil,
		"Round": math.RoundToEven, "Erf": math.Erf, "Sin": math.Sin, "Cos": math.Cos, "Tan": math.Tan,
		"Tanh": math.Tanh, "Atan": math.Atan, "Asin": math.Asin, "Acos": math.Acos,
		"Sigmoid":    func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		"Reciprocal": func(x float64) float64 { return 1 / x },
	} {
		t[op] = unary(f, nil)
	}
	t["Neg"] = unary(func(x float64) float64 { return -x }, func(x int64) int64 { return -x })
	t["Abs"] = unary(math.Abs, func(x int64) int64 { return max(x, -x) })
	t["Relu"] = unary(func(x float64) float64 { return max(x, 0) }, func(x int64) int64 { return max(x, 0) })
	t["Sign"] = unary(func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return x
	}, func(x int64) int64 { return int64(sign(x)) })

	for op, r := range map[string]binaryRule{
		"Add": {f: func(a, b float64) float64 { return a + b }, i: func(a, b int64) (int64, bool) { return a + b, true }},
		"Sub": {f: func(a, b float64) float64 { return a - b }, i: func(a, b int64) (int64, bool) { return a - b, true }},
		"Mul": {f: func(a, b float64) float64 { return a * b }, i: func(a, b int64) (int64, bool) { return a * b, true }},
		"Div": {f: func(a, b float64) float64 { return a / b }, i: divInts},
		"Max": {f: func(a, b float64) float64 { return max(a, b) }, i: func(a, b int64) (int64, bool) { return max(a, b), true }},
		"Min": {f: func(a, b float64) float64 { return min(a, b) }, i: func(a, b int64) (int64, bool) { return min(a, b), true }},
		"Pow": {f: math.Pow, i: powInts},
	} {
		t[op] = r.eval
	}
	t["Mod"] = func(e *evaluator) ([]*onnx.Tensor, error) {
		if e.n.Int("fmod", 0) != 0 {
			return binaryRule{f: math.Mod, i: func(a, b int64) (int64, bool) {
				if b == 0 || b == -1 {
					return 0, b == -1
				}
				return a % b, true
			}}.eval(e)
		}
		return binaryRule{i: modInts}.eval(e)
	}
	for op, test := range map[string]func(sign int, ordered bool) bool{
		"Equal":          func(s int, ok bool) bool { return ok && s == 0 },
		"Less":           func(s int, ok bool) bool { return ok && s < 0 },
		"LessOrEqual":    func(s int, ok bool) bool { return ok && s <= 0 },
		"Greater":        func(s int, ok bool) bool { return ok && s > 0 },
		"GreaterOrEqual": func(s int, ok bool) bool { return ok && s >= 0 },
	} {
		t[op] = binaryRule{result: onnx.Bool, f: func(a, b float64) float64 {
			return truth(test(sign(a-b), a == a && b == b || a == b))
		}, i: func(a, b int64) (int64, bool) {
			s := 0
			if a < b {
				s = -1
			} else if a > b {
				s = 1
			}
			return int64(truth(test(s, true))), true
		}}.eval
	}
	for op, f := range map[string]func(a, b int64) int64{
		"And": func(a, b int64) int64 { return a & b },
		"Or":  func(a, b int64) int64 { return a | b },
		"Xor": func(a, b int64) int64 { return a ^ b },
	} {
		t[op] = binaryRule{result: onnx.Bool, i: func(a, b int64) (int64, bool) { return f(a, b), true }}.eval
	}
	for op, r := range map[string]reduceRule{
		"ReduceSum":  {0, func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b }, false},
		"ReduceMean": {0, func(a, b float64) float64 { return a + b }, nil, true},
		"ReduceProd": {1, func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }, false},
		"ReduceMax":  {math.Inf(-1), func(a, b float64) float64 { return max(a, b) }, func(a, b int64) int64 { return max(a, b) }, false},
		"ReduceMin":  {math.Inf(1), func(a, b float64) float64 { return min(a, b) }, func(a, b int64) int64 { return min(a, b) }, false},
	} {
		t[op] = r.eval
	}
	return t
}

func unary(f func(float64) float64, g func(int64) int64) evalRule {
	return func(e *evaluator) ([]*onnx.Tensor, error) {
		x, err := e.need(0)
		if err != nil {
			return nil, err
		}
		if int64(len(x.Data)) > e.limit {
			return nil, errNotEvaluated
		}
		fs, is := asNumbers(x)
		switch {
		case fs != nil && f != nil:
			for i, v := range fs {
				fs[i] = f(v)
			}
		case is != nil && g != nil && x.DType != onnx.Bool:
			for i, v := range is {
				is[i] = g(v)
			}
		default:
			return nil, errNotEvaluated
		}
		out, err := encode(x.DType, x.Dims, fs, is)
		return []*onnx.Tensor{out}, err
	}
}

// binaryRule computes element by element over broadcast inputs; result is the
// output's type where it is not the inputs'.
type binaryRule struct {
	result onnx.DType
	f      func(a, b float64) float64
	i      func(a, b int64) (int64, bool)
}

func (r binaryRule) eval(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	for k := 1; k < len(e.in); k++ {
		y, err := e.need(k)
		if err != nil {
			return nil, err
		}
		if x, err = r.pair(e, x, y); err != nil {
			return nil, err
		}
	}
	return []*onnx.Tensor{x}, nil
}

func (r binaryRule) pair(e *evaluator, x, y *onnx.Tensor) (*onnx.Tensor, error) {
	s, err := new(Inference).broadcast(onnx.ShapeOf(x.Dims...), onnx.ShapeOf(y.Dims...))
	if err != nil {
		return nil, err
	}
	dims := s.Ints()
	dt := r.result
	if dt == onnx.Undefined {
		dt = x.DType
	}
	n, ok := elements.Count(dims)
	if !ok || n > e.limit/8+1 || n*int64(dt.Size()) > e.limit || e.n.Op != "Pow" && x.DType != y.DType {
		return nil, errNotEvaluated
	}
	e.limit -= n * int64(dt.Size())
	xf, xi := asNumbers(x)
	yf, yi := asNumbers(y)
	if xf != nil && yi != nil {
		yf, yi = widen(yi), nil
	}
	sx, sy := broadcastStrides(x.Dims, dims), broadcastStrides(y.Dims, dims)
	var fs []float64
	var is []int64
	switch {
	case xf != nil && yf != nil && r.f != nil:
		fs = make([]float64, n)
		walk(dims, sx, 0, func(i int, at int64) { fs[i] = xf[at] })
		walk(dims, sy, 0, func(i int, at int64) { fs[i] = r.f(fs[i], yf[at]) })
	case xi != nil && yi != nil && r.i != nil && x.DType != onnx.Uint64:
		is = make([]int64, n)
		fine := true
		walk(dims, sx, 0, func(i int, at int64) { is[i] = xi[at] })
		walk(dims, sy, 0, func(i int, at int64) {
			var ok bool
			is[i], ok = r.i(is[i], yi[at])
			fine = fine && ok
		})
		if !fine {
			return nil, errNotEvaluated
		}
	default:
		return nil, errNotEvaluated
	}
	return encode(dt, dims, fs, is)
}

func evalNot(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	if x.DType != onnx.Bool {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(onnx.Bool, x.Dims)
	if err != nil {
		return nil, err
	}
	for i, b := range x.Data {
		if b == 0 {
			out.Data[i] = 1
		}
	}
	return []*onnx.Tensor{out}, nil
}

func evalCast(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	to := onnx.DType(e.n.Int("to", 0))
	n, _ := elements.Count(x.Dims)
	if n > e.limit/8+1 || n*int64(to.Size()) > e.limit {
		return nil, errNotEvaluated
	}
	if to == x.DType {
		return []*onnx.Tensor{x}, nil
	}
	f, i := asNumbers(x)
	switch {
	case f == nil && i == nil:
		return nil, errNotEvaluated
	case to == onnx.Bool && f != nil:
		for k, v := range f {
			f[k] = truth(v != 0)
		}
	case to == onnx.Bool:
		for k, v := range i {
			i[k] = int64(truth(v != 0))
		}
	case f != nil && !to.IsFloat():
		for k, v := range f {
			f[k] = math.Trunc(v)
		}
	}
	out, err := encode(to, x.Dims, f, i)
	return []*onnx.Tensor{out}, err
}

func evalClip(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	for k, f := range []func(a, b float64) float64{func(a, b float64) float64 { return max(a, b) }, func(a, b float64) float64 { return min(a, b) }} {
		bound := e.arg(k + 1)
		if bound == nil {
			continue
		}
		if bound.Len() != 1 || len(bound.Dims) > len(x.Dims) {
			return nil, errNotEvaluated
		}
		if x, err = (binaryRule{f: f}).pair(e, x, bound); err != nil {
			return nil, err
		}
	}
	return []*onnx.Tensor{x}, nil
}

func evalRange(e *evaluator) ([]*onnx.Tensor, error) {
	start, limit, delta := e.arg(0), e.arg(1), e.arg(2)
	if start == nil || limit == nil || delta == nil || start.Len() != 1 || limit.Len() != 1 || delta.Len() != 1 ||
		start.DType != limit.DType || start.DType != delta.DType {
		return nil, errNotEvaluated
	}
	sf, si := asNumbers(start)
	lf, li := asNumbers(limit)
	df, di := asNumbers(delta)
	var n int64
	switch {
	case si != nil:
		if di[0] == 0 {
			return nil, errNotEvaluated
		}
		n = rangeLen(si[0], li[0], di[0])
	case sf != nil:
		c := math.Ceil((lf[0] - sf[0]) / df[0])
		if !(c < 1<<40) {
			return nil, errNotEvaluated
		}
		n = int64(max(0, c))
	default:
		return nil, errNotEvaluated
	}
	if n > e.limit/8 {
		return nil, errNotEvaluated
	}
	var f []float64
	var v []int64
	for i := range n {
		if si != nil {
			v = append(v, si[0]+i*di[0])
		} else {
			f = append(f, sf[0]+float64(i)*df[0])
		}
	}
	out, err := encode(start.DType, []int64{n}, f, v)
	return []*onnx.Tensor{out}, err
}

func evalNonZero(e *evaluator) ([]*onnx.Tensor, error) {
	x, err := e.need(0)
	if err != nil {
		return nil, err
	}
	f, v := asNumbers(x)
	var hits []int64
	for i := range max(len(f), len(v)) {
		if f != nil && f[i] != 0 || f == nil && v[i] != 0 {
			hits = append(hits, int64(i))
		}
	}
	rank := len(x.Dims)
	if f == nil && v == nil || rank == 0 {
		return nil, errNotEvaluated
	}
	out, err := e.alloc(onnx.Int64, []int64{int64(rank), int64(len(hits))})
	if err != nil {
		return nil, err
	}
	strides := stridesOf(x.Dims)
	idx := make([]int64, 0, rank*len(hits))
	for k := range rank {
		for _, h := range hits {
			idx = append(idx, h/strides[k]%x.Dims[k])
		}
	}
	copy(out.Data, onnx.FromInt64(idx, out.Dims...).Data)
	return []*onnx.Tensor{out}, nil
}
