package autodiff_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
)

type attr = map[string]onnx.Attr

func op(op string, a attr, out string, in ...string) *onnx.Node {
	return &onnx.Node{Name: "n_" + out, Op: op, Inputs: in, Outputs: []string{out}, Attrs: a}
}

// tiny is a graph from flat vectors of 16 to 3 classes.
func tiny(init func(p func(name string, dims ...int64)), nodes ...*onnx.Node) func() *onnx.Model {
	return func() *onnx.Model {
		r := rand.New(rand.NewPCG(3, 4))
		g := &onnx.Graph{Name: "tiny", Inputs: []onnx.Value{batchOf("x", 16)}, Outputs: []onnx.Value{batchOf("y", 3)}, Initializers: map[string]*onnx.Tensor{}}
		init(func(name string, dims ...int64) { drawn(g, r, name, 0.5, dims...) })
		for name, v := range map[string][]int64{"s_4_4": {-1, 4, 4}, "s_1_4_4": {-1, 1, 4, 4}, "s_2_8": {-1, 2, 8}, "s_rows4": {-1, 4}, "s_16": {-1, 16}, "s_2_2_2_2": {-1, 2, 2, 2, 2}, "ax0": {0}, "ax1": {1}, "axm1": {-1}, "ax12": {1, 2}, "s0_4_4": {0, 4, 4}} {
			g.Initializers[name] = onnx.FromInt64(v, int64(len(v)))
		}
		for _, n := range nodes {
			c := *n
			g.Nodes = append(g.Nodes, &c)
		}
		return &onnx.Model{IRVersion: 8, Opset: 18, Graph: g}
	}
}

func checkModel(t *testing.T, d *ortrun.Device, model func() *onnx.Model) *bundle.Bundle {
	t.Helper()
	o := autodiff.Options{}
	b, err := autodiff.Build(model(), o)
	if err != nil {
		t.Error(err)
		return nil
	}
	for _, n := range []int{1, 5} {
		r := rand.New(rand.NewPCG(9, 9))
		in := ortrun.StepInput{N: n, Images: make([]byte, n*16), Labels: make([]int64, n), LearningRate: 1}
		for i := range in.Images {
			in.Images[i] = byte(r.IntN(256))
		}
		for i := range in.Labels {
			in.Labels[i] = int64(r.IntN(3))
		}
		trainer, state, index := newTrainer(t, d, b, 5)
		var out ortrun.StepOutput
		if err := trainer.Step(&in, &out); err != nil {
			t.Error(err)
			return nil
		}
		for _, s := range b.Manifest.State {
			if s.Kind != bundle.KindParameter {
				continue
			}
			after := readState(t, state, index[s.Name], b.Init[s.Name])
			before := b.Init[s.Name].Float32s()
			var diff, sum float64
			for k := range before {
				if k >= 12 {
					break
				}
				at := func(h float32) float64 {
					c := *b
					c.Init = map[string]*onnx.Tensor{}
					for k, v := range b.Init {
						c.Init[k] = v
					}
					v := append([]float32{}, before...)
					v[k] += h
					c.Init[s.Name] = onnx.FromFloat32(v, b.Init[s.Name].Dims...)
					tr, st, _ := newTrainer(t, d, &c, 5)
					var o ortrun.StepOutput
					if err := tr.Step(&in, &o); err != nil {
						t.Fatal(err)
					}
					tr.Close()
					st.Close()
					return float64(o.Loss)
				}
				const h = 4e-3
				numeric := (at(h) - at(-h)) / (2 * h)
				got := float64(before[k] - after[k])
				diff += (numeric - got) * (numeric - got)
				sum += numeric*numeric + 1e-6
			}
			if math.Sqrt(diff/sum) > 2e-2 {
				t.Errorf("N=%d %s: relative error %v (norm %v)", n, s.Name, math.Sqrt(diff/sum), math.Sqrt(sum))
			}
		}
		trainer.Close()
		state.Close()
	}
	return b
}

func TestCorners(t *testing.T) {
	d := openDevice(t)
	I, S, A := onnx.IntAttr, onnx.StringAttr, onnx.IntsAttr
	_ = S
	for _, c := range []struct {
		name  string
		model func() *onnx.Model
	}{
		{"tied", tiny(func(p func(string, ...int64)) { p("w", 16, 16); p("h", 16, 3) },
			op("MatMul", nil, "a", "x", "w"), op("Tanh", nil, "b", "a"), op("MatMul", nil, "c", "b", "w"), op("Add", nil, "e", "c", "b"), op("Mul", nil, "f", "e", "e"), op("MatMul", nil, "y", "f", "h"))},
		{"tied-transposed", tiny(func(p func(string, ...int64)) { p("w", 16, 16); p("h", 16, 3) },
			op("Gemm", attr{"transB": I(1)}, "a", "x", "w"), op("Tanh", nil, "b", "a"), op("Gemm", nil, "c", "b", "w"), op("Gemm", nil, "y", "c", "h"))},
		{"gemm-transA", tiny(func(p func(string, ...int64)) { p("w", 16, 16); p("h", 3, 16); p("c", 16, 1) },
			op("Transpose", nil, "xt", "x"), op("Gemm", attr{"transA": I(1), "transB": I(1), "alpha": onnx.FloatAttr(0.5)}, "a", "xt", "w"),
			op("Tanh", nil, "b", "a"), op("Transpose", attr{"perm": A(1, 0)}, "bt", "b"), op("Gemm", attr{"transA": I(1), "transB": I(1)}, "y", "bt", "h"))},
		{"rows", tiny(func(p func(string, ...int64)) { p("w", 4, 4); p("h", 16, 3); p("bb", 4) },
			op("Reshape", nil, "r", "x", "s_rows4"), op("Gemm", nil, "a", "r", "w", "bb"), op("Tanh", nil, "b", "a"), op("Reshape", nil, "c", "b", "s_16"), op("Gemm", nil, "y", "c", "h"))},
		{"rows-mean", tiny(func(p func(string, ...int64)) { p("w", 4, 4); p("h", 4, 3) },
			op("Reshape", nil, "r", "x", "s_rows4"), op("MatMul", nil, "a", "r", "w"), op("Tanh", nil, "b", "a"), op("Reshape", nil, "c", "b", "s_4_4"), op("ReduceMean", attr{"keepdims": I(0)}, "m", "c", "axm1x"), op("MatMul", nil, "y", "m", "h"))},
		{"batchmean", tiny(func(p func(string, ...int64)) { p("w", 16, 8); p("h", 8, 3) },
			op("MatMul", nil, "a", "x", "w"), op("ReduceMean", attr{"keepdims": I(1)}, "m", "a", "ax0"), op("Sub", nil, "s", "a", "m"), op("Sigmoid", nil, "s2", "s"), op("MatMul", nil, "y", "s2", "h"))},
		{"batchmean-rows", tiny(func(p func(string, ...int64)) { p("w", 4, 4); p("h", 16, 3) },
			op("Reshape", nil, "r", "x", "s_rows4"), op("MatMul", nil, "a", "r", "w"), op("ReduceMean", attr{"keepdims": I(1)}, "m", "a", "ax0"), op("Mul", nil, "s", "a", "m"), op("Tanh", nil, "b", "s"), op("Reshape", nil, "c", "b", "s_16"), op("MatMul", nil, "y", "c", "h"))},
		{"bn2d", tiny(func(p func(string, ...int64)) { p("w", 16, 8); p("h", 8, 3); p("g", 8); p("be", 8); p("mu", 8); p("va", 8) },
			op("MatMul", nil, "a", "x", "w"), op("BatchNormalization", nil, "n", "a", "g", "be", "mu", "va"), op("Sigmoid", nil, "s2", "n"), op("MatMul", nil, "y", "s2", "h"))},
		{"bn-rows", tiny(func(p func(string, ...int64)) { p("w", 4, 4); p("h", 16, 3); p("g", 4); p("be", 4); p("mu", 4); p("va", 4) },
			op("Reshape", nil, "r", "x", "s_rows4"), op("MatMul", nil, "a", "r", "w"), op("BatchNormalization", nil, "n", "a", "g", "be", "mu", "va"), op("Tanh", nil, "b", "n"), op("Reshape", nil, "c", "b", "s_16"), op("MatMul", nil, "y", "c", "h"))},
		{"conv1d-bn3", tiny(func(p func(string, ...int64)) { p("w", 3, 2, 3); p("g", 3); p("be", 3); p("mu", 3); p("va", 3); p("h", 9, 3) },
			op("Reshape", nil, "r", "x", "s_2_8"), op("Conv", attr{"dilations": A(2), "pads": A(1, 1)}, "a", "r", "w"), op("BatchNormalization", nil, "n", "a", "g", "be", "mu", "va"),
			op("MaxPool", attr{"kernel_shape": A(2), "strides": A(2), "dilations": A(2), "ceil_mode": I(1)}, "p", "n"), op("Flatten", attr{"axis": I(1)}, "f", "p"), op("Tanh", nil, "tt", "f"), op("MatMul", nil, "y", "tt", "hh"))},
		{"conv3d", tiny(func(p func(string, ...int64)) { p("w", 3, 2, 2, 2, 2); p("h", 24, 3) },
			op("Reshape", nil, "r", "x", "s_2_2_2_2"), op("Conv", attr{"pads": A(1, 1, 1, 1, 1, 1)}, "a", "r", "w"),
			op("MaxPool", attr{"kernel_shape": A(2, 2, 2), "strides": A(1, 1, 1)}, "p", "a"), op("Flatten", nil, "f", "p"), op("Tanh", nil, "tt", "f"), op("MatMul", nil, "y", "tt", "h"))},
		{"conv1d-group", tiny(func(p func(string, ...int64)) { p("w", 4, 1, 3); p("w2", 4, 2, 3); p("h", 16, 3) },
			op("Reshape", nil, "r", "x", "s_2_8"), op("Conv", attr{"group": I(2), "pads": A(1, 1)}, "a", "r", "w"), op("Tanh", nil, "ta", "a"), op("Conv", attr{"group": I(2), "pads": A(2, 0), "strides": A(2)}, "b", "ta", "w2"),
			op("Flatten", nil, "f", "b"), op("Tanh", nil, "tt", "f"), op("MatMul", nil, "y", "tt", "h"))},
		{"names", tiny(func(p func(string, ...int64)) { p("labels", 16, 16); p("loss", 16, 16); p("loss.next", 16); p("loss.momentum", 16, 3) },
			op("MatMul", nil, "images.cast_1", "x", "labels"), op("Tanh", nil, "per_sample_loss", "images.cast_1"), op("MatMul", nil, "loss.next.1", "per_sample_loss", "loss"),
			op("Add", nil, "learning_rate", "loss.next.1", "loss.next"), op("Tanh", nil, "sample_weights", "learning_rate"), op("MatMul", nil, "y", "sample_weights", "loss.momentum"))},
		{"attention", tiny(func(p func(string, ...int64)) { p("q", 4, 4); p("k", 4, 4); p("v", 4, 4); p("h", 16, 3) },
			op("Reshape", nil, "r", "x", "s0_4_4x"), op("MatMul", nil, "Q", "r", "q"), op("MatMul", nil, "K", "r", "k"), op("MatMul", nil, "V", "r", "v"), op("Transpose", attr{"perm": A(0, 2, 1)}, "Kt", "K"),
			op("MatMul", nil, "QK", "Q", "Kt"), op("Softmax", attr{"axis": I(-1)}, "P", "QK"), op("MatMul", nil, "O", "P", "V"), op("Flatten", nil, "f", "O"), op("MatMul", nil, "y", "f", "h"))},
		{"concat-split", tiny(func(p func(string, ...int64)) { p("w", 16, 16); p("h", 16, 3) },
			op("MatMul", nil, "a", "x", "w"), op("Tanh", nil, "b", "a"), &onnx.Node{Name: "sp", Op: "Split", Inputs: []string{"b"}, Outputs: []string{"p1", "p2", "p3"}, Attrs: attr{"axis": I(-1), "num_outputs": I(3)}},
			op("Concat", attr{"axis": I(-1)}, "cc", "p3", "p1", "p1"), op("Concat", attr{"axis": I(1)}, "c2", "cc", "p1"), op("Slice", nil, "c3", "c2", "st", "en", "axm1"), op("MatMul", nil, "y", "c3", "h"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := func() *onnx.Model {
				m := c.model()
				g := m.Graph
				for _, n := range g.Nodes {
					for i, in := range n.Inputs {
						switch in {
						case "axm1x":
							g.Initializers[in] = onnx.FromInt64([]int64{-2}, 1)
						case "s0_4_4x":
							g.Initializers[in] = onnx.FromInt64([]int64{0, 4, -1}, 3)
						case "st":
							g.Initializers[in] = onnx.FromInt64([]int64{-2}, 1)
						case "en":
							g.Initializers[in] = onnx.FromInt64([]int64{-18}, 1)
							g.Initializers["stp"] = onnx.FromInt64([]int64{-1}, 1)
							n.Inputs = append(n.Inputs[:i+2:i+2], "stp")
						case "hh":
							r := rand.New(rand.NewPCG(1, 1))
							drawn(g, r, "hh", 0.5, 9, 3)
						}
					}
				}
				for _, v := range []string{"va"} {
					if t := g.Initializers[v]; t != nil {
						f := t.Float32s()
						for i := range f {
							f[i] = 1 + f[i]*f[i]
						}
						g.Initializers[v] = onnx.FromFloat32(f, t.Dims...)
					}
				}
				return m
			}
			checkModel(t, d, model)
		})
	}
	_ = fmt.Sprint
}
