package step

import (
	"fmt"

	"winnow/internal/option"
	"winnow/onnx"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
)

// slotOf translates a role; symbols become the batch dimension.
func slotOf(v bundle.Value) (ortrun.Slot, error) {
	dtype, err := onnx.ParseDType(v.DType)
	if err != nil {
		return ortrun.Slot{}, fmt.Errorf("step: bundle: %q: %w", v.Name, err)
	}
	s := ortrun.Slot{Name: v.Name, DType: ortrun.DType(dtype), Shape: make([]int64, len(v.Shape))}
	for i, d := range v.Shape {
		switch {
		case d.IsConst():
			s.Shape[i] = d.N
		case d.N == 1:
			s.Shape[i] = -1
		default:
			return s, fmt.Errorf("step: bundle: %q: %w: dimension %s is neither a number nor the batch", v.Name, bundle.ErrInvalid, d)
		}
	}
	return s, nil
}

func optionalSlot(v *bundle.Value) (*ortrun.Slot, error) {
	if v == nil {
		return nil, nil
	}
	s, err := slotOf(*v)
	return &s, err
}

// resolveLayout says which of a bundle's training graphs a device takes.
func resolveLayout(layout string, b *bundle.Bundle, block int) (string, error) {
	switch has := b.Manifest.Blocked; {
	case layout == bundle.LayoutPortable:
	case has != nil && has.Block == int64(block) && has.Kernels && layout != bundle.LayoutNCHWC:
		return bundle.LayoutKernels, nil
	case has != nil && has.Block == int64(block) && !has.Kernels && layout != bundle.LayoutKernels:
		return bundle.LayoutNCHWC, nil
	case layout == "" || layout == bundle.LayoutAuto:
	case layout != bundle.LayoutNCHWC && layout != bundle.LayoutKernels:
		return "", option.Errorf("step", "layout", "%q, want %s, %s, %s or %s", layout, bundle.LayoutAuto, bundle.LayoutPortable, bundle.LayoutNCHWC, bundle.LayoutKernels)
	case has == nil:
		return "", option.Errorf("step", "layout", "%s: the bundle has no graph for it; export it with --layout %s", layout, layout)
	case block == 0:
		return "", option.Errorf("step", "layout", "%s: the device has no such layout", layout)
	default:
		return "", option.Errorf("step", "layout", "%s: the bundle's blocks have %d channels, this machine's %d; export it here", layout, has.Block, block)
	}
	return bundle.LayoutPortable, nil
}

// TrainSpec translates a bundle's training roles, with the graph of a layout,
// "" being auto; it gives the layout that was taken.
func TrainSpec(b *bundle.Bundle, d *ortrun.Device, layout string) (ortrun.TrainSpec, string, error) {
	block := 0
	if layout != bundle.LayoutPortable && b.Manifest.Blocked != nil {
		block = d.ConvBlock()
	}
	layout, err := resolveLayout(layout, b, block)
	if err != nil {
		return ortrun.TrainSpec{}, "", err
	}
	spec, err := trainRoles(b)
	spec.Model = b.Graph(layout)
	return spec, layout, err
}

func trainRoles(b *bundle.Bundle) (ortrun.TrainSpec, error) {
	r := &b.Manifest.Train
	spec := ortrun.TrainSpec{Model: b.Train, Loss: r.Loss.Name}
	var err error
	take := func(s ortrun.Slot, e error) ortrun.Slot {
		if err == nil {
			err = e
		}
		return s
	}
	optional := func(s *ortrun.Slot, e error) *ortrun.Slot {
		if err == nil {
			err = e
		}
		return s
	}
	spec.Images = take(slotOf(r.Images))
	spec.LearningRate = take(slotOf(r.LearningRate))
	spec.Labels = optional(optionalSlot(r.Labels))
	for _, t := range r.FurtherTargets() {
		spec.Targets = append(spec.Targets, take(slotOf(t.Value())))
	}
	spec.SampleWeights = optional(optionalSlot(r.SampleWeights))
	spec.LossScale = optional(optionalSlot(r.LossScale))
	spec.Logits = optional(optionalSlot(r.Logits))
	for _, v := range r.Random {
		spec.Random = append(spec.Random, take(slotOf(v)))
	}
	for _, s := range r.Scalars {
		spec.Scalars = append(spec.Scalars, s.Output)
	}
	if r.PerSampleLoss != nil {
		spec.PerSampleLoss = r.PerSampleLoss.Name
	}
	return spec, err
}

// EvalSpec translates a bundle's inference roles, with the graph of a layout;
// inputs that are not images are state.
func EvalSpec(b *bundle.Bundle, f *bundle.Inference, layout string) (ortrun.EvalSpec, error) {
	spec := ortrun.EvalSpec{Model: b.Evaluation(layout), State: f.State()}
	var err error
	if spec.Images, err = slotOf(b.Manifest.Eval.Images); err != nil {
		return spec, err
	}
	spec.Logits, err = slotOf(b.Manifest.Eval.Logits)
	return spec, err
}
