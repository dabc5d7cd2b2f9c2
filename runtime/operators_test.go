package runtime

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/missing"
)

// conv3x3 is a convolution, in float64 and ONNX's own order.
type conv3x3 struct {
	images, in, out, h, w int
	pads                  [4]int
	block                 int
}

func (c conv3x3) oh() int { return c.h + c.pads[0] + c.pads[2] - 2 }
func (c conv3x3) ow() int { return c.w + c.pads[1] + c.pads[3] - 2 }

// each calls f for every product of a convolution: places in x, filter and y.
func (c conv3x3) each(f func(x, filter, y int)) {
	for n := range c.images {
		for k := range c.out {
			for row := range c.oh() {
				for column := range c.ow() {
					for channel := range c.in {
						for tap := range 9 {
							r, q := row+tap/3-c.pads[0], column+tap%3-c.pads[1]
							if r >= 0 && r < c.h && q >= 0 && q < c.w {
								f(((n*c.in+channel)*c.h+r)*c.w+q, (k*c.in+channel)*9+tap, ((n*c.out+k)*c.oh()+row)*c.ow()+column)
							}
						}
					}
				}
			}
		}
	}
}

// inBlocks moves images [n, channels, area] into blocks of channels, or back.
func inBlocks(v []float32, channels, area, block int, back bool) []float32 {
	out := make([]float32, len(v))
	for i := range v {
		n, c, at := i/(channels*area), i/area%channels, i%area
		j := ((n*channels/block+c/block)*area+at)*block + c%block
		if back {
			out[i] = v[j]
		} else {
			out[j] = v[i]
		}
	}
	return out
}

func drawn(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// far is the distance of got from want, of want's own length.
func far(got []float32, want []float64) float64 {
	var apart, all float64
	for i, w := range want {
		apart += (float64(got[i]) - w) * (float64(got[i]) - w)
		all += w * w
	}
	return math.Sqrt(apart / all)
}

// winnowNode is the file of a graph with one operator of the domain winnow.
func winnowNode(op string, inputs, outputs int, attributes map[string][]int64, more ...[]byte) []byte {
	return node("winnow", op, inputs, outputs, attributes, more...)
}

// node is the file of a graph with one operator; more are attributes as a file has them.
func node(domain, op string, inputs, outputs int, attributes map[string][]int64, more ...[]byte) []byte {
	var names []string
	var values []byte
	for i := range inputs {
		names = append(names, nodesInput(i))
		values = append(values, valueOf(11, nodesInput(i), Float32)...)
	}
	var body []byte
	for _, in := range names {
		body = append(body, message(1, []byte(in))...)
	}
	for i := range outputs {
		body = append(body, message(2, []byte(nodesOutput(i)))...)
		values = append(values, valueOf(12, nodesOutput(i), Float32)...)
	}
	body = slices.Concat(body, message(4, []byte(op)), message(7, []byte(domain)))
	for name, v := range attributes {
		a := message(1, []byte(name))
		if len(v) == 1 {
			a = slices.Concat(a, number(3, uint64(v[0])), number(20, 2))
		} else {
			for _, x := range v {
				a = append(a, number(8, uint64(x))...)
			}
			a = append(a, number(20, 7)...)
		}
		body = append(body, message(5, a)...)
	}
	for _, a := range more {
		body = append(body, message(5, a)...)
	}
	return nodesFile(domain, slices.Concat(message(1, body), values))
}

// intsAttribute is an attribute that is a list, of one number too.
func intsAttribute(name string, v ...int64) []byte {
	a := message(1, []byte(name))
	for _, x := range v {
		a = append(a, number(8, uint64(x))...)
	}
	return append(a, number(20, 7)...)
}

// anyThreads checks cases on one thread and on three, and wants the same bits of both.
func anyThreads[C any](t *testing.T, cases []C, check func(*testing.T, *Device, C) []float32) {
	t.Helper()
	bits := map[string][]float32{} // of one thread
	for _, threads := range []int{1, 3} {
		d := kernelDevice(t, threads)
		for _, c := range cases {
			key := fmt.Sprintf("%+v", c)
			t.Run(fmt.Sprintf("%s, %d threads", key, threads), func(t *testing.T) {
				got := check(t, d, c)
				if threads == 1 {
					bits[key] = got
				} else if !slices.Equal(got, bits[key]) {
					t.Error("another number of threads gives other bits")
				}
			})
		}
	}
}

// floatAttribute is an attribute that is a float.
func floatAttribute(name string, v float32) []byte {
	a := protowire.AppendTag(message(1, []byte(name)), 2, protowire.Fixed32Type)
	return append(protowire.AppendFixed32(a, math.Float32bits(v)), number(20, 1)...)
}

// runNode runs a graph of one operator over operands of shapes, and gives results of shapes.
func runNode(t *testing.T, d *Device, model []byte, shapes, results [][]int64, operands ...[]float32) ([][]float32, error) {
	t.Helper()
	var in, out []Slot
	var data [][]byte
	for i, v := range operands {
		in, data = append(in, Slot{Name: nodesInput(i), DType: Float32, Shape: shapes[i]}), append(data, bytesOf(v...))
	}
	for i, shape := range results {
		out = append(out, Slot{Name: nodesOutput(i), DType: Float32, Shape: shape})
	}
	f, err := d.NewFunction(model, in, out)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := f.Run(data...)
	var got [][]float32
	for _, o := range raw {
		got = append(got, slices.Clone(as[float32](o)))
	}
	return got, err
}

// within wants each element within limit of what it should be, of numbers above 1 relative to them.
func within(t *testing.T, what string, got []float32, want []float64, limit float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= limit*max(1, math.Abs(w))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], w)
		}
	}
}

// kernelDevice is a CPU that runs the operators.
func kernelDevice(t *testing.T, threads int) *Device {
	t.Helper()
	d := device(t, Options{Device: "cpu", Threads: threads})
	if !d.Kernels() {
		missing.Skip(t, "the operators need a processor with AVX2")
	}
	return d
}

// The operators give what the definition of a convolution gives, in float64,
// and its gradients, whatever the shape, the block and the number of threads.
func TestOperatorsOfConvolutions(t *testing.T) {
	shapes := []conv3x3{
		{images: 3, in: 16, out: 24, h: 9, w: 13, pads: [4]int{1, 1, 1, 1}, block: 8},
		{images: 2, in: 8, out: 40, h: 5, w: 4, pads: [4]int{0, 0, 0, 0}, block: 8},
		{images: 1, in: 24, out: 8, h: 1, w: 1, pads: [4]int{1, 1, 1, 1}, block: 8},
		{images: 2, in: 16, out: 16, h: 3, w: 50, pads: [4]int{2, 0, 1, 2}, block: 8},
		{images: 1, in: 72, out: 136, h: 6, w: 7, pads: [4]int{1, 2, 0, 1}, block: 8},
		{images: 60, in: 64, out: 64, h: 4, w: 4, pads: [4]int{1, 1, 1, 1}, block: 8},
		{images: 40, in: 8, out: 8, h: 12, w: 12, pads: [4]int{1, 1, 1, 1}, block: 8},
		{images: 3, in: 32, out: 48, h: 8, w: 9, pads: [4]int{1, 1, 1, 1}, block: 16},
		{images: 2, in: 128, out: 144, h: 4, w: 5, pads: [4]int{1, 1, 1, 1}, block: 16},
	}
	anyThreads(t, shapes, checkConv3x3)
}

func checkConv3x3(t *testing.T, d *Device, s conv3x3) (all []float32) {
	const limit = 2e-6 // of float32, by norm: 0.4 to 1.1e-6 was measured
	r := rand.New(rand.NewPCG(1, uint64(s.in)))
	x, filter, dy, bias := drawn(r, s.images*s.in*s.h*s.w), drawn(r, s.out*s.in*9), drawn(r, s.images*s.out*s.oh()*s.ow()), drawn(r, s.out)
	y, dx, dw := make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(filter))
	for i := range y {
		y[i] = float64(bias[i/(s.oh()*s.ow())%s.out])
	}
	s.each(func(i, w, o int) {
		y[o] += float64(x[i]) * float64(filter[w])
		dx[i] += float64(dy[o]) * float64(filter[w])
		dw[w] += float64(x[i]) * float64(dy[o])
	})
	image, result := []int64{int64(s.images), int64(s.in), int64(s.h), int64(s.w)}, []int64{int64(s.images), int64(s.out), int64(s.oh()), int64(s.ow())}
	taps := []int64{int64(s.out), int64(s.in), 3, 3}
	inside, outside := inBlocks(x, s.in, s.h*s.w, s.block, false), inBlocks(dy, s.out, s.oh()*s.ow(), s.block, false)
	run := func(op string, attributes map[string][]int64, shape []int64, shapes [][]int64, operands ...[]float32) []float32 {
		t.Helper()
		attributes["block"] = []int64{int64(s.block)}
		out, err := runNode(t, d, winnowNode(op, len(operands), 1, attributes), shapes, [][]int64{shape}, operands...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out[0]...)
		return out[0]
	}
	pads := func(p [4]int) []int64 { return []int64{int64(p[0]), int64(p[1]), int64(p[2]), int64(p[3])} }
	got := run("Conv3x3", map[string][]int64{"pads": pads(s.pads), "turned": {0}}, result, [][]int64{image, taps, {int64(s.out)}}, inside, filter, bias)
	if e := far(inBlocks(got, s.out, s.oh()*s.ow(), s.block, true), y); !(e < limit) {
		t.Errorf("the convolution is off by %.1e", e)
	}
	back := [4]int{2 - s.pads[0], 2 - s.pads[1], 2 - s.pads[2], 2 - s.pads[3]}
	got = run("Conv3x3", map[string][]int64{"pads": pads(back), "turned": {1}}, image, [][]int64{result, taps}, outside, filter)
	if e := far(inBlocks(got, s.in, s.h*s.w, s.block, true), dx); !(e < limit) {
		t.Errorf("its data gradient is off by %.1e", e)
	}
	got = run("Conv3x3Filter", map[string][]int64{"pads": pads(s.pads)}, taps, [][]int64{image, result}, inside, outside)
	if e := far(got, dw); !(e < limit) {
		t.Errorf("its filter's gradient is off by %.1e", e)
	}
	return all
}

// Operands that do not fit are an error of the graph, not a fault.
func TestOperatorsRefuse(t *testing.T) {
	d := kernelDevice(t, 1)
	type shapes = [][]int64
	for name, c := range map[string]struct {
		op         string
		operands   shapes
		attributes map[string][]int64
		want       string
	}{
		"half a block":         {"Conv3x3", shapes{{1, 12, 4, 4}, {8, 12, 3, 3}}, map[string][]int64{"pads": {1, 1, 1, 1}, "block": {8}, "turned": {0}}, "do not fit"},
		"a filter of 1x1":      {"Conv3x3", shapes{{1, 8, 4, 4}, {8, 8, 1, 1}}, map[string][]int64{"pads": {1, 1, 1, 1}, "block": {8}, "turned": {0}}, "do not fit"},
		"other channels":       {"Conv3x3", shapes{{1, 8, 4, 4}, {8, 16, 3, 3}}, map[string][]int64{"pads": {1, 1, 1, 1}, "block": {8}, "turned": {0}}, "do not fit"},
		"no pixels left":       {"Conv3x3", shapes{{1, 8, 2, 4}, {8, 8, 3, 3}}, map[string][]int64{"pads": {0, 0, 0, 0}, "block": {8}, "turned": {0}}, "do not fit"},
		"a bias too long":      {"Conv3x3", shapes{{1, 8, 4, 4}, {8, 8, 3, 3}, {16}}, map[string][]int64{"pads": {1, 1, 1, 1}, "block": {8}, "turned": {0}}, "do not fit"},
		"wide padding":         {"Conv3x3", shapes{{1, 8, 4, 4}, {8, 8, 3, 3}}, map[string][]int64{"pads": {3, 1, 1, 1}, "block": {8}, "turned": {0}}, "pads: want"},
		"a block of 4":         {"Conv3x3", shapes{{1, 8, 4, 4}, {8, 8, 3, 3}}, map[string][]int64{"pads": {1, 1, 1, 1}, "block": {4}, "turned": {0}}, "block: want"},
		"no attributes":        {"Conv3x3", shapes{{1, 8, 4, 4}, {8, 8, 3, 3}}, map[string][]int64{}, "block"},
		"three dimensions":     {"Conv3x3", shapes{{8, 4, 4}, {8, 8, 3, 3}}, map[string][]int64{"pads": {1, 1, 1, 1}, "block": {8}, "turned": {0}}, "another rank"},
		"an adjoint too large": {"Conv3x3Filter", shapes{{1, 8, 4, 4}, {1, 8, 5, 4}}, map[string][]int64{"pads": {1, 1, 1, 1}, "block": {8}}, "do not fit"},
		"another mean":         {"Affine", shapes{{1, 8, 4, 4}, {16}, {8}, {8}}, map[string][]int64{"block": {8}, "relu": {0}}, "number of channels"},
		"more images":          {"Affine", shapes{{1, 8, 4, 4}, {8}, {8}, {8}, {2, 8, 4, 4}}, map[string][]int64{"block": {8}, "relu": {0}}, "another shape"},
		"blocks cut":           {"Affine", shapes{{1, 4, 4, 4}, {4}, {4}, {4}}, map[string][]int64{"block": {8}, "relu": {0}}, "whole blocks"},
		"no windows":           {"MaxPoolGrad", shapes{{1, 8, 2, 2}, {1, 8, 4, 4}, {1, 8, 2, 2}}, map[string][]int64{"window": {0, 2, 2, 2, 1, 1, 0, 0}, "block": {8}}, "window: want"},
		"six numbers":          {"MaxPoolGrad", shapes{{1, 8, 2, 2}, {1, 8, 4, 4}, {1, 8, 2, 2}}, map[string][]int64{"window": {2, 2, 2, 2, 1, 1}, "block": {8}}, "window: want"},
		"pooled otherwise":     {"MaxPoolGrad", shapes{{1, 8, 2, 1}, {1, 8, 4, 4}, {1, 8, 2, 2}}, map[string][]int64{"window": {2, 2, 2, 2, 1, 1, 0, 0}, "block": {8}}, "another shape"},
		"pooled from others":   {"MaxPoolGrad", shapes{{1, 16, 2, 2}, {1, 8, 4, 4}, {1, 16, 2, 2}}, map[string][]int64{"window": {2, 2, 2, 2, 1, 1, 0, 0}, "block": {8}}, "another shape"},
		"other images beside":  {"ChannelFilter", shapes{{1, 8, 4, 4}, {2, 8, 4, 4}}, map[string][]int64{"window": {3, 3, 1, 1, 1, 1, 1, 1}, "block": {8}}, "another shape"},
		"an endless window":    {"ChannelFilter", shapes{{1, 8, 4, 4}, {1, 8, 4, 4}}, map[string][]int64{"window": {1 << 20, 1 << 20, 1, 1, 1, 1, 1, 1}, "block": {8}}, "window: larger"},
		"an order twice":       {"Permute", shapes{{2, 3}}, map[string][]int64{"perm": {1, 1}}, "perm: no order"},
		"an order too long":    {"Permute", shapes{{2, 3}}, map[string][]int64{"perm": {1, 0, 2}}, "perm: no order"},
		"an order from below":  {"Permute", shapes{{2, 3}}, map[string][]int64{"perm": {1, -1}}, "perm: no order"},
		"too many to sum over": {"ColumnSums", shapes{{2, 3}}, map[string][]int64{"axis": {3}, "keepdims": {0}}, "axis: no dimension"},
		"half a block of it":   {"FilterBlocks", shapes{{12, 8, 1, 1}}, map[string][]int64{"group": {1}, "turned": {0}, "block": {8}}, "whole blocks"},
		"groups that rest":     {"FilterBlocks", shapes{{16, 8, 1, 1}}, map[string][]int64{"group": {3}, "turned": {0}, "block": {8}}, "whole blocks"},
		"no group":             {"FilterBlocks", shapes{{16, 8, 1, 1}}, map[string][]int64{"group": {0}, "turned": {0}, "block": {8}}, "whole blocks"},
		"one dimension":        {"FilterBlocks", shapes{{16}}, map[string][]int64{"group": {1}, "turned": {0}, "block": {8}}, "whole blocks"},
		"other images":         {"Conv3x3Filter", shapes{{1, 8, 4, 4}, {2, 8, 4, 4}}, map[string][]int64{"pads": {1, 1, 1, 1}, "block": {8}}, "do not fit"},
	} {
		var slots []Slot
		var in [][]byte
		for i, s := range c.operands {
			size := int64(1)
			for _, n := range s {
				size *= n
			}
			slots = append(slots, Slot{Name: nodesInput(i), DType: Float32, Shape: s})
			in = append(in, make([]byte, 4*size))
		}
		f, err := d.NewFunction(winnowNode(c.op, len(c.operands), 1, c.attributes), slots, []Slot{{Name: nodesOutput(0), DType: Float32, Shape: []int64{1, 8, 4, 4}}})
		if err == nil {
			_, err = f.Run(in...)
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want what says %q", name, err, c.want)
		}
	}
}

// The parts of a batch normalisation are those of its definition, in float64,
// also where a channel's mean is large beside its deviation.
func TestOperatorsOfNormalisations(t *testing.T) {
	anyThreads(t, []conv3x3{
		{images: 5, in: 16, h: 7, w: 9, block: 8}, {images: 1, in: 8, h: 1, w: 1, block: 8}, {images: 2, in: 24, h: 40, w: 31, block: 8},
		{images: 3, in: 32, h: 5, w: 4, block: 16},
	}, checkNorm)
}

func checkNorm(t *testing.T, d *Device, s conv3x3) (all []float32) {
	r := rand.New(rand.NewPCG(2, uint64(s.in)))
	area, n := s.h*s.w, s.images*s.in*s.h*s.w
	channel := func(i int) int { return i / area % s.in }
	x, g, scale, shift, times := drawn(r, n), drawn(r, n), drawn(r, s.in), drawn(r, s.in), drawn(r, s.in)
	for i := range x {
		x[i] += float32(100 * channel(i))
	}
	count := float64(s.images * area)
	mean, variance, sum, product := make([]float64, s.in), make([]float64, s.in), make([]float64, s.in), make([]float64, s.in)
	for i, v := range x {
		mean[channel(i)] += float64(v) / count
	}
	rounded := make([]float32, s.in)
	for c, m := range mean {
		rounded[c] = float32(m)
	}
	y := make([]float64, n)
	for i, v := range x {
		c := channel(i)
		variance[c] += (float64(v) - mean[c]) * (float64(v) - mean[c]) / count
		sum[c] += float64(g[i])
		product[c] += float64(g[i]) * (float64(v) - float64(rounded[c]))
		y[i] = max(0, float64(scale[c])*(float64(v)-float64(rounded[c]))+float64(shift[c])+float64(times[c])*float64(g[i]))
	}
	images, channels := []int64{int64(s.images), int64(s.in), int64(s.h), int64(s.w)}, []int64{int64(s.in)}
	blocks := func(v []float32) []float32 { return inBlocks(v, s.in, area, s.block, false) }
	run := func(op string, relu []int64, shapes, outs [][]int64, operands ...[]float32) [][]float32 {
		t.Helper()
		attributes := map[string][]int64{"block": {int64(s.block)}}
		if relu != nil {
			attributes["relu"] = relu
		}
		results, err := runNode(t, d, winnowNode(op, len(operands), len(outs), attributes), shapes, outs, operands...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, slices.Concat(results...)...)
		return results
	}
	two := [][]int64{channels, channels}
	moments := run("Moments", nil, [][]int64{images}, two, blocks(x))
	within(t, "mean", moments[0], mean, 1e-6)
	within(t, "variance", moments[1], variance, 3e-6)
	sums := run("NormSums", nil, [][]int64{images, images, channels}, two, blocks(g), blocks(x), rounded)
	within(t, "sum", sums[0], sum, 2e-5) // of up to 2,480 numbers of either sign
	within(t, "product", sums[1], product, 2e-5)
	relu := run("Affine", []int64{1}, [][]int64{images, channels, channels, channels, images, channels}, [][]int64{images},
		blocks(x), rounded, scale, shift, blocks(g), times)
	within(t, "affine", inBlocks(relu[0], s.in, area, s.block, true), y, 1e-5)
	masked := run("Masked", nil, [][]int64{images, images}, [][]int64{images}, blocks(g), relu[0])
	adjoint := blocks(g)
	for i, v := range relu[0] {
		want := adjoint[i]
		if v <= 0 {
			want = 0
		}
		if masked[0][i] != want {
			t.Fatalf("masked: element %d is %v, want %v", i, masked[0][i], want)
		}
	}
	return all
}
