package models

import (
	"archive/zip"
	"bytes"
	"embed"
	"fmt"
	"slices"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

//go:generate go test . -run TestShipped -update

//go:embed shipped
var archives embed.FS

// shipped names the models whose bundles are inside the program; a bundle of
// any other is built when asked for.
var shipped = []string{"mlp", "lenet", "resnet8"}

// Names lists the models, smallest first.
func Names() []string {
	var names []string
	for _, a := range architectures {
		names = append(names, a.name)
	}
	return names
}

// About says in a line what each of Names is.
func About() []string {
	var lines []string
	for _, a := range architectures {
		lines = append(lines, a.about)
	}
	return lines
}

// Draw opens the training bundle of a named model with weights drawn from seed.
func Draw(name string, seed uint64) (*bundle.Bundle, error) {
	b, err := Builtin(name)
	if err != nil || seed == Seed {
		return b, err
	}
	m, err := Forward(name, seed)
	if err != nil {
		return nil, err
	}
	for _, s := range b.Manifest.State {
		if t, ok := m.Graph.Initializers[s.Name]; ok {
			b.Init[s.Name] = t
		}
	}
	return b, nil
}

// Builtin opens the training bundle of a named model, its weights drawn from
// Seed: the shipped one, or one built now.
func Builtin(name string) (*bundle.Bundle, error) {
	if !slices.Contains(Names(), name) {
		return nil, unknown(name, Names())
	}
	if !slices.Contains(shipped, name) {
		return Build(name)
	}
	data, err := archives.ReadFile("shipped/" + name + ".zip")
	if err != nil {
		return nil, fmt.Errorf("models: shipped bundle %q: %w", name, err)
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("models: shipped bundle %q: %w", name, err)
	}
	return bundle.Open(r)
}

// Seed draws the weights of the shipped bundles.
const Seed = 1

// Block is how many channels a block of their blocked graphs has: that of
// machines with AVX-512. Others take the portable graph.
const Block = 16

// Build makes the bundle of a named model as it ships: cross-entropy, SGD with
// momentum 0.9 and weight decay 5e-4, pixels scaled to [0, 1].
func Build(name string) (*bundle.Bundle, error) { return build(name, Seed) }

func build(name string, seed uint64) (*bundle.Bundle, error) {
	m, err := Forward(name, seed)
	if err != nil {
		return nil, err
	}
	return export.Build(m, export.Options{
		Name:      name,
		Source:    bundle.Source{File: "winnow/models"},
		Optimizer: export.NewOptimizer(bundle.SGD),
		Blocks:    export.Blocks{Size: Block},
	})
}
