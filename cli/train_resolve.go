package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"winnow/loader"
	"winnow/models"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	runs "winnow/run"
	"winnow/train"
)

// parseTargets reads NAME=COLUMN.
func parseTargets(list []string) (map[string]string, error) {
	targets := map[string]string{}
	for _, text := range list {
		name, column, ok := strings.Cut(text, "=")
		if !ok || name == "" || column == "" {
			return nil, usagef("--target %q: give NAME=COLUMN", text)
		}
		if _, twice := targets[name]; twice {
			return nil, usagef("--target %s is given twice", name)
		}
		targets[name] = column
	}
	return targets, nil
}

// takeTargets lets a bundle that is made here take the kind of target that the
// data has.
func (o *trainOptions) takeTargets(records loader.Records, notice func(string)) {
	specs := loader.TargetsOf(records)
	if o.Recipe.Mix.Enabled() && !o.Graph.VectorTargets { // the classes themselves are smoothed
		o.Graph.VectorTargets, o.Recipe.Smoothing, o.Graph.Loss.Smoothing = true, o.Graph.Loss.Smoothing, 0
		if slices.Contains(models.Names(), o.Bundle) {
			o.Changed = append(o.Changed, flagVectors)
		}
	}
	points := specs[0].Kind == loader.TensorTarget && specs[0].Type == loader.Float32 && slices.Contains([]string{bundle.MSE, bundle.L1, bundle.Huber}, o.Graph.Loss.Name)
	if specs[0].Kind != loader.VectorTarget && !points || o.Graph.VectorTargets {
		return
	}
	o.Graph.VectorTargets = true
	if slices.Contains(models.Names(), o.Bundle) {
		o.Changed = append(o.Changed, flagVectors)
		notice(fmt.Sprintf("targets: the data has vectors of %d numbers; the model is made for them", specs[0].Count()))
	}
}

// blocks are those of a graph which the run can use.
func (o *trainOptions) blocks() (export.Blocks, error) {
	if strings.HasPrefix(o.Device.Device, "cuda") {
		return export.Blocks{}, nil
	}
	return blocksHere(o.Layout, o.Device.Library, false)
}

// resolve makes the trainer's options, but for the data and the device. The
// second result says where the normalisation of images comes from.
func (o *trainOptions) resolve(ctx context.Context, notice func(string)) (train.Options, string, error) {
	run := train.Defaults()
	run.Recipe, run.Version = o.Recipe, Version
	source := bundleSource{Spec: o.Bundle, InitSeed: o.Recipe.Seed, Forward: o.Forward, Graph: o.Graph, Images: o.Images,
		Changed: o.Changed, Mixes: o.Recipe.Mix.Enabled(), Blocks: o.blocks, Warn: notice}
	if o.InitSeed != nil {
		source.InitSeed = *o.InitSeed
	}
	b, from, err := source.open(ctx)
	if err != nil {
		return run, "", err
	}
	if source.Smoothing > 0 {
		run.Smoothing = source.Smoothing
	}
	run.Bundle, run.BundleName, run.Data = b, b.Manifest.Name, o.Data
	if run.Targets, err = parseTargets(o.Targets.Value()); err != nil {
		return run, "", err
	}
	run.Workers, run.Layout = o.Workers, o.Layout
	run.Out, run.Overwrite = o.Out, o.Overwrite
	run.Command = &runs.Command{Bundle: o.Bundle, LimitTrain: o.TrainSize, LimitTest: o.TestSize, Device: o.Device.Device, Layout: o.Layout}
	if source.shipped() {
		run.Command.InitSeed = &source.InitSeed
	} else {
		run.Source = o.Bundle
	}
	return run, from, nil
}

// runName is the default folder of a run.
func runName(bundleName, data, method string, seed uint64) string {
	return filepath.Join("runs", folderName(bundleName, data, method, "s"+strconv.FormatUint(seed, 10)))
}

// folderName is a name for a folder made of parts that may have any characters.
func folderName(parts ...string) string {
	clean := func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}
	return strings.Map(clean, strings.Join(parts, "-"))
}

// claimRun makes a default folder, numbered where the name is taken, so that
// two runs that begin at once have one each. A folder asked for by name is never
// replaced by another.
func claimRun(name string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return "", err
	}
	free := name
	for i := 2; ; i++ {
		if err := os.Mkdir(free, 0o777); !errors.Is(err, fs.ErrExist) {
			return free, err
		}
		free = fmt.Sprintf("%s-%d", name, i)
	}
}
