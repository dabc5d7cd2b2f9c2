package export_test

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"

	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/export"
	"winnow/onnx/wire"
)

func forward(t *testing.T, name string) *onnx.Model {
	t.Helper()
	m, err := models.Forward(name, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// inference is the plain model of a bundle's inference graph with a state inside.
func inference(b *bundle.Bundle, state map[string]*onnx.Tensor) (*onnx.Model, error) {
	f, err := b.Inference()
	if err != nil {
		return nil, err
	}
	return f.Model(state)
}

func build(t *testing.T, m *onnx.Model, o export.Options) *bundle.Bundle {
	t.Helper()
	b, err := export.Build(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parameter counts the elements of a bundle's trained state.
func parameters(b *bundle.Bundle) int {
	n := 0
	for _, s := range b.Manifest.State {
		if s.Kind == bundle.KindParameter {
			n += b.Init[s.Name].Len()
		}
	}
	return n
}

func TestRefusals(t *testing.T) {
	node := func(op string, attrs map[string]onnx.Attr) func(*onnx.Model) {
		return func(m *onnx.Model) {
			g := m.Graph
			last := g.Nodes[len(g.Nodes)-1]
			last.Outputs[0] = "scores"
			g.Nodes = append(g.Nodes, &onnx.Node{Name: "odd", Op: op, Inputs: []string{"scores"}, Outputs: []string{"logits"}, Attrs: attrs})
		}
	}
	for _, c := range []struct {
		name   string
		break_ func(*onnx.Model)
		o      export.Options
		is     error
		says   []string
	}{
		{name: "operators without a rule", is: autodiff.ErrNoRule, says: []string{"Bernoulli", "Det", "odd", "other"}, break_: func(m *onnx.Model) {
			node("Bernoulli", nil)(m)
			for _, n := range m.Graph.Nodes {
				if n.Op == "Relu" {
					n.Op, n.Name = "Det", "other"
				}
			}
		}},
		{name: "control flow on data", is: autodiff.ErrNoRule, says: []string{"If", "branches"}, break_: func(m *onnx.Model) {
			g := m.Graph
			last := g.Nodes[len(g.Nodes)-1]
			last.Outputs[0] = "scores"
			branch := func(out string) onnx.Attr {
				return onnx.Attr{Kind: onnx.AttrGraph, G: &onnx.Graph{Name: out, Outputs: []onnx.Value{{Name: out, DType: onnx.Float32}},
					Nodes: []*onnx.Node{{Name: out, Op: "Identity", Inputs: []string{"scores"}, Outputs: []string{out}}}}}
			}
			g.Initializers["zero"] = onnx.FromFloat32([]float32{0})
			g.Nodes = append(g.Nodes,
				&onnx.Node{Name: "sum", Op: "ReduceSum", Inputs: []string{"scores"}, Outputs: []string{"total"}, Attrs: map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}},
				&onnx.Node{Name: "test", Op: "Greater", Inputs: []string{"total", "zero"}, Outputs: []string{"positive"}},
				&onnx.Node{Name: "branches", Op: "If", Inputs: []string{"positive"}, Outputs: []string{"logits"},
					Attrs: map[string]onnx.Attr{"then_branch": branch("a"), "else_branch": branch("b")}})
		}},
		{name: "a bound that depends on the weights", is: autodiff.ErrNoRule, says: []string{"Clip", "odd", "input 2", "bound"}, break_: func(m *onnx.Model) {
			node("Clip", nil)(m)
			g := m.Graph
			last := len(g.Nodes) - 1
			g.Nodes[last].Inputs = []string{"scores", "", "bound"}
			g.Nodes = append(g.Nodes, g.Nodes[last])
			g.Nodes[last] = &onnx.Node{Name: "top", Op: "ReduceMean", Inputs: []string{"scores"}, Outputs: []string{"bound"}, Attrs: map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}}
		}},
		{name: "fixed batch", is: emit.ErrModel, says: []string{"fixed batch of 1", "images"}, break_: func(m *onnx.Model) {
			m.Graph.Inputs[0].Shape[0] = onnx.Const(1)
		}},
		{name: "two inputs", is: emit.ErrModel, says: []string{"2 inputs", "mask"}, break_: func(m *onnx.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: "mask", DType: onnx.Float32, Shape: onnx.ShapeOf(1)})
		}},
		{name: "nothing to train", is: emit.ErrModel, says: []string{"nothing to train"}, o: export.Options{Selection: export.Selection{Freeze: regexp.MustCompile(".")}}},
		{name: "freezing nothing", is: export.ErrOptions, says: []string{"^head", "freeze nothing"}, o: export.Options{Selection: export.Selection{Freeze: regexp.MustCompile("^head")}}},
		{name: "image shape", is: emit.ErrModel, says: []string{"[1 28 28]", "[3 28 28]"}, o: export.Options{Images: export.ImageOptions{Shape: [3]int64{3, 28, 28}}}},
		{name: "means", is: export.ErrOptions, says: []string{"channels"}, o: export.Options{Images: export.ImageOptions{Normalize: bundle.Normalize{Mean: []float64{1, 2}}}}},
		{name: "optimizer", is: export.ErrOptions, says: []string{"sgdd", "adamw"}, o: export.Options{Optimizer: bundle.Optimizer{Name: "sgdd"}}},
		{name: "loss", is: export.ErrOptions, says: []string{"hinge", "huber"}, o: export.Options{Loss: bundle.Loss{Name: "hinge"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := forward(t, "mlp")
			if c.break_ != nil {
				c.break_(m)
			}
			_, err := export.Build(m, c.o)
			if !errors.Is(err, c.is) {
				t.Fatalf("got %v", err)
			}
			for _, word := range c.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not name %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

// A frozen parameter has no gradient, no state and no optimizer state.
func TestFreeze(t *testing.T) {
	b := build(t, forward(t, "lenet"), export.Options{Selection: export.Selection{Freeze: regexp.MustCompile(`^conv`)}, Optimizer: bundle.Optimizer{Momentum: 0.9}})
	if got, want := parameters(b), 206922-160-4640; got != want {
		t.Errorf("%d parameters, want %d", got, want)
	}
	for _, s := range b.Manifest.State {
		if strings.HasPrefix(s.Name, "conv") {
			t.Errorf("frozen %q is state", s.Name)
		}
	}
	m, err := wire.Decode(b.Train, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range m.Graph.Nodes {
		if n.Op == "ConvTranspose" || n.Op == "MaxPool" && len(n.Outputs) > 1 {
			t.Errorf("node %q (%s) serves a gradient nobody needs", n.Name, n.Op)
		}
	}
}

// Another number of classes replaces the last layer alone.
func TestClasses(t *testing.T) {
	var said []string
	o := export.Options{Weights: export.NewWeights{Classes: 7}, Warn: func(s string) { said = append(said, s) }}
	plain, b := build(t, forward(t, "lenet"), export.Options{}), build(t, forward(t, "lenet"), o)
	if b.Manifest.Classes != 7 || parameters(b) != 206922-3*129 {
		t.Errorf("%d classes, %d parameters", b.Manifest.Classes, parameters(b))
	}
	if len(said) == 0 || !strings.Contains(said[0], "gemm_") || !strings.Contains(said[0], "7 classes") {
		t.Errorf("the layer is not named: %q", said)
	}
	for name, t0 := range plain.Init {
		same := string(t0.Data) == string(b.Init[name].Data)
		if want := !strings.HasPrefix(name, "output."); same != want {
			t.Errorf("%s: unchanged is %v", name, same)
		}
	}
}

// Fresh weights have the deviations that He et al. and PyTorch give, and depend on the seed alone.
func TestReinit(t *testing.T) {
	fresh := func(seed uint64) *bundle.Bundle {
		m := forward(t, "resnet8")
		for name, p := range m.Graph.Initializers {
			m.Graph.Initializers[name] = onnx.NewTensor(onnx.Float32, p.Dims...)
		}
		return build(t, m, export.Options{Weights: export.NewWeights{Reinit: true, Seed: seed}})
	}
	a, again, other := fresh(1), fresh(1), fresh(2)
	const conv = "stage3.block1.conv2.weight" // 64x64x3x3: deviation sqrt(2/(64*9))
	if got, want := norm(a.Init[conv].Float32s())/192, math.Sqrt(2.0/576); math.Abs(got/want-1) > 0.02 {
		t.Errorf("deviation of a filter %v, want %v", got, want)
	}
	for _, v := range a.Init["output.weight"].Float32s() { // fan in 64
		if math.Abs(float64(v)) > 1.0/8 {
			t.Fatalf("dense weight %v beyond 1/8", v)
		}
	}
	for _, v := range a.Init["stem.norm.weight"].Float32s() {
		if v != 1 {
			t.Fatalf("scale %v", v)
		}
	}
	for _, v := range a.Init["stem.norm.running_var"].Float32s() {
		if v != 1 {
			t.Fatalf("running variance %v", v)
		}
	}
	if string(a.Init[conv].Data) != string(again.Init[conv].Data) {
		t.Error("the same seed gave other weights")
	}
	if string(a.Init[conv].Data) == string(other.Init[conv].Data) {
		t.Error("another seed gave the same weights")
	}
}

// A half precision model trains as the float32 model of the same weights.
func TestHalfPrecisionWeights(t *testing.T) {
	wide, half := forward(t, "mlp"), forward(t, "mlp")
	for name, p := range half.Graph.Initializers {
		h := toHalf(p)
		half.Graph.Initializers[name] = h
		w, err := h.ToFloat32()
		if err != nil {
			t.Fatal(err)
		}
		wide.Graph.Initializers[name] = w
	}
	half.Graph.Inputs[0].DType, half.Graph.Outputs[0].DType = onnx.Float16, onnx.Float16
	a, b := build(t, wide, export.Options{}), build(t, half, export.Options{})
	if string(a.Train) != string(b.Train) {
		t.Error("the training graphs differ")
	}
	for name := range a.Init {
		if string(a.Init[name].Data) != string(b.Init[name].Data) {
			t.Errorf("%s differs", name)
		}
	}
}

// toHalf truncates the mantissas; exponents of fresh weights fit.
func toHalf(t *onnx.Tensor) *onnx.Tensor {
	out := onnx.NewTensor(onnx.Float16, t.Dims...)
	for i, v := range t.Float32s() {
		bits := math.Float32bits(v)
		h := uint16(bits >> 16 & 0x8000)
		if e := int(bits>>23&0xff) - 127 + 15; e > 0 && e < 31 {
			h |= uint16(e)<<10 | uint16(bits>>13&0x3ff)
		}
		out.Data[2*i], out.Data[2*i+1] = byte(h), byte(h>>8)
	}
	return out
}

// A bundle of the wrong precision, and an option of one, are refused.
func TestUnknownPrecision(t *testing.T) {
	fixture, _ := readFixture(t, "optim.safetensors.gz")
	_, err := export.Build(twoLayers(fixture), export.Options{Precision: "float8"})
	if err == nil || !strings.Contains(err.Error(), `invalid option "amp": "float8"`) {
		t.Errorf("got %v", err)
	}
	b := scalerBundle(t, export.Options{})
	b.Manifest.Precision = "float8"
	if err := b.Validate(); err == nil || !strings.Contains(err.Error(), `precision "float8"`) {
		t.Errorf("got %v", err)
	}
	b.Manifest.Precision = export.BFloat16
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
}
