package prune

import "winnow/internal/spill"

// Streams of random shares.
const (
	forShare  purpose = 1
	forStatic purpose = 2
)

// Names of the policies that need no scores.
const (
	PolicyFull   = "full"
	PolicyRandom = "random"
	PolicyStatic = "static"
)

// policy fills an epoch's plan. It is called once per epoch, in order.
type policy interface {
	plan(epoch int, out *buffer)
}

// tailed is a policy that has another plan what follows the pruned epochs.
type tailed interface{ rest() policy }

// observer is a policy that decides while the losses come in.
type observer interface {
	observed(indices []uint32)
	endObserved()
}

// buffer holds a plan. Its arrays live as long as the Pruner.
type buffer struct {
	t       *table
	indices []uint32
	weights []float32
	store   []float32 // backs weights once a policy has used them
}

// open readies the buffer for up to n samples, with weights if asked.
func (b *buffer) open(weights bool) {
	if b.indices == nil || cap(b.indices) < b.t.n {
		b.indices = spill.Make[uint32](b.t.n)[:0]
	}
	b.indices = b.indices[:0]
	b.weights = nil
	if weights {
		if cap(b.store) < b.t.n {
			b.store = spill.Make[float32](b.t.n)
		}
		b.weights = b.store[:0]
	}
}

// everything is every sample that is not held out, weight 1.
func (b *buffer) everything() {
	b.open(false)
	out := b.indices[:b.t.n]
	if b.t.active == b.t.n {
		for i := range out {
			out[i] = uint32(i)
		}
		b.indices = out
		return
	}
	k := 0
	for i, s := range b.t.score {
		if !isHeld(s) {
			out[k] = uint32(i)
			k++
		}
	}
	b.indices = out[:k]
}

// share is keepCount(keep) of all samples, uniformly without replacement, and
// at least one if there is any: an epoch must have a step.
func (b *buffer) share(keep float64, rnd stream) {
	b.everything()
	p := picker{rnd: rnd, need: uint64(max(keepCount(keep, b.t.active), min(1, b.t.active))), left: uint64(b.t.active)}
	k := 0
	for _, i := range b.indices {
		b.indices[k] = i
		k += p.take()
	}
	b.indices = b.indices[:k]
}

// fullPolicy takes everything.
type fullPolicy struct{}

func newFull(*table, Options) policy { return fullPolicy{} }

func (fullPolicy) plan(_ int, out *buffer) { out.everything() }

// randomPolicy takes a share of 1-r: a fresh one each epoch, or always the same.
type randomPolicy struct {
	seed   uint64
	keep   float64
	static bool
}

func newRandom(_ *table, o Options) policy {
	return randomPolicy{o.Seed, 1 - o.Ratio, o.Policy == PolicyStatic}
}

func (p randomPolicy) plan(epoch int, out *buffer) {
	if p.static {
		out.share(p.keep, newStream(p.seed, forStatic, 0))
		return
	}
	out.share(p.keep, newStream(p.seed, forShare, epoch))
}

// annealed is a policy that stops after delta*E epochs.
type annealed struct {
	policy
	last int // last epoch that is pruned
	// rest plans the epochs after last; nil takes everything.
	rest policy
}

func (a annealed) plan(epoch int, out *buffer) {
	switch {
	case epoch <= a.last:
		a.policy.plan(epoch, out)
	case a.rest != nil:
		a.rest.plan(epoch, out)
	default:
		out.everything()
	}
}

// lastPruned is the largest t with t <= delta*epochs, where a product that
// misses a whole number by rounding alone counts as that number.
func lastPruned(delta float64, epochs int) int { return keepCount(delta, epochs) }

var (
	_ policy = fullPolicy{}
	_ policy = randomPolicy{}
	_ policy = annealed{}
)
