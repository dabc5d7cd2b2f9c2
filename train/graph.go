package train

import (
	"encoding/binary"
	"fmt"
	"math"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// slotOf translates a role; symbols become the batch dimension.
func slotOf(v bundle.Value) (ortrun.Slot, error) {
	dtype, err := onnx.ParseDType(v.DType)
	if err != nil {
		return ortrun.Slot{}, fmt.Errorf("train: bundle: %q: %w", v.Name, err)
	}
	s := ortrun.Slot{Name: v.Name, DType: ortrun.DType(dtype), Shape: make([]int64, len(v.Shape))}
	for i, d := range v.Shape {
		switch {
		case d.IsConst():
			s.Shape[i] = d.N
		case d.N == 1:
			s.Shape[i] = -1
		default:
			return s, fmt.Errorf("train: bundle: %q: %w: dimension %s is neither a number nor the batch", v.Name, bundle.ErrInvalid, d)
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
	case has != nil && has.Block == int64(block):
		return bundle.LayoutNCHWC, nil
	case layout == "" || layout == bundle.LayoutAuto:
	case layout != bundle.LayoutNCHWC:
		return "", optionError("layout", "%q, want %s, %s or %s", layout, bundle.LayoutAuto, bundle.LayoutPortable, bundle.LayoutNCHWC)
	case has == nil:
		return "", optionError("layout", "%s: the bundle has no graph for it; export it with --layout %s", layout, layout)
	case block == 0:
		return "", optionError("layout", "%s: the device has no such layout", layout)
	default:
		return "", optionError("layout", "%s: the bundle's blocks have %d channels, this machine's %d; export it here", layout, has.Block, block)
	}
	return bundle.LayoutPortable, nil
}

// graphFile is the file of a bundle that has the graph of a layout.
func graphFile(layout string) string {
	if layout == bundle.LayoutNCHWC {
		return bundle.BlockedFile
	}
	return bundle.TrainFile
}

// TrainSpec translates a bundle's training roles, with the graph of a layout
// of resolveLayout; it gives the layout that was taken.
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
	if layout == bundle.LayoutNCHWC {
		spec.Model = b.Blocked
	}
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
	spec.SampleWeights = optional(optionalSlot(r.SampleWeights))
	spec.LossScale = optional(optionalSlot(r.LossScale))
	spec.Logits = optional(optionalSlot(r.Logits))
	for _, v := range r.Random {
		spec.Random = append(spec.Random, take(slotOf(v)))
	}
	if r.PerSampleLoss != nil {
		spec.PerSampleLoss = r.PerSampleLoss.Name
	}
	return spec, err
}

// evalSpec translates a bundle's inference roles; inputs that are not images are state.
func evalSpec(b *bundle.Bundle) (ortrun.EvalSpec, error) {
	spec := ortrun.EvalSpec{Model: b.Eval, State: map[string]int{}}
	m, err := wire.Decode(b.Eval, "")
	if err != nil {
		return spec, fmt.Errorf("train: %s: %w", bundle.EvalFile, err)
	}
	inputs := map[string]bool{}
	for _, v := range m.Graph.Inputs {
		inputs[v.Name] = true
	}
	evaluated := b.Manifest.Evaluated()
	for i, s := range b.Manifest.State {
		if inputs[s.Input] {
			spec.State[s.Input] = evaluated[i]
		}
	}
	if spec.Images, err = slotOf(b.Manifest.Eval.Images); err != nil {
		return spec, err
	}
	spec.Logits, err = slotOf(b.Manifest.Eval.Logits)
	return spec, err
}

// StateSlots translates a bundle's state, with its initial values.
func StateSlots(b *bundle.Bundle) ([]ortrun.StateSlot, error) {
	slots := make([]ortrun.StateSlot, len(b.Manifest.State))
	for i, s := range b.Manifest.State {
		dtype, err := onnx.ParseDType(s.DType)
		if err != nil {
			return nil, fmt.Errorf("train: bundle: state %q: %w", s.Name, err)
		}
		slots[i] = ortrun.StateSlot{Input: s.Input, Output: s.Output, DType: ortrun.DType(dtype), Shape: s.Shape, Init: b.Init[s.Name].Data}
	}
	return slots, nil
}

// readState copies the current state off the device, by name.
func readState(b *bundle.Bundle, st *ortrun.State) (map[string]*onnx.Tensor, error) {
	out := make(map[string]*onnx.Tensor, len(b.Manifest.State))
	for i, s := range b.Manifest.State {
		dtype, err := onnx.ParseDType(s.DType)
		if err != nil {
			return nil, fmt.Errorf("train: bundle: state %q: %w", s.Name, err)
		}
		t := onnx.NewTensor(dtype, s.Shape...)
		if err := st.Read(i, t.Data); err != nil {
			return nil, fmt.Errorf("train: state %q: %w", s.Name, err)
		}
		out[s.Name] = t
	}
	return out, nil
}

// pixels turns the loader's uint8 images into what a graph's image input
// takes: itself, or float32 with the same values, 0 to 255. Normalisation is
// the graph's part.
type pixels struct {
	float bool
	buf   []byte
}

func (p *pixels) convert(images []byte) []byte {
	if !p.float {
		return images
	}
	if need := 4 * len(images); cap(p.buf) < need {
		p.buf = make([]byte, need)
	}
	buf := p.buf[:4*len(images)]
	for i, x := range images {
		binary.LittleEndian.PutUint32(buf[4*i:], floatBits[x])
	}
	return buf
}

var floatBits = func() (t [256]uint32) {
	for i := range t {
		t[i] = math.Float32bits(float32(i))
	}
	return t
}()

// pixelRunner gives an evaluator its images in the type it takes.
type pixelRunner struct {
	Runner
	pixels pixels
}

var _ Runner = (*pixelRunner)(nil)

func (r *pixelRunner) Run(n int, images []byte) ([]float32, error) {
	return r.Runner.Run(n, r.pixels.convert(images))
}
