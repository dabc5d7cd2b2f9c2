package autodiff_test

import (
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
)

func TestProbeShared(t *testing.T) {
	d := openDevice(t)
	I := onnx.IntAttr
	m := tiny(func(p func(string, ...int64)) { p("w", 16, 8); p("h", 8, 3); p("g", 8); p("be", 8) },
		op("MatMul", nil, "a", "x", "w"), op("BatchNormalization", nil, "n", "a", "g", "be", "be", "g"), op("Sigmoid", nil, "s2", "n"), op("MatMul", nil, "y", "s2", "h"))
	b, err := autodiff.Build(m(), autodiff.Options{})
	if err != nil {
		t.Log("shared:", err)
	} else {
		for _, s := range b.Manifest.State {
			t.Log("shared", s.Name, s.Kind)
		}
	}
	// the same norm twice
	m = tiny(func(p func(string, ...int64)) { p("w", 16, 8); p("w2", 8, 8); p("h", 8, 3); p("g", 8); p("be", 8); p("mu", 8); p("va", 8) },
		op("MatMul", nil, "a", "x", "w"), op("BatchNormalization", nil, "n", "a", "g", "be", "mu", "va"), op("MatMul", nil, "a2", "n", "w2"), op("BatchNormalization", nil, "n2", "a2", "g", "be", "mu", "va"), op("MatMul", nil, "y", "n2", "h"))
	b, err = autodiff.Build(m(), autodiff.Options{})
	if err != nil {
		t.Log("twice:", err)
	} else {
		mm, _ := onnx.Decode(b.Train, "")
		for _, n := range mm.Graph.Nodes {
			for _, in := range n.Inputs {
				if in == "mu" {
					t.Log("mu read by", n.Name, n.Op, n.Outputs)
				}
			}
		}
	}
	try := func(name string, m func() *onnx.Model, o autodiff.Options) *bundle.Bundle {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("%s: PANIC %v", name, p)
			}
		}()
		b, err := autodiff.Build(m(), o)
		t.Log(name, err)
		if err == nil {
			tr, st, _ := newTrainer(t, d, b, 3)
			in := ortrun.StepInput{N: 2, Images: make([]byte, 32), Labels: make([]int64, 2), LearningRate: 0.1, Random: func(int, []float32) {}}
			var out ortrun.StepOutput
			t.Log(name, tr.Step(&in, &out), out.Loss)
			tr.Close()
			st.Close()
		}
		return b
	}
	base := func(nodes ...*onnx.Node) func() *onnx.Model {
		return tiny(func(p func(string, ...int64)) {
			p("w", 16, 8)
			p("h", 8, 3)
			p("g", 8)
			p("be", 8)
			p("mu", 8)
			p("va", 8)
		}, nodes...)
	}
	none := autodiff.Options{}
	try("no outputs node", base(op("MatMul", nil, "a", "x", "w"), &onnx.Node{Name: "z", Op: "Foo", Inputs: []string{"a"}}, op("MatMul", nil, "y", "a", "h")), none)
	try("no outputs node2", base(&onnx.Node{Name: "z", Op: "Foo", Domain: "bar", Inputs: []string{"x"}}, op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "y", "a", "h")), none)
	try("empty outputs", base(&onnx.Node{Name: "z", Op: "Foo", Inputs: []string{"x"}, Outputs: []string{""}}, op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "y", "a", "h")), none)
	try("bn of unknown", base(op("Foo", nil, "u", "x"), op("BatchNormalization", nil, "ub", "u", "g", "be", "mu", "va"), op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "y0", "a", "h"), op("Cast", attr{"to": I(7)}, "ii", "y0"), op("ScatterElements", nil, "y", "y0", "ii", "ub")), none)
	try("instnorm of unknown", base(op("Foo", nil, "u", "x"), op("InstanceNormalization", nil, "ub", "u", "g", "be"), op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "y0", "a", "h"), op("Cast", attr{"to": I(7)}, "ii", "y0"), op("ScatterElements", nil, "y", "y0", "ii", "ub")), none)
	for _, k := range []string{"GlobalMaxPool", "GlobalAveragePool", "Trilu", "DepthToSpace", "LayerNormalization", "Gather", "Tile", "Softmax", "ReduceMean", "CumSum", "Slice", "Pad", "Conv", "ConvTranspose", "Concat", "Split", "Transpose", "Einsum", "Resize", "Expand", "Flatten", "MaxPool", "TopK", "PRelu", "GatherND"} {
		u := op(k, nil, "ub", "uu", "g", "be", "mu")
		try(k+" of unknown", base(op("Add", nil, "u0", "x", "w0"), op("Foo", nil, "u", "x"), op("Add", nil, "uu", "u", "g"), u, op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "y0", "a", "h"), op("Cast", attr{"to": I(7)}, "ii", "y0"), op("ScatterElements", nil, "y", "y0", "ii", "ub")), none)
	}
	try("output is input of scalar", base(op("Identity", nil, "y", "x")), none)
	try("output param", base(op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "y", "a", "h"), op("Identity", nil, "q", "w")), none)
	ln := op("LayerNormalization", nil, "l", "a", "g")
	ln.Outputs = []string{"l", "mean1"}
	try("layernorm mean used", base(op("MatMul", nil, "a", "x", "w"), ln, op("Add", nil, "z", "l", "mean1"), op("MatMul", nil, "y", "z", "h")), none)
	ln2 := op("LayerNormalization", nil, "l", "a", "g")
	ln2.Outputs = []string{"l", "mean1"}
	try("layernorm only mean used", base(op("MatMul", nil, "a", "x", "w"), ln2, op("Add", nil, "z", "a", "mean1"), op("MatMul", nil, "y", "z", "h")), none)
	ln3 := op("LayerNormalization", nil, "l", "a", "g")
	ln3.Outputs = []string{"l", "", "inv1"}
	try("layernorm inv, no mean", base(op("MatMul", nil, "a", "x", "w"), ln3, op("MatMul", nil, "y", "l", "h")), none)
	dr := op("Dropout", nil, "l", "a", "ratio", "tm")
	dr.Outputs = []string{"l", "mask"}
	try("dropout mask used", func() *onnx.Model {
		m := base(op("MatMul", nil, "a", "x", "w"), dr, op("Cast", attr{"to": I(1)}, "mf", "mask"), op("Mul", nil, "z", "l", "mf"), op("MatMul", nil, "y", "z", "h"))()
		m.Graph.Initializers["ratio"] = onnx.FromFloat32([]float32{0.5})
		tm := onnx.NewTensor(onnx.Bool)
		tm.Data[0] = 1
		m.Graph.Initializers["tm"] = tm
		return m
	}, none)
	try("param as metadata", func() *onnx.Model {
		return tiny(func(p func(string, ...int64)) { p("__metadata__", 16, 8); p("h", 8, 3) }, op("MatMul", nil, "a", "x", "__metadata__"), op("MatMul", nil, "y", "a", "h"))()
	}, none)
	try("image as label name", func() *onnx.Model {
		m := base(op("MatMul", nil, "a", "labels", "w"), op("MatMul", nil, "y", "a", "h"))()
		m.Graph.Inputs[0].Name = "labels"
		return m
	}, none)
	try("output named images.cast_1", func() *onnx.Model {
		m := base(op("MatMul", nil, "a", "learning_rate", "w"), op("MatMul", nil, "loss", "a", "h"))()
		m.Graph.Inputs[0].Name = "learning_rate"
		m.Graph.Outputs[0].Name = "loss"
		return m
	}, autodiff.Options{Optimizer: bundle.Optimizer{Name: "adam", EMA: 0.9, Clip: 1}})
	try("scores used behind", base(op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "y", "a", "h"), op("Relu", nil, "y2", "y")), none)
	try("pow param", base(op("MatMul", nil, "a", "x", "w"), op("Pow", nil, "p", "a", "g"), op("MatMul", nil, "y", "p", "h")), none)
	try("classes head shared", func() *onnx.Model {
		return tiny(func(p func(string, ...int64)) { p("w", 16, 16); p("b", 16) }, op("Gemm", nil, "a", "x", "w", "b"), op("Tanh", nil, "t", "a"), op("Gemm", nil, "y", "t", "w", "b"))()
	}, autodiff.Options{Classes: 3})
	try("classes head shared bias", func() *onnx.Model {
		m := tiny(func(p func(string, ...int64)) { p("w", 16, 16); p("w2", 16, 16); p("b", 16) }, op("Gemm", nil, "a", "x", "w", "b"), op("Tanh", nil, "t", "a"), op("Gemm", nil, "y", "t", "w2", "b"))()
		m.Graph.Outputs[0].Shape = nil
		return m
	}, autodiff.Options{Classes: 3})
	try("head add bias 1x16", func() *onnx.Model {
		m := tiny(func(p func(string, ...int64)) { p("w", 16, 16); p("w2", 16, 16); p("b", 1, 16) }, op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "c", "a", "w2"), op("Add", nil, "y", "b", "c"))()
		m.Graph.Outputs[0].Shape = nil
		return m
	}, autodiff.Options{Classes: 3})
	try("head conv bias spatial", func() *onnx.Model {
		m := tiny(func(p func(string, ...int64)) { p("w", 5, 1, 4, 4); p("b", 5, 1, 1) }, op("Reshape", nil, "r", "x", "s_1_4_4"), op("Conv", nil, "c", "r", "w"), op("Add", nil, "cb", "c", "b"), op("Flatten", nil, "y", "cb"))()
		m.Graph.Outputs[0].Shape = nil
		return m
	}, autodiff.Options{Classes: 3})
	try("head gemm trained alpha", func() *onnx.Model {
		m := tiny(func(p func(string, ...int64)) { p("w", 16, 16); p("b", 16) }, op("Gemm", nil, "y", "x", "w", "b"))()
		m.Graph.Outputs[0].Shape = nil
		return m
	}, autodiff.Options{Classes: 3})
}
