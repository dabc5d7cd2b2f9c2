package gradtest

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
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	"winnow/onnx/nchwc"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

func Device(t testing.TB) *ortrun.Device {
	t.Helper()
	return ortest.CPU(t, 2)
}

// blockOf is the machine's block of channels.
func BlockOf(t testing.TB, d *ortrun.Device) int64 {
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
type Arg struct {
	Dims   []int64
	Draw   func(r *rand.Rand, i int) float64 // nil: normal
	Fixed  *onnx.Tensor                      // not differentiated; an initializer
	Skip   bool                              // drawn, but its gradient is not checked
	keep32 bool                              // fixed stays float32 whatever is checked
}

func Tensor(dims ...int64) Arg { return Arg{Dims: dims} }

func ints(v ...int64) Arg { return Arg{Fixed: onnx.FromInt64(v, int64(len(v)))} }

func scalarArg(v float32) Arg { return Arg{Fixed: onnx.FromFloat32([]float32{v})} }

func (a Arg) Drawn(f func(r *rand.Rand, i int) float64) Arg { a.Draw = f; return a }

func (a Arg) constant() Arg { a.Skip = true; return a }

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
type Case struct {
	Op     string
	Name   string
	Domain string
	Attrs  emit.Attrs
	Args   []Arg
	DType  onnx.DType // 0: float64
	// step of the difference and largest relative error; 0: 1e-5 and 1e-6 in
	// float64, 0.5 and 1e-4 in float32, which suits functions linear in each input.
	Step, Tol float64
	BatchNorm bool // rewritten for training first
	Outputs   int  // of the node; only the first is checked,
	all       bool // or all are
	Lower     autodiff.Lowering
	blocked   bool // images of whole blocks come in the layout in blocks
	Alone     bool // composed, and ONNX Runtime's kernel refuses it or differs from the definition
}

func (c Case) String() string { return c.Op + "/" + c.Name }

// composedOf is a node, or the nodes that compose it, and whether there is a
// composition of its operator.
func composedOf(t *testing.T, g *onnx.Graph, n *onnx.Node) ([]*onnx.Node, bool) {
	t.Helper()
	g.Nodes = []*onnx.Node{n}
	if err := autodiff.Compose(g); err != nil {
		t.Fatal(err)
	}
	nodes := g.Nodes
	g.Nodes = nil
	return nodes, len(nodes) != 1 || nodes[0] != n
}

// checkGradient compares the gradients of a case with central differences.
func Check(t *testing.T, d *ortrun.Device, c Case) {
	t.Helper()
	if c.DType == 0 {
		c.DType = onnx.Float64
	}
	if c.Step == 0 {
		c.Step, c.Tol = 1e-5, 1e-6
		if c.DType == onnx.Float32 {
			c.Step, c.Tol = 0.5, 1e-4
		}
	}
	h := fnv.New64a()
	fmt.Fprint(h, c)
	r := rand.New(rand.NewPCG(h.Sum64(), 1))

	// The graph: inputs x0, x1, ...; output y; then the adjoints.
	g := &onnx.Graph{Name: "check", Initializers: map[string]*onnx.Tensor{}}
	node := &onnx.Node{Name: "checked", Op: c.Op, Domain: c.Domain, Attrs: c.Attrs, Outputs: []string{"y"}}
	var values [][]float64
	var slots []ortrun.Slot
	var sources []string
	for i, a := range c.Args {
		name := fmt.Sprintf("x%d", i)
		if a.Fixed == nil && a.Dims == nil {
			node.Inputs = append(node.Inputs, "")
			continue
		}
		node.Inputs = append(node.Inputs, name)
		if a.Fixed != nil {
			fixed := a.Fixed
			if !a.keep32 && fixed.DType == onnx.Float32 && c.DType == onnx.Float64 {
				fixed = toFloat64(fixed)
			}
			g.Initializers[name] = fixed
			continue
		}
		n := 1
		for _, x := range a.Dims {
			n *= int(x)
		}
		draw := a.Draw
		if draw == nil {
			draw = func(r *rand.Rand, _ int) float64 { return r.NormFloat64() }
		}
		v := make([]float64, n)
		for k := range v {
			v[k] = draw(r, k)
			if c.DType == onnx.Float32 {
				v[k] = float64(float32(v[k]))
			}
		}
		values = append(values, v)
		g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: c.DType, Shape: onnx.ShapeOf(a.Dims...)})
		slots = append(slots, ortrun.Slot{Name: name, DType: ortrun.DType(c.DType), Shape: a.Dims})
		if !a.Skip {
			sources = append(sources, name)
		}
	}
	for i := 1; i < c.Outputs; i++ {
		node.Outputs = append(node.Outputs, fmt.Sprintf("y%d", i))
	}
	nodes, composed := composedOf(t, g, node)
	e := emit.New(g, infer.New(g))
	e.Take("y")
	walk := autodiff.Walk{Lowering: c.Lower, Stats: map[*onnx.Node]autodiff.BatchStats{}}
	from := map[string]string{} // source -> the value that the node reads
	var layout *nchwc.Layout
	if c.blocked {
		block := BlockOf(t, d)
		layout = nchwc.New(e, block, "")
		walk.Layout = layout
		for _, v := range g.Inputs { // as if a blocked convolution had made it
			if len(v.Shape) == 4 && v.Shape[1].N%block == 0 && (v.Name != "x1" || c.Op != "Conv") {
				from[v.Name] = layout.ToPlain(layout.ToBlocks(v.Name))
				node.Inputs[slices.Index(node.Inputs, v.Name)] = from[v.Name]
			}
		}
	}
	names := slices.Clone(sources)
	for i, s := range sources {
		if from[s] == "" {
			from[s] = s
		}
		sources[i] = from[s]
	}
	if c.BatchNorm {
		e.Batch = e.Scalar(float64(c.Args[0].Dims[0]))
		var centre func(x, mean string) string
		if layout != nil {
			centre = layout.Centre
		}
		training, stats, _, _, err := autodiff.TrainingNorm(e, node, centre)
		if err != nil {
			t.Fatal(err)
		}
		walk.Stats[training] = stats
		node, nodes = training, []*onnx.Node{training}
	}
	for _, n := range nodes {
		if layout == nil || !layout.Forward(n, walk.Stats[n].Centred) {
			e.Append(n)
		}
	}
	if composed && node.Domain == "" && !c.Alone && !c.blocked { // beside the kernel of its own
		e.Append(&onnx.Node{Name: "kernel", Op: node.Op, Inputs: node.Inputs, Outputs: []string{"kernel"}, Attrs: node.Attrs})
	}
	checked := node.Outputs[:1]
	if c.all {
		checked = node.Outputs
	}
	var outputs []ortrun.Slot
	var weights [][]float64
	seeds := map[string]string{}
	for _, name := range checked {
		y, _ := e.Inf.Type(name)
		ySize := int64(1)
		for _, n := range y.Shape.Ints() {
			ySize *= n
		}
		weight := make([]float64, ySize)
		for i := range weight {
			weight[i] = float64(float32(r.NormFloat64()))
		}
		weights = append(weights, weight)
		wt := onnx.NewTensor(c.DType, y.Shape.Ints()...)
		PutFloats(wt.Data, c.DType, weight)
		seeds[name] = e.Constant(wt)
		outputs = append(outputs, ortrun.Slot{Name: name, DType: ortrun.DType(y.DType), Shape: y.Shape.Ints()})
		g.Outputs = append(g.Outputs, y)
	}
	grads, err := autodiff.Backward(e, nodes, sources, seeds, walk)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range names {
		at := slices.IndexFunc(slots, func(x ortrun.Slot) bool { return x.Name == s })
		if grads[from[s]] == "" {
			t.Fatalf("no gradient for %s", s)
		}
		out := e.Named("grad_of_"+s, "Identity", nil, grads[from[s]])
		v, _ := e.Inf.Type(out)
		v.Name = out
		if !v.Shape.Equal(onnx.ShapeOf(slots[at].Shape...)) {
			t.Errorf("gradient of %s has shape %v, want %v", s, v.Shape, slots[at].Shape)
		}
		g.Outputs = append(g.Outputs, v)
		outputs = append(outputs, ortrun.Slot{Name: out, DType: ortrun.DType(c.DType), Shape: slots[at].Shape})
	}
	if e.Err != nil {
		t.Fatal(e.Err)
	}
	if kernel, ok := e.Inf.Type("kernel"); composed && ok {
		g.Outputs = append(g.Outputs, kernel)
		outputs = append(outputs, ortrun.Slot{Name: "kernel", DType: ortrun.DType(kernel.DType), Shape: kernel.Shape.Ints()})
	}
	model, err := emit.Encode(g, nchwc.Domain)
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
			raw[i] = make([]byte, len(values[i])*c.DType.Size())
			PutFloats(raw[i], c.DType, values[i])
		}
		out, err := f.Run(raw...)
		if err != nil {
			t.Fatal(err)
		}
		res := make([][]float64, len(out))
		for i := range out {
			res[i] = GetFloats(out[i], c.DType)
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
	for k, s := range names {
		at := slices.IndexFunc(slots, func(x ortrun.Slot) bool { return x.Name == s })
		v := values[at]
		picks := r.Perm(len(v))
		if len(picks) > 60 {
			picks = picks[:60]
		}
		var diff, norm float64
		for _, i := range picks {
			was := v[i]
			v[i] = was + c.Step
			up := objective()
			v[i] = was - c.Step
			down := objective()
			v[i] = was
			numeric := (up - down) / (2 * c.Step)
			got := analytic[len(weights)+k][i]
			diff += (numeric - got) * (numeric - got)
			norm += numeric*numeric + got*got
		}
		relative := math.Sqrt(diff / max(norm/2, 1e-12))
		if !(relative <= c.Tol) {
			t.Errorf("gradient of %s: relative error %.3g, more than %.3g", s, relative, c.Tol)
		}
	}
}

func PutFloats(dst []byte, d onnx.DType, v []float64) {
	for i, x := range v {
		if d == onnx.Float64 {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(x))
		} else {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(x)))
		}
	}
}

func GetFloats(src []byte, d onnx.DType) []float64 {
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
	PutFloats(out.Data, onnx.Float64, v)
	return out
}
