package gradtest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
	"winnow/onnx/fuse"
	"winnow/onnx/infer"
	"winnow/onnx/nchwc"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

// Device is the CPU, with two threads.
func Device(t testing.TB) *ortrun.Device {
	t.Helper()
	return ortest.CPU(t, 2)
}

// Arg is one input of a checked node: a differentiable tensor drawn at random,
// or constant integers.
type Arg struct {
	Dims   []int64
	Draw   func(r *rand.Rand, i int) float64 // nil: normal
	Fixed  *onnx.Tensor                      // not differentiated; an initializer
	Skip   bool                              // drawn, but its gradient is not checked
	keep32 bool                              // fixed stays float32 whatever is checked
}

// Tensor is an argument drawn from a normal distribution.
func Tensor(dims ...int64) Arg { return Arg{Dims: dims} }

func ints(v ...int64) Arg { return Arg{Fixed: onnx.FromInt64(v, int64(len(v)))} }

func scalarArg(v float32) Arg { return Arg{Fixed: onnx.FromFloat32([]float32{v})} }

// Drawn is an argument drawn otherwise.
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

// Case is one row of the table: a node, checked by central differences of
// sum(r*y) with random r.
type Case struct {
	Op     string
	Name   string
	Domain string
	Attrs  emit.Attrs
	Args   []Arg
	DType  onnx.DType // 0: float64
	// Step of the difference and largest relative error; 0: 1e-5 and 1e-6 in
	// float64, 0.5 and 1e-4 in float32, which suits functions linear in each input.
	Step, Tol float64
	BatchNorm bool // rewritten for training first
	Outputs   int  // of the node; only the first is checked,
	all       bool // or all are
	Lower     autodiff.Lowering
	blocked   bool // images of whole blocks come in the layout in blocks
	kernels   bool // and convolutions of 3x3 take the operators of runtime/kernels
	Alone     bool // composed, and ONNX Runtime's kernel refuses it or differs from the definition
}

func (c Case) String() string { return c.Op + "/" + c.Name }

// Check compares the gradients of a case with central differences of
// sum(r*y), r drawn at random.
func Check(t *testing.T, d *ortrun.Device, c Case) {
	t.Helper()
	k := newCheck(t, c)
	k.inputs()
	k.forward(d)
	k.gradients()
	f := k.function(d)
	defer f.Close()
	k.compare(f)
}

// check is one case on its way: a graph with inputs x0, x1, ..., the output y,
// and then the adjoints.
type check struct {
	t    *testing.T
	c    Case
	r    *rand.Rand
	g    *onnx.Graph
	e    *emit.Builder
	node *onnx.Node
	walk autodiff.Walk

	names          []string          // of the inputs whose gradient is checked
	from           map[string]string // input -> the value that the node reads, where that is another
	nodes          []*onnx.Node      // the node, or those that compose it
	composed       bool
	values         [][]float64 // by input
	slots, outputs []ortrun.Slot
	weights        [][]float64 // by checked output
}

func newCheck(t *testing.T, c Case) *check {
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
	k := &check{
		t: t, c: c, r: rand.New(rand.NewPCG(h.Sum64(), 1)), from: map[string]string{},
		g:    &onnx.Graph{Name: "check", Initializers: map[string]*onnx.Tensor{}},
		node: &onnx.Node{Name: "checked", Op: c.Op, Domain: c.Domain, Attrs: c.Attrs, Outputs: []string{"y"}},
		walk: autodiff.Walk{Lowering: c.Lower, Stats: map[*onnx.Node]autodiff.BatchStats{}},
	}
	for i := 1; i < c.Outputs; i++ {
		k.node.Outputs = append(k.node.Outputs, fmt.Sprintf("y%d", i))
	}
	return k
}

// inputs draws the arguments.
func (k *check) inputs() {
	for i, a := range k.c.Args {
		name := fmt.Sprintf("x%d", i)
		switch {
		case a.Fixed == nil && a.Dims == nil:
			k.node.Inputs = append(k.node.Inputs, "")
			continue
		case a.Fixed != nil && !a.keep32 && a.Fixed.DType == onnx.Float32 && k.c.DType == onnx.Float64:
			k.g.Initializers[name] = toFloat64(a.Fixed)
		case a.Fixed != nil:
			k.g.Initializers[name] = a.Fixed
		default:
			k.draw(name, a)
		}
		k.node.Inputs = append(k.node.Inputs, name)
	}
}

func (k *check) draw(name string, a Arg) {
	draw := a.Draw
	if draw == nil {
		draw = func(r *rand.Rand, _ int) float64 { return r.NormFloat64() }
	}
	v := make([]float64, count(a.Dims))
	for i := range v {
		v[i] = draw(k.r, i)
		if k.c.DType == onnx.Float32 {
			v[i] = float64(float32(v[i]))
		}
	}
	k.values = append(k.values, v)
	k.g.Inputs = append(k.g.Inputs, onnx.Value{Name: name, DType: k.c.DType, Shape: onnx.ShapeOf(a.Dims...)})
	k.slots = append(k.slots, ortrun.Slot{Name: name, DType: ortrun.DType(k.c.DType), Shape: a.Dims})
	if !a.Skip {
		k.names = append(k.names, name)
	}
}

// forward emits the node, composed, trained or in blocks as the case has it.
func (k *check) forward(d *ortrun.Device) {
	k.compose()
	k.e = emit.New(k.g, infer.New(k.g))
	k.e.Take("y")
	var layout *nchwc.Layout
	var forms autodiff.NormForms
	if k.c.blocked {
		block := ortest.Block(k.t, d)
		layout = nchwc.New(k.e, block, "")
		if k.c.kernels {
			ortest.Kernels(k.t, d)
		}
		layout.Lowering, layout.Kernels = k.c.Lower, k.c.kernels
		k.walk.Layout, forms = layout, layout.NormForms()
		for _, v := range k.g.Inputs { // as if a blocked convolution had made it
			if len(v.Shape) == 4 && v.Shape[1].N%block == 0 && (v.Name != "x1" || k.c.Op != "Conv") {
				k.from[v.Name] = layout.ToPlain(layout.ToBlocks(v.Name))
				k.node.Inputs[slices.Index(k.node.Inputs, v.Name)] = k.from[v.Name]
			}
		}
	}
	if k.c.BatchNorm {
		k.e.Batch = k.e.Scalar(float64(k.c.Args[0].Dims[0]))
		training, stats, _, _, err := autodiff.TrainingNorm(k.e, k.node, forms)
		if err != nil {
			k.t.Fatal(err)
		}
		k.walk.Stats[training] = stats
		k.node, k.nodes = training, []*onnx.Node{training}
	}
	for _, n := range k.nodes {
		if layout == nil || !layout.Forward(n, k.walk.Stats[n].Centred) {
			k.e.Append(n)
		}
	}
	if k.besideKernel() {
		k.e.Append(&onnx.Node{Name: "kernel", Op: k.node.Op, Inputs: k.node.Inputs, Outputs: []string{"kernel"}, Attrs: k.node.Attrs})
	}
}

// besideKernel is whether the operator's own kernel is run beside what the case makes of it.
func (k *check) besideKernel() bool {
	if k.c.blocked {
		return k.c.Op == "Conv" || k.c.Op == "LayerNormalization" || k.c.Op == "MaxPool"
	}
	return k.composed && k.node.Domain == "" && !k.c.Alone
}

// compose takes the nodes that compose the node, where there are such.
func (k *check) compose() {
	k.g.Nodes = []*onnx.Node{k.node}
	if err := autodiff.Compose(k.g); err != nil {
		k.t.Fatal(err)
	}
	k.nodes, k.g.Nodes = k.g.Nodes, nil
	k.composed = len(k.nodes) != 1 || k.nodes[0] != k.node
}

// gradients declares the outputs: what is checked, and its gradients.
func (k *check) gradients() {
	checked, seeds := k.node.Outputs[:1], map[string]string{}
	if k.c.all {
		checked = k.node.Outputs
	}
	for _, name := range checked {
		y, _ := k.e.Inf.Type(name)
		weight := make([]float64, count(y.Shape.Ints()))
		for i := range weight {
			weight[i] = float64(float32(k.r.NormFloat64()))
		}
		k.weights = append(k.weights, weight)
		seed := onnx.NewTensor(k.c.DType, y.Shape.Ints()...)
		PutFloats(seed.Data, k.c.DType, weight)
		seeds[name] = k.e.Constant(seed)
		k.output(y)
	}
	sources := slices.Clone(k.names)
	for i, name := range sources {
		if read := k.from[name]; read != "" {
			sources[i] = read
		}
	}
	grads, err := autodiff.Backward(k.e, k.nodes, sources, seeds, k.walk)
	if err != nil {
		k.t.Fatal(err)
	}
	for i, name := range k.names {
		if grads[sources[i]] == "" {
			k.t.Fatalf("no gradient for %s", name)
		}
		out := k.e.Named("grad_of_"+name, "Identity", nil, grads[sources[i]])
		v, _ := k.e.Inf.Type(out)
		v.Name = out
		if want := k.slots[k.at(name)].Shape; !v.Shape.Equal(onnx.ShapeOf(want...)) {
			k.t.Errorf("gradient of %s has shape %v, want %v", name, v.Shape, want)
		}
		k.output(v)
	}
	if kernel, ok := k.e.Inf.Type("kernel"); ok && k.besideKernel() {
		k.output(kernel)
	}
}

func (k *check) output(v onnx.Value) {
	k.g.Outputs = append(k.g.Outputs, v)
	k.outputs = append(k.outputs, ortrun.Slot{Name: v.Name, DType: ortrun.DType(v.DType), Shape: v.Shape.Ints()})
}

// at is the place of an input.
func (k *check) at(name string) int {
	return slices.IndexFunc(k.slots, func(x ortrun.Slot) bool { return x.Name == name })
}

func (k *check) function(d *ortrun.Device) *ortrun.Function {
	if k.e.Err != nil {
		k.t.Fatal(k.e.Err)
	}
	if k.c.kernels {
		fuse.Graph(k.g, k.e.Inf, ortest.Block(k.t, d))
	}
	model, err := emit.Encode(k.g, nchwc.Domain, onnx.KernelDomain)
	if err != nil {
		k.t.Fatal(err)
	}
	f, err := d.NewFunction(model, k.slots, k.outputs)
	if err != nil {
		k.t.Fatal(err)
	}
	return f
}

func (k *check) run(f *ortrun.Function) [][]float64 {
	raw := make([][]byte, len(k.slots))
	for i := range k.slots {
		raw[i] = make([]byte, len(k.values[i])*k.c.DType.Size())
		PutFloats(raw[i], k.c.DType, k.values[i])
	}
	out, err := f.Run(raw...)
	if err != nil {
		k.t.Fatal(err)
	}
	values := make([][]float64, len(out))
	for i := range out {
		values[i] = GetFloats(out[i], k.c.DType)
	}
	return values
}

// objective is what is differentiated.
func (k *check) objective(f *ortrun.Function) (sum float64) {
	out := k.run(f)
	for i, weight := range k.weights {
		for j, v := range out[i] {
			sum += v * weight[j]
		}
	}
	return sum
}

// maxDifferences bounds the elements of an input that are moved.
const maxDifferences = 60

func (k *check) compare(f *ortrun.Function) {
	analytic := k.run(f)
	if last := len(k.outputs) - 1; k.outputs[last].Name == "kernel" {
		tol := 2e-6
		if k.c.blocked { // its sums are of hundreds of products, and of the size of their root
			tol = 1e-4
		}
		for i, want := range analytic[last] {
			if got := analytic[0][i]; !(math.Abs(got-want) <= tol*max(1, math.Abs(want))) {
				k.t.Fatalf("element %d of the composed or blocked value is %v, the operator's own kernel gives %v", i, got, want)
			}
		}
	}
	for n, name := range k.names {
		v := k.values[k.at(name)]
		picks := k.r.Perm(len(v))
		var diff, norm float64
		for _, i := range picks[:min(len(picks), maxDifferences)] {
			was := v[i]
			v[i] = was + k.c.Step
			up := k.objective(f)
			v[i] = was - k.c.Step
			down := k.objective(f)
			v[i] = was
			numeric := (up - down) / (2 * k.c.Step)
			got := analytic[len(k.weights)+n][i]
			diff += (numeric - got) * (numeric - got)
			norm += numeric*numeric + got*got
		}
		if relative := math.Sqrt(diff / max(norm/2, 1e-12)); !(relative <= k.c.Tol) {
			k.t.Errorf("gradient of %s: relative error %.3g, more than %.3g", name, relative, k.c.Tol)
		}
	}
}

// PutFloats writes numbers as elements of a type.
func PutFloats(dst []byte, d onnx.DType, v []float64) {
	for i, x := range v {
		if d == onnx.Float64 {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(x))
		} else {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(x)))
		}
	}
}

// GetFloats reads elements of a type as numbers.
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
