package export_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

// How far ten float32 steps may be from PyTorch's: losses element by element,
// the rest by norm. The fixture's own drift under rounding is up to 1.6e-5 of
// the losses and 1e-3 of the small logits of resnet8.
const (
	lossTolerance  = 1e-4
	gradTolerance  = 1e-3
	stateTolerance = 1e-3
	scoreTolerance = 3e-3
)

type recipe struct {
	Momentum    float64 `json:"momentum"`
	Nesterov    bool    `json:"nesterov"`
	WeightDecay float64 `json:"weight_decay"`
	Smoothing   float64 `json:"smoothing"`
	Weighted    bool    `json:"weighted"`
}

// Ten steps of training agree with PyTorch, for models exported by PyTorch
// 1.13 and by a current one; testdata/gen_steps.py made the records.
func TestTenStepsAgreeWithPyTorch(t *testing.T) {
	d := openDevice(t)
	batches, _ := readFixture(t, "batches.safetensors.gz")
	for _, model := range []string{"mlp", "lenet", "resnet8"} {
		want, meta := readFixture(t, model+".steps.safetensors.gz")
		var recipes map[string]recipe
		if err := json.Unmarshal([]byte(meta["recipes"]), &recipes); err != nil {
			t.Fatal(err)
		}
		for _, exporter := range []string{"t113", "dynamo"} {
			for name, r := range recipes {
				t.Run(fmt.Sprintf("%s/%s/%s", model, exporter, name), func(t *testing.T) {
					runSteps(t, d, model+"."+exporter+".onnx.gz", name, r, want, batches, export.Options{})
				})
			}
		}
		for _, o := range []export.Options{
			{Forms: export.Forms{Lowering: autodiff.Lowering{Data: autodiff.DataTranspose, Weight: autodiff.WeightImages}}},
			{Forms: export.Forms{Lowering: autodiff.Lowering{Data: autodiff.DataFlip, Weight: autodiff.WeightGemm}}},
			{Blocks: export.Blocks{Size: int64(d.ConvBlock())}},
			{Blocks: export.Blocks{Size: int64(d.ConvBlock())}, Forms: export.Forms{Lowering: autodiff.Lowering{Weight: autodiff.WeightTaps}}},
		} {
			t.Run(fmt.Sprintf("%s/%s-%s-%d", model, o.Forms.Lowering.Data, o.Forms.Lowering.Weight, o.Blocks.Size), func(t *testing.T) {
				runSteps(t, d, model+".t113.onnx.gz", "a", recipes["a"], want, batches, o)
			})
		}
		for _, block := range []int64{0, int64(d.ConvBlock())} {
			for i := range 3 { // every gradient in its first, second and third form
				t.Run(fmt.Sprintf("%s/form-%d-%d", model, i, block), func(t *testing.T) {
					o := export.Options{Blocks: export.Blocks{Size: block}}
					o.Forms.Tune = func(cases []autodiff.Case) (*bundle.Tuned, error) { return choose(cases, i), nil }
					runSteps(t, d, model+".t113.onnx.gz", "a", recipes["a"], want, batches, o)
				})
			}
		}
	}
}

// A graph that exposes the batch's loss alone trains the same.
func TestBatchLossOnlyAgreesWithPyTorch(t *testing.T) {
	d := openDevice(t)
	batches, _ := readFixture(t, "batches.safetensors.gz")
	want, meta := readFixture(t, "lenet.steps.safetensors.gz")
	var recipes map[string]recipe
	if err := json.Unmarshal([]byte(meta["recipes"]), &recipes); err != nil {
		t.Fatal(err)
	}
	runSteps(t, d, "lenet.t113.onnx.gz", "a", recipes["a"], want, batches, export.Options{BatchLossOnly: true})
}

func runSteps(t *testing.T, d *ortrun.Device, file, name string, r recipe, want, batches map[string]*onnx.Tensor, o export.Options) {
	m, err := wire.Decode(gunzip(t, file), "")
	if err != nil {
		t.Fatal(err)
	}
	o.Name, o.Loss = "fixture", bundle.Loss{Smoothing: r.Smoothing}
	o.Optimizer = bundle.Optimizer{Momentum: r.Momentum, Nesterov: r.Nesterov, WeightDecay: r.WeightDecay}
	o.Images.Normalize = bundle.Normalize{Mean: []float64{0.2860}, Std: []float64{0.3530}}
	b, err := export.Build(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if b.Blocked != nil {
		b.Train = b.Blocked
	}
	sizes := batches["sizes"].Int64s()
	maxBatch := 0
	for _, n := range sizes {
		maxBatch = max(maxBatch, int(n))
	}
	trainer, state, index := newTrainer(t, d, b, maxBatch)
	rates := want[name+"/lr"].Float32s()
	labels := batches["labels"].Int64s()
	weights := batches["sample_weights"].Float32s()
	images := batches["images"].Data
	var in ortrun.StepInput
	var out ortrun.StepOutput
	at := 0
	for step, size := range sizes {
		n := int(size)
		in = ortrun.StepInput{N: n, Images: images[at*784 : (at+n)*784], Labels: labels[at : at+n], LearningRate: rates[step], LossScale: 1}
		if r.Weighted {
			in.Weights = weights[at : at+n]
		}
		if err := trainer.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		wantLoss := float64s(want[name+"/loss"])[step]
		if diff := math.Abs(float64(out.Loss)-wantLoss) / wantLoss; !(diff <= lossTolerance) {
			t.Errorf("step %d: loss %v, PyTorch has %v: %.2g apart", step+1, out.Loss, wantLoss, diff)
		}
		if step == 0 || step == len(sizes)-1 {
			for key, got := range map[string][]float32{"per_sample": out.PerSample, "logits": out.Logits} {
				if o.BatchLossOnly {
					if got != nil {
						t.Errorf("a batch-loss-only graph gave %s", key)
					}
					continue
				}
				near(t, fmt.Sprintf("step %d %s", step+1, key), got, want[fmt.Sprintf("%s/%s.%d", name, key, step+1)].Float32s(), scoreTolerance)
			}
		}
		if step == 0 && r.Momentum != 0 {
			// The first velocity is the gradient plus the decay of the initial weights.
			for _, s := range b.Manifest.State {
				ref := want[name+"/grad/"+s.Name]
				if ref == nil || s.Kind != bundle.KindParameter {
					continue
				}
				v := readState(t, state, index[s.Name+".momentum"], b.Init[s.Name])
				for i, p := range b.Init[s.Name].Float32s() {
					v[i] -= float32(r.WeightDecay) * p
				}
				near(t, "gradient of "+s.Name, strided(v), ref.Float32s(), gradTolerance)
				wantNorm := float64s(want[name+"/grad_norm/"+s.Name])[0]
				if got := norm(v); math.Abs(got-wantNorm) > gradTolerance*wantNorm+1e-9 {
					t.Errorf("gradient of %s has norm %v, PyTorch has %v", s.Name, got, wantNorm)
				}
			}
		}
		at += n
	}
	checked := 0
	for _, s := range b.Manifest.State {
		key := map[string]string{bundle.KindParameter: "param", bundle.KindBuffer: "buffer"}[s.Kind]
		if ref := want[name+"/"+key+"/"+s.Name]; ref != nil {
			v := readState(t, state, index[s.Name], b.Init[s.Name])
			if key == "param" {
				v = strided(v)
			}
			near(t, s.Name+" after the last step", v, ref.Float32s(), stateTolerance)
			checked++
		}
	}
	if checked < 4 {
		t.Errorf("only %d state tensors were compared", checked)
	}
	// The exported model, on its own, gives PyTorch's scores in evaluation mode.
	final := map[string]*onnx.Tensor{}
	for _, s := range b.Manifest.State {
		final[s.Name] = onnx.FromFloat32(readState(t, state, index[s.Name], b.Init[s.Name]), s.Shape...)
	}
	plain, err := inference(b, final)
	if err != nil {
		t.Fatal(err)
	}
	data, err := wire.Encode(plain)
	if err != nil {
		t.Fatal(err)
	}
	n := int(sizes[len(sizes)-1])
	eval, err := d.NewEvaluator(ortrun.EvalSpec{
		Model:  data,
		Images: slot(b.Manifest.Eval.Images),
		Logits: slot(b.Manifest.Eval.Logits),
	}, nil, n)
	if err != nil {
		t.Fatal(err)
	}
	defer eval.Close()
	logits, err := eval.Run(n, images[(at-n)*784:at*784])
	if err != nil {
		t.Fatal(err)
	}
	near(t, "scores in evaluation mode", logits, want[name+"/eval_logits"].Float32s(), scoreTolerance)
}

func openDevice(t *testing.T) *ortrun.Device {
	t.Helper()
	return ortest.CPU(t, 2)
}

func slot(v bundle.Value) ortrun.Slot {
	d, _ := onnx.ParseDType(v.DType)
	s := ortrun.Slot{Name: v.Name, DType: ortrun.DType(d)}
	for _, dim := range v.Shape {
		if dim.IsConst() {
			s.Shape = append(s.Shape, dim.N)
		} else {
			s.Shape = append(s.Shape, -1)
		}
	}
	return s
}

func optional(v *bundle.Value) *ortrun.Slot {
	if v == nil {
		return nil
	}
	s := slot(*v)
	return &s
}

func newTrainer(t *testing.T, d *ortrun.Device, b *bundle.Bundle, maxBatch int) (*ortrun.Trainer, *ortrun.State, map[string]int) {
	t.Helper()
	var slots []ortrun.StateSlot
	index := map[string]int{}
	for i, s := range b.Manifest.State {
		dt, _ := onnx.ParseDType(s.DType)
		slots = append(slots, ortrun.StateSlot{Input: s.Input, Output: s.Output, DType: ortrun.DType(dt), Shape: s.Shape, Init: b.Init[s.Name].Data})
		index[s.Name] = i
	}
	state, err := d.NewState(slots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	r := b.Manifest.Train
	spec := ortrun.TrainSpec{
		Model: b.Train, Images: slot(r.Images), Labels: optional(r.Labels), SampleWeights: optional(r.SampleWeights),
		LossScale: optional(r.LossScale), LearningRate: slot(r.LearningRate), Loss: r.Loss.Name, Logits: optional(r.Logits),
	}
	for _, v := range r.Random {
		spec.Random = append(spec.Random, slot(v))
	}
	if r.PerSampleLoss != nil {
		spec.PerSampleLoss = r.PerSampleLoss.Name
	}
	trainer, err := d.NewTrainer(spec, state, maxBatch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trainer.Close() })
	return trainer, state, index
}

func readState(t *testing.T, s *ortrun.State, i int, like *onnx.Tensor) []float32 {
	t.Helper()
	out := onnx.NewTensor(like.DType, like.Dims...)
	if err := s.Read(i, out.Data); err != nil {
		t.Fatal(err)
	}
	return out.Float32s()
}

// strided takes the elements that the fixture records.
func strided(v []float32) []float32 {
	step := max(1, len(v)/512)
	var out []float32
	for i := 0; i < len(v); i += step {
		out = append(out, v[i])
	}
	return out
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d values, PyTorch has %d", what, len(got), len(want))
		return
	}
	diff := make([]float32, len(got))
	for i := range got {
		diff[i] = got[i] - want[i]
	}
	if d := norm(diff) / max(norm(want), 1e-9); !(d <= tolerance) {
		t.Errorf("%s: %.3g from PyTorch's, by norm", what, d)
	}
}

func float64s(t *onnx.Tensor) []float64 {
	v := make([]float64, t.Len())
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:]))
	}
	return v
}

func gunzip(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readFixture(t *testing.T, name string) (map[string]*onnx.Tensor, map[string]string) {
	t.Helper()
	data := gunzip(t, name)
	tensors, meta, err := bundle.ReadSafetensors(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return tensors, meta
}
