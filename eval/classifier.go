package eval

import (
	"fmt"
	"path/filepath"

	"winnow/loader"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	"winnow/run"
)

// Classifier is a model that gives class scores for images, and how to run it.
type Classifier struct {
	Model  []byte
	Spec   Spec
	Data   string            // the data that it was trained with, "" if that is not known
	Inside bool              // what normalises is in the model
	Loss   bundle.Loss       // that it was trained with, "" where that is not known
	Target *run.Target       // what it was measured against; nil for a class, or where that is not known
	Images *loader.Pipelines // what its run did to images that it resized, nil if it did nothing or that is not known
}

// OpenFile reads an ONNX file; output names the one of class scores, "" finds it.
func OpenFile(path, output string, notice func(string)) (*Classifier, error) {
	m, err := wire.Read(path)
	if err != nil {
		return nil, err
	}
	return newClassifier(path, m, output, notice)
}

// OpenRun reads the model of a finished run.
func OpenRun(dir, output string, notice func(string)) (*Classifier, error) {
	r, err := run.Read(dir)
	if err != nil {
		return nil, err
	}
	if r.Summary.Epochs == 0 {
		return nil, fmt.Errorf("eval: run %q: %w: no epoch was finished", dir, ErrNoModel)
	}
	file := filepath.Join(dir, run.ModelFile)
	m, err := wire.Read(file)
	if err != nil {
		return nil, fmt.Errorf("eval: run %q: %w: %w", dir, ErrNoModel, err)
	}
	c, err := newClassifier(file, m, output, notice)
	if err != nil {
		return nil, err
	}
	c.Inside, c.Data, c.Images = true, r.Summary.Data, r.Summary.Config.Images
	c.Loss, c.Target = r.Summary.Config.Loss, r.Summary.Config.Target
	return c, nil
}

// OfBundle is a bundle that passed its Validate, with its initial weights.
func OfBundle(b *bundle.Bundle, output string, notice func(string)) (*Classifier, error) {
	f, err := b.Inference()
	if err != nil {
		return nil, fmt.Errorf("eval: %q: %w", b.Where(), err)
	}
	m, err := f.Model(b.Init)
	if err != nil {
		return nil, fmt.Errorf("eval: %q: %w", b.Where(), err)
	}
	c, err := newClassifier(b.Where(), m, output, notice)
	if err != nil {
		return nil, err
	}
	c.Inside, c.Loss = true, b.Manifest.Loss
	if t := b.Manifest.Train.AllTargets(); len(t) > 0 && t[0].Kind != bundle.TargetClass {
		c.Target = &run.Target{Kind: t[0].Kind, Name: t[0].Name}
	}
	return c, nil
}

// Task says what of a source's targets a model is measured by.
func (c *Classifier) Task(src *loader.Source) (Task, error) {
	t := Task{Classes: c.Spec.Classes, Loss: c.Loss, Pixels: int(c.Spec.Pixels[0] * c.Spec.Pixels[1])}
	want := bundle.TargetClass
	switch {
	case t.Pixels > 0:
		want = bundle.TargetMask
	case c.Target != nil:
		want = c.Target.Kind
	}
	specs := src.Targets()
	at := -1
	for i := range specs {
		kind := specs[i].Kind.String()
		flat := kind == bundle.TargetTensor && specs[i].Type == loader.Float32 && specs[i].Count() == t.Classes
		if kind == want || want == bundle.TargetVector && (kind == bundle.TargetClass || flat) {
			if named := c.Target != nil && specs[i].Name == c.Target.Name; at < 0 || named {
				at = i
			}
		}
	}
	switch {
	case at < 0 && want == bundle.TargetClass && specs[0].Kind == loader.VectorTarget:
		return t, fmt.Errorf("eval: targets of %q: %w: they are vectors, and what they mean is said by the run or the bundle of a model, not by the model alone", src.Name(), ErrTarget)
	case at < 0:
		return t, fmt.Errorf("eval: targets of %q: %w: the model is measured against a %s, and the data has none", src.Name(), ErrTarget, want)
	case specs[at].Kind == loader.ClassTarget:
		return t, nil
	}
	s := &specs[at]
	if want == bundle.TargetVector && s.Count() != t.Classes {
		return t, fmt.Errorf("eval: targets of %q: %w: %q has %d numbers, and the model gives %d", src.Name(), ErrTarget, s.Name, s.Count(), t.Classes)
	}
	if want == bundle.TargetMask && s.Count() != t.Pixels {
		return t, fmt.Errorf("eval: targets of %q: %w: masks of %v, and the model gives %v", src.Name(), ErrTarget, s.Shape, c.Spec.Pixels)
	}
	t.Kind, t.Target = want, at
	return t, nil
}

// newClassifier finds the images and the scores of a model as training does.
func newClassifier(path string, m *onnx.Model, output string, notice func(string)) (*Classifier, error) {
	c, err := export.NewClassifier(m, output, notice)
	if err != nil {
		return nil, fmt.Errorf("eval: %q: %w", path, err)
	}
	model, err := wire.Encode(c.Model)
	if err != nil {
		return nil, fmt.Errorf("eval: %q: %w", path, err)
	}
	if c.Batch > 0 {
		notice(fmt.Sprintf("the model takes a fixed batch of %d; it is run so many images at a time, a last batch filled up and the rest dropped", c.Batch))
	}
	return &Classifier{Model: model, Inside: c.Inside, Spec: Spec{
		Images: c.Images.Name, Logits: c.Logits, Float: c.Images.DType == onnx.Float32, ImageShape: c.Shape,
		NHWC: c.NHWC, Flat: len(c.Images.Shape) == 2, Batch: int(c.Batch), Classes: int(c.Classes), Pixels: c.Pixels,
	}}, nil
}
