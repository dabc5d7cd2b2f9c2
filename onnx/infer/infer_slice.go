package infer

import (
	"math"
	"slices"

	"winnow/onnx"
)

// sliceAxes reads an optional axes input whose default is the first n axes.
func (c call) sliceAxes(i, rank, n int) (axes []int, known bool, err error) {
	list := make([]int64, n)
	for k := range list {
		list[k] = int64(k)
	}
	if c.has(i) {
		var ok bool
		if list, ok = c.ints(i); !ok {
			return nil, false, nil
		}
	}
	for _, a := range list {
		k, err := normAxis(a, rank)
		if err != nil {
			return nil, true, err
		}
		axes = append(axes, k)
	}
	return axes, true, nil
}

func inferSlice(c call) error {
	x, dt := c.shape(0), c.dtype(0)
	if x == nil {
		c.set(0, dt, nil)
		return nil
	}
	out := slices.Clone(x)
	starts, ok1 := c.content(1)
	ends, ok2 := c.content(2)
	n := len(starts)
	if !ok1 {
		n = len(ends)
	}
	if !ok1 && !ok2 {
		if s := c.shape(1); s.IsConst() && len(s) == 1 && s[0].N <= int64(len(x)) {
			n = int(s[0].N)
		} else if !c.has(3) {
			c.set(0, dt, c.in.unknownShape(len(x)))
			return nil
		}
	}
	axes, known, err := c.sliceAxes(3, len(x), n)
	if err != nil {
		return err
	}
	if !known {
		c.set(0, dt, c.in.unknownShape(len(x)))
		return nil
	}
	if (ok1 && len(starts) != len(axes)) || (ok2 && len(ends) != len(axes)) {
		return shapeErrorf("%d starts and %d ends for %d axes", len(starts), len(ends), len(axes))
	}
	steps := make([]int64, len(axes))
	for i := range steps {
		steps[i] = 1
	}
	ok3 := true
	if c.has(4) {
		if steps, ok3 = c.ints(4); ok3 && len(steps) != len(axes) {
			return shapeErrorf("%d steps for %d axes", len(steps), len(axes))
		}
	}
	for i, a := range axes {
		out[a] = c.in.unknownDim()
		if !ok1 || !ok2 || !ok3 {
			continue
		}
		if steps[i] == 0 {
			return shapeErrorf("step 0")
		}
		if d, ok := slicedDim(x[a], starts[i], ends[i], steps[i]); ok {
			out[a] = d
		}
	}
	c.set(0, dt, out)
	return nil
}

// slicedDim is the length of start:end:step over a dimension.
func slicedDim(d, start, end onnx.Dim, step int64) (onnx.Dim, bool) {
	if d.IsConst() && start.IsConst() && end.IsConst() {
		_, n := sliceRange(d.N, start.N, end.N, step)
		return onnx.Const(n), true
	}
	if step == -1 && start.IsConst() && end.IsConst() && end.N <= -math.MaxInt32 && (start.N == -1 || start.N >= math.MaxInt32) {
		return d, true
	}
	if step != 1 {
		return onnx.Dim{}, false
	}
	first, ok1 := bounded(start, d)
	last, ok2 := bounded(end, d)
	switch {
	case !ok1 || !ok2:
	case atMost(last, first):
		return onnx.Const(0), true
	case atMost(first, last):
		n, ok := affineOf(last).plus(affineOf(first).negated())
		return n.dim(), ok
	}
	return onnx.Dim{}, false
}

// bounded is an end of a slice between 0 and the axis's length d.
func bounded(e, d onnx.Dim) (onnx.Dim, bool) {
	switch { // past every real image, as in x[a:]
	case e.IsConst() && e.N >= math.MaxInt32:
		return d, true
	case e.IsConst() && e.N <= -math.MaxInt32:
		return onnx.Const(0), true
	}
	if e.IsConst() && e.N < 0 { // from the end
		back, ok := affineOf(d).plus(affineOf(e))
		if e = back.dim(); !ok || !notNegative(e) {
			return onnx.Const(0), ok && atMost(e, onnx.Const(0))
		}
	}
	switch {
	case !notNegative(e):
	case atMost(e, d):
		return e, true
	case atMost(d, e):
		return d, true
	}
	return onnx.Dim{}, false
}

// sliceRange clamps start:end:step over n elements; it returns the first index and the count.
func sliceRange(n, start, end, step int64) (first, count int64) {
	clamp := func(v, low, high int64) int64 {
		if v < 0 {
			if v < -n {
				return low
			}
			v += n
		}
		return max(low, min(v, high))
	}
	if step > 0 {
		start, end = clamp(start, 0, n), clamp(end, 0, n)
		if end <= start {
			return start, 0
		}
		return start, (end-start-1)/step + 1
	}
	start, end = clamp(start, 0, n-1), clamp(end, -1, n-1)
	if n == 0 || start <= end {
		return max(start, 0), 0
	}
	if step == math.MinInt64 {
		step++
	}
	return start, (start-end-1)/-step + 1
}
