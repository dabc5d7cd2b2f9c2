package export_test

import (
	"math"
	"regexp"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

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
