package train

import (
	"fmt"

	"winnow/internal/elements"
	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/prune"
)

// data is what a run reads samples with.
type data struct {
	train, test *loader.Loader
	parts       bool           // of an evaluation each process of a job takes one; what is no class each measures whole
	reference   *loader.Loader // over the training split, without augmentation; nil without an outside reference
}

// checkData holds the data against the bundle before anything long starts, and
// finds the targets.
func (l *loop) checkData() error {
	o := &l.o
	m := &o.Bundle.Manifest
	if n := o.Job.Size * int(max(m.MinBatch, 1)); o.Job.Size > 1 && o.BatchSize < n {
		return optionError("batch-size", "%d for all processes together, and %d of them need %d or more", o.BatchSize, o.Job.Size, n)
	}
	if least := int(m.MinBatch); o.BatchSize < least {
		return optionError("batch-size", "%d, and bundle %q needs %d samples in a step: it normalises [N, C] by the batch, where one sample has no variance; "+
			"give --batch-size %d or more, or export the model with --freeze over that normalisation", o.BatchSize, o.BundleName, least, least)
	} else if o.Train.Len() < least {
		return dataError("train split of %q holds %d samples, and bundle %q needs %d in a step: it normalises [N, C] by the batch",
			o.Data, o.Train.Len(), o.BundleName, least)
	}
	for _, split := range []struct {
		name string
		src  *loader.Source
	}{{"train", o.Train}, {"test", o.Test}} {
		if err := checkShape(o, split.name, split.src); err != nil {
			return err
		}
		bound, err := bindTargets(o.Bundle, o.BundleName, split.src, o.Targets)
		if err != nil {
			return err
		}
		if split.name == "train" {
			l.targets = bound
		} else {
			l.testTargets = bound
		}
		if err := checkMix(o, bound); err != nil {
			return err
		}
		if split.name == "train" {
			l.noteScale(split.src)
		}
		if !takesClasses(bound) {
			continue
		}
		for i := range split.src.Len() {
			if label := split.src.Label(uint32(i)); label < 0 || label >= m.Classes {
				return dataError("label %d of %s sample %d of %q is outside the %d classes of bundle %q",
					label, split.name, i, o.Data, m.Classes, o.BundleName)
			}
		}
	}
	return nil
}

// checkMix refuses to mix samples where the graph takes something else than vectors.
func checkMix(o *Options, targets []boundTarget) error {
	for i := range targets {
		switch t := &targets[i]; {
		case !o.Mix.Enabled() || t.Kind == bundle.TargetVector:
		case o.Bundle.Manifest.Loss.Name == bundle.NoLoss:
			return optionError("mixup", "bundle %q has a loss of its own, of a %s, and mixed samples have shares of several classes; export the model without its loss", o.BundleName, t.Kind)
		default:
			return optionError("mixup", "bundle %q takes a %s as target %q, and mixed samples have shares of several classes; winnow export MODEL.onnx --vector-targets makes a bundle for them",
				o.BundleName, t.Kind, t.Name)
		}
	}
	return nil
}

// checkShape holds the images and classes of a split against the bundle.
func checkShape(o *Options, split string, src *loader.Source) error {
	m := &o.Bundle.Manifest
	if src.Len() == 0 {
		return dataError("%s split of %q holds no samples", split, o.Data)
	}
	c, h, w := src.Shape()
	if got := [3]int64{int64(c), int64(h), int64(w)}; got != m.ImageShape {
		way := "export the model for that size"
		if n, _ := elements.Count(got[:]); m.ImageShape == [3]int64{1, 1, n} { // flat vectors
			way = fmt.Sprintf("export the model with --input-size %dx%dx%d", c, h, w)
		}
		return dataError("%s images of %q are %dx%dx%d, bundle %q takes %dx%dx%d; %s, or choose other data",
			split, o.Data, c, h, w, o.BundleName, m.ImageShape[0], m.ImageShape[1], m.ImageShape[2], way)
	}
	if names := src.Classes(); int64(len(names)) > m.Classes {
		return dataError("%q has %d classes, labels 0 to %d, bundle %q has %d", o.Data, len(names), len(names)-1, o.BundleName, m.Classes)
	}
	return nil
}

// open makes the loaders. oneHot > 0 trains on classes as vectors of so many numbers.
func (d *data) open(o *Options, outside bool, oneHot int) (err error) {
	base := loader.Options{BatchSize: o.BatchSize, Workers: o.Workers, Prefetch: o.Prefetch, Seed: o.Seed, Bad: o.Bad}
	if d.parts {
		base.Shard = o.Job.shard()
	}
	base.MaskClasses, base.MaskIgnore = maskValues(&o.Bundle.Manifest)
	if d.test, err = loader.New(o.Test, base); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if outside {
		src := o.Unaugmented
		if src == nil {
			src = o.Train
		}
		if d.reference, err = loader.New(src, base); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	base.OneHot, base.Empty = oneHot, o.splits()
	base.Shard = o.Job.shard()
	base.Smoothing, base.Mix = o.Smoothing, o.Mix
	base.Shuffle, base.MinBatch = true, int(max(o.Bundle.Manifest.MinBatch, 1))
	if d.train, err = loader.New(o.Train, base); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// maxBatch is the most samples of a step.
func maxBatch(o *Options, policy string) int {
	n := o.Train.Len()
	least := int(max(o.Bundle.Manifest.MinBatch, 1))
	size := min(o.BatchSize, n)
	if rest := n % size; policy != prune.PolicyFull || rest > 0 && rest < least { // a last batch may join the one before it
		joined := loader.Options{BatchSize: o.BatchSize, MinBatch: least}
		return min(joined.Largest(), n)
	}
	return size
}

// maskValues are the classes of pixels, and that of those which are left out.
func maskValues(m *bundle.Manifest) (classes int, ignore byte) {
	if m.Loss.Name == bundle.NoLoss {
		return 0, 0 // the model's own affair
	}
	ignore = loader.MaskFill
	if m.Loss.Ignore != nil {
		ignore = byte(*m.Loss.Ignore)
	}
	return max(int(m.Classes), 2), ignore // one output tells two classes
}
