package export_test

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/export"
	"winnow/onnx/wire"
)

// A bundle that was saved, opened and rebuilt is the same bundle, byte for byte.
func TestRebuild(t *testing.T) {
	decode := func(file string) func(*testing.T) *onnx.Model {
		return func(t *testing.T) *onnx.Model {
			m, err := wire.Decode(gunzip(t, file), "")
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	shipped := func(name string) func(*testing.T) *onnx.Model {
		return func(t *testing.T) *onnx.Model { return forward(t, name) }
	}
	ownLoss := func(reduction string) func(*testing.T) *onnx.Model {
		return func(t *testing.T) *onnx.Model {
			m := forward(t, "mlp")
			g := m.Graph
			g.Inputs = append(g.Inputs, onnx.Value{Name: "target", DType: onnx.Int64, Shape: onnx.Shape{onnx.Symbol("rows")}})
			g.Outputs = append(g.Outputs, onnx.Value{Name: "objective", DType: onnx.Float32})
			g.Nodes = append(g.Nodes, &onnx.Node{Name: "ce", Op: "SoftmaxCrossEntropyLoss", Inputs: []string{"logits", "target"},
				Outputs: []string{"objective"}, Attrs: map[string]onnx.Attr{"reduction": onnx.StringAttr(reduction)}})
			return m
		}
	}
	dropout := func(t *testing.T) *onnx.Model {
		m := forward(t, "mlp")
		g := m.Graph
		ratio := onnx.FromFloat32([]float32{0.25})
		g.Initializers["ratio"], g.Initializers["on"] = ratio, &onnx.Tensor{DType: onnx.Bool, Data: []byte{1}}
		last := len(g.Nodes) - 1
		drop := &onnx.Node{Name: "drop", Op: "Dropout", Inputs: []string{g.Nodes[last].Inputs[0], "ratio", "on"}, Outputs: []string{"dropped"}}
		g.Nodes[last].Inputs[0] = "dropped"
		g.Nodes = append(g.Nodes[:last], drop, g.Nodes[last])
		return m
	}
	for name, c := range map[string]struct {
		model func(*testing.T) *onnx.Model
		o     export.Options
	}{
		"mlp":            {shipped("mlp"), export.Options{Optimizer: bundle.Optimizer{Name: bundle.AdamW, EMA: 0.99}}},
		"lenet":          {shipped("lenet"), export.Options{ClassNames: strings.Split("abcdefghij", ""), Source: bundle.Source{File: "lenet.onnx", SHA256: "abc"}, Images: export.ImageOptions{Normalize: bundle.Normalize{Mean: []float64{0.286}, Std: []float64{0.353}}}, Blocks: export.Blocks{Size: 16}}},
		"resnet8":        {shipped("resnet8"), export.Options{Optimizer: bundle.Optimizer{Momentum: 0.9, Nesterov: true, Clip: 1}, Blocks: export.Blocks{Size: 8}}},
		"lenet t113":     {decode("lenet.t113.onnx.gz"), export.Options{Loss: bundle.Loss{Smoothing: 0.1}, Images: export.ImageOptions{Float: true}}},
		"resnet8 dynamo": {decode("resnet8.dynamo.onnx.gz"), export.Options{Optimizer: bundle.Optimizer{Name: bundle.LARS}}},
		"resnet8 t113":   {decode("resnet8.t113.onnx.gz"), export.Options{BatchLossOnly: true, Loss: bundle.Loss{SoftTargets: true}}},
		"frozen":         {shipped("resnet8"), export.Options{Selection: export.Selection{Freeze: regexp.MustCompile(`^(stem|stage1)`)}, Blocks: export.Blocks{Size: 16}}},
		"classes":        {decode("lenet.dynamo.onnx.gz"), export.Options{Weights: export.NewWeights{Classes: 3, Reinit: true, Seed: 5}}},
		"own loss":       {ownLoss("mean"), export.Options{Loss: bundle.Loss{Name: bundle.NoLoss}}},
		"half precision": {shipped("lenet"), export.Options{Precision: export.Float16}},
		"own losses":     {ownLoss("none"), export.Options{Loss: bundle.Loss{Name: bundle.NoLoss}, BatchLossOnly: true}},
		"dropout":        {dropout, export.Options{}},
		"channels last":  {func(*testing.T) *onnx.Model { return kerasLike() }, export.Options{}},
		"flat vectors":   {func(*testing.T) *onnx.Model { return sklearnLike() }, export.Options{Images: export.ImageOptions{Shape: [3]int64{3, 8, 8}}}},
		"tuned": {shipped("lenet"), export.Options{Blocks: export.Blocks{Size: 16}, Forms: export.Forms{Tune: func(cases []autodiff.Case) (*bundle.Tuned, error) {
			return choose(cases, 1), nil
		}}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Name = "fixture"
			built := build(t, c.model(t), c.o)
			built.Manifest.Unknown = map[string]any{"made_by": "a tool"}
			dir := filepath.Join(t.TempDir(), "b")
			if err := built.Save(dir); err != nil {
				t.Fatal(err)
			}
			want, err := bundle.OpenPath(dir)
			if err != nil {
				t.Fatal(err)
			}
			got, err := export.Rebuild(want, export.Options{Blocks: export.Blocks{Size: c.o.Blocks.Size}})
			if err != nil {
				t.Fatal(err)
			}
			for file, pair := range map[string][2][]byte{
				bundle.TrainFile: {got.Train, want.Train}, bundle.EvalFile: {got.Eval, want.Eval},
				bundle.BlockedFile: {got.Blocked, want.Blocked}, bundle.ForwardFile: {got.Forward, want.Forward},
			} {
				if !bytes.Equal(pair[0], pair[1]) {
					t.Errorf("%s differs: %d bytes, was %d", file, len(pair[0]), len(pair[1]))
				}
			}
			again := filepath.Join(t.TempDir(), "b")
			if err := got.Save(again); err != nil {
				t.Fatal(err)
			}
			if got, err = bundle.OpenPath(again); err != nil {
				t.Fatal(err)
			}
			got.Path, want.Path = "", ""
			if !reflect.DeepEqual(got, want) {
				t.Errorf("manifest or values differ:\n%+v\nwas\n%+v", got.Manifest, want.Manifest)
			}
		})
	}
}

// choose takes the form at place i of each gradient, or its last.
func choose(cases []autodiff.Case, i int) *bundle.Tuned {
	t := &bundle.Tuned{Provider: "p", Hardware: "h", Threads: 1, BatchSize: 1, ONNXRuntime: "1", Layout: "any"}
	for _, c := range cases {
		form := c.Forms[min(i, len(c.Forms)-1)]
		t.Choices = append(t.Choices, bundle.Choice{Key: c.Key, Form: form, Milliseconds: map[string]float64{form: 1}})
	}
	return t
}

func TestRebuildRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(b *bundle.Bundle)
		says string
	}{
		"no forward model":  {func(b *bundle.Bundle) { b.Forward = nil }, "export its model again"},
		"another graph":     {func(b *bundle.Bundle) { b.Forward = b.Eval }, "forward.onnx"},
		"no graph":          {func(b *bundle.Bundle) { b.Forward = []byte("x") }, "forward.onnx"},
		"a lost parameter":  {func(b *bundle.Bundle) { delete(b.Init, "hidden.weight") }, "hidden.weight"},
		"an unknown recipe": {func(b *bundle.Bundle) { b.Manifest.Optimizer.Name = "newton" }, "newton"},
	} {
		t.Run(name, func(t *testing.T) {
			b := build(t, forward(t, "lenet"), export.Options{BatchLossOnly: true})
			if name == "another graph" { // one whose image input is bytes
				b.Manifest.Name = "other"
			}
			c.edit(b)
			_, err := export.Rebuild(b, export.Options{})
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.says)
			}
		})
	}
	b := build(t, forward(t, "lenet"), export.Options{})
	b.Forward = nil
	if _, err := export.Rebuild(b, export.Options{}); !errors.Is(err, emit.ErrModel) {
		t.Errorf("error %v, want ErrModel", err)
	}
}

// Whatever stands in forward.onnx, Rebuild returns a bundle or an error.
func TestRebuildOfMutatedModelsDoesNotPanic(t *testing.T) {
	bundles := []*bundle.Bundle{build(t, forward(t, "lenet"), export.Options{}), build(t, forward(t, "resnet8"), export.Options{})}
	built := 0
	const seeds = 600
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 10))
		b := *bundles[r.IntN(2)]
		m, err := wire.Decode(b.Forward, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Graph.Initializers) == 0 {
			m.Graph.Initializers["spare"] = onnx.FromInt64([]int64{1}, 1)
		}
		mutate(r, m.Graph, slices.Sorted(maps.Keys(autodiff.Rules)))
		if b.Forward, err = wire.Encode(m); err != nil {
			continue
		}
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("seed %d: panic: %v\n%s", seed, p, debug.Stack())
				}
			}()
			if _, err := export.Rebuild(&b, export.Options{Blocks: export.Blocks{Size: 16}}); err == nil {
				built++
			}
		}()
	}
	if built == 0 || built == seeds {
		t.Errorf("%d of %d were rebuilt", built, seeds)
	}
}
