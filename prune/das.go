package prune

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"winnow/internal/spill"
)

// ScorerDAS is the correlation with a reference trajectory.
const ScorerDAS = "das"

// das is the Dynamic Alignment Score of AlignPrune (arXiv 2604.07306): the
// Pearson correlation of a sample's losses over the last W epochs with the
// mean loss of a reference set at the same epochs. An epoch in which a sample
// was skipped leaves no point. During the first W epochs the score is the last
// loss; after them a sample with fewer than MinPoints points, or without
// variance, has no score.
type das struct {
	t       *table
	kind    string
	w       int
	share   float64
	label   func(i uint32) int
	threads int

	now   int         // current epoch
	ready bool        // scores are correlations
	row   [][]float32 // ring of W rows of n losses, NaN where there is no point; rows are made when first used
	epoch []int       // epoch of each row, 0 for none
	ref   []float64   // reference of each row, NaN for none

	sum   float64 // of the losses of the current epoch, for the population
	count uint64

	pseudo bitset // the chosen reference; nil before the choice
}

func newDAS(t *table, o Options) any {
	d := &das{t: t, kind: o.Reference, w: o.Window, share: o.PseudoShare, label: o.Label, threads: o.Threads,
		row: make([][]float32, o.Window), epoch: make([]int, o.Window), ref: make([]float64, o.Window)}
	for i := range d.ref {
		d.ref[i] = math.NaN()
	}
	return d
}

func (d *das) slot(epoch int) int { return epoch % d.w }

func (d *das) begin(epoch int) {
	s := d.slot(epoch)
	if d.row[s] == nil {
		d.row[s] = spill.Make[float32](d.t.n)
	}
	row := d.row[s]
	for i := range row {
		row[i] = unscored
	}
	d.now = epoch
	d.epoch[s] = epoch
	d.ref[s] = math.NaN()
	d.sum, d.count = 0, 0
}

func (d *das) observeSamples(indices []uint32, losses []float32) {
	row := d.row[d.slot(d.now)]
	for j, i := range indices {
		row[i] = losses[j]
		d.sum += float64(losses[j])
	}
	d.count += uint64(len(indices))
	if d.ready {
		return
	}
	t := d.t
	for j, i := range indices {
		if t.variance != nil {
			t.spread(i, losses[j])
		}
		if !isHeld(t.score[i]) {
			t.score[i] = losses[j]
		}
	}
}

func (d *das) setReference(epoch int, meanLoss float64) { d.ref[d.slot(epoch)] = meanLoss }

func (d *das) end(epoch int) error {
	s := d.slot(epoch)
	switch d.kind {
	case ReferencePopulation:
		if d.count > 0 {
			d.ref[s] = d.sum / float64(d.count)
		}
	case ReferenceOutside:
		if math.IsNaN(d.ref[s]) {
			return fmt.Errorf("prune: end epoch %d: scorer %q: %w: call ObserveReference first", epoch, ScorerDAS, ErrReference)
		}
	case ReferencePseudo:
		if d.pseudo == nil && epoch >= d.w {
			d.choose()
			for r := range d.row {
				d.ref[r] = d.pseudoMean(r)
			}
		} else if d.pseudo != nil {
			d.ref[s] = d.pseudoMean(s)
		}
	}
	if epoch >= d.w {
		d.rescore(epoch)
	}
	return nil
}

// choose takes, class by class, the share of samples whose mean loss over the
// rows is lowest, at least one of each class.
func (d *das) choose() {
	type candidate struct {
		label int
		mean  float64
		i     uint32
	}
	all := make([]candidate, 0, d.t.n)
	for i := range d.t.n {
		var sum float64
		var k int
		for s, r := range d.row {
			if d.epoch[s] > 0 && r[i] == r[i] {
				sum += float64(r[i])
				k++
			}
		}
		if k > 0 {
			all = append(all, candidate{d.label(uint32(i)), sum / float64(k), uint32(i)})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.label, b.label), cmp.Compare(a.mean, b.mean), cmp.Compare(a.i, b.i))
	})
	d.pseudo = newBitset(d.t.n)
	for lo := 0; lo < len(all); {
		hi := lo
		for hi < len(all) && all[hi].label == all[lo].label {
			hi++
		}
		take := max(1, keepCount(d.share, hi-lo))
		for _, c := range all[lo : lo+take] {
			d.pseudo.set(c.i)
		}
		lo = hi
	}
}

func (d *das) pseudoMean(slot int) float64 {
	if d.epoch[slot] == 0 {
		return math.NaN()
	}
	var sum float64
	var k int
	for i, x := range d.row[slot] {
		if x == x && d.pseudo.get(uint32(i)) {
			sum += float64(x)
			k++
		}
	}
	if k == 0 {
		return math.NaN()
	}
	return sum / float64(k)
}

const dasBlock = 2048 // samples of one pass: their sums stay in the first-level cache

// rescore replaces every score by the correlation over the rows of the last W
// epochs that have a reference.
func (d *das) rescore(epoch int) {
	// In order of epochs, so that a sum does not depend on where the ring begins.
	var rows [][]float32
	var refs []float64
	var mean float64
	for e := max(1, epoch-d.w+1); e <= epoch; e++ {
		s := d.slot(e)
		if d.epoch[s] == e && !math.IsNaN(d.ref[s]) {
			rows = append(rows, d.row[s])
			refs = append(refs, d.ref[s])
			mean += d.ref[s]
		}
	}
	for k := range refs {
		refs[k] -= mean / float64(len(refs))
	}
	t := d.t
	wasReady := d.ready
	d.ready = true
	inParallel(d.threads, t.n, dasBlock, func(lo, hi int) {
		var sums [dasBlock]moments
		correlate(sums[:hi-lo], rows, refs, lo)
		for j := range sums[:hi-lo] {
			i := lo + j
			if isHeld(t.score[i]) {
				continue
			}
			v := sums[j].pearson()
			if t.variance != nil {
				if !wasReady {
					t.variance[i] = 0 // the deviation of a loss says nothing of a correlation's
				} else if v == v {
					t.spread(uint32(i), v)
				}
			}
			t.score[i] = v
		}
	})
}

// moments are the sums of one pass over a trajectory x against a reference y.
// x is taken about its first point, so that a constant trajectory has exactly
// no variance, y about its mean over the window.
type moments struct {
	x0         float64
	n, x, y    float64
	xx, yy, xy float64
}

func correlate(sums []moments, rows [][]float32, refs []float64, lo int) {
	for k, row := range rows {
		y := refs[k]
		yy := y * y
		for j, v := range row[lo : lo+len(sums)] {
			if v != v {
				continue
			}
			m := &sums[j]
			if m.n == 0 {
				m.x0 = float64(v)
			}
			x := float64(v) - m.x0
			m.n++
			m.x += x
			m.y += y
			m.xx += x * x
			m.yy += yy
			m.xy += x * y
		}
	}
}

// pearson is the correlation, or no score.
func (m *moments) pearson() float32 {
	if m.n < MinPoints {
		return unscored
	}
	vx := m.n*m.xx - m.x*m.x
	vy := m.n*m.yy - m.y*m.y
	// What is left below rounding is no variance.
	if !(vx > 1e-13*m.n*m.xx) || !(vy > 1e-13*m.n*m.yy) {
		return unscored
	}
	r := (m.n*m.xy - m.x*m.y) / math.Sqrt(vx*vy)
	return float32(min(max(r, -1), 1))
}

func (d *das) save(e *encoder) {
	e.flag(d.ready)
	e.f64(d.sum)
	e.u64(d.count)
	for s, row := range d.row {
		e.u64(uint64(d.epoch[s]))
		e.f64(d.ref[s])
		if d.epoch[s] > 0 {
			e.f32s(row)
		}
	}
	e.flag(d.pseudo != nil)
	e.u64s(d.pseudo)
}

func (d *das) load(from *decoder) {
	d.ready = from.flag()
	d.sum = from.f64()
	d.count = from.u64()
	for s := range d.row {
		d.epoch[s] = from.count(maxEpochs)
		if from.err == nil && d.epoch[s] > 0 && d.slot(d.epoch[s]) != s {
			from.err = fmt.Errorf("epoch %d in row %d: %w", d.epoch[s], s, ErrState)
		}
		d.ref[s] = from.f64()
		if d.epoch[s] > 0 && from.err == nil {
			d.row[s] = spill.Make[float32](d.t.n)
			from.f32s(d.row[s])
		}
	}
	if from.flag() {
		d.pseudo = newBitset(d.t.n)
		from.u64s(d.pseudo)
	}
}

var (
	_ sampleScorer = (*das)(nil)
	_ epochScorer  = (*das)(nil)
	_ stater       = (*das)(nil)
)
