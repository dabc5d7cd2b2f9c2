package export_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

// taskSide, taskBatch and taskClasses are sizes of testdata/gen_tasks.py.
const taskSide, taskBatch = 8, 4

var taskClasses = map[string]int{"vector": 5, "mask": 3, "single": 2, "flat": 2, "points": 5}

// taskMix is the hash that testdata/gen_tasks.py makes its samples of.
func taskMix(x uint64) uint32 {
	y := uint32((x ^ x>>15) * 0x2C1B3C6D)
	y = (y ^ y>>12) * 0x297A2D39
	return y ^ y>>15
}

// taskBatchOf is a batch of testdata/gen_tasks.py: images, and vectors or masks.
func taskBatchOf(s int, model string, hard bool) (images []byte, vectors []float32, masks []byte) {
	k := taskClasses[model]
	for i := s * taskBatch; i < (s+1)*taskBatch; i++ {
		for p := range taskSide * taskSide {
			images = append(images, byte(taskMix(uint64(i*taskSide*taskSide+p))))
			class := byte(taskMix(uint64(7000003*(i+1)+p)) % uint32(k))
			if taskMix(uint64(9000011*(i+1)+p))%8 == 0 {
				class = 255
			}
			masks = append(masks, class)
		}
		for j := range k {
			v := float32(taskMix(uint64(1000003*(i+1)+j))%256) / 255
			if hard {
				v = map[bool]float32{true: 1}[v > 0.5]
			}
			vectors = append(vectors, v)
		}
	}
	return images, vectors, masks
}

// Twenty steps by each loss of vectors and masks agree with PyTorch's.
func TestTasksAgreeWithPyTorch(t *testing.T) {
	d := openDevice(t)
	text, err := os.ReadFile(filepath.Join("testdata", "tasks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Model  string      `json:"model"`
		Hard   bool        `json:"hard"`
		Loss   bundle.Loss `json:"loss"`
		Losses []float64   `json:"losses"`
		First  []float64   `json:"first"`
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%+v", c.Model, c.Loss), func(t *testing.T) {
			m, err := wire.Read(filepath.Join("testdata", "tasks."+c.Model+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			o := export.Options{Loss: c.Loss, Optimizer: bundle.Optimizer{Name: bundle.SGD}}
			vector := c.Model == "vector" || c.Model == "points"
			o.Loss.SoftTargets = vector
			b, err := export.Build(m, o)
			if err != nil {
				t.Fatal(err)
			}
			if targets := b.Manifest.Train.AllTargets(); len(targets) != 1 || targets[0].Kind == bundle.TargetClass {
				t.Fatalf("targets %+v", targets)
			}
			trainer := taskTrainer(t, d, b)
			for s, want := range c.Losses {
				images, vectors, masks := taskBatchOf(s, c.Model, c.Hard)
				in := ortrun.StepInput{N: taskBatch, Images: images, LearningRate: 0.5}
				if vector {
					in.LabelsFloat = vectors
				} else {
					in.Targets = [][]byte{masks}
				}
				var out ortrun.StepOutput
				if err := trainer.Step(&in, &out); err != nil {
					t.Fatal(err)
				}
				if math.Abs(float64(out.Loss)-want) > 1e-4*(1+want) {
					t.Fatalf("step %d: loss %v, want %v", s, out.Loss, want)
				}
				for i, each := range out.PerSample {
					if s == 0 && math.Abs(float64(each)-c.First[i]) > 1e-4*(1+c.First[i]) {
						t.Errorf("sample %d: loss %v, want %v", i, each, c.First[i])
					}
				}
				if len(out.PerSample) != taskBatch {
					t.Fatalf("%d losses of samples", len(out.PerSample))
				}
			}
		})
	}
}

// Losses inside a model, as PyTorch's exporter of TorchScript writes them, with
// class weights, a class that is left out and a weight of each sample, train as
// in PyTorch; the class weights are no parameter.
func TestOwnLossesAgreeWithPyTorch(t *testing.T) {
	d := openDevice(t)
	text, err := os.ReadFile(filepath.Join("testdata", "own.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Model  string    `json:"model"`
		Rate   float32   `json:"rate"`
		Losses []float64 `json:"losses"`
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Model, func(t *testing.T) {
			m, err := wire.Read(filepath.Join("testdata", "own."+c.Model+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := export.Build(m, export.Options{Loss: bundle.Loss{Name: bundle.NoLoss}, Optimizer: bundle.Optimizer{Name: bundle.SGD}})
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Manifest.State) != 4 {
				t.Fatalf("state %+v, want the weights and biases of two layers", b.Manifest.State)
			}
			trainer := taskTrainer(t, d, b)
			for s, want := range c.Losses {
				images, _, masks := taskBatchOf(s, "mask", false)
				in := ortrun.StepInput{N: taskBatch, Images: images, LearningRate: c.Rate, LossScale: 1}
				var wide, weights []byte
				for i := range taskBatch {
					for _, y := range masks[i*taskSide*taskSide:][:taskSide*taskSide] {
						wide = binary.LittleEndian.AppendUint64(wide, uint64(y))
					}
					x := float32(taskMix(uint64(1000003*(s*taskBatch+i+1)))%256) / 255
					weights = binary.LittleEndian.AppendUint32(weights, math.Float32bits(x))
					in.Labels = append(in.Labels, int64(masks[i*taskSide*taskSide])%255)
				}
				if in.Targets = [][]byte{weights}; c.Model == "mask" {
					in.Labels, in.Targets = nil, [][]byte{wide}
				}
				var out ortrun.StepOutput
				if err := trainer.Step(&in, &out); err != nil {
					t.Fatal(err)
				}
				if math.Abs(float64(out.Loss)-want) > 1e-4*(1+want) {
					t.Fatalf("step %d: loss %v, want %v", s, out.Loss, want)
				}
			}
		})
	}
}

// A detector with its loss inside, which wants boxes, trains as in PyTorch, and
// is rebuilt to the same bytes.
func TestDetectorAgreesWithPyTorch(t *testing.T) {
	d := openDevice(t)
	text, err := os.ReadFile(filepath.Join("testdata", "detect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	m, err := wire.Read(filepath.Join("testdata", "detect.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := export.Build(m, export.Options{Loss: bundle.Loss{Name: bundle.NoLoss}, Optimizer: bundle.Optimizer{Name: bundle.SGD}})
	if err != nil {
		t.Fatal(err)
	}
	targets := b.Manifest.Train.AllTargets()
	if len(targets) != 1 || targets[0].Name != "boxes" || targets[0].Kind != bundle.TargetTensor || targets[0].Shape.String() != "[N, 3, 5]" || b.Manifest.Train.PerSampleLoss != nil {
		t.Fatalf("targets %+v", targets)
	}
	again, err := export.Rebuild(b, export.Options{})
	if err != nil || !bytes.Equal(again.Train, b.Train) {
		t.Errorf("rebuilt: %v", err)
	}
	trainer := taskTrainer(t, d, b)
	for s := range want {
		var images, boxes []byte
		for i := s * taskBatch; i < (s+1)*taskBatch; i++ {
			for p := range 1024 {
				images = append(images, byte(taskMix(uint64(i*1024+p))))
			}
			for k := range 3 {
				for j := range 5 {
					h := taskMix(uint64(77*(i+1) + 10*k + j))
					v := float64(h%1000) / 1000
					switch {
					case j == 0:
						v = float64(h % 11)
					case j > 2:
						v = v*0.3 + 0.1
					}
					boxes = binary.LittleEndian.AppendUint32(boxes, math.Float32bits(float32(v)))
				}
			}
		}
		var out ortrun.StepOutput
		if err := trainer.Step(&ortrun.StepInput{N: taskBatch, Images: images, Targets: [][]byte{boxes}, LearningRate: 0.1, LossScale: 1}, &out); err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(out.Loss)-want[s]) > 1e-4*(1+want[s]) {
			t.Fatalf("step %d: loss %v, want %v", s, out.Loss, want[s])
		}
	}
}

// taskTrainer is a trainer of batches as the tasks' are.
func taskTrainer(t *testing.T, d *ortrun.Device, b *bundle.Bundle) *ortrun.Trainer {
	t.Helper()
	trainer, _ := portableTrainer(t, d, b, taskBatch)
	return trainer
}

// portableTrainer is a bundle's trainer as train makes it, on the portable
// graph, and its state.
func portableTrainer(t *testing.T, d *ortrun.Device, b *bundle.Bundle, maxBatch int) (*ortrun.Trainer, *ortrun.State) {
	t.Helper()
	slots, err := step.StateSlots(b)
	if err != nil {
		t.Fatal(err)
	}
	state, err := d.NewState(slots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	spec, _, err := step.TrainSpec(b, d, bundle.LayoutPortable)
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := d.NewTrainer(spec, state, maxBatch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trainer.Close() })
	return trainer, state
}
