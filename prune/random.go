package prune

import "math/bits"

// purpose keeps the random streams of different uses apart: a policy that
// draws has a number of its own beside it.
type purpose uint64

// stream is SplitMix64 (Steele, Lea and Flood 2014), seeded by a hash of
// (seed, purpose, epoch): a plan's randomness needs no state of its own.
type stream uint64

func newStream(seed uint64, p purpose, epoch int) stream {
	s := stream(seed)
	a := s.next()
	s = stream(a ^ uint64(p)*0x9e3779b97f4a7c15)
	a = s.next()
	s = stream(a ^ uint64(epoch)*0xd1342543de82ef95)
	return stream(s.next())
}

func (s *stream) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// chance is true with probability p.
func (s *stream) chance(p float64) bool {
	return float64(s.next()>>11)*(1.0/(1<<53)) < p
}

// picker draws a uniform subset without replacement of a population met one by
// one in any fixed order (selection sampling, Knuth vol. 2, 3.4.2, algorithm S).
type picker struct {
	rnd  stream
	need uint64 // still to be taken
	left uint64 // still to be met
}

// take decides over the next member: 1 to take it, 0 to leave it. It must be
// called once per member. There is no branch in it, since none could be
// predicted.
func (p *picker) take() int {
	hi, _ := bits.Mul64(p.rnd.next(), p.left)
	p.left--
	_, less := bits.Sub64(hi, p.need, 0)
	p.need -= less
	return int(less)
}
