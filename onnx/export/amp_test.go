package export_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// halfUnit is how far rounding to float16 moves a number, at most, of its size.
const halfUnit = 0x1p-11

// ampRun is ten steps: what each gave, the first gradients, and the state before and after.
type ampRun struct {
	losses                []float32
	logits, perSample     []float32 // of the first step
	grads, params, before map[string][]float32
}

func runHalf(t *testing.T, d *ortrun.Device, file string, o export.Options, weight float32) ampRun {
	t.Helper()
	b := buildFixture(t, file, o)
	batches, _ := readFixture(t, "batches.safetensors.gz")
	sizes, labels, images := batches["sizes"].Int64s(), batches["labels"].Int64s(), batches["images"].Data
	trainer, state, index := newTrainer(t, d, b, int(slices.Max(sizes)))
	r := ampRun{grads: map[string][]float32{}, params: map[string][]float32{}, before: map[string][]float32{}}
	at := 0
	for step, size := range sizes {
		n := int(size)
		in := ortrun.StepInput{N: n, Images: images[at*784 : (at+n)*784], Labels: labels[at : at+n], LearningRate: 0.02, LossScale: 1}
		if !o.BatchLossOnly {
			in.Weights = slices.Repeat([]float32{weight}, n)
		}
		var out ortrun.StepOutput
		if err := trainer.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		r.losses = append(r.losses, out.Loss)
		if step == 0 {
			r.logits, r.perSample = slices.Clone(out.Logits), slices.Clone(out.PerSample)
			for _, s := range b.Manifest.State { // without decay the first velocity is the gradient
				if i, ok := index[s.Name+".momentum"]; ok {
					r.grads[s.Name] = readState(t, state, i, b.Init[s.Name])
				}
			}
		}
		at += n
	}
	for _, s := range b.Manifest.State {
		if s.Kind == bundle.KindParameter {
			r.params[s.Name] = readState(t, state, index[s.Name], b.Init[s.Name])
			r.before[s.Name] = b.Init[s.Name].Float32s()
		}
	}
	return r
}

func buildFixture(t *testing.T, file string, o export.Options) *bundle.Bundle {
	t.Helper()
	m, err := wire.Decode(gunzip(t, file), "")
	if err != nil {
		t.Fatal(err)
	}
	o.Name, o.Images.Normalize = "fixture", bundle.Normalize{Mean: []float64{0.2860}, Std: []float64{0.3530}}
	b, err := export.Build(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// distance is how far two sets of tensors are from each other, by norm, relative to the second less base.
func distance(got, want, base map[string][]float32) float64 {
	var diff, size []float32
	for name, w := range want {
		for i := range w {
			diff = append(diff, got[name][i]-w[i])
			if base != nil {
				size = append(size, w[i]-base[name][i])
			} else {
				size = append(size, w[i])
			}
		}
	}
	return norm(diff) / norm(size)
}

func off(got, want []float32) float64 {
	return distance(map[string][]float32{"": got}, map[string][]float32{"": want}, nil)
}

// Float16 trains like float32, within what its rounding allows. Forward, a
// score is off by a few units of rounding. Backward, a ReLU or a maximum whose
// operand was moved across its threshold gives or takes the gradient of one
// element: of the operands, which lie about evenly around the threshold, some
// two units' share at each of the layers, so that gradients are off by the root of
// that share. Ten steps move the parameters by gradients that are off by that
// much, each time anew.
func TestFloat16AgreesWithFloat32(t *testing.T) {
	d := openDevice(t)
	for _, c := range []struct {
		model  string
		layers float64 // with a threshold
	}{{"mlp", 1}, {"lenet", 5}, {"resnet8", 7}} {
		for _, o := range []export.Options{{}, {BatchLossOnly: true}, {Loss: bundle.Loss{Name: bundle.BCE}}} {
			if c.model == "resnet8" && (o.BatchLossOnly || o.Loss.Name != "") {
				continue // the smaller networks show it
			}
			t.Run(fmt.Sprintf("%s/%s%v", c.model, o.Loss.Name, o.BatchLossOnly), func(t *testing.T) {
				o.Optimizer.Momentum = 0.9
				file := c.model + ".dynamo.onnx.gz"
				want := runHalf(t, d, file, o, 1)
				o.Precision = export.Float16
				got := runHalf(t, d, file, o, 1)
				kinks := math.Sqrt(c.layers * 2 * halfUnit)
				check := func(what string, off, most float64) {
					t.Helper()
					if !(off <= most) {
						t.Errorf("%s: %.3g apart, more than %.3g", what, off, most)
					}
				}
				check("first loss", off(got.losses[:1], want.losses[:1]), 2*halfUnit)
				check("losses", off(got.losses, want.losses), kinks)
				check("gradients", distance(got.grads, want.grads, nil), kinks)
				check("steps", distance(got.params, want.params, want.before), 2*kinks)
				if !o.BatchLossOnly {
					check("scores", off(got.logits, want.logits), 16*halfUnit)
					check("losses by sample", off(got.perSample, want.perSample), 4*halfUnit)
				}
			})
		}
	}
}

// Gradients below float16's smallest number survive, as the scale lifts them.
func TestLossScaleKeepsSmallGradients(t *testing.T) {
	d := openDevice(t)
	o := export.Options{Precision: export.Float16, Optimizer: bundle.Optimizer{Momentum: 0.9}}
	want := runHalf(t, d, "mlp.t113.onnx.gz", o, 1).grads
	small := runHalf(t, d, "mlp.t113.onnx.gz", o, 0x1p-14).grads // adjoints of scores under 2^-14/64, times activations
	for name := range small {
		for i := range small[name] {
			small[name][i] *= 0x1p14
		}
	}
	if off := distance(small, want, nil); !(off <= 8*halfUnit) {
		t.Errorf("gradients of small weights are %.3g off", off)
	}
}

// scalerBundle is a bundle of the small network in float16.
func scalerBundle(t *testing.T, o export.Options) *bundle.Bundle {
	t.Helper()
	want, _ := readFixture(t, "optim.safetensors.gz")
	o.Name, o.Images.Shape, o.Images.Float, o.Images.Normalize = "scaler", [3]int64{1, 2, 3}, true, bundle.Normalize{Scale: 1}
	o.Precision = export.Float16
	b, err := export.Build(twoLayers(want), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The scale follows torch.amp.GradScaler; testdata/gen_scaler.py made the record.
func TestLossScaleAgreesWithGradScaler(t *testing.T) {
	d := openDevice(t)
	data, err := os.ReadFile("testdata/scaler.json")
	if err != nil {
		t.Fatal(err)
	}
	var runs []struct {
		Init           float64
		Interval       int64
		Finite, Taken  []bool
		Scale, Tracker []float32
	}
	if err := json.Unmarshal(data, &runs); err != nil {
		t.Fatal(err)
	}
	fixture, _ := readFixture(t, "optim.safetensors.gz")
	for _, r := range runs {
		t.Run(fmt.Sprintf("%v/%d", r.Init, r.Interval), func(t *testing.T) {
			o := export.Options{Optimizer: bundle.Optimizer{WeightDecay: 0.1}}
			if r.Interval != 2000 {
				o = o.WithGrowthInterval(r.Interval)
			}
			b := scalerBundle(t, o)
			if r.Init != 65536 {
				b.Init["amp.scale"] = onnx.FromFloat32([]float32{float32(r.Init)})
			}
			trainer, state, index := newTrainer(t, d, b, 8)
			read := func(name string) []float32 { return readState(t, state, index[name], b.Init[name]) }
			for step, finite := range r.Finite {
				weight := float32(1)
				switch {
				case !finite:
					weight = 1e38
				case r.Init > 1e30:
					weight = 0 // no gradient but 0 is finite under such a scale
				}
				before := read("fc1.weight")
				in := ortrun.StepInput{N: 8, Images: fixture["x"].Data[:8*6*4], Labels: fixture["labels"].Int64s()[:8], LearningRate: 0.1, Weights: slices.Repeat([]float32{weight}, 8)}
				var out ortrun.StepOutput
				if err := trainer.Step(&in, &out); err != nil {
					t.Fatal(err)
				}
				if scale, tracker := read("amp.scale")[0], read("amp.growth_tracker")[0]; scale != r.Scale[step] || tracker != r.Tracker[step] {
					t.Errorf("step %d: scale %v after %v finite steps, PyTorch has %v after %v", step+1, scale, tracker, r.Scale[step], r.Tracker[step])
				}
				if taken := !slices.Equal(read("fc1.weight"), before); taken != r.Taken[step] {
					t.Errorf("step %d: taken %v, PyTorch has %v", step+1, taken, r.Taken[step])
				}
			}
		})
	}
}

// A step with a gradient that is not finite changes no parameter, moment or
// average by a bit, whether the scale or a sample is to blame;
// running statistics go on, as in PyTorch.
func TestOverflowLeavesStateAlone(t *testing.T) {
	d := openDevice(t)
	batches, _ := readFixture(t, "batches.safetensors.gz")
	for _, blame := range []string{"scale", "weight", "nothing"} {
		t.Run(blame, func(t *testing.T) {
			b := buildFixture(t, "resnet8.dynamo.onnx.gz", export.Options{
				Precision: export.Float16, Optimizer: bundle.Optimizer{Name: bundle.AdamW, WeightDecay: 0.1, Clip: 1, EMA: 0.9},
			})
			scale := float32(65536)
			in := ortrun.StepInput{N: 4, Images: batches["images"].Data[:4*784], Labels: batches["labels"].Int64s()[:4], LearningRate: 0.1, Weights: []float32{1, 1, 1, 1}}
			switch blame {
			case "scale":
				scale = 0x1p120
			case "weight":
				in.Weights[2] = float32(math.Inf(1))
			}
			b.Init["amp.scale"] = onnx.FromFloat32([]float32{scale})
			trainer, state, index := newTrainer(t, d, b, 4)
			var out ortrun.StepOutput
			if err := trainer.Step(&in, &out); err != nil {
				t.Fatal(err)
			}
			if loss := float64(out.Loss); math.IsNaN(loss) || loss > 10 {
				t.Errorf("loss %v", loss)
			}
			for _, s := range b.Manifest.State {
				got, was := onnx.NewTensor(onnx.Float32, s.Shape...), b.Init[s.Name]
				if err := state.Read(index[s.Name], got.Data); err != nil {
					t.Fatal(err)
				}
				changed := !slices.Equal(got.Data, was.Data)
				switch {
				case s.Name == "amp.scale":
					want := scale / 2
					if blame == "nothing" {
						want = scale
					}
					if got.Float32s()[0] != want {
						t.Errorf("scale %v, want %v", got.Float32s()[0], want)
					}
				case s.Kind == bundle.KindBuffer:
					if !changed {
						t.Errorf("%s stayed as it was", s.Name)
					}
				case s.Name != "amp.growth_tracker" && changed == (blame != "nothing"):
					t.Errorf("%s: changed %v", s.Name, changed)
				}
			}
		})
	}
}

// Images beyond float16's range spoil a step and nothing more.
func TestHugeImagesLeaveParametersAlone(t *testing.T) {
	d := openDevice(t)
	fixture, _ := readFixture(t, "optim.safetensors.gz")
	b := scalerBundle(t, export.Options{Optimizer: bundle.Optimizer{Name: bundle.Adam}})
	trainer, state, index := newTrainer(t, d, b, 8)
	huge := fixture["x"].Float32s()[:8*6]
	for i := range huge {
		huge[i] *= 1e6
	}
	var out ortrun.StepOutput
	for step, images := range [][]byte{onnx.FromFloat32(huge, 48).Data, fixture["x"].Data[:8*6*4]} {
		in := ortrun.StepInput{N: 8, Images: images, Labels: fixture["labels"].Int64s()[:8], LearningRate: 0.1}
		if err := trainer.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		for _, s := range b.Manifest.State {
			if s.Kind == bundle.KindParameter || strings.HasSuffix(s.Name, "_avg") {
				now := readState(t, state, index[s.Name], b.Init[s.Name])
				if changed := !slices.Equal(now, b.Init[s.Name].Float32s()); changed != (step == 1) {
					t.Errorf("step %d: %s changed: %v", step+1, s.Name, changed)
				}
			}
		}
		if scale := readState(t, state, index["amp.scale"], b.Init["amp.scale"])[0]; scale != 32768 {
			t.Errorf("step %d: scale %v", step+1, scale)
		}
	}
	if math.IsNaN(float64(out.Loss)) {
		t.Error("the step after it has no loss")
	}
}

// Clipping bounds the gradients themselves: a plain step is as long as the rate times the bound.
func TestClippingActsOnUnscaledGradients(t *testing.T) {
	d := openDevice(t)
	fixture, _ := readFixture(t, "optim.safetensors.gz")
	const rate, clip = 0.5, 1e-3
	b := scalerBundle(t, export.Options{Optimizer: bundle.Optimizer{Clip: clip}})
	trainer, state, index := newTrainer(t, d, b, 8)
	in := ortrun.StepInput{N: 8, Images: fixture["x"].Data[:8*6*4], Labels: fixture["labels"].Int64s()[:8], LearningRate: rate}
	var out ortrun.StepOutput
	if err := trainer.Step(&in, &out); err != nil {
		t.Fatal(err)
	}
	var moved []float32
	for _, p := range []string{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"} {
		for i, v := range readState(t, state, index[p], b.Init[p]) {
			moved = append(moved, v-b.Init[p].Float32s()[i])
		}
	}
	if got := norm(moved); math.Abs(got-rate*clip) > 1e-3*rate*clip {
		t.Errorf("a step of %v, want %v", got, rate*clip)
	}
}

// What a graph in half precision holds: products in it and their master weights
// cast once, no cast of a cast, statistics, losses and state in float32, and
// float64 nowhere but in Adam's corrections.
func TestHalfPrecisionGraph(t *testing.T) {
	for _, c := range []struct {
		precision string
		half      onnx.DType
		products  []string
	}{
		{export.Float16, onnx.Float16, []string{"Conv", "ConvTranspose", "Gemm", "MatMul"}},
		{export.BFloat16, onnx.BFloat16, []string{"Gemm", "MatMul"}},
	} {
		for _, model := range []string{"mlp", "lenet", "resnet8"} {
			for _, opt := range []string{bundle.SGD, bundle.AdamW} {
				t.Run(c.precision+"/"+model+"/"+opt, func(t *testing.T) {
					b := buildFixture(t, model+".t113.onnx.gz", export.Options{Precision: c.precision, Optimizer: bundle.Optimizer{Name: opt}})
					if b.Manifest.Precision != c.precision {
						t.Errorf("the manifest says %q", b.Manifest.Precision)
					}
					m, err := wire.Decode(b.Train, "")
					if err != nil {
						t.Fatal(err)
					}
					if err := opset.Check(m); err != nil {
						t.Error(err)
					}
					checkHalfGraph(t, m.Graph, b, c.half, c.products, opt)
					if eval := string(b.Eval); strings.Contains(eval, c.precision) {
						t.Error("the inference graph has something of it")
					}
				})
			}
		}
	}
}

func checkHalfGraph(t *testing.T, g *onnx.Graph, b *bundle.Bundle, half onnx.DType, products []string, opt string) {
	inf := infer.New(g)
	casts := map[string]int{}
	maker := map[string]*onnx.Node{}
	made := 0
	for _, n := range g.Nodes {
		if err := inf.Node(n); err != nil {
			t.Fatal(err)
		}
		out, _ := inf.Type(n.Outputs[0])
		var types []onnx.DType
		for _, in := range n.Inputs {
			v, _ := inf.Type(in)
			types = append(types, v.DType)
		}
		of := func(d onnx.DType) bool { return slices.Contains(types, d) || out.DType == d }
		switch {
		case n.Op == "Cast":
			casts[n.Inputs[0]+" "+out.DType.String()]++
			if m := maker[n.Inputs[0]]; m != nil && m.Op == "Cast" && of(half) && of(onnx.Float32) {
				t.Errorf("%s casts what %s cast", n.Name, m.Name)
			}
		case of(half) && of(onnx.Float32) && n.Op != "Resize": // its scales are float32
			t.Errorf("%s (%s) mixes %v into %v", n.Name, n.Op, types, out.DType)
		case slices.Contains(products, n.Op):
			made++
			if out.DType != half {
				t.Errorf("%s (%s) is %v", n.Name, n.Op, out.DType)
			}
		case strings.HasPrefix(n.Op, "Reduce") || strings.Contains(n.Op, "Softmax") || strings.HasSuffix(n.Op, "Normalization") || n.Op == "Exp":
			if of(half) {
				t.Errorf("%s (%s) is %v", n.Name, n.Op, half)
			}
		}
		if of(onnx.Float64) && !(opt == bundle.AdamW && strings.HasPrefix(n.Name, "update.")) {
			t.Errorf("%s (%s) is float64", n.Name, n.Op)
		}
		for _, o := range n.Outputs {
			maker[o] = n
		}
	}
	if made < 5 {
		t.Errorf("only %d products", made)
	}
	for what, n := range casts {
		if n > 1 {
			t.Errorf("cast %d times: %s", n, what)
		}
	}
	for _, v := range slices.Concat(g.Inputs, g.Outputs) {
		if v.DType == half {
			t.Errorf("%s is %v", v.Name, half)
		}
	}
	scaled := slices.ContainsFunc(b.Manifest.State, func(s bundle.State) bool { return s.Name == "amp.scale" })
	if scaled != (half == onnx.Float16) {
		t.Errorf("loss scaling: %v", scaled)
	}
}
