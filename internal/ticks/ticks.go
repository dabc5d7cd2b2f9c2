// Package ticks finds round numbers along an axis.
package ticks

import (
	"math"
	"strconv"
)

// Tick is a number on an axis, and how it is written.
type Tick struct {
	Value float64
	Label string
}

// Round is the multiples of 1, 2 or 5 times a power of ten between two numbers,
// four to nine of them.
func Round(low, high float64) []Tick {
	if !(high > low) {
		return []Tick{{low, strconv.FormatFloat(low, 'g', 4, 64)}}
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(step*m) >= 4 {
			step *= m
			break
		}
	}
	decimals := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	var out []Tick
	for k := int(math.Ceil(low/step - 1e-9)); float64(k)*step <= high*(1+1e-9); k++ {
		x := float64(k) * step
		out = append(out, Tick{x, strconv.FormatFloat(x, 'f', decimals, 64)})
	}
	return out
}
