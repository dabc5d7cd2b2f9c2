package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	"winnow/runtime/ortest"
)

// ownImages writes 16 training and 8 test images of 8x2 random bytes, with
// labels of three classes from first up, and returns the folder and the test's.
func ownImages(t *testing.T, dir string, first byte) (folder string, images, labels []byte) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	idx := func(data []byte, dims ...int) []byte {
		b := []byte{0, 0, 8, byte(len(dims))}
		for _, d := range dims {
			b = binary.BigEndian.AppendUint32(b, uint32(d))
		}
		return append(b, data...)
	}
	for _, split := range []string{"train", "t10k"} {
		n := map[string]int{"train": 16, "t10k": 8}[split]
		images, labels = make([]byte, 16*n), make([]byte, n)
		for i := range images {
			images[i] = byte(r.IntN(256))
		}
		for i := range labels {
			labels[i] = first + byte(i%3)
		}
		write(t, filepath.Join(dir, split+"-images-idx3-ubyte"), idx(images, n, 8, 2))
		write(t, filepath.Join(dir, split+"-labels-idx1-ubyte"), idx(labels, n))
	}
	return dir, images, labels
}

// linear is a classifier of three classes: images of 16 values, in the shape
// given, through nodes to the value v, [N, 16], of which the scores y are v times w.
func linear(t *testing.T, path string, input onnx.Value, change func(*onnx.Graph)) string {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	w := make([]float32, 48)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	g := &onnx.Graph{Name: "linear", Inputs: []onnx.Value{input}, Outputs: []onnx.Value{{Name: "y", DType: onnx.Float32}},
		Initializers: map[string]*onnx.Tensor{"w": onnx.FromFloat32(w, 16, 3)},
		Nodes: []*onnx.Node{{Name: "flat", Op: "Flatten", Inputs: []string{"x"}, Outputs: []string{"v"}},
			{Name: "dense", Op: "MatMul", Inputs: []string{"v", "w"}, Outputs: []string{"y"}}}}
	if change != nil {
		change(g)
	}
	file, err := wire.Encode(&onnx.Model{IRVersion: 8, Opset: 18, Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	return write(t, path, file)
}

func images(dims ...int64) onnx.Value {
	return onnx.Value{Name: "x", DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("batch")}, onnx.ShapeOf(dims...)...)}
}

// linearLoss is the mean cross-entropy of linear on images, by its formula.
func linearLoss(t *testing.T, path string, images, labels []byte) float64 {
	t.Helper()
	m, err := wire.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	w, sum := m.Graph.Initializers["w"].Float32s(), 0.0
	for i, label := range labels {
		var z [3]float64
		exp := 0.0
		for k := range z {
			for j := range 16 {
				z[k] += float64(images[16*i+j]) / 255 * float64(w[3*j+k])
			}
			exp += math.Exp(z[k])
		}
		sum += math.Log(exp) - z[label]
	}
	return sum / float64(len(labels))
}

func evalLoss(t *testing.T, args ...string) float64 {
	t.Helper()
	var r struct{ Loss float64 }
	text := winnow(t, append([]string{"eval", "--device", "cpu", "--threads", "1", "--json"}, args...)...).succeeds(t).stdout
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return r.Loss
}

// trainOne takes one step of plain SGD on all images and returns the loss before it.
func trainOne(t *testing.T, model, data, out string, more ...string) (loss float64, said string) {
	t.Helper()
	o := winnow(t, append([]string{"train", "--bundle", model, "-d", data, "--epochs", "1", "--batch-size", "16", "--lr", "0.1", "--sched", "constant",
		"--momentum", "0", "--weight-decay", "0", "--prune", "none", "--device", "cpu", "--threads", "1", "-o", out}, more...)...).succeeds(t)
	line := regexp.MustCompile(`1/1 +([0-9.]+)`).FindStringSubmatch(o.stdout + o.stderr)
	if line == nil {
		t.Fatalf("no epoch in\n%s%s", o.stdout, o.stderr)
	}
	loss, err := strconv.ParseFloat(line[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return loss, o.stderr + o.stdout
}

func node(op, out string, in ...string) *onnx.Node {
	return &onnx.Node{Name: "make_" + out, Op: op, Inputs: in, Outputs: []string{out}}
}

// Whatever way a model takes its images and gives its scores, eval measures the
// same loss, by formula, and train begins with that of the training images.
func TestEvalTakesWhatTrainTakes(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	folder, test, labels := ownImages(t, filepath.Join(dir, "data"), 0)
	data := "mnist:" + folder
	plain := linear(t, filepath.Join(dir, "plain.onnx"), images(1, 8, 2), nil)
	want := linearLoss(t, plain, test, labels)
	first, _ := trainOne(t, plain, data, filepath.Join(dir, "plain"))
	trained := evalLoss(t, filepath.Join(dir, "plain"))
	one := images(1, 8, 2)
	one.Shape[0] = onnx.Const(1)
	three := images(1, 8, 2)
	three.Shape[0] = onnx.Const(3)
	end := func(op string) func(*onnx.Graph) {
		return func(g *onnx.Graph) {
			g.Nodes = append(g.Nodes, node(op, "p", "y"))
			g.Outputs = []onnx.Value{{Name: "p", DType: onnx.Float32}}
		}
	}
	outputs := func(more *onnx.Node, names ...string) func(*onnx.Graph) {
		return func(g *onnx.Graph) {
			if more != nil {
				g.Nodes = append(g.Nodes, more)
			}
			g.Outputs = nil
			for _, n := range names {
				g.Outputs = append(g.Outputs, onnx.Value{Name: n, DType: map[bool]onnx.DType{true: onnx.Int64, false: onnx.Float32}[n == "label"]})
			}
		}
	}
	label := node("ArgMax", "label", "y")
	label.Attrs = map[string]onnx.Attr{"axis": onnx.IntAttr(1), "keepdims": onnx.IntAttr(0)}
	reshape := func(g *onnx.Graph) {
		g.Nodes[0] = &onnx.Node{Name: "flat", Op: "Reshape", Inputs: []string{"x", "to"}, Outputs: []string{"v"}}
		g.Initializers["to"] = onnx.FromInt64([]int64{1, 16}, 2)
	}
	for name, c := range map[string]struct {
		input  onnx.Value
		change func(*onnx.Graph)
		flags  []string // of train
		says   string
	}{
		"flat":        {images(16), nil, nil, "--input-size"},
		"nhwc":        {images(8, 2, 1), nil, nil, ""},
		"one":         {one, nil, []string{"--dynamic-batch"}, ""},
		"three":       {three, nil, []string{"--dynamic-batch"}, ""},
		"reshape":     {images(1, 8, 2), reshape, []string{"--dynamic-batch"}, `"flat"`},
		"zoo":         {one, reshape, []string{"--dynamic-batch"}, ""},
		"softmax":     {images(1, 8, 2), end("Softmax"), nil, "Softmax"},
		"logsoftmax":  {images(1, 8, 2), end("LogSoftmax"), nil, "LogSoftmax"},
		"label":       {images(1, 8, 2), outputs(label, "label", "y"), nil, ""},
		"two outputs": {images(1, 8, 2), outputs(nil, "v", "y"), nil, `"v"`},
		"asked for":   {images(1, 8, 2), outputs(node("Tanh", "t", "y"), "t", "y"), []string{"--output", "y"}, ""},
	} {
		model := linear(t, filepath.Join(dir, name+".onnx"), c.input, c.change)
		args := []string{model, "--data", data}
		if slices.Contains(c.flags, "--output") {
			winnow(t, append([]string{"eval"}, args...)...).fails(t, exitInput, model, `"t"`, `"y"`, "--output")
			winnow(t, "export", model, "-o", filepath.Join(dir, "none")).fails(t, exitInput, `"t"`, `"y"`, "--output")
			args = append(args, c.flags...)
		}
		if loss := evalLoss(t, args...); math.Abs(loss-want) > 1e-5 {
			t.Errorf("%s: eval measures %v, want %v", name, loss, want)
		}
		if slices.Contains(c.flags, "--dynamic-batch") {
			winnow(t, "train", "--bundle", model, "-d", data, "-o", filepath.Join(dir, "none")).fails(t, exitInput, model, "--dynamic-batch", c.says)
			winnow(t, "inspect", model).fails(t, exitInput)
			winnow(t, append([]string{"inspect", model}, c.flags...)...).succeeds(t)
		}
		out := filepath.Join(dir, name)
		loss, said := trainOne(t, model, data, out, c.flags...)
		if math.Abs(loss-first) > 1e-4 || !strings.Contains(said, c.says) {
			t.Errorf("%s: trains from %v, want %v; said\n%s", name, loss, first, said)
		}
		if loss := evalLoss(t, out); math.Abs(loss-trained) > 1e-5 {
			t.Errorf("%s: trained, eval measures %v, want %v", name, loss, trained)
		}
	}
	if said := winnow(t, "inspect", filepath.Join(dir, "flat.onnx")).succeeds(t).stdout; !strings.Contains(said, "--input-size CxHxW") {
		t.Errorf("inspect of flat vectors:\n%s", said)
	}
	winnow(t, "export", filepath.Join(dir, "flat.onnx"), "-o", filepath.Join(dir, "bundle")).succeeds(t)
	winnow(t, "train", "--bundle", filepath.Join(dir, "bundle"), "-d", data).fails(t, exitInput, "--input-size 1x8x2")
	winnow(t, "train", "--bundle", "mlp", "-d", data, "--output", "y").fails(t, exitUsage, "--output")
}

// Labels that begin at 1 are classes from 0.
func TestLabelOffset(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	folder, test, labels := ownImages(t, filepath.Join(dir, "data"), 1)
	for i := range labels {
		labels[i]--
	}
	model := linear(t, filepath.Join(dir, "m.onnx"), images(1, 8, 2), nil)
	if got, want := evalLoss(t, model, "--data", "mnist:"+folder+",label-offset=1"), linearLoss(t, model, test, labels); math.Abs(got-want) > 1e-5 {
		t.Errorf("loss %v, want %v", got, want)
	}
	winnow(t, "eval", model, "--data", "mnist:"+folder).fails(t, exitInput, "4 classes")
}

// A run goes on from its folder or its model: with the weights and the
// normalisation that it ended with, once, as the same bundle would.
func TestTrainingGoesOn(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	folder, _, _ := ownImages(t, filepath.Join(dir, "data"), 0)
	data := "mnist:" + folder
	source := linear(t, filepath.Join(dir, "m.onnx"), images(1, 8, 2), nil)
	for _, kind := range [][]string{nil, {"--float-input"}} {
		name := fmt.Sprint("from", len(kind))
		bundle := filepath.Join(dir, name)
		winnow(t, append([]string{"export", source, "-o", bundle, "--mean", "0.3", "--std", "0.7", "--momentum", "0", "--weight-decay", "0"}, kind...)...).succeeds(t)
		args := func(b string, epochs int, out string) []string {
			return []string{"train", "--bundle", b, "-d", data, "--epochs", fmt.Sprint(epochs), "--batch-size", "16", "--lr", "0.1", "--sched", "constant",
				"--prune", "none", "--device", "cpu", "--threads", "1", "-o", out}
		}
		two, one := bundle+"-two", bundle+"-one"
		winnow(t, args(bundle, 2, two)...).succeeds(t)
		winnow(t, args(bundle, 1, one)...).succeeds(t)
		want := evalLoss(t, two)
		for i, from := range []string{one, filepath.Join(one, "model.onnx")} {
			out := fmt.Sprint(bundle, "-on", i)
			o := winnow(t, append(args(from, 1, out), "--momentum", "0", "--weight-decay", "0")...).succeeds(t)
			if !strings.Contains(o.stderr+o.stdout, "normalisation inside it") {
				t.Errorf("%s: said\n%s", from, o.stderr)
			}
			if got := evalLoss(t, out); math.Abs(got-want) > 1e-6 {
				t.Errorf("%s %v: going on ends at %v, without a stop at %v", from, kind, got, want)
			}
			if got := evalLoss(t, filepath.Join(out, "model.onnx"), "--data", data); math.Abs(got-want) > 1e-6 {
				t.Errorf("%s %v: eval of the file measures %v, want %v", from, kind, got, want)
			}
		}
		winnow(t, "export", filepath.Join(one, "model.onnx"), "-o", filepath.Join(dir, "x"), "--mean", "0.3").fails(t, exitUsage, "normalises")
	}
}

// What is not finite is refused where it is, and named.
func TestNotFinite(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	folder, _, _ := ownImages(t, filepath.Join(dir, "data"), 0)
	data := "mnist:" + folder
	for name, v := range map[string]float32{"nan": float32(math.NaN()), "inf": float32(math.Inf(-1))} {
		model := linear(t, filepath.Join(dir, name+".onnx"), images(1, 8, 2), func(g *onnx.Graph) {
			w := g.Initializers["w"].Float32s()
			w[7] = v
			g.Initializers["w"] = onnx.FromFloat32(w, 16, 3)
		})
		out := filepath.Join(dir, "out")
		for _, args := range [][]string{{"export", model, "-o", out}, {"train", "--bundle", model, "-d", data, "-o", out}, {"eval", model, "-d", data}, {"eval", model, "-d", data, "--json"}} {
			winnow(t, args...).fails(t, exitInput, model, `"w"`, "not finite", "element 7")
		}
		absent(t, out)
	}
	large := linear(t, filepath.Join(dir, "large.onnx"), images(1, 8, 2), func(g *onnx.Graph) {
		g.Nodes = append(g.Nodes[:1:1], node("MatMul", "z", "v", "w"), node("Mul", "zz", "z", "z"), node("Exp", "e", "zz"), node("Relu", "y", "e"))
		w := g.Initializers["w"].Float32s()
		for i := range w {
			w[i] *= 100
		}
		g.Initializers["w"] = onnx.FromFloat32(w, 16, 3)
	})
	o := winnow(t, "eval", large, "-d", data, "--json", "--device", "cpu")
	o.fails(t, exitInput, large, "sample 0")
	if !json.Valid([]byte(o.stdout)) || !strings.Contains(o.stdout, `"loss": null`) {
		t.Errorf("eval --json of an infinite loss:\n%s", o.stdout)
	}
	train := []string{"train", "-d", data, "--epochs", "3", "--batch-size", "16", "--sched", "constant", "--momentum", "0", "--prune", "none", "--device", "cpu", "-o", filepath.Join(dir, "run")}
	winnow(t, append(train, "--bundle", large)...).fails(t, exitFailed, `value "e"`)
	winnow(t, append(train, "--bundle", linear(t, filepath.Join(dir, "m.onnx"), images(1, 8, 2), nil), "--epochs", "9", "--batch-size", "4", "--lr", "1e6", "--weight-decay", "0.9", "--overwrite")...).fails(t, exitFailed, `parameter "w"`, "infinite")
}

// A bundle's state that is not finite is refused before it is trained or evaluated.
func TestBundleNotFinite(t *testing.T) {
	dir := t.TempDir()
	m, err := wire.Read(linear(t, filepath.Join(dir, "m.onnx"), images(1, 8, 2), nil))
	if err != nil {
		t.Fatal(err)
	}
	b, err := export.Build(m, export.Options{Name: "m"})
	if err != nil {
		t.Fatal(err)
	}
	bad := b.Init["w"].Float32s()
	bad[3] = float32(math.NaN())
	b.Init["w"] = onnx.FromFloat32(bad, 16, 3)
	path := filepath.Join(dir, "bundle")
	if err := b.Save(path); err != nil {
		t.Fatal(err)
	}
	folder, _, _ := ownImages(t, filepath.Join(dir, "data"), 0)
	winnow(t, "train", "--bundle", path, "-d", "mnist:"+folder).fails(t, exitInput, path, `"w"`, "element 3")
	winnow(t, "eval", path, "-d", "mnist:"+folder).fails(t, exitInput, path, `"w"`, "element 3")
}

// TestInputSize: a model that leaves height and width open becomes, with
// --input-size, the bundle of the model that has that size.
func TestInputSize(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	fixed := write(t, at("fixed.onnx"), lenet(t))
	m, err := wire.Read(fixed)
	if err != nil {
		t.Fatal(err)
	}
	in := &m.Graph.Inputs[0]
	size := fmt.Sprintf("%dx%dx%d", in.Shape[1].N, in.Shape[2].N, in.Shape[3].N)
	in.Shape = onnx.Shape{in.Shape[0], in.Shape[1], onnx.Symbol("H"), onnx.Symbol("W")}
	m.Graph.Values = nil
	text, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	open := write(t, at("open.onnx"), text)
	winnow(t, "export", open, "--name", "m", "-o", at("a")).fails(t, exitInput, "H, W", "--input-size CxHxW")
	winnow(t, "export", open, "--name", "m", "--input-size", size, "-o", at("a")).succeeds(t)
	winnow(t, "export", fixed, "--name", "m", "-o", at("b")).succeeds(t)
	for _, name := range []string{"train.onnx", "eval.onnx", "init.safetensors"} {
		a, errA := os.ReadFile(at("a/" + name))
		b, errB := os.ReadFile(at("b/" + name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is not that of the fixed model: %v, %v", name, errA, errB)
		}
	}
	if said := winnow(t, "inspect", open, "--input-size", size).succeeds(t).stdout; !strings.Contains(said, "--input-size "+size) {
		t.Errorf("inspect: %s", said)
	}
	winnow(t, "export", fixed, "--input-size", "1x64x64", "-o", at("c")).fails(t, exitInput, "[1 64 64]")
	winnow(t, "train", "--bundle", at("a"), "--data", "glyphs", "--input-size", "3x64x64").fails(t, exitUsage, "--input-size 3x64x64", size)
	winnow(t, "train", "--bundle", at("a"), "--data", "glyphs", "--input-size", "64").fails(t, exitUsage, "CxHxW")
}
