package prune

import (
	"math/bits"

	"winnow/internal/random"
)

// purpose keeps the random streams of different uses apart: a policy that
// draws has a number of its own beside it.
type purpose uint64

// stream draws what a plan leaves to chance, and needs no state of its own:
// it starts from a hash of (seed, purpose, epoch).
type stream struct{ random.Stream }

func newStream(seed uint64, p purpose, epoch int) stream {
	a := random.Mix(seed)
	a = random.Mix(a ^ uint64(p)*0x9e3779b97f4a7c15)
	return stream{random.Stream(random.Mix(a ^ uint64(epoch)*0xd1342543de82ef95))}
}

// chance is true with probability p.
func (s *stream) chance(p float64) bool {
	return s.Float() < p
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
	hi, _ := bits.Mul64(p.rnd.Next(), p.left)
	p.left--
	_, less := bits.Sub64(hi, p.need, 0)
	p.need -= less
	return int(less)
}
