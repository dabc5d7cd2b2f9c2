package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
	"winnow/train/step"
)

// split is a bundle's step in two halves, for a test.
type split struct {
	*ortrun.SplitTrainer
	state *ortrun.State
	index map[string]int
}

func newSplit(t *testing.T, d *ortrun.Device, b *bundle.Bundle, layout string, maxBatch int) split {
	t.Helper()
	slots, err := step.StateSlots(b)
	if err != nil {
		t.Fatal(err)
	}
	s := split{index: map[string]int{}}
	for i, st := range b.Manifest.State {
		s.index[st.Name] = i
	}
	if s.state, err = d.NewState(slots); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.state.Close() })
	spec, _, err := step.SplitSpec(b, d, layout)
	if err != nil {
		t.Fatal(err)
	}
	if s.SplitTrainer, err = d.NewSplitTrainer(spec, s.state, maxBatch); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// step takes one step over parts of a batch, and gives its mean loss.
func (s split) step(t *testing.T, in ortrun.StepInput, parts ...int) float64 {
	t.Helper()
	if err := s.Begin(in.N); err != nil {
		t.Fatal(err)
	}
	at, sum := 0, 0.0
	var out ortrun.StepOutput
	size, targets := len(in.Images)/in.N, len(in.LabelsFloat)/in.N
	for _, n := range parts {
		part := in
		part.N, part.Images = n, in.Images[at*size:(at+n)*size]
		if in.Labels != nil {
			part.Labels = in.Labels[at : at+n]
		}
		part.LabelsFloat = in.LabelsFloat[at*targets : (at+n)*targets]
		if in.Weights != nil {
			part.Weights = in.Weights[at : at+n]
		}
		part.Targets = nil
		for _, target := range in.Targets {
			size := len(target) / in.N
			part.Targets = append(part.Targets, target[at*size:(at+n)*size])
		}
		if err := s.Add(&part, &out); err != nil {
			t.Fatal(err)
		}
		sum += float64(out.Loss) * float64(n)
		at += n
	}
	if err := s.Update(in.LearningRate, at); err != nil {
		t.Fatal(err)
	}
	if loss, ok := s.Loss(); ok {
		return float64(loss)
	}
	return sum / float64(at)
}

// The two halves of a step are PyTorch's whole one, for every optimizer, with
// the batch of each of ten steps in three parts of unlike size.
func TestHalvesAgreeWithPyTorch(t *testing.T) {
	d := openDevice(t)
	want, meta := readFixture(t, "optim.safetensors.gz")
	var recipes map[string]optimRecipe
	if err := json.Unmarshal([]byte(meta["recipes"]), &recipes); err != nil {
		t.Fatal(err)
	}
	for name, r := range recipes {
		if r.Amsgrad {
			continue
		}
		for _, precision := range []string{"", export.Float16} {
			t.Run(name+precision, func(t *testing.T) {
				tolerance := 2 * optimizerTolerance // three sums instead of one
				if precision != "" {
					tolerance = optimizerHalfTolerance
				}
				b, err := export.Build(twoLayers(want), export.Options{Name: "optim", Images: export.ImageOptions{Shape: [3]int64{1, 2, 3}, Float: true, Normalize: bundle.Normalize{Scale: 1}}, Optimizer: r.optimizer(), Precision: precision})
				if err != nil {
					t.Fatal(err)
				}
				s := newSplit(t, d, b, bundle.LayoutPortable, 8)
				rates, losses := want[name+"/lr"].Float32s(), float64s(want[name+"/loss"])
				x, labels := want["x"].Data, want["labels"].Int64s()
				for k := range 10 {
					loss := s.step(t, ortrun.StepInput{N: 8, Images: x[k*8*6*4 : (k+1)*8*6*4], Labels: labels[k*8 : (k+1)*8], LearningRate: rates[k]}, 3, 4, 1)
					if diff := math.Abs(loss-losses[k]) / losses[k]; !(diff <= tolerance) {
						t.Errorf("step %d: loss %v, want %v", k+1, loss, losses[k])
					}
					for _, p := range []string{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"} {
						all := want[name+"/param/"+p].Float32s()
						n := len(all) / 10
						near(t, fmt.Sprintf("step %d %s", k+1, p), readState(t, s.state, s.index[p], b.Init[p]), all[k*n:(k+1)*n], tolerance)
					}
				}
			})
		}
	}
}

// ownLossModel is twoLayers that ends in its loss, the mean over the batch or
// one number a sample: the squared distance of the scores from the labels.
func ownLossModel(want map[string]*onnx.Tensor, mean bool) *onnx.Model {
	m := twoLayers(want)
	g := m.Graph
	n := onnx.Symbol("N")
	g.Inputs = append(g.Inputs, onnx.Value{Name: "y", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(3)}})
	g.Initializers["axis"] = onnx.FromInt64([]int64{1}, 1)
	drop := map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}
	g.Nodes = append(g.Nodes,
		&onnx.Node{Name: "d", Op: "Sub", Inputs: []string{"logits", "y"}, Outputs: []string{"d"}},
		&onnx.Node{Name: "sq", Op: "Mul", Inputs: []string{"d", "d"}, Outputs: []string{"sq"}},
		&onnx.Node{Name: "each", Op: "ReduceMean", Inputs: []string{"sq", "axis"}, Outputs: []string{"each"}, Attrs: drop})
	out := onnx.Value{Name: "each", DType: onnx.Float32, Shape: onnx.Shape{n}}
	if mean {
		g.Initializers["first"] = onnx.FromInt64([]int64{0}, 1)
		g.Nodes = append(g.Nodes, &onnx.Node{Name: "all", Op: "ReduceMean", Inputs: []string{"each", "first"}, Outputs: []string{"all"}, Attrs: drop})
		out = onnx.Value{Name: "all", DType: onnx.Float32, Shape: onnx.Shape{}}
	}
	g.Outputs = append(g.Outputs, out)
	return m
}

// The halves are the whole graph for every loss and every way to weigh samples:
// over one batch of a power of two to the bit, over parts up to rounding.
func TestHalvesAreTheWhole(t *testing.T) {
	d := openDevice(t)
	fixture, _ := readFixture(t, "optim.safetensors.gz")
	type kind struct {
		name string
		o    export.Options
		mean bool // the model's own loss is one number
	}
	var kinds []kind
	for _, l := range export.Losses() {
		switch l.Name {
		case bundle.Dice: // of masks, see TestHalvesOfTasks
			continue
		case bundle.NoLoss:
			kinds = append(kinds, kind{"own mean", export.Options{Loss: export.NewLoss(l.Name)}, true}, kind{"own", export.Options{Loss: export.NewLoss(l.Name)}, false})
			continue
		}
		soft := export.NewLoss(l.Name)
		soft.SoftTargets = true
		kinds = append(kinds, kind{l.Name, export.Options{Loss: export.NewLoss(l.Name)}, false}, kind{l.Name + " soft", export.Options{Loss: soft}, false},
			kind{l.Name + " alone", export.Options{Loss: export.NewLoss(l.Name), BatchLossOnly: true}, false})
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			o := k.o
			o.Name, o.Images = "halves", export.ImageOptions{Shape: [3]int64{1, 2, 3}, Float: true, Normalize: bundle.Normalize{Scale: 1}}
			o.Optimizer = bundle.Optimizer{Name: bundle.SGD, Momentum: 0.9, WeightDecay: 1e-3, Clip: 0.5, EMA: 0.9}
			m := twoLayers(fixture)
			if o.Loss.Name == bundle.NoLoss {
				m = ownLossModel(fixture, k.mean)
			}
			b, err := export.Build(m, o)
			if err != nil {
				t.Fatal(err)
			}
			whole, state, _ := newTrainer(t, d, b, 8)
			same, parts := newSplit(t, d, b, bundle.LayoutPortable, 8), newSplit(t, d, b, bundle.LayoutPortable, 8)
			r := rand.New(rand.NewPCG(5, 6))
			floats := func(n int) []float32 {
				v := make([]float32, n)
				for i := range v {
					v[i] = float32(r.NormFloat64())
				}
				return v
			}
			for k := range 6 {
				in := ortrun.StepInput{N: 8, Images: onnx.FromFloat32(floats(48), 48).Data, LearningRate: 0.1, LossScale: 1}
				if b.Manifest.Train.Labels.DType == onnx.Float32.String() {
					in.LabelsFloat = floats(24)
				} else {
					for range 8 {
						in.Labels = append(in.Labels, r.Int64N(3))
					}
				}
				if b.Manifest.Train.SampleWeights != nil {
					in.Weights = floats(8)
				} else {
					in.LossScale = 1.5
				}
				var out ortrun.StepOutput
				if err := whole.Step(&in, &out); err != nil {
					t.Fatal(err)
				}
				if loss := same.step(t, in, 8); float32(loss) != out.Loss {
					t.Errorf("step %d: loss %v, want %v", k, loss, out.Loss)
				}
				if loss := parts.step(t, in, 3, 3, 2); math.Abs(loss-float64(out.Loss)) > 1e-5*math.Abs(float64(out.Loss)) {
					t.Errorf("step %d in parts: loss %v, want %v", k, loss, out.Loss)
				}
				for i, s := range b.Manifest.State {
					want := readState(t, state, i, b.Init[s.Name])
					if got := readState(t, same.state, i, b.Init[s.Name]); !slices.Equal(got, want) {
						t.Errorf("step %d: %q is not to the bit what the whole makes", k, s.Name)
					}
					near(t, fmt.Sprintf("step %d in parts: %s", k, s.Name), readState(t, parts.state, i, b.Init[s.Name]), want, 1e-5)
				}
			}
		})
	}
}

// Halves are made of a graph in blocks as of a portable one, are the same each
// time, and carry running statistics from batch to batch.
func TestHalvesWithRunningStatistics(t *testing.T) {
	d := openDevice(t)
	block := ortest.Block(t, d)
	for _, layout := range []string{bundle.LayoutPortable, bundle.LayoutNCHWC, bundle.LayoutKernels} {
		blocks := export.Blocks{Size: block, Kernels: layout == bundle.LayoutKernels}
		if blocks.Kernels {
			ortest.Kernels(t, d)
		}
		b, err := export.Build(forward(t, "resnet8"), export.Options{Name: "resnet8", Blocks: blocks})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Save(filepath.Join(t.TempDir(), "bundle")); (err != nil) != blocks.Kernels {
			t.Errorf("%s: saved with %v; operators of a run are for no file", layout, err)
		}
		one, err := b.Halves(layout)
		if err != nil {
			t.Fatal(err)
		}
		two, err := b.Halves(layout)
		if err != nil || !bytes.Equal(one.Gradient, two.Gradient) || !bytes.Equal(one.Update, two.Update) {
			t.Errorf("%s: the halves are not the same twice: %v", layout, err)
		}
		if n := len(one.Running); n == 0 || n%2 != 0 {
			t.Errorf("%s: %d running statistics", layout, n)
		}
		s := newSplit(t, d, b, layout, 8)
		in, err := step.RandomInput(b, 8, 3)
		if err != nil {
			t.Fatal(err)
		}
		in.LearningRate = 0 // the weights stay, so the statistics alone move
		s.step(t, *in, 4, 4)
		// Running statistics after two batches: r + m*(a-r), then again with b.
		whole := newSplit(t, d, b, layout, 8)
		first, second := *in, *in
		half := len(in.Images) / 2
		first.N, first.Images, first.Labels = 4, in.Images[:half], in.Labels[:4]
		second.N, second.Images, second.Labels = 4, in.Images[half:], in.Labels[4:]
		whole.step(t, first, 4)
		whole.step(t, second, 4)
		for _, i := range one.Running {
			name := b.Manifest.State[i].Name
			if !slices.Equal(readState(t, s.state, i, b.Init[name]), readState(t, whole.state, i, b.Init[name])) {
				t.Errorf("%s: %q is not what two batches leave", layout, name)
			}
		}
	}
}

// kept are the blocks of processes that take turns, which are added up later.
type kept [][]float32

func (k *kept) Sum(x []float32) error {
	*k = append(*k, x)
	return nil
}

// Two processes that add up their halves of each batch of resnet8 are PyTorch's
// DistributedDataParallel on two: losses, weights, and the mean of both
// processes' running statistics; testdata/gen_ddp.py made the record.
func TestTwoProcessesAgreeWithPyTorch(t *testing.T) {
	d := openDevice(t)
	want, _ := readFixture(t, "ddp.safetensors.gz")
	batches, _ := readFixture(t, "batches.safetensors.gz")
	m, err := wire.Decode(gunzip(t, "resnet8.t113.onnx.gz"), "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := export.Build(m, export.Options{Name: "ddp", Optimizer: bundle.Optimizer{Momentum: 0.9, WeightDecay: 5e-4},
		Images: export.ImageOptions{Normalize: bundle.Normalize{Mean: []float64{0.2860}, Std: []float64{0.3530}}}})
	if err != nil {
		t.Fatal(err)
	}
	const batch, half = 16, 8
	ranks := []split{newSplit(t, d, b, bundle.LayoutPortable, half), newSplit(t, d, b, bundle.LayoutPortable, half)}
	images, labels := batches["images"].Data, batches["labels"].Int64s()
	losses := float64s(want["loss"])
	for k, rate := range want["lr"].Float32s() {
		loss := 0.0
		var blocks kept
		for r, s := range ranks {
			at := k*batch + r*half
			var out ortrun.StepOutput
			if err := s.Begin(batch); err != nil {
				t.Fatal(err)
			}
			if err := s.Add(&ortrun.StepInput{N: half, Images: images[at*784 : (at+half)*784], Labels: labels[at : at+half], LossScale: 1}, &out); err != nil {
				t.Fatal(err)
			}
			loss += float64(out.Loss) / 2
			if _, err := s.Block(half); err != nil {
				t.Fatal(err)
			}
			if err := s.Sum(0, &blocks); err != nil {
				t.Fatal(err)
			}
		}
		for i := range blocks[0] {
			blocks[0][i] += blocks[1][i]
		}
		copy(blocks[1], blocks[0])
		for _, s := range ranks {
			if err := s.PutBlock(batch); err != nil {
				t.Fatal(err)
			}
			if err := s.Update(rate, batch); err != nil {
				t.Fatal(err)
			}
		}
		if diff := math.Abs(loss-losses[k]) / losses[k]; !(diff <= lossTolerance) {
			t.Errorf("step %d: loss %v, PyTorch has %v", k+1, loss, losses[k])
		}
	}
	for i, s := range b.Manifest.State {
		got := readState(t, ranks[0].state, i, b.Init[s.Name])
		if !slices.Equal(got, readState(t, ranks[1].state, i, b.Init[s.Name])) {
			t.Errorf("%s differs between the processes", s.Name)
		}
		switch s.Kind {
		case bundle.KindParameter:
			near(t, s.Name, strided(got), want["param/"+s.Name].Float32s(), stateTolerance)
		case bundle.KindBuffer:
			mean := slices.Clone(want["buffer/0/"+s.Name].Float32s())
			for i, v := range want["buffer/1/"+s.Name].Float32s() {
				mean[i] = (mean[i] + v) / 2
			}
			near(t, s.Name, got, mean, stateTolerance)
		}
	}
}
