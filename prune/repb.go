package prune

import (
	"fmt"
	"math"

	"winnow/internal/spill"
)

// PolicyRePB prunes against the mean of the last few batches.
const PolicyRePB = "repb"

const forRePB purpose = 5

// repb is RePB (Inconsistency Biases in Dynamic Data Pruning, ICLR 2026). The
// scores of the last few batches are compared with their own mean, so that the
// model hardly changed between them: a sample at or above it is kept in the
// next epoch, one below is kept with probability 1-rho. A kept sample's weight
// is the epochs so far over the times it was taken.
//
// The verdict stands until the sample is observed again, but the draw is made
// anew each epoch, so that a sample once below the mean comes back.
type repb struct {
	t       *table
	seed    uint64
	keep    float64
	batches int

	below  bitset
	times  []uint16 // times each sample was taken
	epochs int      // epochs planned, pruned or not, until the last plan
	recent []uint32 // samples of the open window
	held   int      // batches in it
}

func newRePB(t *table, o Options) policy {
	return &repb{t: t, seed: o.Seed, keep: 1 - o.Ratio, batches: o.BatchWindow,
		below: newBitset(t.n), times: spill.Make[uint16](t.n)}
}

func (p *repb) plan(epoch int, out *buffer) {
	t := p.t
	p.epochs++
	out.open(true)
	idx, w := out.indices[:t.n], out.store[:t.n]
	rnd := newStream(p.seed, forRePB, epoch)
	k := 0
	equal := true
	for i, s := range t.score {
		if isHeld(s) {
			continue
		}
		if p.below.get(uint32(i)) && s == s && !rnd.chance(p.keep) {
			continue
		}
		p.times[i]++
		equal = equal && int(p.times[i]) == p.epochs
		idx[k] = uint32(i)
		w[k] = float32(p.epochs) / float32(p.times[i])
		k++
	}
	out.indices, out.weights = idx[:k], w[:k]
	if equal {
		out.weights = nil
	}
	if k == 0 && t.active > 0 {
		// An epoch must have a step: forget the verdicts and take all.
		clear(p.below)
		p.epochs--
		p.plan(epoch, out)
	}
}

func (p *repb) observed(indices []uint32) {
	p.recent = append(p.recent, indices...)
	if p.held++; p.held >= p.batches {
		p.endObserved()
	}
}

// endObserved judges the samples of the window, full or not.
func (p *repb) endObserved() {
	var sum float64
	var n int
	for _, i := range p.recent {
		if s := p.t.score[i]; s == s {
			sum += float64(s)
			n++
		}
	}
	bound := ceil32(sum / float64(max(n, 1)))
	for _, i := range p.recent {
		if p.t.score[i] < bound {
			p.below.set(i)
		} else {
			p.below.clear(i)
		}
	}
	p.recent, p.held = p.recent[:0], 0
}

func (p *repb) save(e *encoder) {
	e.u64s(p.below)
	e.u16s(p.times)
	e.u64(uint64(p.epochs))
	e.u64(uint64(p.held))
	e.u64(uint64(len(p.recent)))
	e.u32s(p.recent)
}

func (p *repb) load(d *decoder) {
	d.u64s(p.below)
	d.u16s(p.times)
	p.epochs = d.count(maxEpochs)
	for i, k := range p.times {
		if d.err == nil && int(k) > p.epochs {
			d.err = fmt.Errorf("sample %d taken %d times in %d epochs: %w", i, k, p.epochs, ErrState)
		}
	}
	p.held = d.count(math.MaxInt)
	p.recent = d.indices(d.count(math.MaxInt), p.t.n)
}

var (
	_ policy   = (*repb)(nil)
	_ observer = (*repb)(nil)
	_ stater   = (*repb)(nil)
)
