// Package random draws numbers that are functions of a seed: the same on every
// machine, in any order of asking, with no state but what the caller keeps.
//
// It owns SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
// number generators") and the maps from its words to what is wanted. What a
// stream is for, and so the constants that keep uses apart, stands with its
// user: changing one changes the results of a seed.
package random

import "math/bits"

// golden is 2^64 over the golden ratio, the step of SplitMix64.
const golden = 0x9e3779b97f4a7c15

// Mix is a step and the finalizer of SplitMix64: a bijection of 64-bit words
// whose output bits each depend on every input bit.
func Mix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Below maps a uniform 64-bit word to [0, n) by multiply and shift; its bias
// is under n/2^64.
func Below(x, n uint64) uint64 {
	hi, _ := bits.Mul64(x, n)
	return hi
}

// Stream is SplitMix64 from a state on, cheap to start anew for every sample.
type Stream uint64

// Next is the next 64 bits.
func (s *Stream) Next() uint64 {
	x := Mix(uint64(*s))
	*s += golden
	return x
}

// Below is uniform over 0..n-1.
func (s *Stream) Below(n uint64) uint64 { return Below(s.Next(), n) }

// Float is uniform over [0, 1), in steps of 2^-53.
func (s *Stream) Float() float64 { return float64(s.Next()>>11) * 0x1p-53 }

// Between is uniform over [lo, hi).
func (s *Stream) Between(lo, hi float64) float64 { return lo + (hi-lo)*s.Float() }
