package train

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/train/traintest"
)

// twoLayers is a bundle of onnx/export for blobs: two layers with dropout, and
// a batch normalisation between them where norm is set.
func twoLayers(t testing.TB, norm bool, o export.Options) *bundle.Bundle {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	weight := func(dims ...int64) *onnx.Tensor {
		n := 1
		for _, d := range dims {
			n *= int(d)
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64()) * 0.4
		}
		return onnx.FromFloat32(v, dims...)
	}
	const hidden = 10
	g := &onnx.Graph{
		Inputs:  []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(1), onnx.Const(traintest.Side), onnx.Const(traintest.Side)}}},
		Outputs: []onnx.Value{{Name: "logits", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(traintest.Classes)}}},
		Initializers: map[string]*onnx.Tensor{"w1": weight(traintest.Pixels, hidden), "b1": weight(hidden), "w2": weight(hidden, traintest.Classes), "b2": weight(traintest.Classes),
			"ratio": onnx.FromFloat32([]float32{0.25})},
	}
	at := "x"
	node := func(op, out string, in ...string) {
		g.Nodes = append(g.Nodes, &onnx.Node{Name: out, Op: op, Inputs: append([]string{at}, in...), Outputs: []string{out}})
		at = out
	}
	node("Flatten", "flat")
	node("Gemm", "a", "w1", "b1")
	if norm {
		for name, value := range map[string]float32{"scale": 1, "shift": 0, "mean": 0, "var": 1} {
			v := make([]float32, hidden)
			for i := range v {
				v[i] = value
			}
			g.Initializers[name] = onnx.FromFloat32(v, hidden)
		}
		node("BatchNormalization", "n", "scale", "shift", "mean", "var")
	}
	node("Relu", "h")
	node("Dropout", "d", "ratio")
	node("Gemm", "logits", "w2", "b2")
	o.Name = "two-layers"
	b, err := export.Build(&onnx.Model{IRVersion: 8, Opset: 18, Graph: g}, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// course is a reporter that keeps the loss and the rate of each step.
type course struct {
	record
	losses, rates []float64
	samples       []int
}

func (c *course) Progress(p Progress) {
	if p.Phase == PhaseTrain && p.Step > 0 {
		c.losses, c.rates, c.samples = append(c.losses, p.Loss), append(c.rates, p.LearningRate), append(c.samples, p.Samples)
	}
	c.record.Progress(p)
}

// coursesAgree holds the steps of two runs against each other.
func coursesAgree(t *testing.T, got, want *course, tolerance float64) {
	t.Helper()
	if !slices.Equal(got.rates, want.rates) || !slices.Equal(got.samples, want.samples) {
		t.Fatalf("rates or samples of the steps differ:\n%v %v\n%v %v", got.rates, got.samples, want.rates, want.samples)
	}
	for i := range want.losses {
		if d := math.Abs(got.losses[i] - want.losses[i]); !(d <= tolerance*max(1, want.losses[i])) {
			t.Fatalf("step %d of %d: loss %v, want %v", i+1, len(want.losses), got.losses[i], want.losses[i])
		}
	}
}

// Steps of four batches are those of one batch four times as large: losses,
// rates, samples and plans, with dropout, augmentation and clipping, under every
// scorer and policy, and a last step that is smaller.
func TestAccumulatedStepsAreThoseOfOneBatch(t *testing.T) {
	d := device(t)
	optimizer := bundle.Optimizer{Name: bundle.AdamW, Betas: []float64{0.9, 0.999}, Eps: 1e-4, WeightDecay: 0.01, Clip: 1, EMA: 0.9}
	whole, alone := twoLayers(t, false, export.Options{Optimizer: optimizer}), twoLayers(t, false, export.Options{Optimizer: optimizer, BatchLossOnly: true})
	half := twoLayers(t, false, export.Options{Precision: export.Float16})
	for _, c := range []struct {
		method string
		b      *bundle.Bundle
	}{
		{"none", whole}, {"random", whole}, {"static", whole}, {"infobatch", whole}, {"seta", whole}, {"bls-infobatch", whole}, {"bls-seta", whole},
		{"das-infobatch", whole}, {"das-seta", whole}, {"epsilon-greedy", whole}, {"ucb", whole}, {"repb", whole}, {"bls-repb", whole},
		{"bls-infobatch", alone}, {"none", half},
	} {
		name := c.method + c.b.Manifest.Precision
		if c.b == alone {
			name += " batch loss alone"
		}
		t.Run(name, func(t *testing.T) {
			run := func(batch, accum int) *course {
				o := testOptions(t, d, traintest.Parts{})
				o.Bundle, o.Method, o.BatchSize, o.Accum = c.b, c.method, batch, accum
				o.Epochs, o.Prune.Window, o.LearningRate = 6, 3, 0.01
				o.Unaugmented = o.Train
				o.Train = traintest.Augmented(t, o.Train, loader.Augment{CropPad: 1, HFlip: true})
				if strings.HasPrefix(c.method, "das") {
					o.Reference = "holdout:0.1"
				}
				seen := &course{}
				o.Reporter = seen
				if _, err := Run(context.Background(), o); err != nil {
					t.Fatal(err)
				}
				return seen
			}
			tolerance := 1e-5
			if c.b == half {
				tolerance = 2e-3
			}
			coursesAgree(t, run(8, 4), run(32, 1), tolerance)
		})
	}
}

// lenet's losses over 24 steps of four batches are within 1e-5 of those of one
// batch four times as large.
func TestAccumulatedLenet(t *testing.T) {
	d := device(t)
	b, err := models.Builtin("lenet")
	if err != nil {
		t.Fatal(err)
	}
	run := func(batch, accum int, layout string) *course {
		o := testOptions(t, d, traintest.Parts{})
		o.Bundle, o.BatchSize, o.Accum, o.Layout = b, batch, accum, layout
		o.Train, o.Test = squares(t, 376, 1), squares(t, 32, 2)
		o.Epochs, o.LearningRate = 2, 0.05
		seen := &course{}
		o.Reporter = seen
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	layouts := []string{bundle.LayoutPortable}
	if blocked := b.Manifest.Blocked; blocked != nil && blocked.Block == int64(d.ConvBlock()) {
		layouts = append(layouts, bundle.LayoutNCHWC)
	}
	for _, layout := range layouts {
		got, want := run(8, 4, layout), run(32, 1, layout)
		if len(want.losses) != 24 {
			t.Fatalf("%d steps", len(want.losses))
		}
		coursesAgree(t, got, want, 1e-5)
	}
}

// squares are grey images of 28x28 with a square at a place that its class says.
func squares(t testing.TB, n int, seed uint64) *loader.Source {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 28))
	const side, classes = 28, 10
	images, labels := make([]byte, n*side*side), make([]int64, n)
	for i := range n {
		class := r.IntN(classes)
		labels[i] = int64(class)
		image := images[i*side*side:][:side*side]
		for k := range image {
			image[k] = byte(r.IntN(100))
		}
		y, x := 4+class/5*12, 2+class%5*5
		for k := range 36 {
			image[(y+k/6)*side+x+k%6] = byte(150 + r.IntN(100))
		}
	}
	m, err := loader.NewMemory("squares", 1, side, side, images, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	return traintest.Plain(t, m)
}

// A run of steps of several batches that is interrupted goes on to the same bits.
func TestAccumulatedRunsGoOn(t *testing.T) {
	d := device(t)
	b := twoLayers(t, true, export.Options{})
	options := func() Options {
		o := testOptions(t, d, traintest.Parts{})
		o.Bundle, o.Method, o.BatchSize, o.Accum, o.Epochs, o.LearningRate = b, "infobatch", 8, 3, 5, 0.05
		return o
	}
	whole := options()
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Every = Every{Steps: 2}
	random := rand.New(rand.NewPCG(3, 4))
	interruptions := 0
	for ; ; o.Resume = true {
		ctx, cancel := context.WithCancel(context.Background())
		o.Reporter = stopAfter(1+random.IntN(40), cancel)
		_, err := Run(ctx, o)
		cancel()
		if err == nil {
			break
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		interruptions++
	}
	if got, want := outcomeOf(t, o.Out), outcomeOf(t, whole.Out); interruptions < 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("another outcome after %d interruptions", interruptions)
	}
	o.Accum = 2
	if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "accum") {
		t.Errorf("another number of batches: %v", err)
	}
}

// What cannot be accumulated is refused with the way out.
func TestAccumRefuses(t *testing.T) {
	o := testOptions(t, device(t), traintest.AllParts)
	o.Accum = 2
	if _, err := Run(context.Background(), o); !errors.Is(err, bundle.ErrInvalid) || !strings.Contains(err.Error(), "winnow export") {
		t.Errorf("a graph of another tool: %v", err)
	}
	if has(o.Out, "summary.json") {
		t.Error("a run was written")
	}
	for _, accum := range []int{-1, 1 << 30} {
		o.Accum = accum
		if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), "accum") {
			t.Errorf("accum %d: %v", accum, err)
		}
	}
}

// A batch of NaN is named, and left out, as one of a whole step is.
func TestAccumulatedNaN(t *testing.T) {
	b := twoLayers(t, true, export.Options{})
	o := testOptions(t, device(t), traintest.Parts{})
	o.Bundle, o.Accum, o.BatchSize = b, 3, 8
	w := b.Init["w2"].Float32s()
	for i := range w {
		w[i] = 3e38
	}
	b.Init["w2"] = onnx.FromFloat32(w, b.Init["w2"].Dims...)
	_, err := Run(context.Background(), o)
	if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), `value "`) || !strings.Contains(err.Error(), "samples [") {
		t.Errorf("%v", err)
	}
}
