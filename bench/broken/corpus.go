package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"winnow/onnx"
	"winnow/onnx/wire"
)

// subject is what a sample is given to the program as.
type subject int

const (
	aModel subject = iota
	aBundle
	aDataSet
	aRun
	aReference
	aFormat     // data of another kind than IDX
	aCheckpoint // a run to go on with
	aConfig
	aCache     // a folder of unpacked images
	aPlan      // an experiment to go on with
	aTuneCache // measured times
	aStart     // weights to start from
	aLog       // a run to go on with, whose logs are kept
	aTarget    // data with masks
	aReport    // a run whose checkpoint, model and summary are shown
)

// sample is one broken input.
type sample struct {
	kind, name string
	of         subject
	spec       string                           // what stands before the path in --data
	file       string                           // name of the broken file within it
	make       func(dir string) (string, error) // makes it in an empty folder and gives its path
}

// costly are samples that are sound as files and cost what they ask for: how much
// memory, and why. No other may take more than the limit.
var costly = map[string]struct {
	memory int64
	why    string
}{
	"model, operators: Expand of weights to 1048576": {maxMemory * 3 / 2, "a step has that tensor, of 40 MB, and its gradient"},
}

func (c *sample) String() string { return c.kind + ": " + c.name }

// good are the inputs that the broken ones are made from.
type good struct {
	model                           []byte
	bundle, run, data, masks        string // paths; masks is a bundle of them
	bundleFiles, runFiles, dataFile map[string][]byte
	runTree                         tree
	formats                         []format
	state                           *state
}

// commands lists what is run on a sample.
func commands(c *sample, path, out string, g *good) [][]string {
	of := c.of
	data, cpu := "mnist:"+g.data, []string{"--device", "cpu", "--threads", "1"}
	train := func(bundle, data string, more ...string) []string {
		args := append([]string{"train", "--bundle", bundle, "--data", data, "--epochs", "1", "--batch-size", "8", "-o", out}, cpu...)
		return append(args, more...)
	}
	eval := func(path, data string) []string {
		return append([]string{"eval", "--data", data, "--batch-size", "8"}, append(cpu, path)...)
	}
	switch of {
	case aModel:
		return [][]string{{"inspect", path}, {"export", path, "-o", out}, train(path, data), eval(path, data)}
	case aBundle:
		return [][]string{{"inspect", path}, train(path, data), eval(path, data)}
	case aDataSet:
		return [][]string{train(g.bundle, "mnist:"+path), eval(g.run, "mnist:"+path)}
	case aRun:
		return [][]string{eval(path, data), {"compare", g.run, path}}
	}
	switch of {
	case aFormat:
		return [][]string{{"data", "check", c.spec + path}, train(g.bundle, c.spec+path)}
	case aTarget:
		return [][]string{{"data", "check", c.spec + path}, train(g.masks, c.spec+path)}
	case aCheckpoint:
		return [][]string{{"train", "--resume", path, "--epochs", "3"}}
	case aConfig:
		return [][]string{{"train", "--config", path, "--print-config"}}
	case aCache:
		cached := func(args ...string) []string { return append([]string{"WINNOW_CACHE=" + path}, args...) }
		images := "tar:" + g.state.images
		return [][]string{cached("data", "cache"), cached("data", "check", images), cached(train(g.bundle, images)...), cached("data", "cache", "--prune")}
	case aPlan:
		return [][]string{{"experiment", "--resume", path}}
	case aTuneCache:
		return [][]string{append([]string{"tune", g.bundle, "-o", out, "--tune-cache", path, "--batch-size", "8"}, cpu...)}
	case aStart:
		return [][]string{train(g.bundle, data, "--init", path)}
	case aLog:
		return [][]string{{"train", "--resume", path, "--epochs", "3"}}
	case aReport:
		return [][]string{{"scores", path}, append([]string{"report", path}, cpu...), append([]string{"audit", path, "-o", out}, cpu...)}
	}
	return [][]string{train(g.bundle, data, "--prune", "das-infobatch", "--prune-reference", path)}
}

// newGood makes the good inputs, the bundle and the run with the program itself.
func newGood(winnow, dir string) (*good, error) {
	g := &good{bundle: filepath.Join(dir, "bundle"), run: filepath.Join(dir, "run"), data: filepath.Join(dir, "data")}
	if err := os.MkdirAll(g.data, 0o777); err != nil {
		return nil, err
	}
	var err error
	if g.model, err = wire.Encode(smallModel()); err != nil {
		return nil, err
	}
	g.dataFile = smallData()
	for name, data := range g.dataFile {
		if err := os.WriteFile(filepath.Join(g.data, name), data, 0o666); err != nil {
			return nil, err
		}
	}
	model := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(model, g.model, 0o666); err != nil {
		return nil, err
	}
	masks, err := wire.Encode(maskModel())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "masks.onnx"), masks, 0o666); err != nil {
		return nil, err
	}
	g.masks = filepath.Join(dir, "masks")
	for _, args := range [][]string{
		{"export", model, "-o", g.bundle},
		{"export", filepath.Join(dir, "masks.onnx"), "-o", g.masks},
		{"train", "--bundle", g.bundle, "--data", "mnist:" + g.data, "--epochs", "2", "--batch-size", "8", "--device", "cpu", "-o", g.run},
	} {
		if text, err := exec.Command(winnow, args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w: %s", args, err, text)
		}
	}
	if g.bundleFiles, err = readFolder(g.bundle); err != nil {
		return nil, err
	}
	if g.runFiles, err = readFolder(g.run); err != nil {
		return nil, err
	}
	if g.runTree, err = readTree(g.run); err != nil {
		return nil, err
	}
	if g.formats, err = newFormats(winnow, filepath.Join(dir, "formats"), g.data); err != nil {
		return nil, err
	}
	g.state, err = newState(winnow, filepath.Join(dir, "state"), g)
	return g, err
}

func readFolder(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// smallModel is a convolution, a pooling and a linear layer on images of 1x28x28.
func smallModel() *onnx.Model {
	random := rand.New(rand.NewPCG(1, 2))
	weights := func(dims ...int64) *onnx.Tensor {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(random.NormFloat64()) / 4
		}
		return onnx.FromFloat32(v, dims...)
	}
	n := onnx.Symbol("N")
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: &onnx.Graph{
		Name:   "small",
		Inputs: []onnx.Value{{Name: "images", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(1), onnx.Const(28), onnx.Const(28)}}},
		Outputs: []onnx.Value{
			{Name: "logits", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(10)}},
		},
		Initializers: map[string]*onnx.Tensor{
			"conv.weight": weights(4, 1, 3, 3), "conv.bias": weights(4), "fc.weight": weights(10, 196), "fc.bias": weights(10),
		},
		Nodes: []*onnx.Node{
			{Name: "conv", Op: "Conv", Inputs: []string{"images", "conv.weight", "conv.bias"}, Outputs: []string{"c"}, Attrs: map[string]onnx.Attr{
				"kernel_shape": onnx.IntsAttr(3, 3), "strides": onnx.IntsAttr(2, 2), "pads": onnx.IntsAttr(1, 1, 1, 1)}},
			{Name: "relu", Op: "Relu", Inputs: []string{"c"}, Outputs: []string{"r"}},
			{Name: "pool", Op: "MaxPool", Inputs: []string{"r"}, Outputs: []string{"p"}, Attrs: map[string]onnx.Attr{
				"kernel_shape": onnx.IntsAttr(2, 2), "strides": onnx.IntsAttr(2, 2)}},
			{Name: "flat", Op: "Flatten", Inputs: []string{"p"}, Outputs: []string{"f"}, Attrs: map[string]onnx.Attr{"axis": onnx.IntAttr(1)}},
			{Name: "fc", Op: "Gemm", Inputs: []string{"f", "fc.weight", "fc.bias"}, Outputs: []string{"logits"}, Attrs: map[string]onnx.Attr{
				"transB": onnx.IntAttr(1)}},
		},
	}}
}

// smallData is a data set of 32 training and 16 test images, of which the
// training part is compressed.
func smallData() map[string][]byte {
	random := rand.New(rand.NewPCG(3, 4))
	files := map[string][]byte{}
	for _, split := range []struct {
		prefix string
		n      int
	}{{"train", 32}, {"t10k", 16}} {
		prefix, n := split.prefix, split.n
		images := make([]byte, n*28*28)
		labels := make([]byte, n)
		for i := range images {
			images[i] = byte(random.Uint32())
		}
		for i := range labels {
			labels[i] = byte(i % 10)
		}
		put := func(name string, dims []uint32, data []byte) {
			var b bytes.Buffer
			b.Write([]byte{0, 0, 8, byte(len(dims))})
			for _, d := range dims {
				_ = binary.Write(&b, binary.BigEndian, d) // memory does not fail
			}
			b.Write(data)
			if prefix == "train" {
				name, b = name+".gz", *compress(b.Bytes())
			}
			files[name] = b.Bytes()
		}
		put(prefix+"-images-idx3-ubyte", []uint32{uint32(n), 28, 28}, images)
		put(prefix+"-labels-idx1-ubyte", []uint32{uint32(n)}, labels)
	}
	return files
}

func compress(data []byte) *bytes.Buffer {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data) // memory does not fail
	_ = z.Close()        // the same
	return &b
}
