package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"

	"winnow/audit"
	"winnow/datasets"
	"winnow/eval"
	"winnow/experiment"
	"winnow/loader"
	"winnow/prune"
	runs "winnow/run"
	ortrun "winnow/runtime"
)

// collect asks the run and the models about every sample.
func (o *auditOptions) collect(ctx context.Context, data *auditData, out *output, notice func(string)) (*audited, error) {
	a := &audited{data: data, known: &audit.Run{}}
	switch err := a.recall(); {
	case errors.Is(err, runs.ErrNothing):
		notice(fmt.Sprintf("the run's own losses are not known: %s", err))
	case err != nil:
		return nil, err
	case a.known.MeanLoss == nil:
		notice("the run keeps no loss of each sample: it is of an earlier version, or its bundle gives the loss of a batch alone")
	}
	given := make([]int64, data.records.Len())
	for i := range given {
		given[i] = data.records.Target(uint32(i)).Class()
	}
	var err error
	if a.evidence, err = audit.NewEvidence(given, int(data.run.Summary.Config.Classes)); err != nil {
		return nil, inputf("%w", err)
	}
	models, fold := []string{o.Run}, make([]int, len(given))
	if o.Folds > 0 {
		if fold, err = datasets.Folds(data.records, o.Folds); err != nil {
			return nil, inputf("%w", err)
		}
		if models, err = o.trainFolds(ctx, out); err != nil {
			return nil, err
		}
	}
	device, err := openDevice(ctx, o.Device, notice)
	if err != nil {
		return nil, err
	}
	defer device.Close()
	for k, dir := range models {
		var indices []uint32
		for i, of := range fold {
			if of == k {
				indices = append(indices, uint32(i))
			}
		}
		if k > 0 {
			notice = func(string) {} // said of the first
		}
		if err := o.judge(ctx, a, dir, device, indices, notice, out); err != nil {
			return nil, fmt.Errorf("audit: %q: %w", dir, err)
		}
	}
	return a, nil
}

// judge asks the model of a run about some samples.
func (o *auditOptions) judge(ctx context.Context, a *audited, dir string, device *ortrun.Device, indices []uint32, notice func(string), out *output) error {
	bad, err := badSamples(o.OnBad)
	if err != nil {
		return err
	}
	c, err := eval.OpenRun(dir, "", notice)
	if err != nil {
		return err
	}
	src, err := evalSource(a.data.records, c.Spec.ImageShape, c.Images, o.Decode, notice)
	if err != nil {
		return err
	}
	if err := c.Spec.CheckData(src); err != nil {
		return err
	}
	if c.Spec.Classes != a.evidence.Classes {
		return inputf("the model has %d classes, the run says %d", c.Spec.Classes, a.evidence.Classes)
	}
	model, err := eval.OpenModel(device, c.Model, c.Spec, o.Batch)
	if err != nil {
		return err
	}
	defer model.Close()
	l, err := loader.New(src, loader.Options{BatchSize: o.Batch, Bad: bad})
	if err != nil {
		return err
	}
	it, err := l.Epoch(ctx, 1, indices, nil)
	if err != nil {
		return err
	}
	defer it.Close()
	err = eval.Probabilities(ctx, model, it, c.Spec.Classes, func(i uint32, _ int64, p []float32) { copy(a.evidence.Of(int(i)), p) })
	printBad(bad, out)
	return err
}

// recall reads what the run's newest checkpoint knows of its samples; the error
// where there is none wraps run.ErrNothing.
func (a *audited) recall() error {
	r := a.data.run
	c, err := runs.Newest(r.Dir)
	if err != nil {
		return err
	}
	s, err := prune.ReadState(c.Pruner)
	if err != nil {
		return fmt.Errorf("run %q: %w", r.Dir, err)
	}
	if s.Samples != a.data.records.Len() {
		return inputf("audit: run %q: its checkpoint is of %d samples, its data has %d", r.Dir, s.Samples, a.data.records.Len())
	}
	k := a.known
	k.Seen = s.Taken
	if s.Aligned {
		k.DAS = s.Scores
	}
	if s.Loss == nil {
		return nil
	}
	k.MeanLoss, k.Deviation, k.Seen = s.Loss.Mean, s.Loss.Deviation, s.Loss.Count
	if len(s.Plans) > len(r.Epochs) || s.Plans == nil {
		return nil // an epoch without a mean loss
	}
	k.Expected = make([]float32, s.Samples)
	for i := range k.Expected {
		sum, n := 0.0, 0.0
		for e, plan := range s.Plans {
			if plan.Has(i) {
				sum += r.Epochs[e].TrainLoss
				n++
			}
		}
		k.Expected[i] = float32(sum / math.Max(n, 1))
	}
	return nil
}

// trainFolds trains the run's model without each fold in turn, and gives the
// folders of these runs. What is there already is taken.
func (o *auditOptions) trainFolds(ctx context.Context, out *output) ([]string, error) {
	last, err := runs.Last(o.Run)
	if err != nil {
		return nil, fmt.Errorf("audit: --folds trains with the flags that the run's checkpoint names: %w", err)
	}
	flags := maps.Clone(last.Typed.Flags)
	for _, name := range plannedFlags {
		delete(flags, name)
	}
	if o.Data != "" {
		flags[dataFlagName] = fromHere(o.Data)
	} else if data, ok := flags[dataFlagName]; ok { // relative in runs of earlier versions
		flags[dataFlagName] = datasets.Absolute(data, last.Typed.Dir)
	}
	dir := last.Typed.Dir
	if !exists(dir) { // the run was carried elsewhere
		if dir, err = os.Getwd(); err != nil {
			return nil, err
		}
	}
	p := &experiment.Plan{Dir: dir, Flags: flags, Methods: []string{methodFull}, Seeds: []uint64{last.Config.Seed}, Folds: o.Folds}
	if err := p.Complete(); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("audit: finding the program itself: %w", err)
	}
	place := filepath.Join(o.Out, auditFolds)
	progress := newExperimentProgress(ctx, out, last.Config.Epochs, o.Quiet)
	_, err = experiment.Train(ctx, place, program, p, 1, progress)
	progress.clear()
	if ctx.Err() != nil {
		out.notef("the same command goes on")
		return nil, err
	} else if err != nil {
		return nil, asChild(err)
	}
	var dirs []string
	for _, r := range p.Runs {
		dirs = append(dirs, filepath.Join(place, experiment.RunsDir, r.Name))
	}
	return dirs, nil
}
