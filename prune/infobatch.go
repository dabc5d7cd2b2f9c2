package prune

// PolicyInfoBatch prunes below the mean and weighs the rest of what lies there up.
const PolicyInfoBatch = "infobatch"

const forInfoBatch purpose = 3

// infoBatch is InfoBatch (arXiv 2303.04947, equations 3 to 5): of the samples
// scored below the mean it keeps floor(keep*|P|), uniformly without
// replacement, with weight 1/keep; all others it keeps with weight 1.
type infoBatch struct {
	t    *table
	seed uint64
	keep float64 // max(1-r, MinKeepRatio)
}

func newInfoBatch(t *table, o Options) policy {
	return &infoBatch{t, o.Seed, max(1-o.Ratio, MinKeepRatio)}
}

func (p *infoBatch) plan(epoch int, out *buffer) {
	t := p.t
	scored, mean := t.mean()
	if scored == 0 {
		out.everything()
		return
	}
	bound := ceil32(mean)
	below := 0
	for _, s := range t.score {
		if s < bound {
			below++
		}
	}
	if below == 0 || p.keep == 1 {
		out.everything()
		return
	}
	need := keepCount(p.keep, below)
	out.open(true)
	idx, w := out.indices[:t.n], out.store[:t.n]
	up := float32(1 / p.keep)
	pick := picker{rnd: newStream(p.seed, forInfoBatch, epoch), need: uint64(need), left: uint64(below)}
	k := 0
	for i, s := range t.score {
		idx[k] = uint32(i)
		if s < bound {
			w[k] = up
			k += pick.take()
			continue
		}
		w[k] = 1
		if !isHeld(s) {
			k++
		}
	}
	out.indices, out.weights = idx[:k], w[:k]
}

var _ policy = (*infoBatch)(nil)
