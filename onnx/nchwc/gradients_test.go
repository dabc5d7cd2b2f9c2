package nchwc_test

import (
	"testing"

	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/nchwc"
)

// Gradients in blocks are those of central differences, and a rule without a check fails.
func TestBlockedGradients(t *testing.T) {
	d := gradtest.Device(t)
	covered := map[string]bool{"ConvTranspose": true} // takes the forms of Conv
	for _, c := range gradtest.Blocked() {
		covered[c.Op] = true
		t.Run(c.String(), func(t *testing.T) { gradtest.Check(t, d, c) })
	}
	for op := range nchwc.OverRules() {
		if !covered[op] {
			t.Errorf("the rule of %s in blocks has no gradient check", op)
		}
	}
}
