package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/eval"
	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
)

func seedFlag(dst *uint64) cli.Flag {
	return &cli.Uint64Flag{Name: "seed", Destination: dst, Category: flagsRecipe, DefaultText: "0",
		Usage: "seed `N` of order, augmentation, dropout and pruning; the first weights are the bundle's"}
}

func shippedText() string { return strings.Join(models.Names(), ", ") }

// openBundle opens what --bundle names: a shipped bundle, a folder or a zip
// file. A name that is also a path means the shipped bundle; ./NAME the path.
func openBundle(_ context.Context, spec string) (*bundle.Bundle, error) {
	if slices.Contains(models.Names(), spec) {
		return models.Builtin(spec)
	}
	if notThere(spec) {
		return nil, inputf("no bundle %q: shipped are %s; or give a folder, a .zip or an .onnx file", spec, shippedText())
	}
	return bundle.OpenPath(spec)
}

// runModel is the trained model in a run folder, and the name of the bundle
// that was trained where the run says it; "" for what is no run folder.
func runModel(dir string) (file, name string) {
	file = filepath.Join(dir, eval.ModelFile)
	if exists(filepath.Join(dir, bundle.ManifestFile)) || !isModelFile(file) {
		return "", ""
	}
	if run, err := eval.ReadRun(dir); err == nil {
		name = run.Summary.Bundle
	}
	return file, name
}

// trainingBundle is openBundle for a run: an .onnx file is exported in memory,
// and so is the model of a run folder, a shipped model is rebuilt where a flag changes its recipe, and a finished
// bundle refuses such flags. changed names the recipe's flags that were given;
// block is asked for the block of a graph that is made here.
func trainingBundle(ctx context.Context, spec string, f forwardOptions, g graphOptions, changed []string, block func() (int64, error), warn func(string)) (*bundle.Bundle, error) {
	if err := g.validate(); err != nil {
		return nil, err
	}
	shipped := slices.Contains(models.Names(), spec)
	model, name := spec, ""
	if !shipped {
		if file, of := runModel(spec); file != "" {
			model, name = file, of
			warn(fmt.Sprintf("goes on from %s: its weights and its normalisation; the optimizer and the schedule start anew", file))
		}
	}
	isModel := !shipped && strings.HasSuffix(strings.ToLower(model), ".onnx") && isModelFile(model)
	if len(f.given) > 0 && !isModel {
		return nil, usagef("--%s: bundle %q is made already; the flag goes with an .onnx file", f.given[0], spec)
	}
	switch {
	case shipped && len(changed) > 0:
		var err error
		if g.Block, err = block(); err != nil {
			return nil, err
		}
		return rebuild(spec, g)
	case isModel:
		var err error
		if g.Block, err = block(); err != nil {
			return nil, err
		}
		return exportBundle(ctx, exportOptions{Model: model, Name: name, Forward: f, Graph: g, Reinit: keepWeights,
			Images: imageOptions{Scale: autodiff.DefaultScale}}, warn)
	}
	b, err := openBundle(ctx, spec)
	if err != nil {
		return nil, err
	}
	if len(changed) > 0 {
		return nil, usagef("--%s: bundle %q was exported with %s, %s and %s; export it again to change that",
			changed[0], spec, optimizerText(b.Manifest.Optimizer), lossText(b.Manifest.Loss), precisionText(b.Manifest.Precision))
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("bundle %q (winnow inspect lists its problems): %w", spec, err)
	}
	for _, s := range b.Manifest.State {
		if i, _ := b.Init[s.Name].NotFinite(); i >= 0 {
			return nil, inputf("bundle %q: state %q %w at element %d", spec, s.Name, onnx.ErrNotFinite, i)
		}
	}
	return b, nil
}

// rebuild makes a shipped model's bundle anew: its first weights, another recipe.
func rebuild(name string, g graphOptions) (*bundle.Bundle, error) {
	m, err := models.Forward(name, models.Seed)
	if err != nil {
		return nil, err
	}
	o := autodiff.Options{Name: name, SourceFile: "winnow/models"}
	g.apply(&o)
	return autodiff.Build(m, o)
}

// exists reports whether a path names something.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
