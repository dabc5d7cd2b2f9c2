// Package elements counts the elements of tensors.
//
// It owns the one product of dimensions, and refuses one that overflows.
package elements

import "math"

// Max keeps the bytes of the widest elements, 8 each, within an int64.
const Max = math.MaxInt64 / 8

// Count multiplies dimensions; no dimensions count 1. It is false if one is
// negative, or if the product of those that are not zero is over Max.
func Count(dims []int64) (int64, bool) {
	n, zero := int64(1), false
	for _, d := range dims {
		switch {
		case d < 0:
			return 0, false
		case d == 0:
			zero = true
		case n > Max/d:
			return 0, false
		default:
			n *= d
		}
	}
	if zero {
		n = 0
	}
	return n, true
}
