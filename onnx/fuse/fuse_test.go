package fuse_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/fuse"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

// graph is one under test: inputs, and nodes that are emitted one by one.
type graph struct {
	*emit.Builder
	slots []ortrun.Slot
	part  string
}

func newGraph(shapes map[string][]int64) *graph {
	g := &onnx.Graph{Name: "test", Initializers: map[string]*onnx.Tensor{}}
	b := &graph{part: "forward"}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.ShapeOf(shapes[name]...)})
		b.slots = append(b.slots, ortrun.Slot{Name: name, DType: ortrun.Float32, Shape: shapes[name]})
	}
	b.Builder = emit.New(g, infer.New(g))
	return b
}

// do appends a node of the current part.
func (b *graph) do(op string, inputs ...string) string {
	out := b.Fresh("v")
	b.Append(&onnx.Node{Name: b.part + "." + out, Op: op, Inputs: inputs, Outputs: []string{out}})
	return out
}

func (b *graph) result(names ...string) {
	for _, name := range names {
		v, _ := b.Inf.Type(name)
		b.Graph.Outputs = append(b.Graph.Outputs, v)
	}
}

// outputs runs the graph as it is on numbers of a seed.
func (b *graph) outputs(t *testing.T, d *ortrun.Device) [][]byte {
	t.Helper()
	if b.Err != nil {
		t.Fatal(b.Err)
	}
	var out []ortrun.Slot
	for _, v := range b.Graph.Outputs {
		out = append(out, ortrun.Slot{Name: v.Name, DType: ortrun.Float32, Shape: v.Shape.Ints()})
	}
	model, err := emit.Encode(b.Graph, onnx.KernelDomain)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.NewFunction(model, b.slots, out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(1, 1))
	var in [][]byte
	for _, s := range b.slots {
		n := int64(1)
		for _, d := range s.Shape {
			n *= d
		}
		var data []byte
		for range n {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(r.NormFloat64())))
		}
		in = append(in, data)
	}
	got, err := f.Run(in...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = slices.Clone(got[i])
	}
	return got
}

// kernels is a CPU that runs the operators.
func kernels(t *testing.T) *ortrun.Device {
	t.Helper()
	d := ortest.CPU(t, 2)
	ortest.Kernels(t, d)
	return d
}

// check runs the graph, fuses it, and wants the same bits; it returns the nodes
// of the fused one.
func (b *graph) check(t *testing.T) []*onnx.Node {
	t.Helper()
	d := kernels(t)
	emit.Sweep(b.Graph)
	want := b.outputs(t, d)
	fuse.Graph(b.Graph, b.Inf, 8)
	got := b.outputs(t, d)
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("output %d of the fused graph differs", i)
		}
	}
	return b.Graph.Nodes
}

func count(nodes []*onnx.Node, op string) (n int) {
	for _, m := range nodes {
		if m.Op == op {
			n++
		}
	}
	return n
}

// A chain becomes one node with the name of its first, and gives what is read outside of it.
func TestChain(t *testing.T) {
	b := newGraph(map[string][]int64{"x": {3, 4}, "row": {4}, "column": {3, 1}})
	a := b.do("Add", "x", "row")
	m := b.do("Mul", a, "column")
	s := b.do("Sum", m, a, "x", m)
	last := b.do("Neg", s)
	b.result(last, b.do("Floor", m))
	nodes := b.check(t)
	if len(nodes) != 2 || nodes[0].Op != fuse.Operator || nodes[0].Name != "forward."+a || len(nodes[0].Outputs) != 2 {
		t.Errorf("the chain became %d nodes", len(nodes))
	}
}

// Every operator that a chain may have does what ONNX Runtime's own does, to the
// bit where it is exact and within a few units in the last place where it is not.
func TestOperators(t *testing.T) {
	d := kernels(t)
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Neg", "Sqrt", "Reciprocal", "Relu", "Exp", "Erf", "Sigmoid", "Tanh"} {
		t.Run(op, func(t *testing.T) {
			b := newGraph(map[string][]int64{"x": {7, 30}, "y": {30}})
			inputs := []string{"x"}
			if slices.Contains([]string{"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum"}, op) {
				inputs = append(inputs, "y")
			}
			b.result(b.do("Neg", b.do(op, inputs...)))
			want := b.outputs(t, d)[0]
			fuse.Graph(b.Graph, b.Inf, 8)
			if len(b.Graph.Nodes) != 1 {
				t.Fatalf("%d nodes", len(b.Graph.Nodes))
			}
			ulps := float32(0)
			if slices.Contains([]string{"Exp", "Erf", "Sigmoid", "Tanh"}, op) {
				ulps = 8 // neither is exact
			}
			got := b.outputs(t, d)[0]
			for i := 0; i < len(want); i += 4 {
				g, w := number(got[i:]), number(want[i:])
				if apart := g - w; g != w && (g == g || w == w) && !(max(apart, -apart) <= ulps*0x1p-23*max(w, -w)) {
					t.Fatalf("element %d is %v, want %v", i/4, g, w)
				}
			}
		})
	}
}

func number(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }

// What stands between the nodes of a chain and waits for one of them keeps them apart.
func TestNodeBetween(t *testing.T) {
	b := newGraph(map[string][]int64{"x": {3, 4}})
	a := b.do("Neg", "x")
	mean := b.do("ReduceMean", a)
	c := b.do("Mul", a, a)
	b.result(b.do("Sub", c, mean))
	if nodes := b.check(t); count(nodes, fuse.Operator) != 1 || count(nodes, "Neg") != 1 {
		t.Errorf("%d chains, %d nodes", count(nodes, fuse.Operator), len(nodes))
	}
}

// Parts of a step, other shapes, other types and operands that are no run of
// dimensions stay apart; what replaces state goes with what leads to it.
func TestApart(t *testing.T) {
	b := newGraph(map[string][]int64{"x": {2, 3, 4}, "gap": {2, 1, 4}, "small": {4}})
	a := b.do("Neg", "x")
	b.part = "grad"
	c := b.do("Exp", a)
	d := b.do("Mul", c, "gap")
	e := b.do("Neg", "small")
	f := b.do("Mul", e, d)
	b.part = "update"
	p := b.do("Neg", f)
	state := b.do("Neg", p)
	b.Graph.Nodes[len(b.Graph.Nodes)-1].Name = "x.next"
	b.result(state)
	nodes := b.check(t)
	if len(nodes) != 6 || nodes[5].Op != fuse.Operator || nodes[5].Name != "update."+p {
		t.Errorf("%d nodes, the last %v", len(nodes), *nodes[len(nodes)-1])
	}
}

// A chain is bounded by what runtime/kernels takes.
func TestBounds(t *testing.T) {
	shapes := map[string][]int64{}
	for i := range 40 {
		shapes[fmt.Sprintf("x%02d", i)] = []int64{5}
	}
	b := newGraph(shapes)
	wide, long := "x00", "x00"
	for i := range 40 {
		wide = b.do("Add", wide, fmt.Sprintf("x%02d", i))
	}
	for range 100 {
		long = b.do("Neg", long)
	}
	b.result(wide, long)
	for _, n := range b.check(t) {
		if len(n.Inputs) > 16 || len(n.Ints("program", nil)) > 3*32 {
			t.Errorf("a chain of %d inputs and %d steps", len(n.Inputs), len(n.Ints("program", nil))/3)
		}
	}
}

// Whatever nodes there are, the fused graph gives the same bits.
func TestAnyGraph(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			b := newGraph(map[string][]int64{"x": {3, 4, 9}, "y": {3, 4, 9}, "row": {9}, "one": {}, "channel": {4, 1}})
			of := map[string][]string{"whole": {"x", "y"}, "part": {"row", "one", "channel"}}
			for range 40 {
				pick := func(k string) string { return of[k][r.IntN(len(of[k]))] }
				if r.IntN(12) == 0 {
					b.part = []string{"forward", "grad", "update"}[r.IntN(3)]
				}
				switch r.IntN(8) {
				case 0:
					of["part"] = append(of["part"], b.do("ReduceMax", pick("whole")))
				case 1:
					of["whole"] = append(of["whole"], b.do([]string{"Abs", "Floor", "Softsign"}[r.IntN(3)], pick("whole")))
				case 2:
					of["whole"] = append(of["whole"], b.do([]string{"Neg", "Relu", "Reciprocal"}[r.IntN(3)], pick("whole")))
				case 3:
					of["whole"] = append(of["whole"], b.do([]string{"Add", "Mul", "Sub", "Max"}[r.IntN(4)], pick("whole"), pick("part")))
				case 4:
					of["whole"] = append(of["whole"], b.do("Sub", pick("part"), pick("whole")))
				default:
					of["whole"] = append(of["whole"], b.do([]string{"Add", "Mul", "Sub", "Min", "Sum"}[r.IntN(5)], pick("whole"), pick("whole")))
				}
			}
			b.result(of["whole"][len(of["whole"])-1], of["whole"][len(of["whole"])/2])
			b.check(t)
		})
	}
}
