package cli

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"winnow/eval"
	"winnow/loader"
	"winnow/models"
	"winnow/onnx/bundle"
	runs "winnow/run"
	ortrun "winnow/runtime"
	"winnow/train"
)

// ownLossOf opens the bundle of what ends in its own loss: a bundle itself, or
// the one that a run trained, with the run's weights. It is nil for anything else.
func (o *evalOptions) ownLossOf(ctx context.Context, out *output) (*train.Options, error) {
	notice := func(text string) { out.notef("note: %s", text) }
	dir := o.Path
	if isModelFile(dir) || slices.Contains(models.Names(), dir) {
		return nil, nil
	}
	if exists(filepath.Join(dir, runs.SummaryFile)) {
		r, err := runs.Read(dir)
		if err != nil || r.Summary.Metric != eval.OwnScore {
			return nil, err
		}
		return o.ownLossOfRun(ctx, r, notice)
	}
	b, err := openBundle(dir)
	if err != nil || b.Manifest.Loss.Name != bundle.NoLoss {
		return nil, nil // said by what opens any model
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("bundle %q (winnow inspect lists its problems): %w", dir, err)
	}
	own := train.Defaults()
	own.Bundle, own.BundleName = b, b.Manifest.Name
	return &own, nil
}

// ownLossOfRun makes the bundle of a run as the run's own command line did.
func (o *evalOptions) ownLossOfRun(ctx context.Context, r *runs.Run, notice func(string)) (*train.Options, error) {
	p, err := runs.Last(o.Path)
	if err != nil {
		return nil, fmt.Errorf("eval: %q is measured by its model's own loss, which is in the bundle that its checkpoints name: %w", o.Path, err)
	}
	var t trainOptions
	if err := t.recorded(&p.Typed); err != nil {
		return nil, fmt.Errorf("eval: run %q: %w", o.Path, err)
	}
	t.Layout = bundle.LayoutPortable
	own, _, err := t.resolve(ctx, func(string) {})
	if err != nil {
		return nil, fmt.Errorf("eval: run %q is measured by the loss of the bundle that it trained: %w", o.Path, err)
	}
	weights := o.Path
	if p.Epoch != r.Summary.Epochs || p.Step > 0 {
		weights = filepath.Join(o.Path, runs.ModelFile)
	}
	if _, err := train.InitFrom(own.Bundle, weights); err != nil {
		return nil, fmt.Errorf("eval: run %q: its bundle %q is another by now: %w", o.Path, t.Bundle, err)
	}
	if o.Data == "" {
		o.Data = r.Summary.Data
	}
	notice(fmt.Sprintf("measured by the loss of bundle %q, as training computes it: batch statistics and dropout with it", t.Bundle))
	return &own, nil
}

// recorded takes the options of the model that a run was started with.
func (o *trainOptions) recorded(typed *runs.CommandLine) error {
	flags := trainFlags(o)
	set := flag.NewFlagSet("train", flag.ContinueOnError)
	for _, f := range flags {
		if err := f.Apply(set); err != nil {
			return err
		}
	}
	c := cli.NewContext(cli.NewApp(), set, nil)
	c.Command = &cli.Command{Flags: flags}
	for name, value := range typed.Flags {
		if set.Lookup(name) == nil {
			continue // of another version
		}
		if err := c.Set(name, value); err != nil {
			return inputf("--%s %q: %w", name, value, err)
		}
	}
	if err := o.Graph.set(c); err != nil {
		return err
	}
	o.Forward.set(c)
	o.Changed = given(c, slices.Concat(new(graphOptions).flags(""), new(imageOptions).normalizeFlags("")))
	return nil
}

// evalOwnLoss measures a model by its own loss on a split.
func (o *evalOptions) evalOwnLoss(ctx context.Context, own *train.Options, data string, records loader.Records, device *ortrun.Device, names []string, out *output) error {
	if o.Against != "" {
		return againstClasses(o.Path)
	}
	bad, err := badSamples(o.OnBad)
	if err != nil {
		return err
	}
	notice := func(text string) { out.notef("note: %s", text) }
	src, err := evalSource(records, own.Bundle.Manifest.ImageShape, nil, o.Decode, notice)
	if err != nil {
		return err
	}
	own.Data, own.Train, own.Test, own.Device, own.Bad, own.BatchSize = data, src, src, device, bad, o.Batch
	began := time.Now()
	res, err := train.MeasureOwnLoss(ctx, *own)
	printBad(bad, out)
	if err != nil {
		return fmt.Errorf("eval: %q: %w", o.Path, err)
	}
	return printTask(*o, names, res, time.Since(began).Seconds(), out)
}
