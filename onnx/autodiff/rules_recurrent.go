package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// A recurrent operator's gradient recomputes the gates of all steps by one
// product from the sequence and the states that the operator gave, walks
// backward over the steps with a Scan that carries the states' adjoints, and
// then needs one product for each weight. Sequences are [T, N, I], states
// [D, N, H] of D directions, as ONNX defines LSTM, GRU and RNN; W, R and B hold
// the gates one behind the other.

// direction is one direction of a recurrent node.
type direction struct {
	*Node
	x, w, r string // [T, N, I], [G*H, I], [G*H, H]
	wb, rb  string // biases [G*H], "" where there are none
	h0, c0  string // [N, H]
	before  string // state before each step, [T, N, H]
	dy      string // adjoint of each step's state, "" if there is none
	dh, dc  string // adjoints of the last states, [N, H]
	size    int64  // H
	reverse bool
	act     []activation
	clip    float64 // of what goes into the gates, 0 for none
}

// directionGrads are the adjoints of one direction's weights and of its inputs.
type directionGrads struct{ x, w, r, wb, rb, h0, c0 string }

// activation is a function of a gate, its derivative given by its value.
type activation struct {
	value func(e *emit.Builder, z string) string
	slope func(e *emit.Builder, y string) string
}

// activations are those that PyTorch's modules have: y' of Sigmoid is y(1-y),
// of Tanh 1-y^2, of Relu 1 where y > 0.
var activations = map[string]activation{
	"Sigmoid": {
		func(e *emit.Builder, z string) string { return e.Emit("Sigmoid", nil, z) },
		func(e *emit.Builder, y string) string { return e.Mul(y, e.Sub(e.Number(1, y), y)) },
	},
	"Tanh": {
		func(e *emit.Builder, z string) string { return e.Emit("Tanh", nil, z) },
		func(e *emit.Builder, y string) string { return e.Sub(e.Number(1, y), e.Mul(y, y)) },
	},
	"Relu": {
		func(e *emit.Builder, z string) string { return e.Emit("Relu", nil, z) },
		func(e *emit.Builder, y string) string {
			return e.Cast(e.Emit("Greater", nil, y, e.Number(0, y)), e.DType(y))
		},
	},
}

// gradRecurrent checks the node, splits it by direction, and puts the
// directions' gradients together. byDefault are the activations of a direction.
func gradRecurrent(byDefault []string, one func(*direction) directionGrads) Rule {
	return func(n *Node) ([]string, error) {
		dirs, err := n.directions(byDefault)
		if err != nil {
			return nil, err
		}
		var all []directionGrads
		for _, d := range dirs {
			all = append(all, one(d))
		}
		stack := func(part func(directionGrads) string) string {
			var parts []string
			for _, g := range all {
				parts = append(parts, n.Emit("Unsqueeze", nil, part(g), n.Int64s(0)))
			}
			if len(parts) == 1 {
				return parts[0]
			}
			return n.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(0)}, parts...)
		}
		dx := make([]string, len(n.Inputs))
		for i, want := range n.Want {
			switch {
			case !want:
			case i == 0:
				var parts []string
				for _, g := range all {
					parts = append(parts, g.x)
				}
				dx[i] = emit.SumOf(n.Builder, parts)
			case i == 1:
				dx[i] = stack(func(g directionGrads) string { return g.w })
			case i == 2:
				dx[i] = stack(func(g directionGrads) string { return g.r })
			case i == 3:
				dx[i] = stack(func(g directionGrads) string {
					return n.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(0)}, g.wb, g.rb)
				})
			case i == 5:
				dx[i] = stack(func(g directionGrads) string { return g.h0 })
			case i == 6:
				dx[i] = stack(func(g directionGrads) string { return g.c0 })
			}
		}
		return dx, n.Err
	}
}

// directions takes a recurrent node apart.
func (n *Node) directions(byDefault []string) ([]*direction, error) {
	x, r := n.Shape(n.Input(0)), n.Shape(n.Input(2))
	switch {
	case n.Output(0) == "":
		return nil, fmt.Errorf("the output of all states is left out: %w", emit.ErrModel)
	case n.Input(4) != "":
		return nil, fmt.Errorf("sequences of different lengths have no gradient; train with sequences of one length: %w", ErrNoRule)
	case n.Input(7) != "":
		return nil, fmt.Errorf("peepholes have no gradient: %w", ErrNoRule)
	case n.Int("input_forget", 0) != 0:
		return nil, fmt.Errorf("coupled input and forget gates have no gradient: %w", ErrNoRule)
	case len(x) != 3 || !x[0].IsConst() || !x[2].IsConst():
		return nil, fmt.Errorf("sequences of shape %v, whose length and features must be fixed: %w", x, emit.ErrModel)
	case len(r) != 3 || !r.IsConst() || r[2].N < 1:
		return nil, fmt.Errorf("recurrent weights of shape %v: %w", r, emit.ErrModel)
	}
	count := r[0].N
	names := slices.Clone(n.Attrs["activations"].Strings)
	if len(names) == 0 {
		for range count {
			names = append(names, byDefault...)
		}
	}
	if len(names) != int(count)*len(byDefault) {
		return nil, fmt.Errorf("%d activations for %d directions: %w", len(names), count, emit.ErrModel)
	}
	var dirs []*direction
	for k := range count {
		d := &direction{Node: n, x: n.Input(0), size: r[2].N, clip: float64(n.Float("clip", 0))}
		d.reverse = k == 1 || n.Str("direction", "forward") == "reverse"
		for _, name := range names[int(k)*len(byDefault):][:len(byDefault)] {
			a, ok := activations[name]
			if !ok {
				return nil, fmt.Errorf("activation %q has no gradient: %w", name, ErrNoRule)
			}
			d.act = append(d.act, a)
		}
		d.take(k, count)
		dirs = append(dirs, d)
	}
	return dirs, n.Err
}

// take reads the k-th of count directions out of the node's inputs and outputs.
func (d *direction) take(k, count int64) {
	part := func(v string, axis int64) string {
		if v == "" {
			return ""
		}
		if count > 1 {
			v = d.Slice(v, []int64{k}, []int64{k + 1}, []int64{axis}, []int64{1})
		}
		return d.Emit("Squeeze", nil, v, d.Int64s(axis))
	}
	d.w, d.r = part(d.Input(1), 0), part(d.Input(2), 0)
	if b := part(d.Input(3), 0); b != "" {
		half := d.Shape(d.r)[0].N
		d.wb = d.Slice(b, []int64{0}, []int64{half}, []int64{0}, []int64{1})
		d.rb = d.Slice(b, []int64{half}, []int64{2 * half}, []int64{0}, []int64{1})
	}
	states := part(d.Outputs[0], 1)
	d.h0, d.c0 = part(d.Input(5), 0), part(d.Input(6), 0)
	zero := d.ZerosLike(d.Emit("Gather", emit.Attrs{"axis": onnx.IntAttr(0)}, states, d.Constant(onnx.FromInt64([]int64{0}))))
	adjoint := func(i int, axis int64) string {
		if i >= len(d.Node.Dy) {
			return ""
		}
		return part(d.Node.Dy[i], axis)
	}
	d.dy, d.dh, d.dc = adjoint(0, 1), adjoint(1, 0), adjoint(2, 0)
	for _, v := range []*string{&d.h0, &d.c0, &d.dh, &d.dc} {
		if *v == "" {
			*v = zero
		}
	}
	d.before = d.shifted(states, d.h0)
}

// shifted is the state before each step, from those after it and the first.
func (d *direction) shifted(states, first string) string {
	first = d.Emit("Unsqueeze", nil, first, d.Int64s(0))
	length := d.Shape(d.x)[0].N
	parts := []string{first, d.Slice(states, []int64{0}, []int64{length - 1}, []int64{0}, []int64{1})}
	if d.reverse {
		parts = []string{d.Slice(states, []int64{1}, []int64{length}, []int64{0}, []int64{1}), first}
	}
	if length == 1 {
		return first
	}
	return d.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(0)}, parts...)
}

// affine is v*m^T + b over the last axis.
func (d *direction) affine(v, m, b string) string {
	y := d.MatMul(v, d.SwapLast(m))
	if b != "" {
		y = d.Add(y, b)
	}
	return y
}

// gates cuts the last axis, and first, of what goes into gates, clips it.
func (d *direction) gates(z string, count int) []string {
	if d.clip > 0 {
		z = d.Emit("Clip", nil, z, d.Number(-d.clip, z), d.Number(d.clip, z))
	}
	return d.cut(z, count)
}

func (d *direction) cut(z string, count int) []string {
	if count == 1 {
		return []string{z}
	}
	sizes := make([]int64, count)
	for i := range sizes {
		sizes[i] = d.size
	}
	return slices.Clone(d.EmitN("Split", count, emit.Attrs{"axis": onnx.IntAttr(-1)}, z, d.Int64s(sizes...)))
}

// passed clears factors where what went into the gate was clipped.
func (d *direction) passed(factor, z string) string {
	if d.clip <= 0 {
		return factor
	}
	inside := d.Emit("Less", nil, d.Emit("Abs", nil, z), d.Number(d.clip, z))
	return d.Mul(factor, d.Cast(inside, d.DType(factor)))
}

// weights are the adjoints of W, R, B and x, from those of what the two
// products gave; the second may have multiplied another value than the state.
func (d *direction) weights(dzx, dzh string) directionGrads {
	g := directionGrads{w: d.outer(dzx, d.x), r: d.outer(dzh, d.before), wb: d.Sum(dzx, false, 0, 1), rb: d.Sum(dzh, false, 0, 1)}
	if d.Want[0] {
		g.x = d.MatMul(dzx, d.w)
	}
	return g
}

// outer is the sum over steps and samples of a^T*b.
func (d *direction) outer(a, b string) string {
	rows := func(v string) string { return d.Flat(v, -1, d.Shape(v)[2].N) }
	return d.Gemm(rows(a), rows(b), true, false, 1)
}

// H_t = f(z), z = W x_t + R H_(t-1) + b: dz = dH f'(H_t); dH_(t-1) = dz R.
func gradRNN(d *direction) directionGrads {
	z := d.Add(d.affine(d.x, d.w, d.wb), d.affine(d.before, d.r, d.rb))
	y := d.act[0].value(d.Builder, d.gates(z, 1)[0])
	slope := d.passed(d.act[0].slope(d.Builder, y), z)
	out := d.backwards([]string{d.dh}, []string{slope}, func(s, e []string, dy string) ([]string, []string) {
		dz := d.Mul(d.plus(s[0], dy), e[0])
		return []string{d.MatMul(dz, d.r)}, []string{dz}
	})
	g := d.weights(out[1], out[1])
	g.h0 = out[0]
	return g
}

// plus adds an adjoint that may be absent.
func (d *direction) plus(v, dy string) string {
	if dy == "" {
		return v
	}
	return d.Add(v, dy)
}

// backwards walks the steps from the last to the first, giving the body the
// adjoint of each step's state, "" where there is none.
func (d *direction) backwards(states, seqs []string, body func(states, elements []string, dy string) (next, stacked []string)) []string {
	if d.dy != "" {
		seqs = append(seqs, d.dy)
	}
	return d.Scan(!d.reverse, states, seqs, func(s, e []string) ([]string, []string) {
		dy := ""
		if d.dy != "" {
			dy = e[len(e)-1]
		}
		return body(s, e, dy)
	})
}

// With gates i, o, f, c of z = W x_t + R H_(t-1) + b: C_t = f C_(t-1) + i c,
// H_t = o h(C_t). Of dH and dC: dC += dH o h'(C_t); dz = (dC c i', dH h(C_t) o',
// dC C_(t-1) f', dC i c'); dH_(t-1) = dz R, dC_(t-1) = dC f.
func gradLSTM(d *direction) directionGrads {
	z := d.Add(d.affine(d.x, d.w, d.wb), d.affine(d.before, d.r, d.rb))
	gate := d.gates(z, 4)
	for k, a := range []int{0, 0, 0, 1} {
		gate[k] = d.act[a].value(d.Builder, gate[k])
	}
	i, o, f, c := gate[0], gate[1], gate[2], gate[3]
	cells := d.Scan(d.reverse, []string{d.c0}, []string{f, d.Mul(i, c)}, func(s, e []string) ([]string, []string) {
		next := d.Add(d.Mul(s[0], e[0]), e[1])
		return []string{next}, []string{d.Emit("Identity", nil, next)}
	})[1]
	before := d.shifted(cells, d.c0)
	h := d.act[2].value(d.Builder, cells)
	slope := func(k, a int) string { return d.act[a].slope(d.Builder, gate[k]) }
	factor := d.passed(d.Join(d.Mul(c, slope(0, 0)), d.Mul(h, slope(1, 0)), d.Mul(before, slope(2, 0)), d.Mul(i, slope(3, 1))), z)
	toCell := d.Mul(o, d.act[2].slope(d.Builder, h))
	out := d.backwards([]string{d.dh, d.dc}, []string{factor, toCell, f}, func(s, e []string, dy string) ([]string, []string) {
		dh := d.plus(s[0], dy)
		dc := d.Add(s[1], d.Mul(dh, e[1]))
		dz := d.Mul(d.Join(dc, dh, dc, dc), e[0])
		return []string{d.MatMul(dz, d.r), d.Mul(dc, e[2])}, []string{dz}
	})
	g := d.weights(out[2], out[2])
	g.h0, g.c0 = out[0], out[1]
	return g
}

// With gates z, r of z = W x_t + R H_(t-1) + b and the candidate
// c = g(W x_t + b + r (R H_(t-1) + b')), or before the reset
// c = g(W x_t + b + R (r H_(t-1)) + b'): H_t = (1-z) c + z H_(t-1). Of dH:
// dz = dH (H_(t-1) - c) z', dc = dH (1-z) g'; the rest below.
func gradGRU(d *direction) directionGrads {
	if d.Int("linear_before_reset", 0) == 0 {
		return gradGRUReset(d)
	}
	x, h := d.affine(d.x, d.w, d.wb), d.affine(d.before, d.r, d.rb)
	hs := d.cut(h, 3)
	two := func(v string) string { return d.Slice(v, []int64{0}, []int64{2 * d.size}, []int64{2}, []int64{1}) }
	zrIn := d.Add(two(x), two(h))
	zr := d.gates(zrIn, 2)
	z, r := d.act[0].value(d.Builder, zr[0]), d.act[0].value(d.Builder, zr[1])
	cIn := d.Add(d.cut(x, 3)[2], d.Mul(r, hs[2]))
	c := d.act[1].value(d.Builder, d.gates(cIn, 1)[0])
	// dr = dc (R H + b') r', and R H + b' gets dc r: all are dH times a factor.
	kc := d.passed(d.Mul(d.Sub(d.Number(1, z), z), d.act[1].slope(d.Builder, c)), cIn)
	kz := d.Mul(d.Sub(d.before, c), d.act[0].slope(d.Builder, z))
	kr := d.Mul(d.Mul(kc, hs[2]), d.act[0].slope(d.Builder, r))
	kzr := d.passed(d.Join(kz, kr), zrIn)
	kh := d.Join(kzr, d.Mul(kc, r))
	out := d.backwards([]string{d.dh}, []string{kh, z}, func(s, e []string, dy string) ([]string, []string) {
		dh := d.plus(s[0], dy)
		dz := d.Mul(d.Join(dh, dh, dh), e[0])
		return []string{d.Add(d.MatMul(dz, d.r), d.Mul(dh, e[1]))}, []string{dz, d.Emit("Identity", nil, dh)}
	})
	dzh, dh := out[1], out[2]
	g := d.weights(d.Join(two(dzh), d.Mul(dh, kc)), dzh)
	g.h0 = out[0]
	return g
}

// The other candidate: with m = dc R the adjoint of r H_(t-1), dr = m H_(t-1) r',
// and H_(t-1) gets m r.
func gradGRUReset(d *direction) directionGrads {
	rows := func(v string, from, to int64) string {
		if v == "" {
			return ""
		}
		return d.Slice(v, []int64{from * d.size}, []int64{to * d.size}, []int64{0}, []int64{1})
	}
	x := d.affine(d.x, d.w, d.wb)
	rzr, rc := rows(d.r, 0, 2), rows(d.r, 2, 3)
	zrIn := d.Add(d.Slice(x, []int64{0}, []int64{2 * d.size}, []int64{2}, []int64{1}), d.affine(d.before, rzr, rows(d.rb, 0, 2)))
	zr := d.gates(zrIn, 2)
	z, r := d.act[0].value(d.Builder, zr[0]), d.act[0].value(d.Builder, zr[1])
	reset := d.Mul(r, d.before)
	cIn := d.Add(d.cut(x, 3)[2], d.affine(reset, rc, rows(d.rb, 2, 3)))
	c := d.act[1].value(d.Builder, d.gates(cIn, 1)[0])
	kc := d.passed(d.Mul(d.Sub(d.Number(1, z), z), d.act[1].slope(d.Builder, c)), cIn)
	k := d.cut(d.passed(d.Join(d.Mul(d.Sub(d.before, c), d.act[0].slope(d.Builder, z)), d.Mul(d.before, d.act[0].slope(d.Builder, r))), zrIn), 2)
	out := d.backwards([]string{d.dh}, []string{k[0], k[1], kc, z, r}, func(s, e []string, dy string) ([]string, []string) {
		dh := d.plus(s[0], dy)
		dc := d.Mul(dh, e[2])
		m := d.MatMul(dc, rc)
		dzr := d.Join(d.Mul(dh, e[0]), d.Mul(m, e[1]))
		past := d.Add(d.Mul(dh, e[3]), d.Mul(m, e[4]))
		return []string{d.Add(past, d.MatMul(dzr, rzr))}, []string{d.Join(dzr, dc)}
	})
	dz := out[1]
	g := d.weights(dz, dz)
	part := d.EmitN("Split", 2, emit.Attrs{"axis": onnx.IntAttr(-1)}, dz, d.Int64s(2*d.size, d.size))
	g.r = d.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(0)}, d.outer(part[0], d.before), d.outer(part[1], reset))
	g.h0 = out[0]
	return g
}
