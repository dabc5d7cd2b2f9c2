package autodiff_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/autodiff/gradtest"
)

func TestGradients(t *testing.T) {
	d := gradtest.Device(t)
	for _, c := range append(gradtest.Cases(), gradtest.Corners()...) {
		t.Run(c.String(), func(t *testing.T) { gradtest.Check(t, d, c) })
	}
}

// A rule without a check fails here.
func TestEveryRuleIsChecked(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range gradtest.Cases() {
		covered[c.Op] = true
	}
	for _, c := range gradtest.Composed() {
		covered[autodiff.Qualified(&onnx.Node{Op: c.Op, Domain: c.Domain})] = true
	}
	for _, op := range autodiff.ComposedOperators() {
		if !covered[op] {
			t.Errorf("the composition of %s has no check", op)
		}
	}
	covered["QuantizeLinear"], covered["DequantizeLinear"] = true, true // TestStraightThrough
	for op := range autodiff.Rules {
		if !covered[op] {
			t.Errorf("the rule of %s has no gradient check", op)
		}
	}
}

// Gradient checks at shapes and attributes drawn from a seed, for the
// operators whose attributes interact.
func TestRandomGradients(t *testing.T) {
	d := gradtest.Device(t)
	for op, draw := range gradtest.Random {
		t.Run(op, func(t *testing.T) {
			for seed := range uint64(40) {
				c := draw(rand.New(rand.NewPCG(seed, 77)))
				c.Name = fmt.Sprint(seed)
				t.Run(c.Name, func(t *testing.T) {
					gradtest.Check(t, d, c)
					if t.Failed() {
						t.Logf("attributes %v, arguments %v", c.Attrs, c.Args)
					}
				})
			}
		})
	}
}
