package export

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// Names of the graph inputs and outputs that a bundle's graphs add to the
// model's own; a number is put behind one that the model already uses.
const (
	nameLabels       = "labels"
	nameWeights      = "sample_weights"
	nameLossScale    = "loss_scale"
	nameLearningRate = "learning_rate"
	nameLoss         = "loss"
	nameSampleLoss   = "per_sample_loss"
)

// Build makes a training bundle from a forward model, which it takes over and
// changes. The model needs one image input with a dynamic first axis, of float32
// or of bytes that it casts itself, and an output of class scores, [N, K].
func Build(m *onnx.Model, o Options) (*bundle.Bundle, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	f, err := prepare(m, &o)
	if err != nil {
		return nil, err
	}
	if err := o.fits(f); err != nil {
		return nil, err
	}
	for _, w := range f.warnings() {
		o.Warn(w)
	}
	return build(f, o)
}

// build writes the bundle of a prepared model.
func build(f *forward, o Options) (*bundle.Bundle, error) {
	o.Forms.Lowering.Forms = o.Forms.Tuned.Forms()
	if o.Forms.Tune != nil {
		cases, err := f.cases(&o)
		if err != nil {
			return nil, err
		}
		if o.Forms.Tuned, err = o.Forms.Tune(cases); err != nil {
			return nil, err
		}
		o.Forms.Lowering.Forms = o.Forms.Tuned.Forms()
	}
	b := &bundle.Bundle{
		Manifest: bundle.Manifest{
			Format: bundle.Format, Name: o.Name,
			Source:     bundle.Source{File: o.Source.File, SHA256: o.Source.SHA256},
			ImageShape: f.shape, Classes: f.classes(), ClassNames: o.ClassNames,
			Loss: o.Loss, Optimizer: o.Optimizer, Precision: o.Precision, Normalize: o.Images.Normalize, Weights: bundle.WeightsFile,
			Tuned: o.Forms.Tuned,
		},
		Init: map[string]*onnx.Tensor{},
	}
	portable := o
	portable.Blocks.Size = 0
	if err := buildTrain(f, portable, nil, b); err != nil {
		return nil, err
	}
	if block := o.Blocks.Size; block != 0 && o.Precision == "" { // half precision is for other providers
		twin := scratch(o)
		err := buildTrain(f, o, nil, twin)
		if err == nil && o.Blocks.Kernels {
			err = buildEvalBlocked(f, o, twin)
		}
		if err == nil {
			b.Manifest.Blocked = &bundle.Blocked{Block: block, Kernels: o.Blocks.Kernels}
			b.Blocked, b.BlockedEval = twin.Train, twin.BlockedEval
		} else if err := o.leaveBlocksOut(err); err != nil {
			return nil, err
		}
	}
	if err := buildEval(f, o, b); err != nil {
		return nil, err
	}
	if err := f.save(b); err != nil {
		return nil, err
	}
	for _, t := range f.tensors {
		if t.State == StateFixed {
			b.Manifest.Fixed = append(b.Manifest.Fixed, bundle.Fixed{Name: t.Name, Shape: t.Shape, Role: t.Role, Why: t.Why})
		}
	}
	if o.Decided != nil {
		o.Decided(f.tensors)
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("export: the bundle contradicts itself: %w", err)
	}
	return b, nil
}

// scratch is a bundle to build a further training graph into.
func scratch(o Options) *bundle.Bundle {
	return &bundle.Bundle{Manifest: bundle.Manifest{Optimizer: o.Optimizer}, Init: map[string]*onnx.Tensor{}}
}

// leaveBlocksOut goes on with the portable graph alone where the blocked one
// cannot be made, unless it is insisted on.
func (o *Options) leaveBlocksOut(cause error) error {
	if o.Blocks.Insist {
		return fmt.Errorf("%w; the model's graph in blocks of channels cannot be made, the portable one can", cause)
	}
	o.Blocks.Size = 0
	o.Warn(fmt.Sprintf("the bundle has the portable graph alone, on the CPU too; the one in blocks of channels cannot be made: %v", cause))
	return nil
}
