package prune

import "math"

// Names of the policies that take the highest ranks.
const (
	PolicyEpsilonGreedy = "epsilon-greedy"
	PolicyUCB           = "ucb"
)

const forGreedy purpose = 4

// greedy is epsilon-greedy and UCB (Raju et al. 2021, arXiv 2111.12621,
// section 3): of keepCount(1-r) samples, all but a share epsilon are those of
// highest rank, the others uniform from the rest. UCB ranks by the score plus
// c times its deviation and takes none at random. Samples without a score come
// first and are always kept.
type greedy struct {
	t       *table
	seed    uint64
	keep    float64
	epsilon float64
	c       float64
}

func newGreedy(t *table, o Options) policy {
	g := &greedy{t: t, seed: o.Seed, keep: 1 - o.Ratio, epsilon: o.Epsilon}
	if o.Policy == PolicyUCB {
		g.epsilon, g.c = 0, o.Confidence
	}
	return g
}

func (g *greedy) key(i int) uint32 {
	s := g.t.score[i]
	if g.t.variance != nil {
		s = float32(float64(s) + g.c*math.Sqrt(float64(g.t.variance[i])))
	}
	return floatKey(s)
}

func (g *greedy) plan(epoch int, out *buffer) {
	t := g.t
	scored := t.scored()
	if scored == 0 {
		out.everything()
		return
	}
	total := max(1, keepCount(g.keep, t.active))
	budget := max(0, total-(t.active-scored))
	random := keepCount(g.epsilon, budget)
	top := budget - random
	bound, above, ties := g.bound(top)
	out.open(false)
	idx := out.indices[:t.n]
	rnd := newStream(g.seed, forGreedy, epoch)
	tie := picker{rnd: rnd, need: uint64(top - above), left: uint64(ties)}
	rest := picker{rnd: stream{^rnd.Stream}, need: uint64(random), left: uint64(scored - top)}
	k := 0
	for i, s := range t.score {
		if s != s {
			if !isHeld(s) {
				idx[k] = uint32(i)
				k++
			}
			continue
		}
		key := g.key(i)
		if key > bound || (key == bound && ties > 0 && tie.take() == 1) || rest.take() == 1 {
			idx[k] = uint32(i)
			k++
		}
	}
	out.indices = idx[:k]
}

// bound finds the key of rank top among the scored samples, how many are above
// it and how many have it. Two passes of a histogram of half keys: O(n), no
// copy. top = 0 gives the largest key and no ties.
func (g *greedy) bound(top int) (bound uint32, above, ties int) {
	if top == 0 {
		return math.MaxUint32, 0, 0
	}
	t := g.t
	hist := make([]int, 1<<16)
	for i, s := range t.score {
		if s == s {
			hist[g.key(i)>>16]++
		}
	}
	descend := func() uint32 {
		h := len(hist) - 1
		for above+hist[h] < top {
			above += hist[h]
			h--
		}
		return uint32(h)
	}
	high := descend()
	clear(hist)
	for i, s := range t.score {
		if s == s {
			if key := g.key(i); key>>16 == high {
				hist[key&0xffff]++
			}
		}
	}
	low := descend()
	return high<<16 | low, above, hist[low]
}

// floatKey maps float32 to uint32 in order; -0 and 0 are one key.
func floatKey(f float32) uint32 {
	b := math.Float32bits(f + 0)
	if b>>31 != 0 {
		return ^b
	}
	return b | 1<<31
}

// keyFloat is the inverse of floatKey.
func keyFloat(k uint32) float32 {
	if k>>31 != 0 {
		return math.Float32frombits(k &^ (1 << 31))
	}
	return math.Float32frombits(^k)
}

var _ policy = (*greedy)(nil)
