package step

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
)

// StateSlots translates a bundle's state, with its initial values.
func StateSlots(b *bundle.Bundle) ([]ortrun.StateSlot, error) {
	slots := make([]ortrun.StateSlot, len(b.Manifest.State))
	for i, s := range b.Manifest.State {
		dtype, err := onnx.ParseDType(s.DType)
		if err != nil {
			return nil, fmt.Errorf("step: bundle: state %q: %w", s.Name, err)
		}
		slots[i] = ortrun.StateSlot{Input: s.Input, Output: s.Output, DType: ortrun.DType(dtype), Shape: s.Shape, Init: b.Init[s.Name].Data}
	}
	return slots, nil
}

// ReadState copies the current state off the device, by name.
func ReadState(b *bundle.Bundle, st *ortrun.State) (map[string]*onnx.Tensor, error) {
	out := make(map[string]*onnx.Tensor, len(b.Manifest.State))
	for i, s := range b.Manifest.State {
		dtype, err := onnx.ParseDType(s.DType)
		if err != nil {
			return nil, fmt.Errorf("step: bundle: state %q: %w", s.Name, err)
		}
		t := onnx.NewTensor(dtype, s.Shape...)
		if err := st.Read(i, t.Data); err != nil {
			return nil, fmt.Errorf("step: state %q: %w", s.Name, err)
		}
		out[s.Name] = t
	}
	return out, nil
}
