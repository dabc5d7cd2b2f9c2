package export_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// partsAgree holds steps in three parts of unlike size against whole ones.
func partsAgree(t *testing.T, d *ortrun.Device, b *bundle.Bundle, steps int, input func(step int) ortrun.StepInput) {
	t.Helper()
	whole, state := portableTrainer(t, d, b, 8)
	parts := newSplit(t, d, b, bundle.LayoutPortable, 8)
	for k := range steps {
		in := input(k)
		var out ortrun.StepOutput
		if err := whole.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		if loss := parts.step(t, in, 3, 4, 1); !(math.Abs(loss-float64(out.Loss)) <= 1e-5*max(1, math.Abs(float64(out.Loss)))) {
			t.Errorf("step %d in parts: loss %v, want %v", k, loss, out.Loss)
		}
		for i, s := range b.Manifest.State {
			near(t, fmt.Sprintf("step %d in parts: %s", k, s.Name), readState(t, parts.state, i, b.Init[s.Name]), readState(t, state, i, b.Init[s.Name]), 1e-5)
		}
	}
}

// Parts of a batch of vectors or masks are the whole under every loss, weighed or
// not, of pixels of which some are left out.
func TestHalvesOfTasks(t *testing.T) {
	d := openDevice(t)
	for _, model := range []string{"vector", "mask", "single"} {
		for _, l := range export.Losses() {
			for _, alone := range []bool{false, true} {
				m, err := wire.Read(filepath.Join("testdata", "tasks."+model+".onnx"))
				if err != nil {
					t.Fatal(err)
				}
				o := export.Options{Loss: export.NewLoss(l.Name), BatchLossOnly: alone, Optimizer: bundle.Optimizer{Name: bundle.SGD, Momentum: 0.9}}
				if model == "vector" {
					o.Loss.SoftTargets = true
				} else if l.Name != bundle.NoLoss {
					ignore := int64(255)
					o.Loss.Ignore = &ignore
					o.Loss.ClassWeights = []float64{0.5, 2, 1}[:taskClasses[model]]
				}
				if model == "single" {
					o.Loss.ClassWeights = nil
				}
				b, err := export.Build(m, o)
				if err != nil { // a loss that is none of the model's
					continue
				}
				t.Run(fmt.Sprint(model, " ", l.Name, " ", alone), func(t *testing.T) {
					r := rand.New(rand.NewPCG(2, 8))
					partsAgree(t, d, b, 4, func(k int) ortrun.StepInput {
						in := ortrun.StepInput{N: 2 * taskBatch, LearningRate: 0.2, LossScale: 1}
						var masks []byte
						for j := range 2 {
							images, v, m := taskBatchOf(2*k+j, model, false)
							in.Images, masks = append(in.Images, images...), append(masks, m...)
							if model == "vector" {
								in.LabelsFloat = append(in.LabelsFloat, v...)
							}
						}
						if model != "vector" {
							in.Targets = [][]byte{masks}
						}
						if b.Manifest.Train.SampleWeights != nil {
							for range in.N {
								in.Weights = append(in.Weights, r.Float32()*2)
							}
						}
						return in
					})
				})
			}
		}
	}
}

// ownLoss is a model of images with its own loss, of the scores s, the wanted
// scores y and marks m of those that count, all [N, 3].
func ownLoss(want map[string]*onnx.Tensor, nodes ...*onnx.Node) *onnx.Model {
	m := twoLayers(want)
	g := m.Graph
	n := onnx.Symbol("N")
	g.Inputs = []onnx.Value{{Name: "image", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(1), onnx.Const(2), onnx.Const(3)}},
		{Name: "y", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(3)}}, {Name: "m", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(3)}}}
	g.Nodes = append([]*onnx.Node{{Name: "flat", Op: "Flatten", Inputs: []string{"image"}, Outputs: []string{"x"}}}, g.Nodes...)
	for name, v := range map[string]float32{"one": 1, "half": 0.5, "tiny": 1e-6} {
		g.Initializers[name] = onnx.FromFloat32([]float32{v})
	}
	g.Initializers["axis1"], g.Initializers["axis0"] = onnx.FromInt64([]int64{1}, 1), onnx.FromInt64([]int64{0}, 1)
	g.Initializers["row"] = onnx.FromInt64([]int64{-1}, 1)
	for i, n := range nodes {
		n.Name = n.Outputs[0]
		if n.Op == "ReduceSum" || n.Op == "ReduceMean" {
			n.Attrs = map[string]onnx.Attr{"keepdims": onnx.IntAttr(int64(i % 2))}
		}
	}
	g.Nodes = append(g.Nodes, nodes...)
	last := nodes[len(nodes)-1].Outputs[0]
	g.Outputs = append(g.Outputs, onnx.Value{Name: last, DType: onnx.Float32, Shape: onnx.Shape{}})
	return m
}

// op is a node of ownLoss.
func lossNode(out, op string, in ...string) *onnx.Node {
	return &onnx.Node{Op: op, Inputs: in, Outputs: []string{out}}
}

// Parts of a batch are the whole under a model's own loss where its nodes say
// what it is a mean over, and refused by the node where they do not.
func TestHalvesOfOwnLosses(t *testing.T) {
	d := openDevice(t)
	fixture, _ := readFixture(t, "optim.safetensors.gz")
	squares := func() []*onnx.Node {
		return []*onnx.Node{lossNode("far", "Sub", "logits", "y"), lossNode("sq", "Mul", "far", "far"), lossNode("marked", "Mul", "sq", "m")}
	}
	for _, c := range []struct {
		name   string
		nodes  []*onnx.Node
		counts bool
		node   string // that it is refused for
	}{
		{"mean", []*onnx.Node{lossNode("a", "ReduceMean", "marked"), lossNode("l", "Squeeze", "a")}, false, ""},
		{"mean of a row of all", []*onnx.Node{lossNode("all", "Reshape", "marked", "row"), lossNode("l", "ReduceMean", "all")}, false, ""},
		{"mean of sums", []*onnx.Node{lossNode("each", "ReduceSum", "marked", "axis1"), lossNode("m0", "ReduceMean", "each", "axis0"), lossNode("z", "Squeeze", "m0"), lossNode("l", "Mul", "half", "z")}, false, ""},
		{"two means", []*onnx.Node{lossNode("a", "ReduceMean", "marked"), lossNode("c", "ReduceMean", "sq", "axis0"), lossNode("d", "ReduceSum", "c"), lossNode("e", "Squeeze", "d"), lossNode("f", "Squeeze", "a"), lossNode("l", "Add", "f", "e")}, false, ""},
		{"over a count", []*onnx.Node{lossNode("s", "ReduceSum", "marked"), lossNode("n", "ReduceSum", "m"), lossNode("q", "Div", "s", "n"), lossNode("l", "Squeeze", "q")}, true, ""},
		{"over at least one", []*onnx.Node{lossNode("s", "ReduceSum", "marked"), lossNode("n", "ReduceSum", "m"), lossNode("k", "Max", "n", "one"), lossNode("q", "Div", "s", "k"), lossNode("l", "Squeeze", "q")}, true, ""},
		{"over a count and a little", []*onnx.Node{lossNode("s", "ReduceSum", "marked"), lossNode("n", "ReduceSum", "m"), lossNode("k", "Add", "tiny", "n"), lossNode("q", "Div", "s", "k"), lossNode("l", "Squeeze", "q")}, true, ""},
		{"two over one count", []*onnx.Node{lossNode("s", "ReduceSum", "marked"), lossNode("n", "ReduceSum", "m"), lossNode("ab", "Abs", "far"), lossNode("v", "Mul", "ab", "m"), lossNode("s2", "ReduceSum", "v"), lossNode("t", "Squeeze", "s"), lossNode("w", "Squeeze", "n"),
			lossNode("t2", "Squeeze", "s2"), lossNode("q", "Div", "t", "w"), lossNode("q2", "Div", "t2", "w"), lossNode("h", "Mul", "q2", "half"), lossNode("l", "Sub", "q", "h")}, true, ""},
		{"a root", []*onnx.Node{lossNode("a", "ReduceMean", "marked"), lossNode("z", "Squeeze", "a"), lossNode("root", "Sqrt", "z"), lossNode("l", "Identity", "root")}, false, `"root" (Sqrt)`},
		{"a sum", []*onnx.Node{lossNode("all", "ReduceSum", "marked"), lossNode("l", "Squeeze", "all")}, false, `"all" (ReduceSum)`},
		{"two divisors", []*onnx.Node{lossNode("a", "ReduceMean", "marked"), lossNode("s", "ReduceSum", "marked"), lossNode("z", "Squeeze", "a"), lossNode("n", "ReduceSum", "m"), lossNode("q", "Div", "s", "n"), lossNode("y2", "Squeeze", "q"), lossNode("both", "Add", "z", "y2"), lossNode("l", "Identity", "both")}, false, `"both" (Add)`},
		{"over the weights", []*onnx.Node{lossNode("s", "ReduceSum", "marked"), lossNode("n", "ReduceSum", "sq"), lossNode("q", "Div", "s", "n"), lossNode("l", "Squeeze", "q")}, false, `"q" (Div)`},
		{"over the largest", []*onnx.Node{lossNode("s", "ReduceSum", "marked"), lossNode("n", "ReduceMax", "m"), lossNode("sz", "Squeeze", "s"), lossNode("nz", "Squeeze", "n"), lossNode("q", "Div", "sz", "nz"), lossNode("l", "Squeeze", "q")}, false, `"q" (Div)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ownLoss(fixture, append(squares(), c.nodes...)...)
			b, err := export.Build(m, export.Options{Name: "own", Loss: export.NewLoss(bundle.NoLoss), Images: export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}},
				Optimizer: bundle.Optimizer{Name: bundle.SGD, Momentum: 0.9, WeightDecay: 1e-3, Clip: 0.5}})
			if err != nil {
				t.Fatal(err)
			}
			h, err := b.Halves(bundle.LayoutPortable)
			if c.node != "" {
				if !errors.Is(err, bundle.ErrInvalid) || !strings.Contains(err.Error(), c.node) {
					t.Fatalf("refused with %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (h.Loss != "") != c.counts {
				t.Errorf("the update gives the loss: %q", h.Loss)
			}
			r := rand.New(rand.NewPCG(5, 6))
			floats := func(n int, f func() float32) []float32 {
				v := make([]float32, n)
				for i := range v {
					v[i] = f()
				}
				return v
			}
			normal := func() float32 { return float32(r.NormFloat64()) }
			partsAgree(t, d, b, 5, func(int) ortrun.StepInput {
				marks := floats(24, func() float32 { return float32(r.IntN(2)) })
				if strings.Contains(c.name, "at least") { // a part without any
					clear(marks[:9])
				}
				return ortrun.StepInput{N: 8, Images: onnx.FromFloat32(floats(48, normal), 48).Data, LabelsFloat: floats(24, normal),
					Targets: [][]byte{slices.Clone(onnx.FromFloat32(marks, 24).Data)}, LearningRate: 0.1, LossScale: 1.5}
			})
		})
	}
}

// What the halves have beside the nodes of the whole graph computes on numbers of
// samples alone: nodes on shapes would be the CPU's, on any device.
func TestHalvesAddArithmetic(t *testing.T) {
	fixture, _ := readFixture(t, "optim.safetensors.gz")
	counted := ownLoss(fixture, lossNode("far", "Sub", "logits", "y"), lossNode("sq", "Mul", "far", "far"), lossNode("s", "ReduceSum", "sq"),
		lossNode("n", "ReduceSum", "m"), lossNode("k", "Max", "n", "one"), lossNode("q", "Div", "s", "k"), lossNode("l", "Squeeze", "q"))
	for name, c := range map[string]struct {
		m *onnx.Model
		o export.Options
	}{
		"float32": {forward(t, "resnet8"), export.Options{}},
		"float16": {forward(t, "resnet8"), export.Options{Precision: export.Float16}},
		"count":   {counted, export.Options{Loss: export.NewLoss(bundle.NoLoss), Images: export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}}}},
	} {
		c.o.Name = "halves"
		b, err := export.Build(c.m, c.o)
		if err != nil {
			t.Fatal(err)
		}
		h, err := b.Halves(bundle.LayoutPortable)
		if err != nil {
			t.Fatal(err)
		}
		whole := map[string]bool{}
		for _, n := range decoded(t, b.Train).Nodes {
			whole[n.Name] = true
		}
		added := 0
		for _, half := range [][]byte{h.Gradient, h.Update} {
			for _, n := range decoded(t, half).Nodes {
				if whole[n.Name] {
					continue
				}
				added++
				if !slices.Contains([]string{"Add", "Mul", "Div", "Identity", "Reshape"}, n.Op) {
					t.Errorf("%s: node %q is a %s", name, n.Name, n.Op)
				}
			}
		}
		if added == 0 {
			t.Errorf("%s: the halves add nothing", name)
		}
	}
}

func decoded(t *testing.T, data []byte) *onnx.Graph {
	t.Helper()
	m, err := wire.Decode(data, "")
	if err != nil {
		t.Fatal(err)
	}
	return m.Graph
}
