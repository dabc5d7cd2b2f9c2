package prune

import (
	"fmt"
	"math"
	"slices"

	"winnow/internal/spill"
)

// history is what others want to know of a training afterwards, and no plan
// depends on: which samples each plan had, and the samples' losses.
type history struct {
	plans  []bitset // of each epoch; nil where it had every sample
	whole  bool     // from the first epoch on: not where an earlier program began the run
	losses *lossMoments
}

// lossMoments are the losses of each sample so far: how many, their mean and
// the sum of squares about it (Welford 1962).
type lossMoments struct {
	count         []uint16
	mean, squares []float32
}

func newLossMoments(n int) *lossMoments {
	return &lossMoments{spill.Make[uint16](n), spill.Make[float32](n), spill.Make[float32](n)}
}

func (m *lossMoments) add(i uint32, x float64) {
	m.count[i]++
	old := float64(m.mean[i])
	mean := old + (x-old)/float64(m.count[i])
	m.mean[i] = float32(mean)
	m.squares[i] = float32(min(float64(m.squares[i])+(x-old)*(x-mean), math.MaxFloat32))
}

// planned notes the plan of an epoch.
func (h *history) planned(b *buffer, active int) {
	if len(b.indices) == active {
		h.plans = append(h.plans, nil)
		return
	}
	kept := newBitset(b.t.n)
	for _, i := range b.indices {
		kept.set(i)
	}
	h.plans = append(h.plans, kept)
}

// RecordLosses keeps the unweighted losses of the samples of a step for State:
// their mean and spread over a run. No score and no plan depends on them, and a
// loss that is not finite is left out. Call it at most once a sample and epoch.
func (p *Pruner) RecordLosses(indices []uint32, losses []float32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	const report = "losses for the record"
	if len(indices) != len(losses) {
		return fmt.Errorf("prune: observe %q: %d samples and %d losses: %w", report, len(indices), len(losses), ErrLength)
	}
	if !p.planned || p.ended {
		return fmt.Errorf("prune: observe %q: no epoch is open, call Plan first: %w", report, ErrOrder)
	}
	if err := p.inRange(indices, report); err != nil {
		return err
	}
	if p.past.losses == nil {
		p.past.losses = newLossMoments(p.t.n)
	}
	for j, i := range indices {
		if x := losses[j]; x-x == 0 && p.past.losses.count[i] < math.MaxUint16 {
			p.past.losses.add(i, float64(x))
		}
	}
	return nil
}

func (h *history) save(e *encoder) {
	e.flag(h.whole)
	e.u64(uint64(len(h.plans)))
	for _, kept := range h.plans {
		e.flag(kept != nil)
		e.u64s(kept)
	}
	e.flag(h.losses != nil)
	if m := h.losses; m != nil {
		e.u16s(m.count)
		e.f32s(m.mean)
		e.f32s(m.squares)
	}
}

func (h *history) load(d *decoder, n, epoch int) {
	h.whole = d.flag()
	plans := d.count(maxEpochs)
	if d.err == nil && h.whole && plans != epoch {
		d.err = fmt.Errorf("%d plans in epoch %d: %w", plans, epoch, ErrState)
	}
	for range plans {
		var kept bitset
		if d.flag() {
			kept = newBitset(n)
			d.u64s(kept)
		}
		if d.err != nil {
			return
		}
		h.plans = append(h.plans, kept)
	}
	if d.flag() {
		m := newLossMoments(n)
		d.u16s(m.count)
		d.f32s(m.mean)
		d.f32s(m.squares)
		h.losses = m
	}
}

// ScoreQuantiles are the scores at the shares 0, 1/parts, .., 1 of those that
// there are, in order, the nearest to each; nil where no sample has one.
func (p *Pruner) ScoreQuantiles(parts int) []float32 {
	if p.scorer == nil {
		return nil
	}
	scores := slices.DeleteFunc(p.Scores(nil), func(x float32) bool { return x != x })
	if len(scores) == 0 {
		return nil
	}
	slices.Sort(scores)
	q := make([]float32, parts+1)
	for k := range q {
		q[k] = scores[(k*(len(scores)-1)+parts/2)/parts]
	}
	return q
}
