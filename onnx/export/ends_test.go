package export_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// lastNodes are ways in which exporters write what a model ends in, from scores
// z to the output y.
func lastNodes() map[string][]*onnx.Node {
	a := func(axis int64) map[string]onnx.Attr { return map[string]onnx.Attr{"axis": onnx.IntAttr(axis)} }
	float := map[string]onnx.Attr{"to": onnx.IntAttr(int64(onnx.Float32))}
	return map[string][]*onnx.Node{
		"none":              {op("Identity", nil, "y", "z")},
		"Softmax":           {op("Softmax", a(-1), "y", "z")},
		"Softmax cast":      {op("Softmax", a(1), "p", "z"), op("Cast", float, "y", "p")},
		"Softmax reshaped":  {op("Reshape", nil, "q", "z", "wide"), op("Softmax", a(1), "p", "q"), op("Reshape", nil, "y", "p", "back")},
		"Softmax squeezed":  {op("Reshape", nil, "q", "z", "wide"), op("Softmax", a(1), "p", "q"), op("Squeeze", nil, "y", "p", "last")},
		"Softmax flattened": {op("Reshape", nil, "q", "z", "wide"), op("Softmax", a(1), "p", "q"), op("Flatten", nil, "y", "p")},
		"Softmax written": {op("ReduceMax", nil, "m", "z", "one_axis"), op("Sub", nil, "d", "z", "m"), op("Exp", nil, "e", "d"),
			op("ReduceSum", nil, "s", "e", "one_axis"), op("Div", nil, "y", "e", "s")},
		"LogSoftmax":         {op("LogSoftmax", a(1), "y", "z")},
		"LogSoftmax written": {op("Softmax", a(1), "p", "z"), op("Log", nil, "y", "p")},
		"Sigmoid":            {op("Sigmoid", nil, "y", "z")},
		"Sigmoid reshaped":   {op("Sigmoid", nil, "p", "z"), op("Reshape", nil, "y", "p", "back")},
		"Sigmoid written":    {op("Neg", nil, "n", "z"), op("Exp", nil, "e", "n"), op("Add", nil, "a", "e", "number"), op("Div", nil, "y", "number", "a")},
	}
}

func endingModel(nodes []*onnx.Node) *onnx.Model {
	m := tiny(map[string][]int64{"w": {16, 3}}, append([]*onnx.Node{op("MatMul", nil, "z", "x", "w")}, nodes...)...)
	for name, t := range map[string]*onnx.Tensor{
		"wide": onnx.FromInt64([]int64{-1, 3, 1, 1}, 4), "back": onnx.FromInt64([]int64{-1, 3}, 2),
		"last": onnx.FromInt64([]int64{2, 3}, 2), "one_axis": onnx.FromInt64([]int64{1}, 1), "number": onnx.FromFloat32([]float32{1}),
	} {
		if slices.ContainsFunc(nodes, func(n *onnx.Node) bool { return slices.Contains(n.Inputs, name) }) {
			m.Graph.Initializers[name] = t
		}
	}
	return m
}

// ended is what the end makes of one sample's scores, by its formula.
func ended(end string, z []float64) []float64 {
	y, sum := make([]float64, len(z)), 0.0
	for _, v := range z {
		sum += math.Exp(v)
	}
	for k, v := range z {
		switch end {
		case "Softmax":
			y[k] = math.Exp(v) / sum
		case "LogSoftmax":
			y[k] = v - math.Log(sum)
		case "Sigmoid":
			y[k] = 1 / (1 + math.Exp(-v))
		default:
			y[k] = v
		}
	}
	return y
}

// lossOf is PyTorch's loss of one sample of a model as it is written: of its
// probabilities where it gives some (BCELoss, NLLLoss of the logarithm), else of
// its scores (BCEWithLogitsLoss, CrossEntropyLoss); MSELoss, L1Loss and
// HuberLoss of what it gives.
func lossOf(loss, end string, z []float64, label int) float64 {
	y, total := ended(end, z), 0.0
	if loss == bundle.CrossEntropy {
		switch end {
		case "Softmax":
			return -math.Log(y[label])
		case "LogSoftmax":
			return -y[label]
		}
		return -math.Log(ended("Softmax", z)[label])
	}
	for k, v := range y {
		t := 0.0
		if k == label {
			t = 1
		}
		d := math.Abs(v - t)
		switch loss {
		case bundle.BCE:
			if end == "none" {
				v = 1 / (1 + math.Exp(-v))
			}
			total -= t*math.Log(v) + (1-t)*math.Log(1-v)
		case bundle.MSE:
			total += d * d
		case bundle.L1:
			total += d
		case bundle.Huber:
			if d <= 1 {
				total += d * d / 2
			} else {
				total += d - 0.5
			}
		}
	}
	return total / float64(len(y))
}

// Whatever a model ends in, however written, the loss and its gradient are those
// of the model as written, by formula and central differences; the trained
// model gives what the loss was of, or the scores; and what is evaluated, in the
// bundle as of either model, are the scores.
func TestEnds(t *testing.T) {
	d := openDevice(t)
	images := []byte{}
	for i := range 32 {
		images = append(images, byte(37*i%256))
	}
	labels := []int64{2, 0}
	for name, nodes := range lastNodes() {
		end, _, _ := strings.Cut(name, " ")
		for _, loss := range []string{bundle.CrossEntropy, bundle.BCE, bundle.MSE, bundle.L1, bundle.Huber} {
			t.Run(name+"/"+loss, func(t *testing.T) {
				said := ""
				m := endingModel(nodes)
				b, err := export.Build(m, export.Options{Loss: bundle.Loss{Name: loss}, Warn: func(s string) { said += s }})
				if loss == bundle.CrossEntropy && end == "Sigmoid" || loss == bundle.BCE && strings.HasSuffix(end, "Softmax") {
					if !errors.Is(err, export.ErrOptions) || !strings.Contains(err.Error(), "take --loss") {
						t.Fatalf("error %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if (end == "none") == strings.Contains(said, "the model ends in "+end) {
					t.Errorf("said %q", said)
				}
				if parameters(b) != 48 {
					t.Fatalf("state %v", b.Manifest.State)
				}
				w := b.Init["w"].Float32s()
				scores := func(w []float32, shifted int, by float64) (all [][]float64) {
					for i := range labels {
						z := make([]float64, 3)
						for j := range 16 {
							for k := range z {
								v := float64(w[3*j+k])
								if 3*j+k == shifted {
									v += by
								}
								z[k] += float64(images[16*i+j]) / 255 * v
							}
						}
						all = append(all, z)
					}
					return all
				}
				mean := func(w []float32, shifted int, by float64) (sum float64) {
					for i, z := range scores(w, shifted, by) {
						sum += lossOf(loss, end, z, int(labels[i]))
					}
					return sum / float64(len(labels))
				}
				trainer, state, index := newTrainer(t, d, b, 2)
				var out ortrun.StepOutput
				if err := trainer.Step(&ortrun.StepInput{N: 2, Images: images, Labels: labels, LearningRate: 1}, &out); err != nil {
					t.Fatal(err)
				}
				if want := mean(w, -1, 0); math.Abs(float64(out.Loss)-want) > 1e-5 {
					t.Errorf("loss %v, want %v", out.Loss, want)
				}
				after := readState(t, state, index["w"], b.Init["w"])
				for i := 0; i < len(w); i += 5 {
					const h = 1e-5
					want := (mean(w, i, h) - mean(w, i, -h)) / (2 * h)
					if got := float64(w[i] - after[i]); math.Abs(got-want) > 2e-4*max(1, math.Abs(want)) {
						t.Errorf("gradient %d is %v, want %v", i, got, want)
					}
				}
				trained, err := inference(b, b.Init)
				if err != nil {
					t.Fatal(err)
				}
				gives := end
				if loss == bundle.CrossEntropy || loss == bundle.BCE {
					gives = "none"
				}
				all := scores(w, -1, 0)
				file, _ := wire.Encode(trained)
				if got := outputOf(t, d, file, "x", trained.Graph.Outputs[0].Name, images, 2); !gives3(got, all, gives) || len(trained.Graph.Outputs) != 1 {
					t.Errorf("the trained model gives %v for the scores %v", got, all)
				}
				for what, m := range map[string]*onnx.Model{"trained": trained, "source": endingModel(nodes)} {
					c, err := export.NewClassifier(m, "", nil)
					if err != nil {
						t.Fatal(err)
					}
					file, err := wire.Encode(c.Model)
					if err != nil {
						t.Fatal(err)
					}
					in := images
					if !c.Inside {
						in = nil
						for _, x := range images {
							in = append(in, onnx.FromFloat32([]float32{float32(x) / 255}).Data...)
						}
					}
					if got := outputOf(t, d, file, c.Images.Name, c.Logits, in, 2); !gives3(got, all, "none") {
						t.Errorf("evaluation of the %s model takes %v for the scores %v", what, got, all)
					}
				}
			})
		}
	}
}

func gives3(got []float32, scores [][]float64, end string) bool {
	var want []float64
	for _, z := range scores {
		want = append(want, ended(end, z)...)
	}
	for i := range want {
		if len(got) != len(want) || math.Abs(float64(got[i])-want[i]) > 1e-5 {
			return false
		}
	}
	return true
}

// outputOf runs a model that holds its weights, on images of 16 values.
func outputOf(t *testing.T, d *ortrun.Device, file []byte, images, output string, data []byte, n int) []float32 {
	t.Helper()
	m, err := wire.Decode(file, "")
	if err != nil {
		t.Fatal(err)
	}
	spec := ortrun.EvalSpec{Model: file, Logits: ortrun.Slot{Name: output, DType: ortrun.Float32, Shape: []int64{-1, 3}}}
	spec.Images = ortrun.Slot{Name: images, DType: ortrun.DType(m.Graph.Inputs[0].DType), Shape: []int64{-1}}
	for _, dim := range m.Graph.Inputs[0].Shape[1:] {
		spec.Images.Shape = append(spec.Images.Shape, dim.N)
	}
	ev, err := d.NewEvaluator(spec, nil, n)
	if err != nil {
		t.Fatal(err)
	}
	defer ev.Close()
	got, err := ev.Run(n, data)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(got)
}

// An activation over another axis than the classes' is no end, and is said.
func TestSoftmaxOverTheBatch(t *testing.T) {
	said := ""
	m := endingModel([]*onnx.Node{op("Softmax", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, "y", "z")})
	b := build(t, m, export.Options{Warn: func(s string) { said += s }})
	if b.Manifest.Eval.Logits.Name != "y" || !strings.Contains(said, "make_y") {
		t.Errorf("logits %v, said %q", b.Manifest.Eval.Logits, said)
	}
}

// Of several outputs the one that holds all parameters gives the scores.
func TestWhichOutput(t *testing.T) {
	weights := map[string][]int64{"w": {16, 8}, "v": {8, 3}, "u": {8, 2}}
	features, scores := op("MatMul", nil, "f", "x", "w"), op("MatMul", nil, "y", "f", "v")
	for _, c := range []struct {
		nodes   []*onnx.Node
		outputs []string
		want    string // the output asked for
		takes   string
		says    []string
		err     error
	}{
		{[]*onnx.Node{features, scores}, []string{"f", "y"}, "", "y", []string{`"y"`, `"f"`, "--output"}, nil},
		{[]*onnx.Node{features, scores}, []string{"y", "f"}, "", "y", []string{`"f"`}, nil},
		{[]*onnx.Node{features, scores}, []string{"f", "y"}, "f", "f", []string{`"v"`, "left out"}, nil},
		{[]*onnx.Node{features, scores}, []string{"f", "y"}, "z", "", []string{`"z"`, `"f"`, `"y"`}, export.ErrOptions},
		{[]*onnx.Node{features, scores, op("ArgMax", map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, "k", "y")}, []string{"k", "y"}, "k", "", []string{`"k"`, "int64"}, emit.ErrModel},
		{[]*onnx.Node{features, scores, op("ArgMax", map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, "k", "y")}, []string{"k", "y"}, "", "y", nil, nil},
		{[]*onnx.Node{features, scores, op("Softmax", nil, "p", "y")}, []string{"p", "y"}, "", "y", []string{`"p"`}, nil},
		{[]*onnx.Node{features, scores, op("MatMul", nil, "t", "f", "u")}, []string{"y", "t"}, "", "", []string{`"y"`, `"t"`, "--output"}, emit.ErrModel},
		{[]*onnx.Node{features, scores, op("MatMul", nil, "t", "f", "u")}, []string{"y", "t"}, "t", "t", []string{`"v"`}, nil},
		{[]*onnx.Node{features, scores, op("Tanh", nil, "t", "y")}, []string{"y", "t"}, "", "", []string{`"y"`, `"t"`, "--output"}, emit.ErrModel},
	} {
		used := map[string][]int64{}
		for name, dims := range weights {
			if slices.ContainsFunc(c.nodes, func(n *onnx.Node) bool { return slices.Contains(n.Inputs, name) }) {
				used[name] = dims
			}
		}
		model := func() *onnx.Model {
			var nodes []*onnx.Node
			for _, n := range c.nodes {
				again := *n
				again.Inputs, again.Outputs = slices.Clone(n.Inputs), slices.Clone(n.Outputs)
				nodes = append(nodes, &again)
			}
			m := tiny(used, nodes...)
			m.Graph.Outputs = nil
			for _, name := range c.outputs {
				m.Graph.Outputs = append(m.Graph.Outputs, onnx.Value{Name: name, DType: onnx.Float32})
			}
			return m
		}
		check := func(what, took, said string, err error) {
			t.Helper()
			if err != nil {
				said = err.Error()
			}
			if !errors.Is(err, c.err) || err == nil && took != c.takes {
				t.Errorf("%s of %q, asked for %q: %q, %v", what, c.outputs, c.want, took, err)
			}
			for _, s := range c.says {
				if !strings.Contains(said, s) {
					t.Errorf("%s of %q, asked for %q: said %q, not %s", what, c.outputs, c.want, said, s)
				}
			}
		}
		said, took := "", ""
		b, err := export.Build(model(), export.Options{Output: c.want, Warn: func(s string) { said += s }})
		if err == nil {
			took = b.Manifest.Eval.Logits.Name
		}
		check("training", took, said, err)
		said, took = "", ""
		e, err := export.NewClassifier(model(), c.want, func(s string) { said += s })
		if err == nil {
			took = e.Logits
		}
		check("evaluation", took, said, err)
	}
	m := tiny(map[string][]int64{"w": {16, 8}, "v": {8, 3}}, features, scores)
	m.Graph.Outputs = []onnx.Value{{Name: "f", DType: onnx.Float32}, {Name: "y", DType: onnx.Float32}}
	if b := build(t, m, export.Options{Weights: export.NewWeights{Classes: 5}}); b.Manifest.Classes != 5 || !slices.Equal(b.Init["v"].Dims, []int64{8, 5}) {
		t.Errorf("a new last layer: %d classes, v %v", b.Manifest.Classes, b.Init["v"].Dims)
	}
}

// A bundle whose loss is of what the model makes of its scores is rebuilt as it was.
func TestRebuildKeepsTheEnd(t *testing.T) {
	b := build(t, endingModel(lastNodes()["Softmax reshaped"]), export.Options{Loss: bundle.Loss{Name: bundle.MSE}})
	again, err := export.Rebuild(b, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if string(again.Train) != string(b.Train) || string(again.Eval) != string(b.Eval) || fmt.Sprint(again.Manifest.Eval.Output) != fmt.Sprint(b.Manifest.Eval.Output) {
		t.Error("the graphs differ")
	}
}
