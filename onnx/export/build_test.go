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
	ortrun "winnow/runtime"
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

// Dropout drops exactly the elements whose random number is below the ratio,
// forward and backward.
func TestDropoutTakesItsRandomInput(t *testing.T) {
	d := openDevice(t)
	m := forward(t, "mlp")
	g := m.Graph
	for i, n := range g.Nodes {
		if n.Op != "Relu" {
			continue
		}
		hidden := n.Outputs[0]
		n.Outputs[0] = "before"
		ratio := onnx.FromFloat32([]float32{0.25})
		g.Initializers["ratio"] = ratio
		training := onnx.NewTensor(onnx.Bool)
		training.Data[0] = 1
		g.Initializers["training"] = training
		drop := &onnx.Node{Name: "drop", Op: "Dropout", Inputs: []string{"before", "ratio", "training"}, Outputs: []string{hidden}}
		g.Nodes = append(g.Nodes[:i+1], append([]*onnx.Node{drop}, g.Nodes[i+1:]...)...)
		break
	}
	b := build(t, m, export.Options{})
	if len(b.Manifest.Train.Random) != 1 {
		t.Fatalf("random inputs: %v", b.Manifest.Train.Random)
	}
	step := func(u float32) []float32 {
		trainer, state, index := newTrainer(t, d, b, 2)
		in := ortrun.StepInput{N: 2, Images: make([]byte, 2*784), Labels: []int64{1, 2}, LearningRate: 0.1,
			Random: func(_ int, dst []float32) {
				for i := range dst {
					dst[i] = u
				}
			}}
		for i := range in.Images {
			in.Images[i] = byte(i)
		}
		var out ortrun.StepOutput
		if err := trainer.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		v := readState(t, state, index["output.weight"], b.Init["output.weight"])
		for i, p := range b.Init["output.weight"].Float32s() {
			v[i] -= p
		}
		return v
	}
	if moved := norm(step(0.2)); moved != 0 {
		t.Errorf("with everything dropped the weights behind moved by %v", moved)
	}
	if moved := norm(step(0.25)); moved == 0 {
		t.Error("with nothing dropped the weights behind did not move")
	}
}

// Where the batch is folded with other axes, as of windows, or is not the
// first, Dropout takes as many numbers for each image: in memory's order, so
// that every fourth dropped is every fourth element of an image.
func TestDropoutOfFoldedBatches(t *testing.T) {
	d := openDevice(t)
	perm := map[string]onnx.Attr{"perm": onnx.IntsAttr(1, 0, 2)}
	for name, c := range map[string]struct {
		shape []int64
		drop  []*onnx.Node
	}{
		"rows":   {[]int64{-1, 2, 8}, []*onnx.Node{op("Reshape", nil, "b", "a", "to"), op("Dropout", nil, "c", "b", "ratio", "training")}},
		"folded": {[]int64{-1, 8}, []*onnx.Node{op("Reshape", nil, "b", "a", "to"), op("Dropout", nil, "c", "b", "ratio", "training")}},
		"whole":  {[]int64{-1}, []*onnx.Node{op("Reshape", nil, "b", "a", "to"), op("Dropout", nil, "c", "b", "ratio", "training")}},
		"turned": {[]int64{-1, 4, 4}, []*onnx.Node{op("Reshape", nil, "i", "a", "to"), op("Transpose", perm, "b", "i"),
			op("Dropout", nil, "j", "b", "ratio", "training"), op("Transpose", perm, "c", "j")}},
	} {
		t.Run(name, func(t *testing.T) {
			step := func(random bool) (float32, []float32) {
				var o export.Options
				nodes := append([]*onnx.Node{op("MatMul", nil, "a", "x", "w")}, c.drop...)
				if !random {
					nodes = append(nodes[:1], op("Mul", nil, "c", "a", "mask"))
					o.Selection.Freeze = regexp.MustCompile("mask")
				}
				nodes = append(nodes, op("Reshape", nil, "e", "c", "flat"), op("MatMul", nil, "y", "e", "h"))
				m := tiny(map[string][]int64{"w": {16, 16}, "h": {16, 3}}, nodes...)
				training, mask := onnx.NewTensor(onnx.Bool), make([]float32, 16)
				training.Data[0] = 1
				for i := range mask {
					if i%4 != 0 {
						mask[i] = 4
					}
				}
				init := m.Graph.Initializers
				init["ratio"], init["training"], init["mask"] = onnx.FromFloat32([]float32{0.75}), training, onnx.FromFloat32(mask, 16)
				init["to"], init["flat"] = onnx.FromInt64(c.shape, int64(len(c.shape))), onnx.FromInt64([]int64{-1, 16}, 2)
				b := build(t, m, o)
				trainer, state, index := newTrainer(t, d, b, 4)
				in := ortrun.StepInput{N: 3, Images: make([]byte, 3*16), Labels: []int64{1, 2, 0}, LearningRate: 0.1, Random: func(_ int, dst []float32) {
					if len(dst) != 3*16 {
						t.Errorf("%d random numbers for three images of 16", len(dst))
					}
					for i := range dst {
						dst[i] = 0.8 // above the ratio: kept
						if i%4 == 0 {
							dst[i] = 0.1
						}
					}
				}}
				for i := range in.Images {
					in.Images[i] = byte(37 * i)
				}
				var out ortrun.StepOutput
				if err := trainer.Step(&in, &out); err != nil {
					t.Fatal(err)
				}
				return out.Loss, readState(t, state, index["w"], b.Init["w"])
			}
			wantLoss, want := step(false)
			loss, weights := step(true)
			if math.Abs(float64(loss-wantLoss)) > 1e-6 {
				t.Errorf("loss %v, and %v with the mask as a constant", loss, wantLoss)
			}
			near(t, "weights", weights, want, 1e-6)
		})
	}
}

// Stochastic depth, as PyTorch's exporter writes it, takes its numbers from an
// input in training and does nothing in the inference graph.
func TestRandomNodesBecomeInputs(t *testing.T) {
	d := openDevice(t)
	m := forward(t, "mlp")
	g := m.Graph
	g.Initializers["survival"] = onnx.FromFloat32([]float32{0.75})
	at := 0
	for i, n := range g.Nodes {
		if n.Op == "Relu" {
			at = i + 1
		}
	}
	hidden := g.Nodes[at-1].Outputs[0]
	g.Nodes[at-1].Outputs[0] = "before"
	drop := []*onnx.Node{
		{Name: "draw", Op: "RandomUniformLike", Inputs: []string{"before"}, Outputs: []string{"u"}},
		{Name: "less", Op: "Less", Inputs: []string{"u", "survival"}, Outputs: []string{"kept"}},
		{Name: "cast", Op: "Cast", Inputs: []string{"kept"}, Outputs: []string{"noise"}, Attrs: map[string]onnx.Attr{"to": onnx.IntAttr(int64(onnx.Float32))}},
		{Name: "div", Op: "Div", Inputs: []string{"noise", "survival"}, Outputs: []string{"factor"}},
		{Name: "mul", Op: "Mul", Inputs: []string{"before", "factor"}, Outputs: []string{hidden}},
	}
	g.Nodes = append(g.Nodes[:at:at], append(drop, g.Nodes[at:]...)...)
	b := build(t, m, export.Options{})
	if len(b.Manifest.Train.Random) != 1 {
		t.Fatalf("random inputs: %v", b.Manifest.Train.Random)
	}
	images := make([]byte, 2*784)
	for i := range images {
		images[i] = byte(i)
	}
	moved := func(u float32) float64 {
		trainer, state, index := newTrainer(t, d, b, 2)
		in := ortrun.StepInput{N: 2, Images: images, Labels: []int64{1, 2}, LearningRate: 0.1, Random: func(_ int, dst []float32) {
			for i := range dst {
				dst[i] = u
			}
		}}
		var out ortrun.StepOutput
		if err := trainer.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		v := readState(t, state, index["output.weight"], b.Init["output.weight"])
		for i, p := range b.Init["output.weight"].Float32s() {
			v[i] -= p
		}
		return norm(v)
	}
	if m := moved(0.75); m != 0 {
		t.Errorf("with everything dropped the weights behind moved by %v", m)
	}
	if moved(0.74) == 0 {
		t.Error("with everything kept the weights behind did not move")
	}
	scores := func(b *bundle.Bundle) []float32 {
		plain, err := inference(b, b.Init)
		if err != nil {
			t.Fatal(err)
		}
		data, err := wire.Encode(plain)
		if err != nil {
			t.Fatal(err)
		}
		e, err := d.NewEvaluator(ortrun.EvalSpec{Model: data, Images: slot(b.Manifest.Eval.Images), Logits: slot(b.Manifest.Eval.Logits)}, nil, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		out, err := e.Run(2, images)
		if err != nil {
			t.Fatal(err)
		}
		return append([]float32(nil), out...)
	}
	near(t, "scores of the inference graph", scores(b), scores(build(t, forward(t, "mlp"), export.Options{})), 1e-7)
}
