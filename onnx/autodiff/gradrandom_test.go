package autodiff

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"winnow/onnx"
)

// Gradient checks at shapes and attributes drawn from a seed, for the
// operators whose attributes interact.
func TestRandomGradients(t *testing.T) {
	d := device(t)
	for op, draw := range map[string]func(r *rand.Rand) gradCase{
		"Conv": randomConv, "ConvBlocked": randomBlockedConv, "MaxPool": randomPool("MaxPool"), "AveragePool": randomPool("AveragePool"),
		"Slice": randomSlice, "Pad": randomPad, "Gather": randomGather,
		"ReduceSum": randomReduction("ReduceSum"), "ReduceMean": randomReduction("ReduceMean"), "ReduceMax": randomReduction("ReduceMax"),
	} {
		t.Run(op, func(t *testing.T) {
			for seed := range uint64(40) {
				c := draw(rand.New(rand.NewPCG(seed, 77)))
				c.name = fmt.Sprint(seed)
				t.Run(c.name, func(t *testing.T) {
					checkGradient(t, d, c)
					if t.Failed() {
						t.Logf("attributes %v, arguments %v", c.attrs, c.args)
					}
				})
			}
		})
	}
}

// between draws a whole number from lo to hi.
func between(r *rand.Rand, lo, hi int64) int64 { return lo + r.Int64N(hi-lo+1) }

// windowAttrs draws the geometry of a window over rank axes, and axes that it fits into.
func windowAttrs(r *rand.Rand, rank int, maxPad func(kernel int64) int64) (a attrs, kernel, dims []int64) {
	strides, dilations, begin, end := make([]int64, rank), make([]int64, rank), make([]int64, rank), make([]int64, rank)
	kernel, dims = make([]int64, rank), make([]int64, rank)
	for i := range rank {
		kernel[i], strides[i], dilations[i] = between(r, 1, 3), between(r, 1, 3), between(r, 1, 2)
		begin[i], end[i] = between(r, 0, maxPad(kernel[i])), between(r, 0, maxPad(kernel[i]))
		extent := (kernel[i]-1)*dilations[i] + 1
		dims[i] = between(r, max(extent-begin[i]-end[i], 1), extent+4)
	}
	return attrs{"strides": is(strides...), "dilations": is(dilations...), "pads": is(append(begin, end...)...)}, kernel, dims
}

func randomConv(r *rand.Rand) gradCase {
	rank := int(between(r, 1, 3))
	a, kernel, dims := windowAttrs(r, rank, func(k int64) int64 { return k })
	group, in, out := between(r, 1, 3), between(r, 1, 2), between(r, 1, 2)
	a["group"] = ia(group)
	args := []arg{tensor(append([]int64{between(r, 1, 3), group * in}, dims...)...), tensor(append([]int64{group * out, in}, kernel...)...)}
	if r.IntN(2) == 0 {
		args = append(args, tensor(group*out))
	}
	forms := []Lowering{{}, {Data: DataFlip, Weight: WeightImages}, {Data: DataTranspose, Weight: WeightGemm}, {Weight: WeightTaps}}
	return gradCase{op: "Conv", attrs: a, args: args, dtype: onnx.Float32, lower: forms[r.IntN(3)]}
}

// randomBlockedConv has channels and images of whole blocks in most cases.
func randomBlockedConv(r *rand.Rand) gradCase {
	a, kernel, dims := windowAttrs(r, 2, func(k int64) int64 { return k })
	in, out, n := []int64{16, 32, 3, 20}[r.IntN(4)], []int64{16, 32}[r.IntN(2)], []int64{16, 32, 5}[r.IntN(3)]
	group := int64(1)
	if r.IntN(3) == 0 { // by channel
		in, group, n = out, out, between(r, 1, 4)
	}
	args := []arg{tensor(append([]int64{n, in}, dims...)...), tensor(append([]int64{out, in / group}, kernel...)...)}
	if r.IntN(2) == 0 {
		args = append(args, tensor(out))
	}
	a["group"] = ia(group)
	return gradCase{op: "Conv", attrs: a, args: args, dtype: onnx.Float32, tol: 2e-4, step: 0.5, lower: Lowering{Block: blockHere}}
}

func randomPool(op string) func(r *rand.Rand) gradCase {
	return func(r *rand.Rand) gradCase {
		a, kernel, dims := windowAttrs(r, 2, func(k int64) int64 { return k - 1 })
		delete(a, "dilations")
		for i := range dims {
			dims[i] = max(dims[i], kernel[i])
		}
		a["kernel_shape"] = is(kernel...)
		if r.IntN(3) == 0 {
			a["strides"], a["pads"] = is(kernel...), is(0, 0, 0, 0) // side by side
		}
		x := tensor(append([]int64{2, 2}, dims...)...)
		if op == "AveragePool" {
			a["count_include_pad"] = ia(int64(r.IntN(2)))
			return gradCase{op: op, attrs: a, args: []arg{x}, dtype: onnx.Float32}
		}
		c := gradCase{op: op, attrs: a, args: []arg{x.drawn(distinct(int(4 * dims[0] * dims[1])))}, dtype: onnx.Float32, step: 0.02, tol: 1e-3}
		if r.IntN(2) == 0 {
			c.lower.Pool = PoolScatter
		}
		return c
	}
}

func randomDims(r *rand.Rand) []int64 {
	dims := make([]int64, between(r, 1, 4))
	for i := range dims {
		dims[i] = between(r, 1, 5)
	}
	return dims
}

func randomSlice(r *rand.Rand) gradCase {
	dims := randomDims(r)
	var starts, ends, axes, steps []int64
	for _, axis := range r.Perm(len(dims))[:between(r, 1, int64(len(dims)))] {
		n := dims[axis]
		first, last := between(r, 0, n-1), between(r, 0, n-1)
		step := between(r, 1, 3)
		if first > last {
			step = -step
		}
		end := last + 1
		if step < 0 {
			if end = last - 1; end < 0 {
				end = -n - 1
			}
		}
		if r.IntN(2) == 0 {
			first -= n
		}
		a := int64(axis)
		if r.IntN(2) == 0 {
			a -= int64(len(dims))
		}
		starts, ends, axes, steps = append(starts, first), append(ends, end), append(axes, a), append(steps, step)
	}
	return gradCase{op: "Slice", args: []arg{tensor(dims...), ints(starts...), ints(ends...), ints(axes...), ints(steps...)}}
}

func randomPad(r *rand.Rand) gradCase {
	dims := randomDims(r)
	pads := make([]int64, 2*len(dims))
	for i, n := range dims {
		pads[i] = between(r, -(n-1)/2, 2)
		pads[len(dims)+i] = between(r, -(n-1)/2, 2)
	}
	var mode attrs
	if m := []string{"constant", "reflect", "edge", "wrap"}[r.IntN(4)]; m != "constant" {
		mode = attrs{"mode": sa(m)}
		for i, n := range dims { // reflect needs one element more than it pads with
			most := n + min(pads[i], 0) + min(pads[len(dims)+i], 0) - 1
			pads[i], pads[len(dims)+i] = min(pads[i], most), min(pads[len(dims)+i], most)
		}
	}
	return gradCase{op: "Pad", attrs: mode, args: []arg{tensor(dims...), ints(pads...)}}
}

func randomGather(r *rand.Rand) gradCase {
	dims := randomDims(r)
	axis := between(r, 0, int64(len(dims))-1)
	shape := [][]int64{{}, {1}, {3}, {2, 2}}[r.IntN(4)]
	v := make([]int64, product(shape))
	for i := range v {
		v[i] = between(r, -dims[axis], dims[axis]-1)
	}
	if r.IntN(2) == 0 {
		axis -= int64(len(dims))
	}
	return gradCase{op: "Gather", attrs: attrs{"axis": ia(axis)}, args: []arg{tensor(dims...), index(shape, v...)}}
}

func randomReduction(op string) func(r *rand.Rand) gradCase {
	return func(r *rand.Rand) gradCase {
		dims := randomDims(r)
		var axes []int64
		for _, axis := range r.Perm(len(dims))[:between(r, 1, int64(len(dims)))] {
			axes = append(axes, int64(axis)-int64(len(dims))*int64(r.IntN(2)))
		}
		x := tensor(dims...).drawn(distinct(int(product(dims))))
		return gradCase{op: op, attrs: attrs{"keepdims": ia(int64(r.IntN(2)))}, args: []arg{x, ints(axes...)}}
	}
}
