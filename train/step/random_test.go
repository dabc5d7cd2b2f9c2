package step

import (
	"math"
	"reflect"
	"testing"
)

func TestRandomInputs(t *testing.T) {
	draw := func(seed, step uint64, slot, n int) []float32 {
		in := &Random{Seed: seed, Step: step}
		in.Fill(7, make([]float32, 3)) // an earlier draw changes nothing
		out := make([]float32, n)
		in.Fill(slot, out)
		return out
	}
	a := draw(1, 2, 0, 10001)
	if !reflect.DeepEqual(a, draw(1, 2, 0, 10001)) || !reflect.DeepEqual(a[:100], draw(1, 2, 0, 100)) {
		t.Error("the numbers are no function of seed, step and slot")
	}
	for _, b := range [][]float32{draw(2, 2, 0, 10001), draw(1, 3, 0, 10001), draw(1, 2, 1, 10001)} {
		if reflect.DeepEqual(a, b) {
			t.Error("another seed, step or slot gives the same numbers")
		}
	}
	sum, squares := 0.0, 0.0
	for _, x := range a {
		if x < 0 || x >= 1 {
			t.Fatalf("%v is outside [0, 1)", x)
		}
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	n := float64(len(a))
	if mean := sum / n; math.Abs(mean-0.5) > 0.015 { // five deviations
		t.Errorf("mean %v", mean)
	}
	if second := squares / n; math.Abs(second-1.0/3) > 0.015 {
		t.Errorf("second moment %v, want 1/3", second)
	}
	in := &Random{Seed: 1}
	buf := make([]float32, 100)
	if n := testing.AllocsPerRun(10, func() { in.Fill(0, buf) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
