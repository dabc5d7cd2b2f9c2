package datasets

import "math/bits"

// Purposes keep the random streams drawn from one seed apart.
const (
	purposeNoise  = 0x6e6f697365   // "noise"
	purposeGlyphs = 0x676c79706873 // "glyphs"
)

// stream is SplitMix64 (Steele, Lea, Flood 2014), cheap to start afresh for
// every sample.
type stream struct{ state uint64 }

// newStream starts the stream of one sample: a hash of its arguments.
func newStream(seed uint64, purpose, index uint64) stream {
	return stream{mix(mix(mix(seed)^purpose) + index)}
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s *stream) next() uint64 {
	x := mix(s.state)
	s.state += 0x9e3779b97f4a7c15
	return x
}

// below is uniform over 0..n-1.
func (s *stream) below(n uint64) uint64 {
	hi, _ := bits.Mul64(s.next(), n)
	return hi
}

// float is uniform over [0, 1).
func (s *stream) float() float64 { return float64(s.next()>>11) * 0x1p-53 }

// between is uniform over [lo, hi).
func (s *stream) between(lo, hi float64) float64 { return lo + (hi-lo)*s.float() }
