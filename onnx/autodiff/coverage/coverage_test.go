//go:build models

// Package coverage_test proves the gradients of whole networks against records
// of PyTorch that gen.py makes.
package coverage_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
	"winnow/train"
)

const (
	gradTolerance = 1e-3 // of a parameter's gradient, by norm
	lossTolerance = 1e-3 // of each of the five losses

	// Where rounding alone moves PyTorch's own float32 gradient by more than
	// this part of the tolerance, the limit is driftFactor times that movement
	// and the table says so.
	driftFactor = 3

	// A gradient that is zero in theory, such as that of a bias before a
	// normalisation, is noise of float64 in the record: below zeroPart of the
	// largest gradient. Ours must then be below noisePart of the largest.
	zeroPart  = 1e-12
	noisePart = 1e-5

	momentum = 0.9
)

var update = flag.Bool("update", false, "write docs/model-coverage.md")

// exportEnv makes this binary build one bundle and exit, so that its peak
// memory is that of the export alone: MODEL.onnx and the folder to write.
const exportEnv = "WINNOW_COVERAGE_EXPORT"

func TestMain(m *testing.M) {
	if job := os.Getenv(exportEnv); job != "" {
		if err := export(filepath.SplitList(job)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(peak())
		return
	}
	os.Exit(m.Run())
}

func export(job []string) error {
	if len(job) != 2 {
		return fmt.Errorf("want a model and a folder, not %q", job)
	}
	m, err := onnx.Read(job[0])
	if err != nil {
		return err
	}
	d, err := ortrun.Open(ortrun.Options{Device: "cpu"})
	if err != nil {
		return err
	}
	block := d.ConvBlock()
	if err := d.Close(); err != nil {
		return err
	}
	b, err := autodiff.Build(m, autodiff.Options{
		Name: "coverage", FloatImages: true, Normalize: bundle.Normalize{Scale: 1}, Optimizer: bundle.Optimizer{Momentum: momentum},
		Lowering: autodiff.Lowering{Block: int64(block)},
	})
	if err != nil {
		return err
	}
	return b.Save(job[1])
}

// peak is this process's largest resident memory in MB; the usage that the
// system reports of a child also counts its parent before the exec.
func peak() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// A row of the table.
type row struct {
	name, exporter     string
	layout             string
	other              bool // judged by the second record
	params             int64
	tensors, nodes     int
	worst, drift       float64 // gradient error, and PyTorch's own in float32
	worstName          string
	over               int // parameters beyond gradTolerance that the drift explains
	loss, lossDrift    float64
	seconds, megabytes float64 // of the export
	step               float64 // seconds, best of the last four
	err                string
}

// Gradients of every parameter and the losses of five steps agree with
// PyTorch, for one network of each torchvision family; gen.py made the records.
func TestNetworksAgreeWithPyTorch(t *testing.T) {
	dir := os.Getenv("WINNOW_MODELS")
	if dir == "" {
		t.Fatal("WINNOW_MODELS names no folder; gen.py fills one")
	}
	records, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(records) == 0 {
		t.Fatalf("no records in %s: %v", dir, err)
	}
	d, err := ortrun.Open(ortrun.Options{Device: "cpu", Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var rows []row
	for _, record := range records {
		if strings.HasSuffix(record, ".other.safetensors") {
			continue // read where it is needed
		}
		name := strings.TrimSuffix(filepath.Base(record), ".safetensors")
		t.Run(name, func(t *testing.T) {
			want := read(t, record)
			found := 0
			for _, exporter := range []string{"torchscript", "dynamo"} {
				path := filepath.Join(dir, name+"."+exporter+".onnx")
				if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
					continue
				}
				found++
				t.Run(exporter, func(t *testing.T) {
					made := row{name: name, exporter: exporter}
					b, err := build(t, path, &made)
					if err != nil {
						t.Fatal(err)
					}
					for layout, model := range map[string][]byte{train.LayoutPortable: b.Train, train.LayoutNCHWC: b.Blocked} {
						r := made
						r.layout = layout
						err := check(d, b, model, want, &r)
						if other := filepath.Join(dir, name+".other.safetensors"); err != nil && exists(other) {
							t.Logf("%s: judged by the other images: %v", layout, err)
							r = made
							r.layout, r.other = layout, true
							err = check(d, b, model, read(t, other), &r)
						}
						if err != nil {
							t.Errorf("%s: %v", layout, err)
							r.err = err.Error()
						}
						t.Logf("%+v", r)
						rows = append(rows, r)
					}
				})
			}
			if found == 0 {
				t.Error("no model beside the record")
			}
		})
	}
	if *update {
		if err := os.WriteFile(filepath.Join("..", "..", "..", "docs", "model-coverage.md"), table(rows), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

type record struct {
	tensors map[string]*onnx.Tensor
	drift   map[string]float64 // of the gradients
	loss    float64            // drift of the losses
	rate    float32
}

func read(t *testing.T, path string) record {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	tensors, meta, err := bundle.ReadSafetensors(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	r := record{tensors: tensors}
	if err := json.Unmarshal([]byte(meta["drift"]), &r.drift); err != nil {
		t.Fatal(err)
	}
	rate, err := strconv.ParseFloat(meta["lr"], 32)
	if err != nil || meta["momentum"] != fmt.Sprint(momentum) {
		t.Fatalf("rate %q, momentum %q", meta["lr"], meta["momentum"])
	}
	r.rate = float32(rate)
	if r.loss, err = strconv.ParseFloat(meta["loss_drift"], 64); err != nil {
		t.Fatal(err)
	}
	return r
}

// build exports a model in a process of its own.
func build(t *testing.T, path string, r *row) (*bundle.Bundle, error) {
	folder := filepath.Join(t.TempDir(), "bundle")
	cmd := exec.Command(os.Args[0])
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), exportEnv+"="+path+string(filepath.ListSeparator)+folder)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("export: %v: %s", err, strings.TrimSpace(stderr.String()))
	}
	r.seconds = time.Since(start).Seconds()
	if _, err := fmt.Sscan(stdout.String(), &r.megabytes); err != nil {
		return nil, fmt.Errorf("export: %q instead of its memory: %w", stdout.String(), err)
	}
	return bundle.OpenPath(folder)
}

func check(d *ortrun.Device, b *bundle.Bundle, model []byte, want record, r *row) error {
	graph, err := onnx.Decode(model, "")
	if err != nil {
		return err
	}
	r.nodes = len(graph.Graph.Nodes)
	var odd []string
	for _, n := range graph.Graph.Nodes {
		switch n.Op {
		case "Shape", "Size", "ConstantOfShape", "Range":
			odd = append(odd, n.Op+" "+n.Name)
		}
	}
	if len(odd) > 0 && r.layout == train.LayoutPortable {
		return fmt.Errorf("train.onnx computes shapes: %q", odd[:min(len(odd), 4)])
	}
	return compare(d, b, model, want, r)
}

func compare(d *ortrun.Device, b *bundle.Bundle, model []byte, want record, r *row) error {
	var problems []error
	grads := map[string]*onnx.Tensor{}
	for name, v := range want.tensors {
		if p, ok := strings.CutPrefix(name, "grad/"); ok {
			grads[p] = v
		}
	}
	slots, index := make([]ortrun.StateSlot, len(b.Manifest.State)), map[string]int{}
	for i, s := range b.Manifest.State {
		dt, err := onnx.ParseDType(s.DType)
		if err != nil {
			return err
		}
		slots[i] = ortrun.StateSlot{Input: s.Input, Output: s.Output, DType: ortrun.DType(dt), Shape: s.Shape, Init: b.Init[s.Name].Data}
		index[s.Name] = i
		if s.Kind != bundle.KindParameter {
			continue
		}
		r.tensors++
		r.params += int64(b.Init[s.Name].Len())
		if grads[s.Name] == nil {
			problems = append(problems, fmt.Errorf("%q %v is trained and no parameter of PyTorch", s.Name, s.Shape))
		}
	}
	state, err := d.NewState(slots)
	if err != nil {
		return err
	}
	defer state.Close()
	roles := b.Manifest.Train
	images, labels := want.tensors["images"], want.tensors["labels"].Int64s()
	trainer, err := d.NewTrainer(ortrun.TrainSpec{
		Model: model, Images: slot(&roles.Images), Labels: optional(roles.Labels), SampleWeights: optional(roles.SampleWeights),
		LearningRate: slot(&roles.LearningRate), Loss: roles.Loss.Name, PerSampleLoss: roles.PerSampleLoss.Name, Logits: optional(roles.Logits),
	}, state, len(labels))
	if err != nil {
		return err
	}
	defer trainer.Close()

	losses := float64s(want.tensors["loss"])
	r.lossDrift = want.loss
	in := ortrun.StepInput{N: len(labels), Images: images.Data, Labels: labels, LearningRate: want.rate, LossScale: 1}
	var out ortrun.StepOutput
	r.step = math.Inf(1)
	for k, l := range losses {
		start := time.Now()
		if err := trainer.Step(&in, &out); err != nil {
			return err
		}
		if k > 0 {
			r.step = min(r.step, time.Since(start).Seconds())
		}
		e := math.Abs(float64(out.Loss)/l - 1)
		r.loss = max(r.loss, e)
		if !(e <= max(lossTolerance, driftFactor*want.loss)) {
			problems = append(problems, fmt.Errorf("step %d: loss %v, PyTorch has %v: %.2g apart", k+1, out.Loss, l, e))
		}
		if k > 0 {
			continue
		}
		// The first velocity is the gradient.
		if err := gradients(b, state, index, grads, want.drift, r); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func gradients(b *bundle.Bundle, state *ortrun.State, index map[string]int, grads map[string]*onnx.Tensor, drift map[string]float64, r *row) error {
	var problems []error
	largest := 0.0
	for _, g := range grads {
		largest = max(largest, norm(g.Float32s()))
	}
	names := make([]string, 0, len(grads))
	for p := range grads {
		names = append(names, p)
	}
	slices.Sort(names)
	for _, p := range names {
		i, ok := index[p+".momentum"]
		if !ok {
			problems = append(problems, fmt.Errorf("%q is not trained", p))
			continue
		}
		got := onnx.NewTensor(onnx.Float32, b.Init[p].Dims...)
		if err := state.Read(i, got.Data); err != nil {
			return err
		}
		g, w := got.Float32s(), grads[p].Float32s()
		if !slices.Equal(b.Init[p].Dims, grads[p].Dims) {
			problems = append(problems, fmt.Errorf("%q has shape %v, in PyTorch %v", p, b.Init[p].Dims, grads[p].Dims))
			continue
		}
		size := norm(w)
		if size <= zeroPart*largest {
			if n := norm(g); !(n <= noisePart*largest) {
				problems = append(problems, fmt.Errorf("gradient of %q is zero in PyTorch, and has norm %.2g; the largest has %.2g", p, n, largest))
			}
			continue
		}
		for j := range g {
			g[j] -= w[j]
		}
		e := norm(g) / size
		limit := max(gradTolerance, driftFactor*drift[p])
		switch {
		case !(e <= limit):
			problems = append(problems, fmt.Errorf("gradient of %q is %.2g from PyTorch's by norm, limit %.2g", p, e, limit))
		case e > gradTolerance:
			r.over++
		}
		if !(e <= r.worst) {
			r.worst, r.worstName, r.drift = e, p, drift[p]
		}
	}
	if len(problems) > 6 {
		problems = append(problems[:6], fmt.Errorf("and %d more", len(problems)-6))
	}
	return errors.Join(problems...)
}

func slot(v *bundle.Value) ortrun.Slot {
	d, _ := onnx.ParseDType(v.DType)
	s := ortrun.Slot{Name: v.Name, DType: ortrun.DType(d)}
	for _, dim := range v.Shape {
		n := int64(-1)
		if dim.IsConst() {
			n = dim.N
		}
		s.Shape = append(s.Shape, n)
	}
	return s
}

func optional(v *bundle.Value) *ortrun.Slot {
	if v == nil {
		return nil
	}
	s := slot(v)
	return &s
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

func float64s(t *onnx.Tensor) []float64 {
	v := make([]float64, t.Len())
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:]))
	}
	return v
}
