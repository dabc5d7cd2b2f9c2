package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
)

// A recurrent operator's gradient recomputes the gates of all steps by one
// product from the sequence and the states that the operator gave, walks
// backward over the steps with a Scan that carries the states' adjoints, and
// then needs one product for each weight. Sequences are [T, N, I], states
// [D, N, H] of D directions, as ONNX defines LSTM, GRU and RNN; W, R and B hold
// the gates one behind the other.

// direction is one direction of a recurrent node.
type direction struct {
	*node
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
	value func(e *emitter, z string) string
	slope func(e *emitter, y string) string
}

// activations are those that PyTorch's modules have: y' of Sigmoid is y(1-y),
// of Tanh 1-y^2, of Relu 1 where y > 0.
var activations = map[string]activation{
	"Sigmoid": {
		func(e *emitter, z string) string { return e.op("Sigmoid", nil, z) },
		func(e *emitter, y string) string { return e.mul(y, e.sub(e.number(1, y), y)) },
	},
	"Tanh": {
		func(e *emitter, z string) string { return e.op("Tanh", nil, z) },
		func(e *emitter, y string) string { return e.sub(e.number(1, y), e.mul(y, y)) },
	},
	"Relu": {
		func(e *emitter, z string) string { return e.op("Relu", nil, z) },
		func(e *emitter, y string) string { return e.cast(e.op("Greater", nil, y, e.number(0, y)), e.dtype(y)) },
	},
}

// gradRecurrent checks the node, splits it by direction, and puts the
// directions' gradients together. byDefault are the activations of a direction.
func gradRecurrent(byDefault []string, one func(*direction) directionGrads) rule {
	return func(n *node) ([]string, error) {
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
				parts = append(parts, n.op("Unsqueeze", nil, part(g), n.ints(0)))
			}
			if len(parts) == 1 {
				return parts[0]
			}
			return n.op("Concat", attrs{"axis": onnx.IntAttr(0)}, parts...)
		}
		dx := make([]string, len(n.Inputs))
		for i, want := range n.want {
			switch {
			case !want:
			case i == 0:
				var parts []string
				for _, g := range all {
					parts = append(parts, g.x)
				}
				dx[i] = accumulate(n.emitter, parts)
			case i == 1:
				dx[i] = stack(func(g directionGrads) string { return g.w })
			case i == 2:
				dx[i] = stack(func(g directionGrads) string { return g.r })
			case i == 3:
				dx[i] = stack(func(g directionGrads) string {
					return n.op("Concat", attrs{"axis": onnx.IntAttr(0)}, g.wb, g.rb)
				})
			case i == 5:
				dx[i] = stack(func(g directionGrads) string { return g.h0 })
			case i == 6:
				dx[i] = stack(func(g directionGrads) string { return g.c0 })
			}
		}
		return dx, n.err
	}
}

// directions takes a recurrent node apart.
func (n *node) directions(byDefault []string) ([]*direction, error) {
	x, r := n.shape(n.Input(0)), n.shape(n.Input(2))
	switch {
	case n.Output(0) == "":
		return nil, fmt.Errorf("the output of all states is left out: %w", ErrModel)
	case n.Input(4) != "":
		return nil, fmt.Errorf("sequences of different lengths have no gradient; train with sequences of one length: %w", ErrNoRule)
	case n.Input(7) != "":
		return nil, fmt.Errorf("peepholes have no gradient: %w", ErrNoRule)
	case n.Int("input_forget", 0) != 0:
		return nil, fmt.Errorf("coupled input and forget gates have no gradient: %w", ErrNoRule)
	case len(x) != 3 || !x[0].IsConst() || !x[2].IsConst():
		return nil, fmt.Errorf("sequences of shape %v, whose length and features must be fixed: %w", x, ErrModel)
	case len(r) != 3 || !r.IsConst() || r[2].N < 1:
		return nil, fmt.Errorf("recurrent weights of shape %v: %w", r, ErrModel)
	}
	count := r[0].N
	names := slices.Clone(n.Attrs["activations"].Strings)
	if len(names) == 0 {
		for range count {
			names = append(names, byDefault...)
		}
	}
	if len(names) != int(count)*len(byDefault) {
		return nil, fmt.Errorf("%d activations for %d directions: %w", len(names), count, ErrModel)
	}
	var dirs []*direction
	for k := range count {
		d := &direction{node: n, x: n.Input(0), size: r[2].N, clip: float64(n.Float("clip", 0))}
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
	return dirs, n.err
}

// take reads the k-th of count directions out of the node's inputs and outputs.
func (d *direction) take(k, count int64) {
	part := func(v string, axis int64) string {
		if v == "" {
			return ""
		}
		if count > 1 {
			v = d.slice(v, []int64{k}, []int64{k + 1}, []int64{axis}, []int64{1})
		}
		return d.op("Squeeze", nil, v, d.ints(axis))
	}
	d.w, d.r = part(d.Input(1), 0), part(d.Input(2), 0)
	if b := part(d.Input(3), 0); b != "" {
		half := d.shape(d.r)[0].N
		d.wb = d.slice(b, []int64{0}, []int64{half}, []int64{0}, []int64{1})
		d.rb = d.slice(b, []int64{half}, []int64{2 * half}, []int64{0}, []int64{1})
	}
	states := part(d.Outputs[0], 1)
	d.h0, d.c0 = part(d.Input(5), 0), part(d.Input(6), 0)
	zero := d.zerosLike(d.op("Gather", attrs{"axis": onnx.IntAttr(0)}, states, d.constant(onnx.FromInt64([]int64{0}))))
	adjoint := func(i int, axis int64) string {
		if i >= len(d.node.dy) {
			return ""
		}
		return part(d.node.dy[i], axis)
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
	first = d.op("Unsqueeze", nil, first, d.ints(0))
	length := d.shape(d.x)[0].N
	parts := []string{first, d.slice(states, []int64{0}, []int64{length - 1}, []int64{0}, []int64{1})}
	if d.reverse {
		parts = []string{d.slice(states, []int64{1}, []int64{length}, []int64{0}, []int64{1}), first}
	}
	if length == 1 {
		return first
	}
	return d.op("Concat", attrs{"axis": onnx.IntAttr(0)}, parts...)
}

// affine is v*m^T + b over the last axis.
func (d *direction) affine(v, m, b string) string {
	y := d.matmul(v, d.swapLast(m))
	if b != "" {
		y = d.addOp(y, b)
	}
	return y
}

// gates cuts the last axis, and first, of what goes into gates, clips it.
func (d *direction) gates(z string, count int) []string {
	if d.clip > 0 {
		z = d.op("Clip", nil, z, d.number(-d.clip, z), d.number(d.clip, z))
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
	return slices.Clone(d.ops("Split", count, attrs{"axis": onnx.IntAttr(-1)}, z, d.ints(sizes...)))
}

// join puts values one behind the other along the last axis.
func (e *emitter) join(parts ...string) string {
	return e.op("Concat", attrs{"axis": onnx.IntAttr(-1)}, parts...)
}

// passed clears factors where what went into the gate was clipped.
func (d *direction) passed(factor, z string) string {
	if d.clip <= 0 {
		return factor
	}
	inside := d.op("Less", nil, d.op("Abs", nil, z), d.number(d.clip, z))
	return d.mul(factor, d.cast(inside, d.dtype(factor)))
}

// weights are the adjoints of W, R, B and x, from those of what the two
// products gave; the second may have multiplied another value than the state.
func (d *direction) weights(dzx, dzh string) directionGrads {
	g := directionGrads{w: d.outer(dzx, d.x), r: d.outer(dzh, d.before), wb: d.sum(dzx, false, 0, 1), rb: d.sum(dzh, false, 0, 1)}
	if d.want[0] {
		g.x = d.matmul(dzx, d.w)
	}
	return g
}

// outer is the sum over steps and samples of a^T*b.
func (d *direction) outer(a, b string) string {
	rows := func(v string) string { return d.flat(v, -1, d.shape(v)[2].N) }
	return d.gemm(rows(a), rows(b), true, false, 1)
}

// H_t = f(z), z = W x_t + R H_(t-1) + b: dz = dH f'(H_t); dH_(t-1) = dz R.
func gradRNN(d *direction) directionGrads {
	z := d.addOp(d.affine(d.x, d.w, d.wb), d.affine(d.before, d.r, d.rb))
	y := d.act[0].value(d.emitter, d.gates(z, 1)[0])
	slope := d.passed(d.act[0].slope(d.emitter, y), z)
	out := d.backwards([]string{d.dh}, []string{slope}, func(s, e []string, dy string) ([]string, []string) {
		dz := d.mul(d.plus(s[0], dy), e[0])
		return []string{d.matmul(dz, d.r)}, []string{dz}
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
	return d.addOp(v, dy)
}

// backwards walks the steps from the last to the first, giving the body the
// adjoint of each step's state, "" where there is none.
func (d *direction) backwards(states, seqs []string, body func(states, elements []string, dy string) (next, stacked []string)) []string {
	if d.dy != "" {
		seqs = append(seqs, d.dy)
	}
	return d.scan(!d.reverse, states, seqs, func(s, e []string) ([]string, []string) {
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
	z := d.addOp(d.affine(d.x, d.w, d.wb), d.affine(d.before, d.r, d.rb))
	gate := d.gates(z, 4)
	for k, a := range []int{0, 0, 0, 1} {
		gate[k] = d.act[a].value(d.emitter, gate[k])
	}
	i, o, f, c := gate[0], gate[1], gate[2], gate[3]
	cells := d.scan(d.reverse, []string{d.c0}, []string{f, d.mul(i, c)}, func(s, e []string) ([]string, []string) {
		next := d.addOp(d.mul(s[0], e[0]), e[1])
		return []string{next}, []string{d.op("Identity", nil, next)}
	})[1]
	before := d.shifted(cells, d.c0)
	h := d.act[2].value(d.emitter, cells)
	slope := func(k, a int) string { return d.act[a].slope(d.emitter, gate[k]) }
	factor := d.passed(d.join(d.mul(c, slope(0, 0)), d.mul(h, slope(1, 0)), d.mul(before, slope(2, 0)), d.mul(i, slope(3, 1))), z)
	toCell := d.mul(o, d.act[2].slope(d.emitter, h))
	out := d.backwards([]string{d.dh, d.dc}, []string{factor, toCell, f}, func(s, e []string, dy string) ([]string, []string) {
		dh := d.plus(s[0], dy)
		dc := d.addOp(s[1], d.mul(dh, e[1]))
		dz := d.mul(d.join(dc, dh, dc, dc), e[0])
		return []string{d.matmul(dz, d.r), d.mul(dc, e[2])}, []string{dz}
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
	two := func(v string) string { return d.slice(v, []int64{0}, []int64{2 * d.size}, []int64{2}, []int64{1}) }
	zrIn := d.addOp(two(x), two(h))
	zr := d.gates(zrIn, 2)
	z, r := d.act[0].value(d.emitter, zr[0]), d.act[0].value(d.emitter, zr[1])
	cIn := d.addOp(d.cut(x, 3)[2], d.mul(r, hs[2]))
	c := d.act[1].value(d.emitter, d.gates(cIn, 1)[0])
	// dr = dc (R H + b') r', and R H + b' gets dc r: all are dH times a factor.
	kc := d.passed(d.mul(d.sub(d.number(1, z), z), d.act[1].slope(d.emitter, c)), cIn)
	kz := d.mul(d.sub(d.before, c), d.act[0].slope(d.emitter, z))
	kr := d.mul(d.mul(kc, hs[2]), d.act[0].slope(d.emitter, r))
	kzr := d.passed(d.join(kz, kr), zrIn)
	kh := d.join(kzr, d.mul(kc, r))
	out := d.backwards([]string{d.dh}, []string{kh, z}, func(s, e []string, dy string) ([]string, []string) {
		dh := d.plus(s[0], dy)
		dz := d.mul(d.join(dh, dh, dh), e[0])
		return []string{d.addOp(d.matmul(dz, d.r), d.mul(dh, e[1]))}, []string{dz, d.op("Identity", nil, dh)}
	})
	dzh, dh := out[1], out[2]
	g := d.weights(d.join(two(dzh), d.mul(dh, kc)), dzh)
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
		return d.slice(v, []int64{from * d.size}, []int64{to * d.size}, []int64{0}, []int64{1})
	}
	x := d.affine(d.x, d.w, d.wb)
	rzr, rc := rows(d.r, 0, 2), rows(d.r, 2, 3)
	zrIn := d.addOp(d.slice(x, []int64{0}, []int64{2 * d.size}, []int64{2}, []int64{1}), d.affine(d.before, rzr, rows(d.rb, 0, 2)))
	zr := d.gates(zrIn, 2)
	z, r := d.act[0].value(d.emitter, zr[0]), d.act[0].value(d.emitter, zr[1])
	reset := d.mul(r, d.before)
	cIn := d.addOp(d.cut(x, 3)[2], d.affine(reset, rc, rows(d.rb, 2, 3)))
	c := d.act[1].value(d.emitter, d.gates(cIn, 1)[0])
	kc := d.passed(d.mul(d.sub(d.number(1, z), z), d.act[1].slope(d.emitter, c)), cIn)
	k := d.cut(d.passed(d.join(d.mul(d.sub(d.before, c), d.act[0].slope(d.emitter, z)), d.mul(d.before, d.act[0].slope(d.emitter, r))), zrIn), 2)
	out := d.backwards([]string{d.dh}, []string{k[0], k[1], kc, z, r}, func(s, e []string, dy string) ([]string, []string) {
		dh := d.plus(s[0], dy)
		dc := d.mul(dh, e[2])
		m := d.matmul(dc, rc)
		dzr := d.join(d.mul(dh, e[0]), d.mul(m, e[1]))
		past := d.addOp(d.mul(dh, e[3]), d.mul(m, e[4]))
		return []string{d.addOp(past, d.matmul(dzr, rzr))}, []string{d.join(dzr, dc)}
	})
	dz := out[1]
	g := d.weights(dz, dz)
	part := d.ops("Split", 2, attrs{"axis": onnx.IntAttr(-1)}, dz, d.ints(2*d.size, d.size))
	g.r = d.op("Concat", attrs{"axis": onnx.IntAttr(0)}, d.outer(part[0], d.before), d.outer(part[1], reset))
	g.h0 = out[0]
	return g
}
