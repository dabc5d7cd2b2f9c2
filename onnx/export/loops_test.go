package export

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

func graphAttr(g *onnx.Graph) onnx.Attr { return onnx.Attr{Kind: onnx.AttrGraph, G: g} }

func oneNode(op string, a emit.Attrs, out string, in ...string) *onnx.Node {
	return &onnx.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: a}
}

func boolOf(v byte) *onnx.Tensor {
	return &onnx.Tensor{DType: onnx.Bool, Dims: []int64{}, Data: []byte{v}}
}

// loopModel is h = x; for i in 0, 1, ...: h = tanh(h W) * s, or without the
// tanh from the third on; all h are stacked. W is the graph's, s the body's.
// stop makes the condition false after so many iterations, without a count.
func loopModel(stop int64) *onnx.Model {
	r := rand.New(rand.NewPCG(1, 2))
	w := make([]float32, 16)
	for i := range w {
		w[i] = float32(r.NormFloat64() / 2)
	}
	f32 := func(name string, shape onnx.Shape) onnx.Value {
		return onnx.Value{Name: name, DType: onnx.Float32, Shape: shape}
	}
	then := &onnx.Graph{Name: "then", Nodes: []*onnx.Node{oneNode("Tanh", nil, "curved", "product")}, Outputs: []onnx.Value{f32("curved", nil)}}
	other := &onnx.Graph{Name: "else", Nodes: []*onnx.Node{oneNode("Identity", nil, "straight", "product")}, Outputs: []onnx.Value{f32("straight", nil)}}
	body := &onnx.Graph{
		Name:   "body",
		Inputs: []onnx.Value{{Name: "i", DType: onnx.Int64, Shape: onnx.Shape{}}, {Name: "go", DType: onnx.Bool, Shape: onnx.Shape{}}, f32("h", nil)},
		Initializers: map[string]*onnx.Tensor{"s": onnx.FromFloat32([]float32{1.5, 1, 0.5, 2}, 4), "two": onnx.FromInt64([]int64{2}),
			"stop": onnx.FromInt64([]int64{stop})},
		Nodes: []*onnx.Node{
			oneNode("MatMul", nil, "product", "h", "W"), oneNode("Less", nil, "early", "i", "two"),
			oneNode("If", emit.Attrs{"then_branch": graphAttr(then), "else_branch": graphAttr(other)}, "picked", "early"),
			oneNode("Mul", nil, "next", "picked", "s"), oneNode("Identity", nil, "copy", "next"),
		},
		Outputs: []onnx.Value{{Name: "again", DType: onnx.Bool, Shape: onnx.Shape{}}, f32("next", nil), f32("copy", nil)},
	}
	count := "count"
	if stop > 0 {
		count = ""
		body.Nodes = append(body.Nodes, oneNode("Less", nil, "again", "i", "stop"))
	} else {
		body.Nodes = append(body.Nodes, oneNode("Identity", nil, "again", "go"))
	}
	g := &onnx.Graph{
		Name: "loops", Inputs: []onnx.Value{f32("x", onnx.ShapeOf(3, 4))}, Outputs: []onnx.Value{f32("y", nil), f32("all", nil)},
		Initializers: map[string]*onnx.Tensor{"W": onnx.FromFloat32(w, 4, 4), "count": onnx.FromInt64([]int64{4}), "true": boolOf(1)},
		Nodes: []*onnx.Node{{Name: "loop", Op: "Loop", Inputs: []string{count, "true", "x"}, Outputs: []string{"last", "stack"}, Attrs: emit.Attrs{"body": graphAttr(body)}},
			oneNode("Neg", nil, "y", "last"), oneNode("Neg", nil, "all", "stack")},
	}
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: g}
}

// scanModel sums the columns of x from the last to the first.
func scanModel() *onnx.Model {
	f32 := func(name string, shape onnx.Shape) onnx.Value {
		return onnx.Value{Name: name, DType: onnx.Float32, Shape: shape}
	}
	body := &onnx.Graph{
		Name: "body", Inputs: []onnx.Value{f32("sum", nil), f32("column", nil)},
		Nodes:   []*onnx.Node{oneNode("Add", nil, "more", "sum", "column"), oneNode("Sin", nil, "seen", "more")},
		Outputs: []onnx.Value{f32("more", nil), f32("seen", nil)},
	}
	a := emit.Attrs{"body": graphAttr(body), "num_scan_inputs": onnx.IntAttr(1), "scan_input_axes": onnx.IntsAttr(1), "scan_input_directions": onnx.IntsAttr(1),
		"scan_output_axes": onnx.IntsAttr(-1), "scan_output_directions": onnx.IntsAttr(1)}
	g := &onnx.Graph{
		Name: "scans", Inputs: []onnx.Value{f32("x", onnx.ShapeOf(3, 4))}, Outputs: []onnx.Value{f32("y", nil), f32("all", nil)},
		Initializers: map[string]*onnx.Tensor{"zero": onnx.NewTensor(onnx.Float32, 3)},
		Nodes: []*onnx.Node{{Name: "scan", Op: "Scan", Inputs: []string{"zero", "x"}, Outputs: []string{"last", "stack"}, Attrs: a},
			oneNode("Neg", nil, "y", "last"), oneNode("Neg", nil, "all", "stack")},
	}
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: g}
}

// A loop whose count is known, or whose condition follows from the number of
// the iteration, is unrolled and computes what ONNX Runtime's own loop does.
func TestLoopsUnroll(t *testing.T) {
	d := gradtest.Device(t)
	for name, c := range map[string]struct {
		model func() *onnx.Model
		shape []int64 // of the stack
	}{
		"count": {func() *onnx.Model { return loopModel(0) }, []int64{4, 3, 4}}, "condition": {func() *onnx.Model { return loopModel(2) }, []int64{3, 3, 4}},
		"scan": {scanModel, []int64{3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			x := make([]float64, 12)
			for i := range x {
				x[i] = math.Sin(float64(3 * i))
			}
			raw := make([]byte, 48)
			gradtest.PutFloats(raw, onnx.Float32, x)
			run := func(m *onnx.Model) [][]float64 {
				data, err := wire.Encode(m)
				if err != nil {
					t.Fatal(err)
				}
				last := []int64{3, 4}
				if name == "scan" {
					last = []int64{3}
				}
				f, err := d.NewFunction(data, []ortrun.Slot{{Name: "x", DType: ortrun.Float32, Shape: []int64{3, 4}}},
					[]ortrun.Slot{{Name: "y", DType: ortrun.Float32, Shape: last}, {Name: "all", DType: ortrun.Float32, Shape: c.shape}})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				out, err := f.Run(raw)
				if err != nil {
					t.Fatal(err)
				}
				return [][]float64{gradtest.GetFloats(out[0], onnx.Float32), gradtest.GetFloats(out[1], onnx.Float32)}
			}
			want := run(c.model())
			m := c.model()
			if err := infer.Fold(m, infer.FoldOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, n := range m.Graph.Nodes {
				if n.Op == "Loop" || n.Op == "Scan" || n.Op == "If" {
					t.Errorf("node %q (%s) is left", n.Name, n.Op)
				}
			}
			for k, got := range run(m) {
				for i := range got {
					if math.Abs(got[i]-want[k][i]) > 1e-6 {
						t.Fatalf("output %d: %v, ONNX Runtime's loop gives %v", k, got, want[k])
					}
				}
			}
		})
	}
}

// Where data decides how often a loop runs, or it runs too often, it stays.
func TestLoopsOfUnknownCountStay(t *testing.T) {
	byData := func() *onnx.Model {
		m := loopModel(0)
		m.Graph.Nodes = slices.Insert(m.Graph.Nodes, 0, oneNode("ReduceMax", emit.Attrs{"keepdims": onnx.IntAttr(0)}, "most", "x"),
			oneNode("Cast", emit.Attrs{"to": onnx.IntAttr(int64(onnx.Int64))}, "times", "most"))
		m.Graph.Nodes[2].Inputs[0] = "times"
		return m
	}
	tooOften := func() *onnx.Model {
		m := loopModel(0)
		m.Graph.Initializers["count"] = onnx.FromInt64([]int64{1 << 40})
		return m
	}
	for name, m := range map[string]*onnx.Model{"data": byData(), "often": tooOften(), "condition": loopModel(1 << 40)} {
		nodes := len(m.Graph.Nodes)
		if err := infer.Fold(m, infer.FoldOptions{}); err != nil {
			t.Fatal(err)
		}
		if len(m.Graph.Nodes) != nodes {
			t.Errorf("%s: %d nodes, want %d", name, len(m.Graph.Nodes), nodes)
		}
		if err := autodiff.ControlFlow(m.Graph.Nodes); !errors.Is(err, autodiff.ErrNoRule) || !strings.Contains(err.Error(), `Loop (node "loop")`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
