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
	c.Inside = true
	return c, nil
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
		NHWC: c.NHWC, Flat: len(c.Images.Shape) == 2, Batch: int(c.Batch), Classes: int(c.Classes),
	}}, nil
}
