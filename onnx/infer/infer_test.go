package infer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
)

// inferCase is a case of testdata/gen_infer.py or gen_batch.py: what ONNX Runtime made of a small model.
type inferCase struct {
	Name    string
	Model   []byte
	Batches []int64
	Types   []struct {
		DType  onnx.DType
		Shapes [][]int64
	}
	Unknown bool
	Values  [][]*float64
	Content [][][]int64
}

func inferCases(t testing.TB) []inferCase {
	t.Helper()
	return slices.Concat(inferFile(t, "infer.json.gz"), inferFile(t, "batch.json.gz"))
}

func inferFile(t testing.TB, name string) []inferCase {
	t.Helper()
	var cases []inferCase
	if err := json.Unmarshal(gunzip(t, name), &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func (c inferCase) decode(t testing.TB) *onnx.Model {
	t.Helper()
	m, err := wire.Decode(c.Model, "")
	if err != nil {
		t.Fatal(err)
	}
	// The outputs' claims must not help.
	for i := range m.Graph.Outputs {
		m.Graph.Outputs[i].Shape, m.Graph.Outputs[i].DType = nil, onnx.Undefined
	}
	return m
}

// at evaluates a dimension for a batch size; false if it does not follow from N.
func at(d onnx.Dim, batch int64) (int64, bool) {
	if a := affineOf(d); a.c != 0 && a.sym != "" {
		v, ok := at(onnx.Symbol(a.sym), batch)
		return a.n*v + a.c, ok
	}
	var n, c, by int64
	if k, _ := fmt.Sscanf(strings.Replace(d.Sym, "*N", " ", 1), "?[%d %d/%d]", &n, &c, &by); k == 3 {
		return d.N * floorDiv(n*batch+c, by), true
	}
	switch d.Sym {
	case "":
		return d.N, true
	case onnx.BatchSymbol:
		return d.N * batch, true
	}
	return 0, false
}

func TestInferMatchesRuntime(t *testing.T) {
	for _, c := range inferCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			m := c.decode(t)
			in, err := Model(m)
			if err != nil {
				t.Fatal(err)
			}
			c.compareTypes(t, m, in)
			for i, want := range c.Content {
				got, ok := in.Content(m.Graph.Outputs[i].Name)
				if !ok {
					t.Fatalf("output %d: content is not followed", i)
				}
				for b, list := range want {
					var now []int64
					for _, d := range got {
						v, ok := at(d, c.Batches[b])
						if !ok {
							t.Fatalf("output %d: content %v is not known", i, onnx.Shape(got))
						}
						now = append(now, v)
					}
					if !slices.Equal(now, list) {
						t.Errorf("output %d: content %v for N=%d, want %v", i, onnx.Shape(got), c.Batches[b], list)
					}
				}
			}
		})
	}
}

func (c inferCase) compareTypes(t *testing.T, m *onnx.Model, in *Inference) {
	t.Helper()
	for i, o := range m.Graph.Outputs {
		v, ok := in.Type(o.Name)
		want := c.Types[i]
		if !ok || v.DType != want.DType {
			t.Errorf("output %d has type %v, want %v", i, v.DType, want.DType)
		}
		for b, shape := range want.Shapes {
			if len(v.Shape) != len(shape) {
				t.Fatalf("output %d: %v for N=%d, want %v", i, v.Shape, c.Batches[b], shape)
			}
			for k, d := range v.Shape {
				got, ok := at(d, c.Batches[b])
				if ok && got != shape[k] || !ok && !c.Unknown {
					t.Errorf("output %d: %v for N=%d, want %v", i, v.Shape, c.Batches[b], shape)
				}
			}
		}
	}
}

func TestFoldMatchesRuntime(t *testing.T) {
	// Known, but not worth evaluating, or given to the runtime.
	var left []string
	for _, c := range inferCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			m := c.decode(t)
			g := m.Graph
			// Folding keeps graph outputs: read them through another node.
			var outs []onnx.Value
			for i, o := range g.Outputs {
				name := "out" + string(rune('0'+i))
				g.Nodes = append(g.Nodes, &onnx.Node{Op: "Identity", Inputs: []string{o.Name}, Outputs: []string{name}})
				outs = append(outs, onnx.Value{Name: name})
			}
			g.Outputs = outs
			if err := Fold(m, FoldOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := opset.Check(m, strings.TrimSuffix(nchwc, ".")); err != nil {
				t.Error(err)
			}
			in, err := Model(m)
			if err != nil {
				t.Fatal(err)
			}
			c.compareTypes(t, m, in)
			if c.Values == nil {
				return
			}
			for i, want := range c.Values {
				source := ""
				for _, n := range g.Nodes {
					if n.Outputs[0] == outs[i].Name {
						source = n.Inputs[0]
					}
				}
				got := g.Initializers[source]
				if got == nil {
					left = append(left, c.Name)
					return
				}
				f, v := asNumbers(got)
				if v != nil {
					f = widen(v)
				}
				if len(f) != len(want) {
					t.Fatalf("%d elements, want %d", len(f), len(want))
				}
				for k := range f {
					w := math.NaN()
					if want[k] != nil {
						w = *want[k]
					}
					if math.Abs(w) == 1e308 {
						w = math.Copysign(math.Inf(1), w)
					}
					if f[k] != w && math.Abs(f[k]-w) > 1e-6*max(1, math.Abs(w)) && !(f[k] != f[k] && w != w) {
						t.Errorf("element %d is %v, want %v", k, f[k], w)
					}
				}
			}
		})
	}
	for _, name := range left {
		if evaluated := evalRules[strings.Fields(name)[0]] != nil; evaluated {
			t.Errorf("%s was not folded", name)
		}
	}
}

// All values that no input changes may take 1 GiB, and 8 times the weights'
// bytes besides; the node that makes one too many is named.
func TestSumOfConstantsIsBounded(t *testing.T) {
	for _, c := range []struct {
		values int // of 200 MiB each
		weight int64
		ok     bool
	}{{5, 0, true}, {6, 0, false}, {6, 22 << 20, true}, {7, 22 << 20, false}} {
		g := &onnx.Graph{
			Inputs:       []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(1)}}},
			Outputs:      []onnx.Value{{Name: "y", DType: onnx.Float32}},
			Initializers: map[string]*onnx.Tensor{"s": onnx.FromInt64([]int64{50 << 20}, 1), "w": onnx.NewTensor(onnx.Uint8, c.weight/2)},
		}
		g.Nodes = append(g.Nodes, &onnx.Node{Name: "c", Op: "Constant", Outputs: []string{"c"},
			Attrs: map[string]onnx.Attr{"value": onnx.TensorAttr(onnx.NewTensor(onnx.Uint8, c.weight/2))}})
		add := &onnx.Node{Name: "add", Op: "Sum", Inputs: []string{"x"}, Outputs: []string{"y"}}
		last := ""
		for i := range c.values {
			last = fmt.Sprint("fill", i)
			g.Nodes = append(g.Nodes, &onnx.Node{Name: last, Op: "ConstantOfShape", Inputs: []string{"s"}, Outputs: []string{last}})
			add.Inputs = append(add.Inputs, last)
		}
		g.Nodes = append(g.Nodes, add)
		_, err := Model(&onnx.Model{IRVersion: 8, Opset: 18, Graph: g})
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
		if !c.ok && (!errors.Is(err, onnx.ErrTooLarge) || !strings.Contains(err.Error(), `"`+last+`"`)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Numbers of windows and paddings far beyond any image are named with their
// bounds; their sums would overflow.
func TestPaddingIsBounded(t *testing.T) {
	for _, v := range []int64{math.MaxInt64, math.MaxInt64 - 7, 1 << 62, 1<<31 + 1, -1<<31 - 1, math.MinInt64} {
		for name, n := range map[string]*onnx.Node{
			"pads":           {Op: "Pad", Inputs: []string{"x", "p"}},
			"pads of Conv":   {Op: "Conv", Inputs: []string{"x", "w"}, Attrs: map[string]onnx.Attr{"pads": onnx.IntsAttr(v, 0, 0, 0)}},
			"pads of pool":   {Op: "MaxPool", Inputs: []string{"x"}, Attrs: map[string]onnx.Attr{"pads": onnx.IntsAttr(0, 0, 0, v), "kernel_shape": onnx.IntsAttr(2, 2)}},
			"output_padding": {Op: "ConvTranspose", Inputs: []string{"x", "w"}, Attrs: map[string]onnx.Attr{"output_padding": onnx.IntsAttr(v, 0)}},
		} {
			n.Name, n.Outputs = "padded", []string{"y"}
			g := &onnx.Graph{
				Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(3), onnx.Const(8), onnx.Const(8)}}},
				Initializers: map[string]*onnx.Tensor{
					"p": onnx.FromInt64([]int64{0, 0, 0, v, 0, 0, 0, 0}, 8), "w": onnx.NewTensor(onnx.Float32, 3, 3, 2, 2),
				},
			}
			word, _, _ := strings.Cut(name, " ")
			want := fmt.Sprintf(`node "padded" (%s)`, n.Op)
			if err := New(g).Node(n); !errors.Is(err, ErrShape) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("%s %d, want ", word, v)) {
				t.Errorf("%s %d: %v", name, v, err)
			}
		}
	}
}

// A value that no input changes may take 256 MiB; the node that makes a larger one is named.
func TestConstantsAreBounded(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		ok    bool
	}{{[]int64{64 << 20}, true}, {[]int64{64<<20 + 1}, false}, {[]int64{1e9}, false}, {[]int64{1 << 40, 1 << 40}, false}} {
		g := &onnx.Graph{
			Inputs:       []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(1)}}},
			Outputs:      []onnx.Value{{Name: "y", DType: onnx.Float32}},
			Initializers: map[string]*onnx.Tensor{"s": onnx.FromInt64(c.shape, int64(len(c.shape)))},
			Nodes: []*onnx.Node{
				{Name: "fill", Op: "ConstantOfShape", Inputs: []string{"s"}, Outputs: []string{"k"}},
				{Name: "add", Op: "Add", Inputs: []string{"x", "k"}, Outputs: []string{"y"}},
			},
		}
		_, err := Model(&onnx.Model{IRVersion: 8, Opset: 18, Graph: g})
		if (err == nil) != c.ok {
			t.Errorf("%v: %v", c.shape, err)
		}
		if !c.ok && (!errors.Is(err, onnx.ErrTooLarge) || !strings.Contains(err.Error(), `node "fill" (ConstantOfShape)`)) {
			t.Errorf("%v: %v", c.shape, err)
		}
	}
}
