package autodiff

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"winnow/onnx"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

func device(t testing.TB) *ortrun.Device {
	t.Helper()
	return ortest.CPU(t, 2)
}

// blockOf is the machine's block of channels.
func blockOf(t testing.TB, d *ortrun.Device) int64 {
	t.Helper()
	block := d.ConvBlock()
	if block == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the CPU provider has no blocked layout here")
		}
		t.Skip("the CPU provider has no blocked layout here")
	}
	return int64(block)
}

// arg is one input of a checked node: a differentiable tensor drawn at random,
// or constant integers.
type arg struct {
	dims   []int64
	draw   func(r *rand.Rand, i int) float64 // nil: normal
	fixed  *onnx.Tensor                      // not differentiated; an initializer
	skip   bool                              // drawn, but its gradient is not checked
	keep32 bool                              // fixed stays float32 whatever is checked
}

func tensor(dims ...int64) arg { return arg{dims: dims} }

func ints(v ...int64) arg { return arg{fixed: onnx.FromInt64(v, int64(len(v)))} }

func scalarArg(v float32) arg { return arg{fixed: onnx.FromFloat32([]float32{v})} }

func (a arg) drawn(f func(r *rand.Rand, i int) float64) arg { a.draw = f; return a }

func (a arg) constant() arg { a.skip = true; return a }

// Distributions. apart keeps away from 0 by more than the step, where a kink
// would spoil the difference; distinct has no two elements close to each other.
func positive(r *rand.Rand, _ int) float64 { return 0.5 + r.Float64() }
func apart(r *rand.Rand, _ int) float64 {
	return math.Copysign(0.2+r.Float64(), r.Float64()-0.5)
}
func distinct(n int) func(r *rand.Rand, i int) float64 {
	var perm []int
	return func(r *rand.Rand, i int) float64 {
		if perm == nil {
			perm = r.Perm(n)
		}
		return 0.1 * float64(perm[i]-n/2)
	}
}
func withZeros(r *rand.Rand, i int) float64 {
	if i%3 == 0 {
		return 0
	}
	return r.NormFloat64()
}

// gradCase is one row of the table: a node, checked by central differences of
// sum(r*y) with random r.
type gradCase struct {
	op     string
	name   string
	domain string
	attrs  attrs
	args   []arg
	dtype  onnx.DType // 0: float64
	// step of the difference and largest relative error; 0: 1e-5 and 1e-6 in
	// float64, 0.5 and 1e-4 in float32, which suits functions linear in each input.
	step, tol float64
	batchNorm bool // rewritten for training first
	outputs   int  // of the node; only the first is checked,
	all       bool // or all are
	lower     Lowering
	alone     bool // composed, and ONNX Runtime's kernel refuses it or differs from the definition
}

func (c gradCase) String() string { return c.op + "/" + c.name }

func TestGradients(t *testing.T) {
	d := device(t)
	for _, c := range gradCases() {
		t.Run(c.String(), func(t *testing.T) { checkGradient(t, d, c) })
	}
}

func TestEveryRuleIsChecked(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range gradCases() {
		covered[c.op] = true
	}
	for _, c := range composedCases() {
		covered[qualified(&onnx.Node{Op: c.op, Domain: c.domain})] = true
	}
	for op := range compositions {
		if !covered[op] {
			t.Errorf("the composition of %s has no check", op)
		}
	}
	covered["QuantizeLinear"], covered["DequantizeLinear"] = true, true // TestStraightThrough
	for op := range rules {
		if !covered[op] {
			t.Errorf("the rule of %s has no gradient check", op)
		}
	}
}

func checkGradient(t *testing.T, d *ortrun.Device, c gradCase) {
	if c.dtype == 0 {
		c.dtype = onnx.Float64
	}
	if c.step == 0 {
		c.step, c.tol = 1e-5, 1e-6
		if c.dtype == onnx.Float32 {
			c.step, c.tol = 0.5, 1e-4
		}
	}
	h := fnv.New64a()
	fmt.Fprint(h, c)
	r := rand.New(rand.NewPCG(h.Sum64(), 1))

	// The graph: inputs x0, x1, ...; output y; then the adjoints.
	g := &onnx.Graph{Name: "check", Initializers: map[string]*onnx.Tensor{}}
	node := &onnx.Node{Name: "checked", Op: c.op, Domain: c.domain, Attrs: c.attrs, Outputs: []string{"y"}}
	var values [][]float64
	var slots []ortrun.Slot
	var sources []string
	for i, a := range c.args {
		name := fmt.Sprintf("x%d", i)
		if a.fixed == nil && a.dims == nil {
			node.Inputs = append(node.Inputs, "")
			continue
		}
		node.Inputs = append(node.Inputs, name)
		if a.fixed != nil {
			fixed := a.fixed
			if !a.keep32 && fixed.DType == onnx.Float32 && c.dtype == onnx.Float64 {
				fixed = toFloat64(fixed)
			}
			g.Initializers[name] = fixed
			continue
		}
		n := 1
		for _, x := range a.dims {
			n *= int(x)
		}
		draw := a.draw
		if draw == nil {
			draw = func(r *rand.Rand, _ int) float64 { return r.NormFloat64() }
		}
		v := make([]float64, n)
		for k := range v {
			v[k] = draw(r, k)
			if c.dtype == onnx.Float32 {
				v[k] = float64(float32(v[k]))
			}
		}
		values = append(values, v)
		g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: c.dtype, Shape: onnx.ShapeOf(a.dims...)})
		slots = append(slots, ortrun.Slot{Name: name, DType: ortrun.DType(c.dtype), Shape: a.dims})
		if !a.skip {
			sources = append(sources, name)
		}
	}
	for i := 1; i < c.outputs; i++ {
		node.Outputs = append(node.Outputs, fmt.Sprintf("y%d", i))
	}
	e := newEmitter(g, infer.New(g))
	e.taken["y"] = true
	if c.lower.Block == blockHere {
		c.lower.Block = blockOf(t, d)
		e.blockImages(c.lower.Block, "")
		for _, v := range g.Inputs { // as if a blocked convolution had made it
			if len(v.Shape) == 4 && v.Shape[1].N%c.lower.Block == 0 && v.Name != "x1" || c.op != "Conv" && len(v.Shape) == 4 {
				e.blocks.of[v.Name] = e.opsIn(blockedDomain, "ReorderInput", 1, nil, v.Name)[0]
			}
		}
	}
	if c.batchNorm {
		e.batch = e.scalar(float64(c.args[0].dims[0]))
		training, _, _, err := e.batchNorm(node)
		if err != nil {
			t.Fatal(err)
		}
		node = training
	}
	nodes := []*onnx.Node{node}
	composed := compositions[qualified(node)] != nil
	if composed { // into other nodes, beside the kernel of its own
		before := len(g.Nodes)
		if err := e.composed(node); err != nil {
			t.Fatal(err)
		}
		nodes = slices.Clone(g.Nodes[before:])
		if node.Domain == "" && !c.alone {
			e.add(&onnx.Node{Name: "kernel", Op: node.Op, Inputs: node.Inputs, Outputs: []string{"kernel"}, Attrs: node.Attrs})
		}
	} else {
		e.forward(node)
	}
	checked := node.Outputs[:1]
	if c.all {
		checked = node.Outputs
	}
	var outputs []ortrun.Slot
	var weights [][]float64
	seeds := map[string]string{}
	for _, name := range checked {
		y, _ := e.inf.Type(name)
		ySize := int64(1)
		for _, n := range y.Shape.Ints() {
			ySize *= n
		}
		weight := make([]float64, ySize)
		for i := range weight {
			weight[i] = float64(float32(r.NormFloat64()))
		}
		weights = append(weights, weight)
		wt := onnx.NewTensor(c.dtype, y.Shape.Ints()...)
		putFloats(wt.Data, c.dtype, weight)
		seeds[name] = e.constant(wt)
		outputs = append(outputs, ortrun.Slot{Name: name, DType: ortrun.DType(y.DType), Shape: y.Shape.Ints()})
		g.Outputs = append(g.Outputs, y)
	}
	flow := forwardFlow(nodes, e.inf, sources)
	grads, err := backward(e, nodes, flow, seeds, c.lower)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		at := slices.IndexFunc(slots, func(x ortrun.Slot) bool { return x.Name == s })
		if grads[s] == "" {
			t.Fatalf("no gradient for %s", s)
		}
		out := e.named("grad_of_"+s, "Identity", nil, grads[s])
		v, _ := e.inf.Type(out)
		v.Name = out
		if !v.Shape.Equal(onnx.ShapeOf(slots[at].Shape...)) {
			t.Errorf("gradient of %s has shape %v, want %v", s, v.Shape, slots[at].Shape)
		}
		g.Outputs = append(g.Outputs, v)
		outputs = append(outputs, ortrun.Slot{Name: out, DType: ortrun.DType(c.dtype), Shape: slots[at].Shape})
	}
	if e.err != nil {
		t.Fatal(e.err)
	}
	if kernel, ok := e.inf.Type("kernel"); composed && ok {
		g.Outputs = append(g.Outputs, kernel)
		outputs = append(outputs, ortrun.Slot{Name: "kernel", DType: ortrun.DType(kernel.DType), Shape: kernel.Shape.Ints()})
	}
	model, err := encode(g)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.NewFunction(model, slots, outputs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run := func() [][]float64 {
		raw := make([][]byte, len(slots))
		for i := range slots {
			raw[i] = make([]byte, len(values[i])*c.dtype.Size())
			putFloats(raw[i], c.dtype, values[i])
		}
		out, err := f.Run(raw...)
		if err != nil {
			t.Fatal(err)
		}
		res := make([][]float64, len(out))
		for i := range out {
			res[i] = getFloats(out[i], c.dtype)
		}
		return res
	}
	analytic := run()
	if last := len(outputs) - 1; outputs[last].Name == "kernel" {
		for i, want := range analytic[last] {
			if got := analytic[0][i]; !(math.Abs(got-want) <= 2e-6*max(1, math.Abs(want))) {
				t.Fatalf("element %d of the composed value is %v, the operator's own kernel gives %v", i, got, want)
			}
		}
	}
	objective := func() float64 {
		sum := 0.0
		out := run()
		for k, weight := range weights {
			for i, v := range out[k] {
				sum += v * weight[i]
			}
		}
		return sum
	}
	for k, s := range sources {
		at := slices.IndexFunc(slots, func(x ortrun.Slot) bool { return x.Name == s })
		v := values[at]
		picks := r.Perm(len(v))
		if len(picks) > 60 {
			picks = picks[:60]
		}
		var diff, norm float64
		for _, i := range picks {
			was := v[i]
			v[i] = was + c.step
			up := objective()
			v[i] = was - c.step
			down := objective()
			v[i] = was
			numeric := (up - down) / (2 * c.step)
			got := analytic[len(weights)+k][i]
			diff += (numeric - got) * (numeric - got)
			norm += numeric*numeric + got*got
		}
		relative := math.Sqrt(diff / max(norm/2, 1e-12))
		if !(relative <= c.tol) {
			t.Errorf("gradient of %s: relative error %.3g, more than %.3g", s, relative, c.tol)
		}
	}
}

func putFloats(dst []byte, d onnx.DType, v []float64) {
	for i, x := range v {
		if d == onnx.Float64 {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(x))
		} else {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(x)))
		}
	}
}

func getFloats(src []byte, d onnx.DType) []float64 {
	v := make([]float64, len(src)/d.Size())
	for i := range v {
		if d == onnx.Float64 {
			v[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		} else {
			v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
	}
	return v
}

func toFloat64(t *onnx.Tensor) *onnx.Tensor {
	out := onnx.NewTensor(onnx.Float64, t.Dims...)
	v := make([]float64, t.Len())
	for i, x := range t.Float32s() {
		v[i] = float64(x)
	}
	putFloats(out.Data, onnx.Float64, v)
	return out
}
