package export_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
)

// How far ten steps of an optimizer may be from PyTorch's (LARS and LAMB: from
// NumPy's), by norm; rounding alone moves the record by 2e-7.
const optimizerTolerance = 2e-6

// The same for float16: each of ten gradients, and each moment made of them, is
// off by a few units of rounding, and Adam's kind divides by the root of its square.
const optimizerHalfTolerance = 8 * halfUnit

type optimRecipe struct {
	Opt         string    `json:"opt"`
	Momentum    float64   `json:"momentum"`
	Nesterov    bool      `json:"nesterov"`
	WeightDecay float64   `json:"weight_decay"`
	Betas       []float64 `json:"betas"`
	Eps         float64   `json:"eps"`
	Alpha       float64   `json:"alpha"`
	Centered    bool      `json:"centered"`
	Amsgrad     bool      `json:"amsgrad"`
	Trust       float64   `json:"trust"`
	Clip        float64   `json:"clip"`
	EMA         float64   `json:"ema"`
	NoDecay1D   bool      `json:"no_decay_1d"`
}

var optimizerNames = map[string]string{"SGD": bundle.SGD, "Adam": bundle.Adam, "AdamW": bundle.AdamW,
	"RMSprop": bundle.RMSprop, "LARS": bundle.LARS, "LAMB": bundle.LAMB}

func (r optimRecipe) optimizer() bundle.Optimizer {
	return bundle.Optimizer{
		Name: optimizerNames[r.Opt], Momentum: r.Momentum, Nesterov: r.Nesterov, WeightDecay: r.WeightDecay, Betas: r.Betas, Eps: r.Eps,
		Alpha: r.Alpha, Centered: r.Centered, Trust: r.Trust, Clip: r.Clip, EMA: r.EMA, NoDecayNormBias: r.NoDecay1D,
	}
}

// Every optimizer takes ten steps with PyTorch; testdata/gen_optim.py made the record.
func TestOptimizersAgreeWithPyTorch(t *testing.T) {
	d := openDevice(t)
	want, meta := readFixture(t, "optim.safetensors.gz")
	var recipes map[string]optimRecipe
	if err := json.Unmarshal([]byte(meta["recipes"]), &recipes); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name, r := range recipes {
		if r.Amsgrad {
			continue // recorded, not offered
		}
		seen[optimizerNames[r.Opt]] = true
		for _, precision := range []string{"", export.Float16} {
			t.Run(name+precision, func(t *testing.T) {
				tolerance := optimizerTolerance
				if precision != "" {
					tolerance = optimizerHalfTolerance
				}
				b, err := export.Build(twoLayers(want), export.Options{Name: "optim", Images: export.ImageOptions{Shape: [3]int64{1, 2, 3}, Float: true, Normalize: bundle.Normalize{Scale: 1}}, Optimizer: r.optimizer(), Precision: precision})
				if err != nil {
					t.Fatal(err)
				}
				trainer, state, index := newTrainer(t, d, b, 8)
				rates, losses := want[name+"/lr"].Float32s(), float64s(want[name+"/loss"])
				x, labels := want["x"].Data, want["labels"].Int64s()
				var out ortrun.StepOutput
				for k := range 10 {
					in := ortrun.StepInput{N: 8, Images: x[k*8*6*4 : (k+1)*8*6*4], Labels: labels[k*8 : (k+1)*8], LearningRate: rates[k]}
					if err := trainer.Step(&in, &out); err != nil {
						t.Fatal(err)
					}
					if diff := math.Abs(float64(out.Loss)-losses[k]) / losses[k]; !(diff <= tolerance) {
						t.Errorf("step %d: loss %v, want %v", k+1, out.Loss, losses[k])
					}
					for _, p := range []string{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"} {
						all := want[name+"/param/"+p].Float32s()
						n := len(all) / 10
						near(t, fmt.Sprintf("step %d %s", k+1, p), readState(t, state, index[p], b.Init[p]), all[k*n:(k+1)*n], tolerance)
					}
				}
				if r.EMA != 0 {
					final := map[string]*onnx.Tensor{}
					for _, s := range b.Manifest.State {
						final[s.Name] = onnx.FromFloat32(readState(t, state, index[s.Name], b.Init[s.Name]), s.Shape...)
					}
					plain, err := inference(b, final)
					if err != nil {
						t.Fatal(err)
					}
					near(t, "fc1.weight of the exported model", plain.Graph.Initializers["fc1.weight"].Float32s(), want[name+"/ema/fc1.weight"].Float32s(), tolerance)
					for _, p := range []string{"fc1.weight", "fc2.bias"} {
						near(t, "average of "+p, readState(t, state, index[p+".ema"], b.Init[p]), want[name+"/ema/"+p].Float32s(), tolerance)
					}
				}
			})
		}
	}
	for _, o := range export.Optimizers() {
		if !seen[o.Name] {
			t.Errorf("no recipe for %s", o.Name)
		}
	}
}

// twoLayers is the network of the record: fc2(tanh(fc1(x))).
func twoLayers(want map[string]*onnx.Tensor) *onnx.Model {
	g := &onnx.Graph{
		Name:         "two-layers",
		Inputs:       []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(6)}}},
		Outputs:      []onnx.Value{{Name: "logits", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(3)}}},
		Initializers: map[string]*onnx.Tensor{},
	}
	for _, p := range []string{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"} {
		g.Initializers[p] = want["init/"+p]
	}
	tb := map[string]onnx.Attr{"transB": onnx.IntAttr(1)}
	g.Nodes = []*onnx.Node{
		{Name: "fc1", Op: "Gemm", Inputs: []string{"x", "fc1.weight", "fc1.bias"}, Outputs: []string{"a"}, Attrs: tb},
		{Name: "tanh", Op: "Tanh", Inputs: []string{"a"}, Outputs: []string{"h"}},
		{Name: "fc2", Op: "Gemm", Inputs: []string{"h", "fc2.weight", "fc2.bias"}, Outputs: []string{"logits"}, Attrs: tb},
	}
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: g}
}
