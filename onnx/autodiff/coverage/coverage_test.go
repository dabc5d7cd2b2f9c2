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
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"winnow/internal/missing"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

const (
	gradTolerance = 1e-3 // of a parameter's gradient, by norm
	lossTolerance = 1e-3 // of each of the five losses

	// Where rounding alone moves PyTorch's own float32 gradient by more than
	// this part of the tolerance, the limit is that movement times a factor, and
	// the table says so.
	driftFactor       = 2
	torchvisionFactor = 3

	trainedShare = 0.95 // of the models of a library

	// A gradient that is zero in theory, such as that of a bias before a
	// normalisation, is noise in the record: below zeroPart of the largest
	// gradient in float64, or moved by noiseDrift of itself by rounding in
	// float32. It is then judged by how far it is from the record's as a part of
	// the largest: at most noisePart.
	zeroPart   = 1e-12
	noiseDrift = 0.5
	noisePart  = 1e-5

	// roundoff is that of float32: what is closer than this part of the largest
	// gradient is as close as float32 can tell.
	roundoff = 1.0 / (1 << 24)

	momentum = 0.9
)

var (
	libraries = []string{"torchvision", "timm", "modules", "segmentation"}
	exporters = []string{"torchscript", "dynamo"}
)

var (
	update = flag.Bool("update", false, "write the parts of docs/model-coverage.md on the libraries that ran")
	where  = flag.String("device", "cpu", "where to train: cpu, or cuda:N, without TF32 and without the CPU's blocked layout")
)

// Gradients of every parameter and the losses of five steps agree with
// PyTorch's, or the model is refused as expected; gen.py made the records.
// -run NetworksAgreeWithPyTorch/LIBRARY/NAME takes a part of them.
func TestNetworksAgreeWithPyTorch(t *testing.T) {
	dir := os.Getenv("WINNOW_MODELS")
	if dir == "" {
		t.Fatal("WINNOW_MODELS names no folder; gen.py fills one")
	}
	o := ortrun.Options{Device: *where, Threads: 2}
	if *where != "cpu" {
		o.CUDA = map[string]string{"use_tf32": "0"}
		if *update {
			t.Fatal("the page is of the CPU")
		}
	}
	d, err := ortrun.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var rows []row
	for _, lib := range libraries {
		t.Run(lib, func(t *testing.T) {
			for _, name := range networks(t, filepath.Join(dir, lib)) {
				t.Run(name, func(t *testing.T) {
					n := network{lib: lib, name: name, base: filepath.Join(dir, lib, name)}
					for _, exporter := range exporters {
						t.Run(exporter, func(t *testing.T) { rows = append(rows, n.judge(t, d, exporter)...) })
					}
				})
			}
			share(t, lib, rows)
		})
	}
	if *update {
		page := filepath.Join("..", "..", "..", "docs", "model-coverage.md")
		last, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, table(rows, string(last)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// networks are those of which a folder holds a model or the reason for none.
func networks(t *testing.T, folder string) []string {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		for _, exporter := range exporters {
			for _, end := range []string{".onnx", ".failed"} {
				if name, ok := strings.CutSuffix(f.Name(), "."+exporter+end); ok && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	if len(names) == 0 {
		t.Fatalf("no models in %s", folder)
	}
	return names
}

type network struct{ lib, name, base string }

// judge gives a row for each layout, or one of a model that is not there.
func (n *network) judge(t *testing.T, d *ortrun.Device, exporter string) []row {
	made := row{lib: n.lib, name: n.name, exporter: exporter}
	path := n.base + "." + exporter + ".onnx"
	reason, err := os.ReadFile(n.base + "." + exporter + ".failed")
	if err == nil {
		made.cannot = strings.TrimSpace(string(reason))
		return []row{made}
	}
	if !exists(path) || !exists(n.base+".safetensors") {
		missing.Skip(t, "%s is not there: not asked of gen.py, or not made yet", path)
	}
	want := read(t, n.base+".safetensors")
	key := n.lib + "/" + n.name + "/" + exporter
	frozen, trained := want.frozen, []string(nil)
	if exporter == "torchscript" {
		frozen, trained = append(slices.Clone(frozen), want.told...), want.asked
	}
	made.named = len(frozen) + len(trained)
	b, err := build(t, path, frozen, trained, &made)
	if err != nil {
		made.layout, made.err = "both", err.Error()
		made.refused = refusal(path, made.err)
		switch wanted := expected[key]; {
		case made.refused == "":
			t.Errorf("%v", err)
		case wanted != made.refused:
			t.Errorf("refused for %q, expected for %q: %v", made.refused, wanted, err)
		}
		return []row{made}
	}
	if expected[key] != "" {
		t.Errorf("is trained now; the list of refusals still has it for %q", expected[key])
	}
	var rows []row
	for _, layout := range []string{bundle.LayoutPortable, bundle.LayoutNCHWC, bundle.LayoutKernels} {
		r := made
		r.layout = layout
		model := graph(t, d, b, layout, want.tensors["images"])
		if model == nil {
			continue // the layout before it takes its place
		}
		err := check(d, b, model, want, &r)
		if other := n.base + ".other.safetensors"; err != nil && exists(other) {
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
	return rows
}

// graph is the training graph of a layout, nil where there is none of its own.
// The layout of a run's own operators is held to evaluate images, too.
func graph(t *testing.T, d *ortrun.Device, b *bundle.Bundle, layout string, images *onnx.Tensor) []byte {
	t.Helper()
	if layout == bundle.LayoutPortable || layout == bundle.LayoutNCHWC && *where == "cpu" {
		return b.Graph(layout)
	}
	if b.Blocked == nil || !d.Kernels() {
		return nil
	}
	own, err := export.Rebuild(b, export.Options{Blocks: export.Blocks{Size: b.Manifest.Blocked.Block, Kernels: true, Insist: true}})
	if err != nil {
		t.Fatal(err)
	}
	evaluates(t, d, own, images)
	if bytes.Equal(own.Blocked, b.Blocked) { // it has no convolution that the operators take
		return nil
	}
	return own.Blocked
}

// share fails where fewer than trainedShare of the models that PyTorch can
// export are trained; -run with fewer models is judged by those.
func share(t *testing.T, lib string, rows []row) {
	t.Helper()
	s := count(rows, lib)
	t.Logf("%s: %+v", lib, s)
	if float64(s.passed) < trainedShare*float64(s.models) {
		t.Errorf("%s: %d of %d models that PyTorch exports are trained", lib, s.passed, s.models)
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
	factor  float64           // times a drift is allowed
	frozen  []string          // what no file says: parameters that require no gradients
	told    []string          // what a file by TorchScript does not say: buffers,
	asked   []string          // and parameters that are single numbers
	alias   map[string]string // other names of shared parameters, to the first
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
	r := record{tensors: tensors, factor: driftFactor}
	if filepath.Base(filepath.Dir(path)) == "torchvision" {
		r.factor = torchvisionFactor
	}
	for key, names := range map[string]*[]string{"frozen": &r.frozen, "told": &r.told, "asked": &r.asked} {
		if err := json.Unmarshal([]byte(meta[key]), names); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	for key, to := range map[string]any{"drift": &r.drift, "alias": &r.alias} {
		if err := json.Unmarshal([]byte(meta[key]), to); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
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

func check(d *ortrun.Device, b *bundle.Bundle, model []byte, want record, r *row) error {
	graph, err := wire.Decode(model, "")
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
	if len(odd) > 0 && r.layout == bundle.LayoutPortable && r.lib == "torchvision" {
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
	slots, err := step.StateSlots(b)
	if err != nil {
		return err
	}
	index := map[string]int{}
	for i, s := range b.Manifest.State {
		index[s.Name] = i
		if s.Kind != bundle.KindParameter {
			continue
		}
		r.tensors++
		r.params += int64(b.Init[s.Name].Len())
		if first, ok := want.alias[s.Name]; ok {
			grads[s.Name], want.drift[s.Name] = grads[first], want.drift[first]
			delete(grads, first)
		}
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
	images, labels := want.tensors["images"], want.tensors["labels"]
	in := ortrun.StepInput{N: int(images.Dims[0]), Images: images.Data, LearningRate: want.rate, LossScale: 1}
	var targets []ortrun.Slot
	if further := roles.FurtherTargets(); len(further) == 1 { // masks
		v := further[0].Value()
		targets, in.Targets = []ortrun.Slot{slot(&v)}, [][]byte{labels.Data}
	} else {
		in.Labels = labels.Int64s()
	}
	trainer, err := d.NewTrainer(ortrun.TrainSpec{
		Model: model, Images: slot(&roles.Images), Labels: optional(roles.Labels), Targets: targets, SampleWeights: optional(roles.SampleWeights),
		LearningRate: slot(&roles.LearningRate), Loss: roles.Loss.Name, PerSampleLoss: roles.PerSampleLoss.Name, Logits: optional(roles.Logits),
	}, state, in.N)
	if err != nil {
		return err
	}
	defer trainer.Close()

	losses := float64s(want.tensors["loss"])
	r.lossDrift = want.loss
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
		if !(e <= max(lossTolerance, want.factor*want.loss)) {
			problems = append(problems, fmt.Errorf("step %d: loss %v, PyTorch has %v: %.2g apart", k+1, out.Loss, l, e))
		}
		if k > 0 {
			continue
		}
		// The first velocity is the gradient.
		if err := gradients(b, state, index, grads, want, r); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func gradients(b *bundle.Bundle, state *ortrun.State, index map[string]int, grads map[string]*onnx.Tensor, want record, r *row) error {
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
		for j := range g {
			g[j] -= w[j]
		}
		apart := norm(g)
		if size <= zeroPart*largest || want.drift[p] >= noiseDrift {
			if !(apart <= noisePart*largest) {
				problems = append(problems, fmt.Errorf("gradient of %q is rounding in PyTorch (norm %.2g), and %.2g from it; the largest has %.2g", p, size, apart, largest))
			}
			continue
		}
		e := apart / size
		limit := max(gradTolerance, want.factor*want.drift[p])
		switch {
		case e > limit && apart <= roundoff*largest:
			r.over++
			continue
		case !(e <= limit):
			problems = append(problems, fmt.Errorf("gradient of %q is %.2g from PyTorch's by norm, limit %.2g", p, e, limit))
		case e > gradTolerance:
			r.over++
		}
		if !(e <= r.worst) {
			r.worst, r.worstName, r.drift = e, p, want.drift[p]
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
