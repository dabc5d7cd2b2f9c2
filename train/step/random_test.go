package step

import (
	"math"
	"reflect"
	"slices"
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

// What is drawn for a part of a step is what the whole has there, wherever it begins.
func TestRandomOfParts(t *testing.T) {
	for _, row := range []int{1, 2, 3, 8} {
		whole := Random{Seed: 9, Step: 4}
		want := make([]float32, 23*row)
		whole.Fill(1, want)
		for from := range 23 {
			for _, n := range []int{1, 2, 23 - from} {
				if from+n > 23 {
					continue
				}
				part := Random{Seed: 9, Step: 4, From: from, N: n}
				got := make([]float32, n*row)
				part.Fill(1, got)
				if !slices.Equal(got, want[from*row:(from+n)*row]) {
					t.Fatalf("rows %d to %d of %d: other numbers than the whole's", from, from+n, row)
				}
			}
		}
	}
	part := Random{Seed: 9, Step: 4, From: 5, N: 2, Whole: []bool{true}}
	whole := Random{Seed: 9, Step: 4}
	a, b := make([]float32, 7), make([]float32, 7)
	part.Fill(0, a)
	whole.Fill(0, b)
	if !slices.Equal(a, b) {
		t.Error("a slot without rows differs in a part")
	}
}
