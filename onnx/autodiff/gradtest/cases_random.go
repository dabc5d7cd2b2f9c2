package gradtest

import (
	"math/rand/v2"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// Random draw a case of an operator whose attributes interact.
var Random = map[string]func(r *rand.Rand) Case{
	"Conv": randomConv, "ConvBlocked": randomBlockedConv, "MaxPool": randomPool("MaxPool"), "AveragePool": randomPool("AveragePool"),
	"Slice": randomSlice, "Pad": randomPad, "Gather": randomGather,
	"ReduceSum": randomReduction("ReduceSum"), "ReduceMean": randomReduction("ReduceMean"), "ReduceMax": randomReduction("ReduceMax"),
}

// between draws a whole number from lo to hi.
func between(r *rand.Rand, lo, hi int64) int64 { return lo + r.Int64N(hi-lo+1) }

// windowAttrs draws the geometry of a window over rank axes, and axes that it fits into.
func windowAttrs(r *rand.Rand, rank int, maxPad func(kernel int64) int64) (a emit.Attrs, kernel, dims []int64) {
	strides, dilations, begin, end := make([]int64, rank), make([]int64, rank), make([]int64, rank), make([]int64, rank)
	kernel, dims = make([]int64, rank), make([]int64, rank)
	for i := range rank {
		kernel[i], strides[i], dilations[i] = between(r, 1, 3), between(r, 1, 3), between(r, 1, 2)
		begin[i], end[i] = between(r, 0, maxPad(kernel[i])), between(r, 0, maxPad(kernel[i]))
		extent := (kernel[i]-1)*dilations[i] + 1
		dims[i] = between(r, max(extent-begin[i]-end[i], 1), extent+4)
	}
	return emit.Attrs{"strides": is(strides...), "dilations": is(dilations...), "pads": is(append(begin, end...)...)}, kernel, dims
}

func randomConv(r *rand.Rand) Case {
	rank := int(between(r, 1, 3))
	a, kernel, dims := windowAttrs(r, rank, func(k int64) int64 { return k })
	group, in, out := between(r, 1, 3), between(r, 1, 2), between(r, 1, 2)
	a["group"] = ia(group)
	args := []Arg{Tensor(append([]int64{between(r, 1, 3), group * in}, dims...)...), Tensor(append([]int64{group * out, in}, kernel...)...)}
	if r.IntN(2) == 0 {
		args = append(args, Tensor(group*out))
	}
	forms := []autodiff.Lowering{{}, {Data: autodiff.DataFlip, Weight: autodiff.WeightImages}, {Data: autodiff.DataTranspose, Weight: autodiff.WeightGemm}, {Weight: autodiff.WeightTaps}}
	return Case{Op: "Conv", Attrs: a, Args: args, DType: onnx.Float32, Lower: forms[r.IntN(3)]}
}

// randomBlockedConv has channels and images of whole blocks in most cases.
func randomBlockedConv(r *rand.Rand) Case {
	a, kernel, dims := windowAttrs(r, 2, func(k int64) int64 { return k })
	in, out, n := []int64{16, 32, 3, 20}[r.IntN(4)], []int64{16, 32}[r.IntN(2)], []int64{16, 32, 5}[r.IntN(3)]
	group := int64(1)
	switch r.IntN(6) {
	case 0, 1: // by channel
		in, group, n = out, out, between(r, 1, 4)
	case 2:
		in, group = []int64{16, 32}[r.IntN(2)], []int64{2, 4, 8}[r.IntN(3)]
	}
	args := []Arg{Tensor(append([]int64{n, in}, dims...)...), Tensor(append([]int64{out, in / group}, kernel...)...)}
	if r.IntN(2) == 0 {
		args = append(args, Tensor(out))
	}
	a["group"] = ia(group)
	forms := []autodiff.Lowering{{}, {Data: autodiff.DataWinograd, Weight: autodiff.WeightWinograd}}
	return Case{Op: "Conv", Attrs: a, Args: args, DType: onnx.Float32, Tol: 2e-4, Step: 0.5, blocked: true, kernels: r.IntN(3) == 0, Lower: forms[r.IntN(2)]}
}

func randomPool(op string) func(r *rand.Rand) Case {
	return func(r *rand.Rand) Case {
		a, kernel, dims := windowAttrs(r, 2, func(k int64) int64 { return k - 1 })
		delete(a, "dilations")
		for i := range dims {
			dims[i] = max(dims[i], kernel[i])
		}
		a["kernel_shape"] = is(kernel...)
		if r.IntN(3) == 0 {
			a["strides"], a["pads"] = is(kernel...), is(0, 0, 0, 0) // side by side
		}
		x := Tensor(append([]int64{2, 2}, dims...)...)
		if op == "AveragePool" {
			a["count_include_pad"] = ia(int64(r.IntN(2)))
			return Case{Op: op, Attrs: a, Args: []Arg{x}, DType: onnx.Float32}
		}
		c := Case{Op: op, Attrs: a, Args: []Arg{x.Drawn(distinct(int(4 * dims[0] * dims[1])))}, DType: onnx.Float32, Step: 0.02, Tol: 1e-3}
		if r.IntN(2) == 0 {
			c.Lower.Pool = autodiff.PoolScatter
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

func randomSlice(r *rand.Rand) Case {
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
	return Case{Op: "Slice", Args: []Arg{Tensor(dims...), ints(starts...), ints(ends...), ints(axes...), ints(steps...)}}
}

func randomPad(r *rand.Rand) Case {
	dims := randomDims(r)
	pads := make([]int64, 2*len(dims))
	for i, n := range dims {
		pads[i] = between(r, -(n-1)/2, 2)
		pads[len(dims)+i] = between(r, -(n-1)/2, 2)
	}
	var mode emit.Attrs
	if m := []string{"constant", "reflect", "edge", "wrap"}[r.IntN(4)]; m != "constant" {
		mode = emit.Attrs{"mode": sa(m)}
		for i, n := range dims { // reflect needs one element more than it pads with
			most := n + min(pads[i], 0) + min(pads[len(dims)+i], 0) - 1
			pads[i], pads[len(dims)+i] = min(pads[i], most), min(pads[len(dims)+i], most)
		}
	}
	return Case{Op: "Pad", Attrs: mode, Args: []Arg{Tensor(dims...), ints(pads...)}}
}

func randomGather(r *rand.Rand) Case {
	dims := randomDims(r)
	axis := between(r, 0, int64(len(dims))-1)
	shape := [][]int64{{}, {1}, {3}, {2, 2}}[r.IntN(4)]
	v := make([]int64, count(shape))
	for i := range v {
		v[i] = between(r, -dims[axis], dims[axis]-1)
	}
	if r.IntN(2) == 0 {
		axis -= int64(len(dims))
	}
	return Case{Op: "Gather", Attrs: emit.Attrs{"axis": ia(axis)}, Args: []Arg{Tensor(dims...), index(shape, v...)}}
}

func randomReduction(op string) func(r *rand.Rand) Case {
	return func(r *rand.Rand) Case {
		dims := randomDims(r)
		var axes []int64
		for _, axis := range r.Perm(len(dims))[:between(r, 1, int64(len(dims)))] {
			axes = append(axes, int64(axis)-int64(len(dims))*int64(r.IntN(2)))
		}
		x := Tensor(dims...).Drawn(distinct(int(count(dims))))
		return Case{Op: op, Attrs: emit.Attrs{"keepdims": ia(int64(r.IntN(2)))}, Args: []Arg{x, ints(axes...)}}
	}
}

func count(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return n
}
