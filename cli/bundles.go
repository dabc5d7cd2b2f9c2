package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/run"
)

func shippedText() string { return strings.Join(models.Names(), ", ") }

// openBundle opens what --bundle names: a shipped bundle, a folder or a zip
// file. A name that is also a path means the shipped bundle; ./NAME the path.
func openBundle(spec string) (*bundle.Bundle, error) {
	if slices.Contains(models.Names(), spec) {
		return models.Builtin(spec)
	}
	if notThere(spec) {
		return nil, inputf("no bundle %q: shipped are %s; or give a folder, a .zip or an .onnx file", spec, shippedText())
	}
	b, err := bundle.OpenPath(spec)
	switch {
	case err == nil:
		return b, nil
	case run.Begun(spec) && exists(filepath.Join(spec, run.ModelFile)):
		return nil, inputf("%q is a run, no bundle: its model is %s", spec, filepath.Join(spec, run.ModelFile))
	case run.Begun(spec):
		return nil, inputf("run %q has no %s: it finished no epoch", spec, run.ModelFile)
	}
	return nil, notExperiment(spec, err)
}

// runModel is the trained model in a run folder, and the name of the bundle
// that was trained where the run says it; "" for what is no run folder.
func runModel(dir string) (file, name string) {
	file = filepath.Join(dir, run.ModelFile)
	if exists(filepath.Join(dir, bundle.ManifestFile)) || !isModelFile(file) {
		return "", ""
	}
	if r, err := run.Read(dir); err == nil {
		name = r.Summary.Bundle
	}
	return file, name
}

// bundleSource says what --bundle names, and how a bundle is made of it where
// it is none yet.
type bundleSource struct {
	Spec     string
	InitSeed uint64 // of a shipped model's first weights
	Forward  forwardOptions
	Graph    graphOptions
	Images   imageOptions
	Changed  []string                      // the flags of Graph and Images that were given
	Mixes    bool                          // samples are mixed, so their classes have shares
	Blocks   func() (export.Blocks, error) // of a graph that is made here
	Warn     func(string)

	Smoothing float64 // out: of a finished bundle whose classes became vectors
}

func (s *bundleSource) shipped() bool { return slices.Contains(models.Names(), s.Spec) }

// open opens the bundle to train. An .onnx file is exported in memory, and so
// is the model of a run folder; a shipped model is built anew where a flag
// changes its recipe; a finished bundle refuses such flags. The second result
// says where the normalisation of images comes from.
func (s *bundleSource) open(ctx context.Context) (*bundle.Bundle, string, error) {
	if err := s.Graph.validate(); err != nil {
		return nil, "", err
	}
	if err := s.Images.validate(); err != nil {
		return nil, "", err
	}
	model, name, from := s.Spec, "", "the default; --mean, --std and --pixel-scale change it"
	if slices.ContainsFunc(s.Changed, func(flag string) bool { return slices.Contains(normalizeFlagNames(), flag) }) {
		from = "as given"
	}
	if !s.shipped() {
		if file, of := runModel(s.Spec); file != "" {
			model, name, from = file, of, "the run's own"
			s.Warn(fmt.Sprintf("goes on from %s: its weights and its normalisation; the optimizer and the schedule start anew", file))
		}
	}
	isModel := !s.shipped() && strings.HasSuffix(strings.ToLower(model), ".onnx") && isModelFile(model)
	fixed := slices.DeleteFunc(slices.Clone(s.Forward.given), func(flag string) bool { return s.shipped() && flag == flagClasses })
	if len(fixed) > 0 && !isModel {
		return nil, "", usagef("--%s: bundle %q is made already; the flag goes with an .onnx file", fixed[0], s.Spec)
	}
	if isModel || s.shipped() && (len(s.Changed) > 0 || s.Forward.Classes > 0) {
		var err error
		if s.Graph.Blocks, err = s.Blocks(); err != nil {
			return nil, "", err
		}
		b, err := s.make(ctx, model, name)
		if err == nil {
			err = s.Forward.fits(b)
		}
		return b, from, err
	}
	var b *bundle.Bundle
	var err error
	if s.shipped() {
		b, err = models.Draw(s.Spec, s.InitSeed)
	} else {
		from = "the bundle's own; winnow export sets it"
		b, err = s.finished()
	}
	if err == nil {
		err = s.Forward.fits(b)
	}
	if err == nil && s.Mixes {
		b, err = s.withShares(b)
	}
	if err == nil {
		b, err = s.here(b)
	}
	return b, from, err
}

// here gives a bundle whose blocked graph is for another machine one for this,
// and one of operators that no file has.
func (s *bundleSource) here(b *bundle.Bundle) (*bundle.Bundle, error) {
	has := b.Manifest.Blocked
	if has == nil || len(b.Forward) == 0 {
		return b, nil
	}
	blocks, err := s.Blocks()
	if err != nil || blocks.Size == 0 || blocks.Size == has.Block && !blocks.Kernels {
		return b, err
	}
	rebuilt, err := export.Rebuild(b, export.Options{Blocks: blocks, Warn: s.Warn})
	if err != nil {
		return nil, fmt.Errorf("bundle %q: a training graph for this machine: %w; --layout %s does without", s.Spec, err, bundle.LayoutPortable)
	}
	if !s.shipped() && blocks.Size != has.Block {
		s.Warn(fmt.Sprintf("the bundle's graph in blocks is of %d channels, this machine's blocks of %d: written anew for this run; winnow tune keeps it, --layout %s does without",
			has.Block, blocks.Size, bundle.LayoutPortable))
	}
	return rebuilt, nil
}

// make exports a model in memory, an .onnx file or a shipped one.
func (s *bundleSource) make(ctx context.Context, model, name string) (*bundle.Bundle, error) {
	if !s.shipped() {
		return exportBundle(ctx, exportOptions{Model: model, Name: name, Forward: s.Forward, Graph: s.Graph, Images: s.Images}, s.Warn)
	}
	m, err := models.Forward(s.Spec, s.InitSeed)
	if err != nil {
		return nil, err
	}
	o := export.Options{Name: s.Spec, Source: bundle.Source{File: "winnow/models"}, Images: export.ImageOptions{Normalize: s.Images.normalize()}}
	o.Weights.Classes, o.Weights.Seed = s.Forward.Classes, s.InitSeed
	s.Graph.apply(&o)
	return export.Build(m, o)
}

// withShares builds a bundle that is told the class of a sample anew from its
// forward.onnx, for shares of classes; any other stays as it is.
func (s *bundleSource) withShares(b *bundle.Bundle) (*bundle.Bundle, error) {
	targets := b.Manifest.Train.AllTargets()
	if b.Forward == nil || b.Manifest.Loss.Name == bundle.NoLoss || len(targets) != 1 || targets[0].Kind != bundle.TargetClass {
		return b, nil // train says what is missing, if anything
	}
	blocks, err := s.Blocks()
	if err != nil {
		return nil, err
	}
	of := *b
	s.Smoothing = of.Manifest.Loss.Smoothing
	of.Manifest.Loss.Smoothing, of.Manifest.Loss.SoftTargets = 0, true
	shares, err := export.Rebuild(&of, export.Options{Blocks: blocks, Warn: s.Warn})
	if err != nil {
		return nil, fmt.Errorf("bundle %q, for mixed samples: %w", s.Spec, err)
	}
	s.Warn(fmt.Sprintf("bundle %q takes classes; its training graph is built anew for shares of classes (winnow export --%s makes such a bundle)", s.Spec, flagVectors))
	return shares, nil
}

// finished opens an exported bundle, which must be whole and have the recipe
// that is asked for.
func (s *bundleSource) finished() (*bundle.Bundle, error) {
	b, err := openBundle(s.Spec)
	if err != nil {
		return nil, err
	}
	if len(s.Changed) > 0 {
		return nil, usagef("--%s: bundle %q was exported with %s, %s, %s and pixels %s; export it again to change that",
			s.Changed[0], s.Spec, optimizerText(b.Manifest.Optimizer), lossText(b.Manifest.Loss), precisionText(b.Manifest.Precision),
			normalizeText(b.Manifest.Normalize))
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("bundle %q (winnow inspect lists its problems): %w", s.Spec, err)
	}
	for _, t := range b.Manifest.State {
		if i, _ := b.Init[t.Name].NotFinite(); i >= 0 {
			return nil, inputf("bundle %q: state %q %w at element %d", s.Spec, t.Name, onnx.ErrNotFinite, i)
		}
	}
	return b, nil
}
