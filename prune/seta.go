package prune

import (
	"math"

	"winnow/internal/spill"
)

// PolicySeTa takes a window over groups of scores.
const PolicySeTa = "seta"

// seta is SeTa (arXiv 2503.13385): a random share 1-r of all scored samples,
// split by score into groups, easy to hard, by one-dimensional k-means; of
// these the plan takes a window of adjacent groups. The first pruned epoch
// takes all groups, then the window slides by one group an epoch and begins
// again at the easy end.
type seta struct {
	t       *table
	seed    uint64
	keep    float64
	groups  int
	scale   float64
	threads int

	pruned int      // pruned epochs so far, k
	keys   []uint32 // scores of the share as ordered keys; working space
}

func newSeTa(t *table, o Options) policy {
	return &seta{t: t, seed: o.Seed, keep: 1 - o.Ratio, groups: o.Groups, scale: o.Scale, threads: o.Threads}
}

// rest is the random share that is kept after the pruned epochs (partial annealing).
func (p *seta) rest() policy { return randomPolicy{seed: p.seed, keep: p.keep} }

func (p *seta) plan(epoch int, out *buffer) {
	t := p.t
	scored := t.scored()
	if scored == 0 {
		out.everything()
		return
	}
	if cap(p.keys) < t.n {
		p.keys = spill.Make[uint32](t.n)
	}
	keys := p.keys[:t.n]
	out.open(false)
	idx := out.indices[:t.n]
	pick := picker{rnd: newStream(p.seed, forShare, epoch), need: uint64(max(1, keepCount(p.keep, scored))), left: uint64(scored)}
	k, m := 0, 0
	for i, s := range t.score {
		idx[k] = uint32(i)
		if s == s {
			keys[m] = floatKey(s)
			taken := pick.take()
			m += taken
			k += taken
		} else if !isHeld(s) {
			k++
		}
	}
	idx = idx[:k]
	lo, hi := p.window(keys[:m])
	k = 0
	for _, i := range idx {
		idx[k] = i
		// No score is no number, and fails both tests.
		if s := t.score[i]; !(s < lo || s > hi) {
			k++
		}
	}
	out.indices = idx[:k]
}

// window finds the range of scores that this epoch's groups span. It sorts keys.
func (p *seta) window(keys []uint32) (lo, hi float32) {
	turn := p.pruned
	p.pruned++
	inf := float32(math.Inf(1))
	if turn == 0 {
		return -inf, inf
	}
	ends := kmeans(keys, p.groups, p.threads)
	groups := len(ends)
	size := max(1, int(math.RoundToEven(float64(groups)*p.scale)))
	start := turn % (groups - size + 1)
	first := 0
	if start > 0 {
		first = ends[start-1]
	}
	return keyFloat(keys[first]), keyFloat(keys[ends[start+size-1]-1])
}

func (p *seta) save(e *encoder) { e.u64(uint64(p.pruned)) }
func (p *seta) load(d *decoder) { p.pruned = d.count(maxEpochs) }

var (
	_ policy = (*seta)(nil)
	_ stater = (*seta)(nil)
)
